"""A task is an lm-eval YAML: what it renders is what was written by hand here, and what is wrong with it is said with where."""

from __future__ import annotations

import json

import pytest

from harness.errors import UserError
from harness.loading import load_task
from harness.model import chat_template
from harness.task import Task, examples_digest, references_digest, requests_digest
from tests.conftest import TASK, make_tokenizer, write_task

YAML = TASK.format(name="toy")
GENERATES = (
    YAML.replace("output_type: multiple_choice", "output_type: generate_until")
    .replace("doc_to_choice: [bad, good]\n", "")
    .replace("kind: classification", "kind: generation")
    .replace(": acc", ": exact_match")
)


def rows(train="good", validation="good", test="good", n: int = 2) -> dict:
    """`n` documents a split, all of one label."""
    given = {"train": train, "validation": validation, "test": test}
    return {split: [{"text": f"text {i}", "label": label} for i in range(n)] for split, label in given.items()}


def replaced(*changes: tuple[str, str], yaml: str = YAML) -> str:
    for old, new in changes:
        assert yaml.count(old) == 1, old
        yaml = yaml.replace(old, new)
    return yaml


@pytest.fixture
def load(tmp_path):
    def call(yaml: str = YAML, rows: dict | None = None) -> Task:
        return load_task("toy", [write_task(tmp_path / "tasks", rows=rows, yaml=yaml)])

    return call


@pytest.fixture
def said(load, tmp_path):
    """What is refused, without the path of the task's folder."""

    def call(yaml: str = YAML, rows: dict | None = None, act=lambda task: task) -> str:
        with pytest.raises(UserError) as refused:
            act(load(yaml, rows))
        message = str(refused.value)
        assert "\n" not in message
        folder = f"{(tmp_path / 'tasks' / 'toy').resolve()}/"
        assert message.startswith(folder)
        return message.removeprefix(folder)

    return call


def examples(task: Task) -> list:
    return task.examples(None)


def samples(task: Task) -> list:
    return task.samples(None)


@pytest.fixture(scope="module")
def template():
    return chat_template(make_tokenizer())


def test_the_toy_task_loads(toy):
    task = load_task("toy", [toy])
    assert (task.name, task.choices, task.notes) == ("toy", ("bad", "good"), [])
    assert (task.meta.main_metric, task.meta.kind, task.meta.licence) == ("acc", "classification", "CC0-1.0")
    assert [len(task.docs(split)) for split in ("train", "validation", "test")] == [20, 8, 12]


def test_examples_are_the_prompt_and_the_right_choice(toy):
    found = load_task("toy", [toy]).examples(None)
    assert [(e.prompt, e.completion, e.doc_id, e.ends) for e in found[:2]] == [
        ("Text: fall number 0 of the day\nLabel:", " bad", 0, False),
        ("Text: rise number 1 of the day\nLabel:", " good", 1, False),
    ]
    assert len(found) == 20
    assert all(e.text == e.prompt for e in found)


def test_examples_under_a_chat_template_are_a_turn_of_the_chat(toy, template):
    example = load_task("toy", [toy]).examples(template, "validation")[1]
    assert example.prompt == "<|im_start|>user\nText: rise number 21 of the day\nLabel:<|im_end|>\n<|im_start|>assistant\n"
    assert example.completion == "good"
    assert example.text == "Text: rise number 21 of the day\nLabel:"


def test_samples_ask_every_choice_after_the_same_prompt(toy):
    sample = load_task("toy", [toy]).samples(None)[1]
    prompt = "Text: rise number 29 of the day\nLabel:"
    assert (sample.doc_id, sample.prompt, sample.text, sample.choices) == (1, prompt, prompt, ("bad", "good"))
    assert sample.reference == "good"
    assert [request.args for request in sample.requests] == [(prompt, " bad"), (prompt, " good")]


