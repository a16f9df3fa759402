"""The wheel, installed where nothing of the checkout is, runs from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import write_task

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """An environment with the wheel of its own; the libraries are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True, timeout=300)
    (wheel,) = folder.glob("tunebench-*.whl")
    venv.create(folder / "env", with_pip=False)
    own = folder / "env" / "bin" / "python"
    site = subprocess.run([own, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True)
    target = Path(site.stdout.strip())
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", target, wheel], check=True, timeout=300)
    target.joinpath("libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return own


def run(python: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(python), "-m", "tunebench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


def test_the_code_is_the_wheels(python, tmp_path):
    code = "import tunebench, harness.paths as p; print(tunebench.__file__); print(p.shipped('tasks'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert all(str(python.parent.parent) in line for line in done.stdout.splitlines()), done.stdout


def test_tasks_and_matrices_are_in_it(python, tmp_path):
    assert "financial_sentiment" in run(python, "tasks", cwd=tmp_path).stdout
    assert "those that ship: lima, public, quick" in run(python, "plan", "nothing.yaml", cwd=tmp_path).stderr


def test_it_runs_the_quick_matrix_from_another_folder(python, tmp_path, tiny_model):
    """The bundled task and the matrix are the wheel's; a tiny model stands in for the embedded one."""
    done = run(python, "run", "quick", "--model", tiny_model, "--budget", "1e9flops", "--results", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 cells: 14 ok, 4 skipped" in done.stdout
    assert (tmp_path / "out" / "report.md").exists()


def test_an_outsiders_method_and_task_work_beside_it(python, tmp_path, tiny_model):
    method = tmp_path / "mine.py"
    method.write_text(
        "from tunebench import ChoiceLM, Fitted, Method, fixed_choices\n\n"
        "class First(ChoiceLM):\n    def probabilities(self, texts):\n"
        "        return [{self.task.choices[0]: 1.0} for _ in texts]\n\n"
        "class AlwaysFirst(Method):\n    name = 'always_first'\n    label = 'always first'\n    summary = 'the first choice'\n"
        "    uses_model = False\n\n    def fit(self, work):\n        fixed_choices(work.task, self.name)\n"
        "        return Fitted(First(work.task))\n"
    )
    include = write_task(tmp_path / "tasks")
    arguments = ("--tasks", "toy", "--include-path", include, "--methods", f"{method}:AlwaysFirst,majority")
    done = run(python, "run", *arguments, "--model", tiny_model, "--results", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 cells: 2 ok" in done.stdout
