"""A matrix file becomes cells, and whatever is wrong with one is said in a line with file and line."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from pathlib import Path

import pytest

from harness.budget import Budget
from harness.errors import UserError
from harness.matrix import DEFAULT_MODEL, Matrix, build_matrix, on_split, read_matrix
from harness.paths import shipped

PLAIN = "tasks: [a]\nmethods: [x]\n"


@pytest.fixture
def read(tmp_path):
    def call(text: str, overrides: dict | None = None) -> Matrix:
        path = tmp_path / "m.yaml"
        path.write_text(text)
        return read_matrix(path, overrides)

    return call


@pytest.fixture
def refused(read, tmp_path):
    """The message of a refusal, without the file's name in front of it."""

    def call(text: str, overrides: dict | None = None) -> str:
        with pytest.raises(UserError) as refusal:
            read(text, overrides)
        message = str(refusal.value)
        assert "\n" not in message
        assert message.count(str(tmp_path / "m.yaml")) == 1, message
        return message.removeprefix(str(tmp_path / "m.yaml"))

    return call


def test_the_cells_are_the_product(read):
    matrix = read("tasks: [a, b]\nmethods: [x, y]\nmodels: [m, n]\nbudget: [1s, 2s]\nseeds: [0, 1, 2]\n")
    combinations = {(c.task, c.method, c.model, c.budget.amount, c.seed) for c in matrix.cells}
    assert combinations == {(t, x, m, b, s) for t in "ab" for x in "xy" for m in "mn" for b in (1, 2) for s in (0, 1, 2)}
    assert len(matrix.cells) == 48


def test_what_is_not_said_has_defaults(read):
    (cell,) = read(PLAIN).cells
    assert (cell.model, cell.budget, cell.seed, cell.settings) == (DEFAULT_MODEL, Budget(5e12, "flops"), 0, ())
    assert (cell.label, cell.test_limit, cell.split) == ("", None, "test")


SIZES = """\
tasks:
  - {name: a, methods: [y]}
  - name: a
    max_new_tokens: 9
    methods: [long, y]
    data: {who: [me, you], size: [5, 10]}
methods: [x, {name: x, label: long, settings: {n: 1}}, y]
"""


def test_options_of_a_data_source_span_a_product(read):
    plain, *found = read(SIZES).cells
    assert (plain.method, plain.label, plain.data, plain.max_new_tokens) == ("y", "", (), None)
    assert [(c.label or c.method, dict(c.data)) for c in found] == [
        (name, {"who": who, "size": size}) for who in ("me", "you") for size in (5, 10) for name in ("long", "y")
    ]
    assert {c.max_new_tokens for c in found} == {9}
    assert found[0].variant == "a (5, me)"
    assert len({c.id for c in found}) == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("who: [me, you]", "who: []", ":6: 'who' is empty; name at least one"),
        ("size: [5, 10]", "size: [5, 1.5]", ":6: size must be words or whole numbers, not 1.5"),
        ("size: [5, 10]", "size: [true]", ":6: size must be words or whole numbers, not True"),
        (
            "data: {who: [me, you], size: [5, 10]}",
            "data: [5]",
            ":6: data of a task must map options of its data source to values",
        ),
        ("max_new_tokens: 9", "max_new_tokens: 0", ":4: max_new_tokens must be a whole number above zero, not 0"),
        ("methods: [long, y]", "methods: [lng]", ":5: unknown method 'lng': did you mean long"),
        ("methods: [long, y]", "methods: [{name: y}]", ":5: a task's methods are names or labels, not {'name': 'y'}"),
        ("[y]}", "[y], seeds: [x]}", ":2: seed 'x' must be a whole number from 0 to 2147483647"),
        ("methods: [long, y]", "settings: 5", ":5: settings of a task must map methods to their settings"),
        ("methods: [long, y]", "settings: [{x: 1}]", ":5: settings of a task must map methods to their settings"),
        ("methods: [long, y]", "methods: []", ":5: 'methods' is empty; name at least one"),
    ],
)
def test_faults_in_a_tasks_options_are_told_with_their_line(refused, old, new, said):
    assert refused(SIZES.replace(old, new)).startswith(said)