def test_samples_under_a_chat_template_ask_what_training_showed(toy, template):
    task = load_task("toy", [toy])
    sample, example = task.samples(template, "validation")[0], task.examples(template, "validation")[0]
    assert sample.prompt == "<|im_start|>user\nText: fall number 20 of the day\nLabel:<|im_end|>\n<|im_start|>assistant\n"
    assert [request.args for request in sample.requests] == [(sample.prompt, "bad"), (sample.prompt, "good")]
    assert (example.prompt, example.completion) == sample.requests[0].args


def test_a_generation_task_has_a_completion_that_ends_the_turn(load, template):
    task = load(GENERATES, rows(train="because it fell", test="because it rose"))
    (plain, _), (chat, _) = task.examples(None), task.examples(template)
    assert (plain.prompt, plain.completion, plain.ends) == ("Text: text 0\nLabel:", " because it fell", True)
    assert chat.completion == "because it fell"
    assert chat.prompt == "<|im_start|>user\nText: text 0\nLabel:<|im_end|>\n<|im_start|>assistant\n"
    sample = task.samples(None)[0]
    assert (sample.choices, sample.reference, len(sample.requests)) == ((), "because it rose", 1)
    assert sample.requests[0].args[0] == "Text: text 0\nLabel:"
    assert task.choices == ()


@pytest.mark.parametrize("answer", ["-1", "None", "null"])
def test_an_answer_in_free_text_is_an_answer_whatever_it_says(load, answer):
    task = load(GENERATES, rows(answer, answer, answer))
    assert [e.completion for e in task.examples(None)] == [f" {answer}"] * 2
    assert [s.reference for s in task.samples(None)] == [answer] * 2


def test_a_choice_called_none_is_a_label_like_any_other(load):
    task = load(replaced(("[bad, good]", "[None, good]")), rows("None", "None", "None"))
    assert [e.completion for e in task.examples(None)] == [" None"] * 2
    assert [s.reference for s in task.samples(None)] == ["None"] * 2


def test_numeric_labels_are_numbers_of_choices(load):
    split = [{"text": f"text {i}", "label": i % 2} for i in range(4)]
    task = load(rows={"train": split, "validation": split, "test": split})
    assert [e.completion for e in task.examples(None)] == [" bad", " good", " bad", " good"]
    assert [s.reference for s in task.samples(None)] == ["bad", "good", "bad", "good"]


@pytest.mark.parametrize(("label", "shown"), [("ugly", "'ugly'"), (2, "2"), (-2, "-2"), (0.5, "0.5"), ("Good", "'Good'")])
def test_a_label_that_is_no_choice_is_refused(said, label, shown):
    message = said(rows=rows(train=label), act=examples)
    assert message == f"toy.yaml: document 0 of the train split has label {shown}, which is none of: bad, good"


def test_a_test_label_that_is_no_choice_is_refused(said):
    message = said(rows=rows(test="ugly"), act=samples)
    assert message == "toy.yaml: document 0 of the test split has label 'ugly', which is none of: bad, good"


@pytest.mark.parametrize("hidden", [None, "", -1])
def test_a_hidden_test_label_is_no_reference(load, hidden):
    task = load(rows=rows(test=hidden))
    assert [s.reference for s in task.samples(None)] == [None, None]
    assert [len(s.requests) for s in task.samples(None)] == [2, 2]


def test_a_training_document_without_a_label_is_refused(said):
    assert said(rows=rows(train=None), act=examples) == "toy.yaml: document 0 of the train split has no label"


def test_a_missing_training_split_is_refused_with_the_mend(said):
    message = said(replaced(("training_split: train\n", "")), act=examples)
    assert message == "toy.yaml: task 'toy' has no train split: set 'training_split' in its YAML"


def test_without_a_test_split_the_validation_split_is_the_test(load):
    assert len(load(replaced(("test_split: test\n", ""))).samples(None)) == 8


def test_a_task_with_nothing_to_test_on_is_refused(said):
    said(replaced(("test_split: test\n", ""), ("validation_split: validation\n", "")))


