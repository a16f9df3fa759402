"""The record of a settings search: every trial's score on validation data, best first by method.

python benchmarks/search_table.py results-search docs/search/settings.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.record import Record, read_results


def main(results: str, out: str) -> None:
    trials: dict[str, list[dict]] = {}
    hardware: dict = {}
    for _, record in read_results(Path(results)):
        if not isinstance(record, Record) or record.status != "ok":
            raise SystemExit(f"a trial is not finished: {record if isinstance(record, Exception) else record.reason}")
        metric = record.metrics[record.main_metric]
        hardware = record.provenance["hardware"]
        trials.setdefault(record.cell.method, []).append(
            {
                "settings": record.cell.settings,
                "score": metric.value,
                "low": metric.low,
                "high": metric.high,
                "flops": record.spend.flops,
                "seed": record.cell.seed,
                "task": record.cell.task,
                "split": record.cell.split,
                "budget": record.cell.budget,
            }
        )
    for rows in trials.values():
        rows.sort(key=lambda row: -row["score"])
    said = {
        "commands": [
            "tunebench run benchmarks/settings_search.yaml --split validation --results results-search",
            f"python benchmarks/search_table.py results-search {out}",
        ],
        "hardware": hardware,
        "trials": trials,
    }
    Path(out).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    for method, rows in trials.items():
        print(f"{method}: {rows[0]['settings']} -> {rows[0]['score']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