def test_a_flag_may_name_a_method_by_its_label(read):
    found = read(SIZES, {"methods": ["long"]}).cells
    assert {(c.label, c.settings) for c in found} == {("long", (("n", 1),))}
    assert len(found) == 4


def test_a_task_may_have_seeds_of_its_own_and_a_matrix_has_a_cell(read, refused):
    found = read("tasks: [{name: a, seeds: [7]}, b]\nmethods: [x]\nseeds: [0, 1]\n").cells
    assert [(c.task, c.seed) for c in found] == [("a", 7), ("b", 0), ("b", 1)]
    assert (
        refused("tasks: [{name: a, methods: [x]}]\nmethods: [x, y]\n", {"methods": ["y"]})
        == ": no task runs any of these methods: x, y"
    )


def test_single_values_need_no_list(read):
    (cell,) = read("tasks: a\nmethods: x\nmodels: m\nbudget: 9s\nseeds: 4\n").cells
    assert (cell.task, cell.method, cell.model, cell.budget, cell.seed) == ("a", "x", "m", Budget(9, "s"), 4)


def test_a_task_may_have_its_own_budget_or_a_list_of_them(read):
    cells = read("tasks:\n- a\n- {name: b, budget: 2s}\n- {name: c, budget: [3s, 4s]}\nmethods: [x]\nbudget: 1s\n").cells
    assert [(c.task, c.budget.amount) for c in cells] == [("a", 1), ("b", 2), ("c", 3), ("c", 4)]


def test_settings_label_and_limit_reach_their_cells_only(read):
    text = "tasks: [{name: a, test_limit: 7}, b]\nmethods:\n- x\n- {name: y, label: why, settings: {rank: 4, alpha: 8}}\n"
    cells = {(c.task, c.method): c for c in read(text).cells}
    assert cells["a", "y"].settings == (("alpha", 8), ("rank", 4))
    assert cells["a", "x"].settings == ()
    assert (cells["a", "y"].label, cells["a", "x"].label) == ("why", "")
    assert (cells["a", "x"].test_limit, cells["b", "x"].test_limit) == (7, None)


def test_an_empty_label_or_description_is_none_at_all(read):
    matrix = read("description:\ntasks: [a]\nmethods:\n- name: x\n  label:\n")
    assert matrix.description == ""
    assert matrix.cells[0].label == ""


def test_description_and_price_are_kept(read):
    matrix = read(PLAIN + "description: why it is\nusd_per_hour: 2\nbudget: 5usd\n")
    assert (matrix.description, matrix.usd_per_hour, matrix.cells[0].budget) == ("why it is", 2.0, Budget(5, "usd"))


def test_a_setting_may_be_a_list(read):
    (cell,) = read("tasks: [a]\nmethods:\n- {name: x, settings: {modules: [q, v]}}\n").cells
    assert list(cell.spec["settings"]["modules"]) == ["q", "v"]
    assert cell.id


def test_duplicates_are_removed(read):
    assert len(read("tasks: [a, a]\nmethods: [x, x]\nmodels: [m, m]\nbudget: [1s, 1 sec]\nseeds: [3, 3]\n").cells) == 1


def test_ids_are_unique_and_safe_as_names_of_folders(read):
    text = """
tasks: [a, {name: b, budget: [1s, 2s]}]
methods:
- some/where/x.py:Fast
- some/where/x.py:Slow
- {name: y, label: "y (rank 4) / wide", settings: {rank: 4}}
- {name: y, label: "y (rank 8) / wide", settings: {rank: 8}}
models: [m, org/m]
seeds: [0, 1]
"""
    matrix = read(text)
    ids = [cell.id for cell in matrix.cells + on_split(matrix, "validation").cells]
    assert len(set(ids)) == len(ids) == 2 * 3 * 4 * 2 * 2
    assert all(len(i) < 120 and set(i) <= set("abcdefghijklmnopqrstuvwxyzF0123456789_.-S") for i in ids)


def test_budgets_that_differ_a_little_have_cells_with_different_ids(read):
    assert len({cell.id for cell in read(PLAIN + "budget: [1234567tok, 1234568tok]\n").cells}) == 2