@pytest.mark.parametrize(("split", "act"), [("train", examples), ("test", samples)])
def test_an_empty_split_is_said_to_be_empty(said, split, act):
    message = said(rows=rows() | {split: []}, act=act)
    assert message.startswith("toy.yaml: ")
    assert split in message
    assert "empty" in message


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ("    version: 1\n", "    version: 1\n    kindd: x\n", "kindd:", "unknown key 'kindd': did you mean kind?"),
        ("    chance: 0.5", "    chanse: 0.5", "chanse:", "unknown key 'chanse': did you mean chance?"),
        ("    licence: CC0-1.0\n", "", "tunebench:", "key 'licence' is missing"),
        ("chance: 0.5", "chance: 5", "chance: 5", "'chance': "),
        ("chance: 0.5", "chance: half", "chance: half", "'chance': "),
        ("kind: classification", "kind: classify", "kind:", "'kind': "),
        ("redistribute: true", "redistribute: perhaps", "redistribute:", "'redistribute': "),
        ("    version: 1\n", "    version: 0\n", "    version: 0", "'version': "),
        ("    version: 1\n", "    version: 1\n    source: {id: x}\n", "source:", "revision"),
        ("    version: 1\n", "    version: 1\n    source: {id: x, revision: y, idd: z}\n", "source:", "idd"),
        ("  tunebench:\n", "  tunebench: 3\n  other:\n", "tunebench: 3", ""),
    ],
)
def test_a_wrong_block_of_ours_is_said_with_file_and_line(said, old, new, at, says):
    yaml = replaced((old, new))
    line = next(number for number, text in enumerate(yaml.splitlines(), start=1) if at in text)
    message = said(yaml)
    assert message.startswith(f"toy.yaml:{line}: metadata.tunebench: ")
    assert says in message


def test_an_unknown_main_metric_is_said_with_file_and_line(said):
    line = YAML.splitlines().index("    main_metric: acc") + 1
    message = said(replaced(("main_metric: acc", "main_metric: accc")))
    assert message == f"toy.yaml:{line}: unknown metric 'accc': did you mean acc?"


def test_a_wrong_key_in_an_included_file_is_said_with_that_file(tmp_path):
    head, block = YAML[: YAML.index("metadata:")], YAML[YAML.index("metadata:") :]
    folder = write_task(tmp_path / "tasks", yaml="include: shared.yaml\n" + head)
    (folder / "toy" / "shared.yaml").write_text(block.replace("kind: classification", "kind: classify"))
    with pytest.raises(UserError, match=r"/toy/shared\.yaml:6: metadata\.tunebench: 'kind'"):
        load_task("toy", [folder])


def test_an_included_file_gives_what_the_task_does_not_say_itself(tmp_path):
    folder = write_task(tmp_path / "tasks", yaml="include: shared.yaml\ntask: toy\ndoc_to_text: 'Own: {{text}}'\n")
    (folder / "toy" / "shared.yaml").write_text(YAML.replace("task: toy\n", ""))
    task = load_task("toy", [folder])
    assert task.examples(None)[0].prompt == "Own: fall number 0 of the day"
    assert task.choices == ("bad", "good")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("task: toy\n", "task: toy\nkeys: [a\n", "toy.yaml:3: broken YAML"),
        ("task: toy\n", "task: toy\n\tindented: x\n", "toy.yaml:2: broken YAML"),
        ("task: toy\n", "task: toy\nother: !thing x\n", "toy.yaml:2: broken YAML"),
        ("task: toy\n", "task: toy\ninclude: toy.yaml\n", "toy.yaml:2: include goes in a circle"),
        ("task: toy\n", "task: toy\ninclude: nowhere.yaml\n", "toy.yaml:2: include 'nowhere.yaml' does not exist"),
        ("data.load", "data.lode", "toy.yaml: task 'toy' does not load: "),
        ("{{text}}", "{{txet}}", "toy.yaml: task 'toy' does not load: "),
        ("test_split: test", "test_split: tset", "toy.yaml: task 'toy' does not load: "),
        ("training_split: train", "training_split: trian", "toy.yaml: task 'toy' does not load: "),
    ],
)
def test_a_broken_file_is_said_in_a_line(said, old, new, says):
    assert said(replaced((old, new))).startswith(says)


