"""A learning curve from records: the main metric (with intervals) against training FLOPs, a line a method.

    python benchmarks/curve_plot.py results-curve docs/images/entities_curve.png

Methods that spend no FLOPs are drawn as horizontal lines. Prints the same as a table.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

from harness.record import Metric, Record, read_results
from reports.plots import MUTED, looks
from reports.wording import metric_name, with_interval


def main(results: str, out: str) -> None:
    found: dict[str, list[tuple[float, Metric, Record]]] = defaultdict(list)
    for _, record in read_results(Path(results)):
        if isinstance(record, Record) and record.status == "ok":
            found[record.label].append((record.spend.flops, record.metrics[record.main_metric], record))
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    look = looks(sorted(found))
    name = ""
    for label, points in sorted(found.items()):
        points.sort(key=lambda point: point[0])
        name = points[0][2].main_metric
        style = look[label]
        values = [metric.value or 0.0 for _, metric, _ in points]
        if not points[-1][0]:
            axes.axhline(values[0], color=style.colour, ls="--", lw=1.2, label=label)
        else:
            errors = [
                [value - (metric.low or 0.0) for value, (_, metric, _) in zip(values, points, strict=True)],
                [(metric.high or 0.0) - value for value, (_, metric, _) in zip(values, points, strict=True)],
            ]
            flops = [flops for flops, _, _ in points]
            axes.errorbar(flops, values, errors, color=style.colour, marker=style.marker, capsize=3, label=label)
        for spent, metric, record in points:
            value = with_interval(metric.value, metric.low, metric.high)
            print(f"| {label} | {record.cell.budget} | {spent:.3g} | {record.spend.examples} | {value} |")
    axes.set_xscale("log")
    axes.set_xlabel("training FLOPs")
    axes.set_ylabel(f"{metric_name(name)}, 95 % interval")
    axes.set_ylim(0, 1)
    axes.grid(color="#DDDDDD", lw=0.7)
    axes.legend(frameon=False, labelcolor=MUTED)
    figure.savefig(out, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