def test_an_id_is_stable_and_indifferent_to_the_order_of_what_is_written(read):
    one = read("tasks: [a]\nmethods: [{name: x, settings: {b: 1, c: 2}}]\nseeds: [0]\nbudget: 1e13flops\n")
    other = read("budget: [10Tflops]\nmethods: [w, {settings: {c: 2, b: 1}, name: x}]\ntasks: [z, a]\nseeds: [1, 0]\n")
    assert one.cells[0].id in {cell.id for cell in other.cells}
    # SHA-256 of the spec as sorted JSON without spaces, made by hand: folders of earlier runs must be found again
    (cell,) = build_matrix({"tasks": ["a"], "methods": ["x"], "models": ["m"], "budget": "1s"}).cells
    assert cell.id == "a-x-s0-" + _by_hand('"budget":"1s","method":"x","model":"m","seed":0,"settings":{},"split":"test"')


def _by_hand(fields: str) -> str:
    return hashlib.sha256(("{" + fields + ',"task":"a","test_limit":null}').encode()).hexdigest()[:8]


def test_cells_can_be_pickled(read):
    matrix = read("tasks: [a]\nmethods: [{name: x, settings: {r: 4}}]\n")
    assert pickle.loads(pickle.dumps(matrix.cells)) == matrix.cells


def test_another_split_gives_the_same_cells_elsewhere(read):
    matrix = read(PLAIN + "seeds: [0, 1]\n")
    moved = on_split(matrix, "validation")
    assert [c.split for c in moved.cells] == ["validation"] * 2
    assert [c.seed for c in moved.cells] == [c.seed for c in matrix.cells]


FULL = """\
tasks: [{name: a, budget: 1s, test_limit: 3}, {name: b, budget: 2s}]
methods: [{name: x, label: ex, settings: {r: 1}}, y]
models: [m]
seeds: [0, 1]
budget: 9s
"""


def test_flags_replace_whole_keys(read):
    matrix = read(FULL, {"models": ["n"], "seeds": [5], "methods": ["z"], "tasks": ["c"], "budget": None})
    assert [(c.task, c.method, c.model, c.seed, c.budget.amount) for c in matrix.cells] == [("c", "z", "n", 5, 9)]


def test_a_task_or_method_named_by_a_flag_keeps_what_the_file_says_of_it(read):
    matrix = read(FULL, {"tasks": ["a"], "methods": ["x"], "seeds": [0]})
    (cell,) = matrix.cells
    assert (cell.budget.amount, cell.test_limit, cell.label, cell.settings) == (1, 3, "ex", (("r", 1),))


def test_a_lone_task_named_by_a_flag_keeps_what_the_file_says_of_it(read):
    (cell,) = read("tasks: {name: a, test_limit: 3}\nmethods: {name: x, label: ex}\n", {"tasks": ["a"], "methods": ["x"]}).cells
    assert (cell.test_limit, cell.label) == (3, "ex")


def test_a_flag_that_names_a_method_keeps_all_of_its_variants(read):
    text = "tasks: [a]\nmethods: [{name: x, label: one, settings: {r: 1}}, {name: x, label: two, settings: {r: 2}}, y]\n"
    assert [cell.label for cell in read(text, {"methods": ["x"]}).cells] == ["one", "two"]


def test_a_budget_by_flag_holds_for_every_task(read):
    matrix = read(FULL, {"budget": ["7s"], "methods": ["y"], "seeds": [0]})
    assert [(c.task, c.budget.amount, c.test_limit) for c in matrix.cells] == [("a", 7, 3), ("b", 7, None)]
    matrix = read(FULL, {"budget": "7s", "tasks": ["b"], "methods": ["y"], "seeds": [0]})
    assert [(c.task, c.budget.amount) for c in matrix.cells] == [("b", 7)]


def test_without_a_file_the_command_line_is_where_it_was_said():
    with pytest.raises(UserError, match=r"^the command line: 'tasks' is empty"):
        build_matrix({"methods": ["x"]})