def test_a_circle_of_two_files_is_said(tmp_path):
    folder = write_task(tmp_path / "tasks", yaml=YAML + "include: other.yaml\n")
    (folder / "toy" / "other.yaml").write_text("# it goes on\ninclude: toy.yaml\n")
    with pytest.raises(UserError, match=r"/toy\.yaml:\d+: include goes in a circle"):
        load_task("toy", [folder])


def test_a_broken_neighbour_does_not_hide_a_good_task(tmp_path):
    folder = write_task(tmp_path / "tasks")
    (folder / "another.yaml").write_text("task: another\nbroken: [\n")
    assert load_task("toy", [folder]).name == "toy"
    with pytest.raises(UserError, match=r"another\.yaml:\d: broken YAML"):
        load_task("another", [folder])


def test_the_first_folder_that_has_a_task_wins(tmp_path):
    first = write_task(tmp_path / "first", yaml=YAML.replace("Text:", "First:"))
    second = write_task(tmp_path / "second")
    assert load_task("toy", [first, second]).text({"text": "x"}) == "First: x\nLabel:"
    assert load_task("toy", [second, first]).text({"text": "x"}) == "Text: x\nLabel:"


def test_an_unknown_task_brings_near_names_from_our_folders_and_the_catalogue(toy, monkeypatch):
    class Catalogue:
        """Stands for lm-eval's own, which takes seconds to read."""

        all_subtasks = ("toyland", "arc_easy", "tyo")

        def __init__(self, **_):
            pass

    monkeypatch.setattr("lm_eval.tasks.TaskManager", Catalogue)
    with pytest.raises(UserError) as refused:
        load_task("toyy", [toy])
    message = str(refused.value)
    assert message.startswith("unknown task 'toyy': did you mean ")
    assert all(name in message for name in ("toy or", "toyland", "tunebench tasks"))
    assert "arc_easy" not in message


def test_a_task_without_our_block_is_inferred_and_that_is_noted(load):
    task = load(YAML[: YAML.index("  tunebench:")])
    assert (task.meta.main_metric, task.meta.kind, task.meta.chance) == ("acc", "classification", 0.5)
    assert (task.meta.chat_template, task.meta.redistribute, task.meta.licence) == (False, False, "unknown")
    (note,) = task.notes
    assert note.startswith("task 'toy' states no metadata.tunebench; inferred: ")
    for part in ("acc", "classification", "0.5", "no chat template", "licence unknown"):
        assert part in note
    assert task.choices == ("bad", "good")


def test_choices_that_differ_by_document_are_inferred_as_multiple_choice(load):
    options = [["a", "b"], ["c", "d", "e", "f"]]
    split = [{"text": f"text {i}", "label": 0, "options": options[i % 2]} for i in range(6)]
    yaml = replaced(("[bad, good]", "options"), yaml=YAML[: YAML.index("metadata:")])
    task = load(yaml, {"train": split, "validation": split, "test": split})
    assert (task.meta.kind, task.meta.chance, task.choices) == ("multiple_choice", pytest.approx((1 / 2 + 1 / 4) / 2), ())
    assert [s.choices for s in task.samples(None, limit=2)] == [tuple(options[s.doc_id % 2]) for s in task.samples(None, limit=2)]


def test_a_generation_task_without_our_block_is_inferred(load):
    task = load(GENERATES[: GENERATES.index("metadata:")])
    assert (task.meta.main_metric, task.meta.kind, task.meta.chance) == ("exact_match", "generation", 0)
    assert len(task.notes) == 1


