"""Methods are found by name or by file, and a wrong name, class or setting is said in one line."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.budget import Budget, Meter
from harness.choosing import ChoiceLM, fixed_choices
from harness.errors import UserError
from harness.hardware import Compute
from harness.method import GROUP, CannotDo, Method, Work, find_method, make_method, methods

SOURCE = """\
from tunebench import CannotDo, Fitted, Method, Settings

class MineSettings(Settings):
    rank: int = 4
    rate: float = 0.1

class Mine(Method):
    name = "mine"
    label = "Mine"
    summary = "does nothing"
    Settings = MineSettings

    def fit(self, work):
        return Fitted(None)

class Helper:
    pass
"""


@pytest.fixture
def mine(tmp_path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def refusal(name: str, settings=(), where: str = "") -> str:
    with pytest.raises(UserError) as refused:
        make_method(name, settings, where)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_every_method_that_the_project_declares_is_installed():
    declared = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    points = declared["project"]["entry-points"][GROUP]
    assert points.items() <= {name: point.value for name, point in methods().items()}.items()


@pytest.mark.parametrize("name", ["majority", "chance", "tfidf"])
def test_a_method_is_found_by_its_name(name):
    found = find_method(name)
    assert issubclass(found, Method)
    assert found.name == name
    assert found.label
    assert found.summary
    assert len(found.code()) == 64


def test_an_outsiders_method_is_found_like_ours(mine, monkeypatch):
    monkeypatch.syspath_prepend(mine.parent)
    importlib.invalidate_caches()
    point = EntryPoint("outside", "mine:Mine", GROUP)
    monkeypatch.setattr("harness.method.metadata.entry_points", lambda group: [point] if group == GROUP else [])
    assert make_method("outside", [("rank", 9)]).settings.rank == 9


def test_a_method_is_found_by_file_and_class(mine, tmp_path, monkeypatch):
    found = find_method(f"{mine}:Mine")
    assert (found.name, found.__name__) == ("mine", "Mine")
    assert find_method(f"{mine}:Mine") is found
    monkeypatch.chdir(tmp_path)
    assert find_method("mine.py:Mine") is found


def test_an_edited_file_is_another_method(mine):
    before = find_method(f"{mine}:Mine")
    mine.write_text(SOURCE.replace('label = "Mine"', 'label = "Yours"'))
    after = find_method(f"{mine}:Mine")
    assert (before.label, after.label) == ("Mine", "Yours")


def test_settings_are_defaults_with_what_was_given_on_top(mine):
    assert make_method(f"{mine}:Mine").settings.model_dump() == {"rank": 4, "rate": 0.1}
    assert make_method(f"{mine}:Mine", [("rank", 8)]).settings.model_dump() == {"rank": 8, "rate": 0.1}


def test_an_unknown_method_brings_near_names_and_the_other_way():
    message = refusal("tfidff")
    assert "unknown method 'tfidff': did you mean tfidf?" in message
    assert "path/to/file.py:Class" in message


def test_an_unknown_class_brings_the_methods_of_the_file(mine):
    message = refusal(f"{mine}:Mien")
    assert message.startswith(f"{mine}: unknown class 'Mien': ")
    assert "Mine" in message.partition("Mien")[2]
    assert "Helper" not in message


def test_a_class_that_is_no_method_is_refused(mine):
    assert refusal(f"{mine}:Helper") == f"method {mine}:Helper is not a subclass of tunebench.Method"
    assert "is not a subclass" in refusal(f"{mine}:CannotDo")


def test_a_file_that_is_absent_or_named_without_a_class_is_refused(tmp_path, mine):
    assert refusal(f"{tmp_path}/none.py:Mine") == f"method file {tmp_path}/none.py does not exist"
    assert "path/to/file.py:Class" in refusal(str(mine))
    assert "Mine" in refusal(f"{mine}:")


def test_a_file_with_a_syntax_error_is_said_with_its_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import os\n\ndef fit(:\n")
    for _ in range(2):
        assert refusal(f"{path}:Mine").startswith(f"{path}:3: ")


@pytest.mark.parametrize("source", ["import no_such_package_anywhere\n", "x = undefined_name\n"])
def test_a_file_that_fails_on_import_is_said_every_time(tmp_path, source):
    path = tmp_path / "failing.py"
    path.write_text(source + SOURCE)
    for _ in range(2):
        message = refusal(f"{path}:Mine")
        assert str(path) in message
        assert "no_such_package_anywhere" in message or "undefined_name" in message


def test_an_unknown_setting_brings_near_names_and_where_it_was_said():
    assert refusal("tfidf", [("longest_ngrm", 1)], "m.yaml:4") == (
        "m.yaml:4: unknown setting of tfidf 'longest_ngrm': did you mean longest_ngram?"
    )


@pytest.mark.parametrize("value", ["many", 1.5, None, [1], {"a": 1}])
def test_a_setting_of_the_wrong_type_is_refused_with_its_value(value):
    message = refusal("tfidf", [("longest_ngram", value)], "m.yaml:4")
    assert message.startswith("m.yaml:4: setting 'longest_ngram' of tfidf: Input should be a valid integer")
    assert message.endswith(f"not {value!r}")


def test_settings_do_not_change_afterwards(mine):
    method = make_method(f"{mine}:Mine")
    with pytest.raises(ValueError, match="frozen"):
        method.settings.rank = 5


def work_on(kind: str) -> Work:
    task = SimpleNamespace(name="letters", meta=SimpleNamespace(kind=kind), choices=("a", "b"))
    return Work(task, [], Meter(Budget(1, "s")), seed=0, compute=Compute(), base=None, chat_template=None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in ("majority", "chance", "tfidf")
        for kind in ("generation", "multiple_choice", "entities", "instruction")
        if name != "majority" or kind not in ("entities", "instruction")  # there it repeats an answer
    ],
)
def test_a_classical_method_says_what_it_cannot_do(name, kind):
    with pytest.raises(CannotDo, match=f"{name} needs fixed labels to choose from; letters is a task of the kind {kind}"):
        make_method(name).fit(work_on(kind))


def test_fixed_choices_are_the_tasks():
    assert fixed_choices(work_on("classification").task, "x") == ("a", "b")


class Fixed(ChoiceLM):
    """The first choice with probability 0.75, for every text."""

    asked = ()

    def probabilities(self, texts):
        self.asked = tuple(texts)
        return [{"a": 0.75, "b": 0.25} for _ in texts]


def test_a_choosing_predictor_answers_with_log_probabilities():
    choices = ("a", "b", "c")
    lm = Fixed(SimpleNamespace(text=lambda doc: doc["text"], choices=choices))
    asked = [
        SimpleNamespace(doc={"text": t}, args=("prompt", f" {c}"), idx=i) for t in ("one", "two") for i, c in enumerate(choices)
    ]
    found = lm.loglikelihood(asked)
    assert lm.asked == ("one", "two")
    assert [greedy for _, greedy in found] == [True, False, False] * 2
    assert [round(logprob, 4) for logprob, _ in found[:2]] == [-0.2877, -1.3863]
    assert found[2][0] < -20


@pytest.mark.parametrize("ask", ["loglikelihood_rolling", "generate_until"])
def test_a_choosing_predictor_cannot_write(ask):
    with pytest.raises(CannotDo, match=r"cannot (rate free|write) text"):
        getattr(Fixed(None), ask)([])


@pytest.mark.parametrize(
    ("body", "lacks"),
    [
        ("name, label, summary = 'a', 'b', 'c'", "fit"),
        ("name, summary = 'a', 'c'\n    def fit(self, work): ...", "label"),
    ],
)
def test_a_method_that_lacks_something_is_refused(tmp_path, body, lacks):
    path = tmp_path / "half.py"
    path.write_text(f"from tunebench import Method\n\n\nclass Half(Method):\n    {body}\n")
    assert refusal(f"{path}:Half") == f"method {path}:Half lacks {lacks}: see tunebench.Method"


def test_a_method_file_that_leaves_is_refused(tmp_path):
    path = tmp_path / "leave.py"
    path.write_text("raise SystemExit(3)\n")
    assert refusal(f"{path}:Any").startswith(f"{path}:1: SystemExit: 3")


@pytest.mark.parametrize("name", ["sft", "lora"])
@pytest.mark.parametrize("setting", [("batch_size", 0), ("learning_rate", -1.0), ("warmup_share", 7.0), ("max_grad_norm", -1.0)])
def test_settings_have_bounds(name, setting):
    with pytest.raises(UserError, match=f"setting '{setting[0]}' of {name}"):
        make_method(name, [setting])