def test_a_name_is_placed_by_its_line_or_by_the_command_line(read, tmp_path):
    matrix = read("# a comment\ntasks:\n- a\nmethods:\n- name: x\n", {"methods": ["x", "y"]})
    file = tmp_path / "m.yaml"
    assert [matrix.where(name) for name in ("a", "x", "y")] == [f"{file}:3", f"{file}:5", "the command line"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: expected a mapping"),
        ("- a\n- b\n", ":1: expected a mapping (key: value), found list"),
        ("just words", ":1: expected a mapping (key: value), found str"),
        ("tasks: [a\nmethods: [x]\n", ":2: broken YAML"),
        ("tasks: [a]\nmethods: [x]\n\tseeds: 0\n", ":3: broken YAML"),
        ("tasks: !thing [a]\nmethods: x\n", ":1: broken YAML"),
        ("tasks: [a]\nmethods: *nobody\n", ":2: broken YAML"),
        ("tasks: \x01\n", ":1: broken YAML"),
        ("tasks: [a]\nmethods: {{method}}\n", ":2: broken YAML"),
        (PLAIN + "tasks: [b]\n", ":3: broken YAML: key 'tasks' stands twice"),
        ("tasks:\n- name: a\n  test_limit: 3\n  test_limit: 4\nmethods: x\n", ":4: broken YAML: key 'test_limit' stands twice"),
    ],
)
def test_broken_yaml_is_said_with_its_line(refused, text, says):
    assert refused(text).startswith(says)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("methods: [x]\n", None, "'tasks' is empty"),
        ("tasks: [a]\n", None, "'methods' is empty"),
        ("tasks: []\nmethods: [x]\n", 1, "'tasks' is empty; name at least one"),
        ("tasks: [a]\nmethods:\n", 2, "'methods' is empty"),
        (PLAIN + "models: []\n", 3, "'models' is empty"),
        (PLAIN + "seeds: []\n", 3, "'seeds' is empty"),
        (PLAIN + "budget: []\n", 3, "'budget' is empty"),
        (PLAIN + "budget:\n", 3, "'budget' is empty"),
        ("tasks: [3]\nmethods: [x]\n", 1, "each of 'tasks' must be a name or a mapping with a 'name', not 3"),
        ("tasks: [a]\nmethods: [[x]]\n", 2, "each of 'methods' must be a name"),
        ("tasks: [{budget: 1s}]\nmethods: [x]\n", 1, "each of 'tasks' must be a name"),
        ("tasks: [a]\nmethods: [{name: 3}]\n", 2, "each of 'methods' must be a name"),
        (PLAIN + "models: [1]\n", 3, "a model is a name, a Hub id or a folder, not 1"),
        (PLAIN + "models: {m: 1}\n", 3, "a model is a name"),
        ("tasks: [a]\nmethods:\n- name: x\n  settings: [1]\n", 3, "settings of 'x' must be a mapping"),
        ("tasks: [a]\nmethods:\n- name: x\n  settings: {1: 2}\n", 3, "settings of 'x' must be a mapping"),
        ("tasks:\n- {name: a, test_limit: 0}\nmethods: [x]\n", 2, "test_limit must be a whole number above zero, not 0"),
        ("tasks:\n- {name: a, test_limit: 2.5}\nmethods: [x]\n", 2, "test_limit must be a whole number"),
        ("tasks:\n- {name: a, test_limit: yes}\nmethods: [x]\n", 2, "test_limit must be a whole number"),
        (PLAIN + "usd_per_hour: cheap\n", 3, "usd_per_hour must be a number of dollars"),
        (PLAIN + "usd_per_hour: -1\n", 3, "usd_per_hour must be a number of dollars, zero or more"),
        (PLAIN + "usd_per_hour: true\n", 3, "usd_per_hour must be a number"),
        (PLAIN + "usd_per_hour: .nan\n", 3, "usd_per_hour must be a number"),
        (PLAIN + "usd_per_hour: .inf\n", 3, "usd_per_hour must be a number"),
        (PLAIN + "budget: 120\n", 3, "budget '120' is not a number with a unit"),
        (PLAIN + "budget: [1s, lots]\n", 3, "budget 'lots' is not a number with a unit"),
        (PLAIN + "budget: 5usd\n", 3, "needs a price for local work; add usd_per_hour"),
        (PLAIN + "budget: 5usd\nusd_per_hour: 0\n", 3, "needs a price"),
    ],
)
def test_wrong_values_are_said_with_their_line(refused, text, line, says):
    message = refused(text)
    assert says in message
    assert message.startswith(f":{line}: " if line else ": ")


