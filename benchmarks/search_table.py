"""The record of a settings search: every trial's score on validation data, best first by method.

python benchmarks/search_table.py results-search docs/search/settings.json [MATRIX [METRIC]]

METRIC is what ranks (default: the task's main metric); the main metric then stands beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.record import Record, read_results


def main(results: str, out: str, matrix: str = "benchmarks/settings_search.yaml", metric: str = "") -> None:
    found: dict[tuple[str, str], dict] = {}
    hardware: dict = {}
    for _, record in read_results(Path(results)):
        if not isinstance(record, Record) or record.status != "ok":
            raise SystemExit(f"a trial is not finished: {record if isinstance(record, Exception) else record.reason}")
        hardware = record.provenance["hardware"]
        cell = record.cell
        trial = found.setdefault(
            (cell.method, json.dumps(cell.settings, sort_keys=True)),
            {"settings": cell.settings, "task": cell.task, "split": cell.split, "budget": cell.budget, "scores": {}},
        )
        trial["scores"][str(cell.seed)] = record.metrics[metric or record.main_metric].value
        if metric:
            trial.setdefault(record.main_metric, {})[str(cell.seed)] = record.metrics[record.main_metric].value
    trials: dict[str, list[dict]] = {}
    for (method, _), trial in found.items():
        trials.setdefault(method, []).append({"mean": sum(trial["scores"].values()) / len(trial["scores"]), **trial})
    for rows in trials.values():
        rows.sort(key=lambda row: -row["mean"])
    commands = [
        f"tunebench run {matrix} --split validation --results {results}",
        f"python benchmarks/search_table.py {results} {out} {matrix} {metric}".rstrip(),
    ]
    said = {"commands": commands, "hardware": hardware, "trials": trials}
    Path(out).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    for method, rows in trials.items():
        for row in rows:
            scores = ", ".join(f"{score:.3f}" for score in row["scores"].values())
            print(f"{method:8} {row['mean']:.3f}  ({scores})  {row['settings']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
