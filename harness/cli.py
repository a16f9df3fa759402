"""The command line: parses and calls. Heavy imports happen inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import UserError, one_line, unknown
from harness.process import redact

DEFAULT_RESULTS = "results"
INTERRUPTED = 130
COMMANDS = ("run", "plan", "report", "tasks", "methods", "judge")

#: (results folder, whether a current report is written again) -> path of the report
Report = Callable[[Path, bool], Path]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UserError(f"{message} (tunebench {self.prog.split()[-1]} --help shows what there is)")


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in _names(text)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"seeds '{text}' must be whole numbers with commas between") from error


def _matrix_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "matrix", nargs="?", default="quick", help="a matrix YAML, or the name of one that ships (default: quick)"
    )
    parser.add_argument("--tasks", type=_names, metavar="A,B", help="these tasks instead of the matrix's")
    parser.add_argument("--methods", type=_names, metavar="X,Y", help="these methods (names, labels, or path/to/file.py:Class)")
    parser.add_argument("--model", metavar="ID", help="a Hub id or a local folder instead of the embedded model")
    parser.add_argument("--budget", metavar="B", help="for every cell: 1e13flops, 50ktok, 120s or 5usd")
    parser.add_argument("--seeds", type=_seeds, metavar="0,1", help="one cell a seed")
    parser.add_argument("--test-limit", type=int, metavar="N", help="a fixed choice of N test samples a task, not all")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="what is evaluated (default: test)")
    parser.add_argument("--include-path", action="append", default=[], metavar="DIR", help="a folder with tasks of yours")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="local copies of Hub data sets, as DIR/owner/name")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--precision", default="auto", help="auto, bf16 or fp32 (default: what the processor is fast at)")
    parser.add_argument("--workers", type=int, metavar="N", help="cells at once (default: from cores and memory)")
    parser.add_argument(
        "--results", type=Path, default=Path(DEFAULT_RESULTS), metavar="DIR", help="where records go (default: results)"
    )


def _tasks_commands(commands: Any) -> None:
    check = commands.add_parser("check", help="everything that is wrong with a task, or with those of a folder")
    check.add_argument("target", metavar="NAME|DIR", help="a task by name, or a folder with tasks")
    new = commands.add_parser("new", help="make a task from a CSV, TSV or JSON lines file")
    new.add_argument("name", metavar="NAME", help="the task's name: letters, digits and _")
    new.add_argument("--from", dest="source", type=Path, required=True, metavar="FILE", help="a .csv, .tsv or .jsonl file")
    new.add_argument("--text", default="text", metavar="COLUMN", help="the column with the text (default: text)")
    new.add_argument("--label", metavar="COLUMN", help="the column with one of a few labels: a classification task")
    new.add_argument(
        "--entities", nargs="?", const="entities", metavar="COLUMN",
        help="the column with entities (start, end, type): a task of finding them; JSON lines only",
    )  # fmt: skip
    new.add_argument("--to", type=Path, default=Path("my_tasks"), metavar="DIR", help="where NAME/ is made (default: my_tasks)")
    new.add_argument("--licence", default="unknown", metavar="NAME", help="the licence of the text, as CC-BY-4.0")
    new.add_argument("--redistribute", action="store_true", help="reports and samples may show the text")
    for parser in (check, new):
        parser.add_argument(
            "--include-path", action="append", default=argparse.SUPPRESS, metavar="DIR", help="a folder with tasks of yours"
        )
        parser.add_argument("--data-dir", type=Path, metavar="DIR", help="local copies of Hub data sets, as DIR/owner/name")
        parser.add_argument("--model", metavar="ID", help="whose context prompts must fit in (default: the embedded model)")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from tunebench import __version__

    parser = _Parser(
        prog="tunebench",
        description="Fine-tune one small language model in many ways under one budget, and say which way won.",
    )
    parser.add_argument("--version", action="version", version=f"tunebench {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    run = commands.add_parser("run", help="run what is missing of a matrix, then report")
    _matrix_arguments(run)
    plan = commands.add_parser("plan", help="say what would run, what is cached, time and memory; loads no model")
    _matrix_arguments(plan)
    report = commands.add_parser("report", help="rebuild every output from records")
    report.add_argument(
        "results", type=Path, nargs="?", default=Path(DEFAULT_RESULTS), help="a results folder (default: results)"
    )
    tasks = commands.add_parser("tasks", help="list the tasks; check one; start one from a file")
    tasks.add_argument("--include-path", action="append", default=[], metavar="DIR", help="a folder with tasks of yours")
    _tasks_commands(tasks.add_subparsers(dest="tasks_command", metavar="check|new", parser_class=_Parser))
    judge = commands.add_parser("judge", help="let a chat model compare two methods' answers (asks a service; off by default)")
    judge.add_argument("results", type=Path, nargs="?", default=Path(DEFAULT_RESULTS), help="a results folder (default: results)")
    judge.add_argument("--methods", type=_names, required=True, metavar="X,Y", help="two methods, by name, label or cell id")
    judge.add_argument("--endpoint", required=True, metavar="URL", help="an OpenAI-compatible one, or: openai, cohere")
    judge.add_argument("--judge", required=True, metavar="MODEL", help="the judging model, as the endpoint calls it")
    judge.add_argument("--task", default="instruction_following", help="whose answers (default: instruction_following)")
    judge.add_argument("--seed", type=int, default=0, help="of which seed (default: 0)")
    judge.add_argument("--include-path", action="append", default=[], metavar="DIR", help="a folder with tasks of yours")
    commands.add_parser("methods", help="list the methods and what each needs")
    return parser


def run_command(argv: list[str], write_report: Report) -> int:
    """Parse, call, and turn what goes wrong into one line and a status: 0 all well, 1 a cell failed, 2 the request was
    wrong, 130 interrupted."""
    try:
        if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
            raise unknown("command", argv[0], COMMANDS)
        arguments = build_parser().parse_args(argv)
        if arguments.command is None:
            build_parser().print_help()
            return 0
        return _COMMANDS[arguments.command](arguments, write_report)
    except UserError as error:
        print(f"tunebench: {redact(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that is read-only, a disk that is full, a file where a folder is expected
        print(
            f"tunebench: {error.filename or 'a file'}: {one_line(error.strerror or error)}; mend that and run again",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\ntunebench: interrupted; finished cells are kept, the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _matrix(arguments: argparse.Namespace) -> Any:
    from harness.matrix import on_split, read_matrix
    from harness.paths import find_matrix

    overrides = {
        "tasks": arguments.tasks,
        "methods": arguments.methods,
        "models": [arguments.model] if arguments.model else None,
        "budget": arguments.budget,
        "seeds": arguments.seeds,
        "test_limit": arguments.test_limit,
    }
    return on_split(read_matrix(find_matrix(arguments.matrix), overrides), arguments.split)


def _resolved(arguments: argparse.Namespace, matrix: Any, compute: Any) -> list:
    from harness.paths import task_folders
    from harness.resolve import resolve

    return resolve(matrix, compute, arguments.results, task_folders(arguments.include_path), _data_dir(arguments))


def _data_dir(arguments: argparse.Namespace) -> Path | None:
    folder = arguments.data_dir.expanduser().resolve() if arguments.data_dir else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"--data-dir {arguments.data_dir} is not a folder")
    return folder


def _run(arguments: argparse.Namespace, write_report: Report) -> int:
    from harness import contamination
    from harness.display import Board
    from harness.hardware import choose_compute
    from harness.runner import hush, results_lock, run

    hush()
    matrix = _matrix(arguments)
    compute = choose_compute(arguments.device, arguments.precision, arguments.workers)
    with results_lock(arguments.results):
        cells = _resolved(arguments, matrix, compute)
        contamination.update(cells, arguments.results)
        with Board(workers=compute.workers, description=matrix.description) as board:
            for note in dict.fromkeys(note for cell in cells for note in cell.facts.notes):
                board.say(note)
            counts = run(cells, arguments.results, board)
        path = write_report(arguments.results, False)
    said = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    print(f"{len(cells)} cells: {said}\nreport: {path}")
    return 1 if counts.get("failed") else 0


def _plan(arguments: argparse.Namespace, write_report: Report) -> int:
    from harness.hardware import choose_compute
    from harness.model import find_model
    from harness.paths import task_folders
    from harness.plan import print_cells, print_plan
    from harness.resolve import check_names
    from harness.runner import hush

    hush()
    matrix = _matrix(arguments)
    compute = choose_compute(arguments.device, arguments.precision, arguments.workers)
    models = dict.fromkeys(cell.model for cell in matrix.cells)
    absent = [name for name in models if find_model(name, make=False) is None]
    if absent:
        check_names(matrix, task_folders(arguments.include_path))
        print_cells(matrix, absent)
        return 0
    print_plan(_resolved(arguments, matrix, compute), compute, arguments.results)
    return 0


def _report(arguments: argparse.Namespace, write_report: Report) -> int:
    if not (arguments.results / "cells").is_dir():
        raise UserError(f"{arguments.results} is not a results folder: it has no 'cells' in it")
    print(f"report: {write_report(arguments.results, True)}")
    return 0


def _tasks(arguments: argparse.Namespace, write_report: Report) -> int:
    from harness.listing import print_check, print_tasks
    from harness.matrix import DEFAULT_MODEL
    from harness.paths import task_folders
    from harness.runner import hush

    folders = task_folders(arguments.include_path)
    if arguments.tasks_command is None:
        print_tasks(folders)
        return 0
    hush()
    model = arguments.model or DEFAULT_MODEL
    if arguments.tasks_command == "check":
        return 0 if print_check(arguments.target, folders, _data_dir(arguments), model) else 1
    from harness.model import find_model
    from harness.newtask import new_task

    find_model(model)  # what is wrong with a name is said before anything is written
    made = new_task(arguments, folders)
    if not print_check(str(made), folders, None, model):
        return 1
    place = shlex.quote(str(made.parent))
    print(f"try it: tunebench run --include-path {place} --tasks {made.name} --methods majority,zero_shot,lora")
    return 0


def _methods(arguments: argparse.Namespace, write_report: Report) -> int:
    from harness.listing import print_methods

    print_methods()
    return 0


def _judge(arguments: argparse.Namespace, write_report: Report) -> int:
    from harness.judge import judge
    from harness.loading import load_task
    from harness.paths import task_folders
    from harness.runner import hush

    hush()
    if not arguments.judge.strip():
        raise UserError("--judge names no model: give the one that judges, as the endpoint calls it")
    if len(arguments.methods) != 2:
        raise UserError(f"--methods names {len(arguments.methods)} methods; a judge compares two: --methods lora,zero_shot")
    if not (arguments.results / "cells").is_dir():
        raise UserError(f"{arguments.results} is not a results folder: it has no 'cells' in it")
    task = load_task(arguments.task, task_folders(arguments.include_path))

    def progress(done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            print(f"{done} of {total} pairs judged", file=sys.stderr)

    pair = (arguments.methods[0], arguments.methods[1])
    path = judge(arguments.results, task, pair, arguments.seed, arguments.endpoint, arguments.judge, progress)
    print(f"judgement: {path}\nreport: {write_report(arguments.results, True)}")
    return 0


_COMMANDS = {"run": _run, "plan": _plan, "report": _report, "tasks": _tasks, "methods": _methods, "judge": _judge}