@pytest.mark.parametrize("seed", ["-1", "1.5", "a", "true", "2147483648", "[0, x]", "2024-01-01", ".nan", "{a: 1}"])
def test_bad_seeds_are_refused(refused, seed):
    message = refused(PLAIN + f"seeds: {seed}\n")
    assert message.startswith(":3: seed ")
    assert "must be a whole number from 0 to 2147483647" in message


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_a_setting_that_is_no_finite_number_is_refused(refused, value):
    text = f"tasks: [a]\nmethods:\n- name: x\n  settings: {{rate: {value}}}\n"
    assert "rate" in refused(text)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (PLAIN + "# why\nmodells: [m]\n", 4, "unknown key 'modells': did you mean models"),
        (PLAIN + "seed: 0\n", 3, "unknown key 'seed': did you mean seeds"),
        (PLAIN + "3: 0\n", 3, "unknown key '3'"),
        ("tasks:\n- name: a\n  test_limits: 3\nmethods: [x]\n", 3, "key under tasks 'test_limits': did you mean test_limit?"),
        ("tasks: [a]\nmethods:\n- x\n- name: y\n  setings: {r: 1}\n", 5, "key under methods 'setings': did you mean settings?"),
    ],
)
def test_unknown_keys_bring_a_suggestion_and_their_line(refused, text, line, says):
    message = refused(text)
    assert says in message
    assert message.startswith(f":{line}: ")


def test_a_wrong_budget_of_one_task_is_said_with_its_own_line(refused):
    text = "tasks:\n- name: a\n  budget: 1s\n- name: b\n  budget: lots\nmethods: [x]\nbudget: 2s\n"
    assert refused(text).startswith(":5: budget 'lots'")


def test_a_flag_over_a_broken_entry_gives_no_traceback(read):
    with contextlib.suppress(UserError):
        read("tasks: [{name: [a]}]\nmethods: [x]\n", {"tasks": ["a"]})


def test_a_file_that_is_absent_or_a_folder_is_refused_in_one_line(tmp_path):
    for path, says in ((tmp_path / "none.yaml", "does not exist"), (tmp_path, "cannot be read")):
        with pytest.raises(UserError, match=says) as refusal:
            read_matrix(path)
        assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "m.yaml").write_bytes(b"tasks: \xff\xfe\n")
    with pytest.raises(UserError, match=r"m\.yaml cannot be read"):
        read_matrix(tmp_path / "m.yaml")


@pytest.mark.parametrize("path", sorted(shipped("matrices").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_matrices_that_ship_are_read(path: Path):
    assert read_matrix(path).cells


def test_a_task_may_carry_settings_by_method_and_a_methods_own_win():
    task = {"name": "a", "settings": {"lora": {"rank": 4, "alpha": 8}}}
    methods = ["sft", "lora", {"name": "lora", "label": "wide", "settings": {"rank": 64}}]
    found = {
        cell.label or cell.method: dict(cell.settings) for cell in build_matrix({"tasks": [task, "b"], "methods": methods}).cells
    }
    cells = build_matrix({"tasks": [task], "methods": methods}).cells
    assert [dict(cell.settings) for cell in cells] == [{}, {"rank": 4, "alpha": 8}, {"rank": 64, "alpha": 8}]
    assert found["wide"] == {"rank": 64}  # of task b, which says nothing


@pytest.mark.parametrize("settings", [["lora"], {"lora": 3}, {"lora": {"rate": float("nan")}}, {"lorra": {"rank": 4}}])
def test_a_tasks_settings_of_the_wrong_type_are_refused(settings):
    with pytest.raises(UserError, match="setting"):
        build_matrix({"tasks": [{"name": "a", "settings": settings}], "methods": ["lora"]})


def test_a_description_does_not_stand_over_other_tasks_or_methods(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(PLAIN + "description: why it is\n")
    assert read_matrix(path, {"seeds": [1]}).description == "why it is"
    assert read_matrix(path, {"tasks": ["other"]}).description == ""


def test_a_limit_on_the_command_line_takes_the_place_of_a_tasks_own(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("tasks: [{name: a, test_limit: 9}, b]\nmethods: [x]\n")
    assert [cell.test_limit for cell in read_matrix(path, {"test_limit": 5}).cells] == [5, 5]
    assert [cell.test_limit for cell in read_matrix(path, {}).cells] == [9, None]
    with pytest.raises(UserError, match=r"^--test-limit: test_limit must be a whole number above zero, not 0$"):
        read_matrix(path, {"test_limit": 0})