def test_a_limit_takes_a_fixed_subset(load, template):
    task = load()
    ids = {limit: [s.doc_id for s in task.samples(None, limit=limit)] for limit in (1, 4, 8, 11)}
    assert [len(found) for found in ids.values()] == [1, 4, 8, 11]
    assert all(found == sorted(set(found)) and set(found) <= set(range(12)) for found in ids.values())
    assert set(ids[1]) < set(ids[4]) < set(ids[8]) < set(ids[11])
    assert ids[4] != [0, 1, 2, 3], "the first ones may be sorted by label"
    assert [s.doc_id for s in task.samples(template, limit=4)] == ids[4]
    everything = [s.doc_id for s in task.samples(None)]
    assert everything == [s.doc_id for s in task.samples(None, limit=12)] == [s.doc_id for s in task.samples(None, limit=99)]
    assert everything == list(range(12))
    by_id = {s.doc_id: (s.prompt, s.reference) for s in task.samples(None)}
    assert all((s.prompt, s.reference) == by_id[s.doc_id] for s in task.samples(None, limit=4))


def test_digests_follow_what_is_rendered_and_nothing_else(tmp_path, template):
    def digests(name: str, yaml: str = YAML, template=None, **data) -> tuple[str, str, str]:
        task = load_task("toy", [write_task(tmp_path / name, yaml=yaml, rows=rows(**data))])
        asked = task.samples(template)
        return examples_digest(task.examples(template)), requests_digest(asked), references_digest(asked)

    plain = digests("plain")
    assert digests("same", YAML + "# a comment\n") == plain
    train, requests, references = digests("prompt", YAML.replace("Label:", "Verdict:"))
    assert (train != plain[0], requests != plain[1], references == plain[2]) == (True, True, True)
    train, requests, references = digests("label", test="bad")
    assert (train == plain[0], requests == plain[1], references != plain[2]) == (True, True, True)
    train, requests, references = digests("training", train="bad")
    assert (train != plain[0], requests == plain[1], references == plain[2]) == (True, True, True)
    chat = digests("chat", template=template)
    assert (chat[0] != plain[0], chat[1] != plain[1], chat[2] == plain[2]) == (True, True, True)


def test_data_that_fails_to_load_is_said_in_a_line(tmp_path):
    folder = write_task(tmp_path / "tasks")
    (folder / "toy" / "data.py").write_text("def load(**_):\n    raise RuntimeError('first line\\nsecond line')\n")
    with pytest.raises(UserError) as refused:
        load_task("toy", [folder])
    assert "task 'toy' does not load: RuntimeError: first line second line" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_data_folder_reaches_the_tasks_own_source(tmp_path):
    folder = write_task(tmp_path / "tasks")
    source = folder / "toy" / "data.py"
    code = source.read_text().replace("load(**_)", "load(data_dir, **_)")
    source.write_text(code.replace("Path(__file__).resolve().parent", "Path(data_dir)"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.json").write_text(json.dumps(rows(n=5)))
    assert len(load_task("toy", [folder], data_dir=tmp_path / "data").docs("train")) == 5


def test_a_metric_that_the_scoring_does_not_give_is_said_with_file_and_line(said):
    line = YAML.splitlines().index("metric_list:") + 1
    extra = "  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n  - metric: acc_norn\n    aggregation: mean\n"
    yaml = replaced(("  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n", extra))
    assert said(yaml).startswith(f"toy.yaml:{line}: unknown metric 'acc_norn'")


def test_a_numeric_label_outside_the_choices_is_no_empty_split(said):
    numbered = [{"text": f"text {i}", "label": 2 * (i % 2)} for i in range(4)]
    message = said(rows={"train": numbered, "validation": numbered, "test": numbered[1:]}, act=samples)
    assert "empty" not in message
    assert "choices" in message or "none of" in message
