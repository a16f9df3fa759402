"""``tunebench tasks`` and ``tunebench methods``: what there is. Imports neither lm-eval nor torch for tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError, one_line


def print_tasks(folders: Sequence[Path]) -> None:
    """Name, kind, licence and file of every task below `folders`; a broken one says what is wrong with it."""
    from harness.taskfiles import iter_task_files, read_task_file
    from harness.taskmeta import check_meta

    for path, name, error in iter_task_files(folders):
        if error is not None:
            print(f"{path.name}: {error}")
        elif name is not None:
            try:
                meta = check_meta(read_task_file(path))
            except UserError as wrong:
                print(f"{name}: {wrong}")
                continue
            said = f"{meta.kind}, {meta.main_metric}, {meta.licence}" if meta else "no metadata.tunebench: inferred when run"
            print(f"{name:32} {said:48} {path}")
            for option, values in (meta.data_options if meta else {}).items():
                print(f"{'':32} data: {option} may be {', '.join(map(str, values))}")
    print("Any task of lm-eval's own catalogue that has a training split works by its name, too.")


def print_check(target: str, folders: Sequence[Path], data_dir: Path | None, model: str) -> bool:
    """Check a task by name, or all tasks of a folder, and print what is wrong with each; returns whether nothing is."""
    from harness.faults import Findings, own_line
    from harness.model import find_model
    from harness.process import redact
    from harness.taskcheck import check_task
    from harness.taskfiles import find_in_catalogue, find_task_file, iter_task_files, read_task_file, unknown_task

    files, broken = [], []
    catalogue = False
    if Path(target).is_file() and Path(target).suffix in (".yaml", ".yml"):
        files = [read_task_file(Path(target))]
    elif Path(target).is_dir():
        for path, name, error in iter_task_files([Path(target)]):
            broken += [str(error)] if error is not None else []
            files += [read_task_file(path)] if name is not None else []
        if not files and not broken:
            raise UserError(f"{target} holds no task: no YAML in it says 'task: NAME'")
    else:
        file = find_task_file(target, folders)
        if file is None:
            file, catalogue = find_in_catalogue(target), True
        if file is None:
            raise unknown_task(target, folders)
        files = [file]
    for line in dict.fromkeys(broken):  # a file that several include is told once
        print(line)
    base = find_model(model)
    sound = not broken
    for file in files:
        try:
            found = check_task(file, data_dir, base, ours=not catalogue)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a task's own code may do anything; the others are still checked)
            found = Findings()
            said = f"the check cannot go on: {type(error).__name__}: {one_line(error, 200)}; mend that first"
            found.fault(own_line(file, error) or f"{file.path}:1", said)
        sound &= not found.faults
        for line in found.faults:
            print(redact(line))
        for line in found.remarks:
            print(redact(f"  remark: {line}"))
        said = f"{len(found.faults)} to mend" if found.faults else "nothing to mend"
        print(f"{file.config.get('task')}: {said}{f' ({found.counts})' if found.counts else ''}")
    return sound


def print_methods() -> None:
    """Name, summary and needs of every installed method."""
    from harness.method import find_method, methods

    for name in sorted(methods()):
        try:
            method = find_method(name)
        except ImportError as error:
            print(f"{name:12} cannot be imported: {one_line(error)}")
            continue
        print(f"{name:12} {method.summary} (needs {method.needs})")
