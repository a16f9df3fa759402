"""An entity task from YAML to report: loaded, answered by what looks up and what repeats, scored, withheld, shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.dictionary import Dictionary
from baselines.majority import Majority
from baselines.tfidf import Tfidf
from harness.budget import Meter
from harness.cell import predict
from harness.errors import UserError
from harness.hardware import Compute
from harness.intervals import wilson
from harness.loading import load_task
from harness.method import CannotDo, Work
from harness.record import Metric
from harness.score import score, withhold
from reports import entities as shown
from reports.disagreements import Answers
from reports.report import write_report
from tests.conftest import write_task
from tests.test_reports import add

YAML = """\
task: notes
custom_dataset: !function code.load
training_split: train
validation_split: validation
test_split: test
output_type: generate_until
doc_to_text: "{{text}} ="
doc_to_target: !function code.answer_line
generation_kwargs: {until: ["\\n"], max_gen_toks: 32}
process_results: !function code.process_results
metric_list:
  - {metric: entity_f1, aggregation: !function code.entity_f1, higher_is_better: true}
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: invalid_rate, aggregation: mean, higher_is_better: false}
  - {metric: hallucination_rate, aggregation: !function code.hallucination_rate, higher_is_better: false}
metadata:
  tunebench:
    main_metric: entity_f1
    licence: CC0-1.0
    kind: entities
    chance: 0
    chat_template: false
    redistribute: true
    version: 1
    entity_types: [WHO, DRUG]
"""
CODE = """\
import json
from pathlib import Path
from datasets import Dataset, DatasetDict, Features, Value
from tunebench import answer_line, entity_f1, entity_results, hallucination_rate

SPAN = {"start": Value("int32"), "end": Value("int32"), "type": Value("string")}

def load(**_):
    rows = json.loads((Path(__file__).resolve().parent / "rows.json").read_text())
    features = Features({"text": Value("string"), "entities": [SPAN]})
    return DatasetDict({split: Dataset.from_list(part, features=features) for split, part in rows.items()})

def process_results(doc, results):
    return entity_results(doc, results, ("WHO", "DRUG"))
"""


def doc(text: str, **mentions: str) -> dict:
    """A document with one mention of a type (the first occurrence)."""
    found = [{"start": text.index(m), "end": text.index(m) + len(m), "type": kind} for kind, m in mentions.items()]
    return {"text": text, "entities": found}


TRAIN = [
    doc("Ana takes iron tablets", WHO="Ana", DRUG="iron tablets"),
    doc("no iron for May", DRUG="iron", WHO="May"),
    doc("seen in May", WHO="May"),
    doc("nothing to note"),
    doc("nothing new here"),
]
TEST = [
    doc("May and iron tablets", WHO="May", DRUG="iron tablets"),
    doc("Iron for Mayer", DRUG="Iron", WHO="Mayer"),
    doc("nothing at all"),
]


@pytest.fixture
def make(tmp_path):
    def call(yaml: str = YAML, test: list[dict] = TEST) -> Path:
        rows = {"train": TRAIN, "validation": TEST, "test": test}
        folder = write_task(tmp_path / "tasks", "notes", rows=rows, yaml=yaml)
        (folder / "notes" / "code.py").write_text(CODE)
        return folder

    return call


def fit(method, task):
    work = Work(task, task.examples(None), Meter(None), 0, Compute(), base=None, chat_template=None)
    return method.fit(work)


def answers(method, task) -> list[str]:
    return [line["prediction"] for line in predict(task, task.samples(None), fit(method, task).lm)]


def test_examples_are_answer_lines_that_end(make):
    task = load_task("notes", [make()])
    example = task.examples(None)[0]
    assert (example.prompt, example.completion, example.ends) == (
        "Ana takes iron tablets =",
        " who: Ana; drug: iron tablets",
        True,
    )
    assert task.examples(None)[3].completion == " none"


def test_the_dictionary_takes_the_longest_mention_at_word_borders(make):
    task = load_task("notes", [make()])
    assert answers(Dictionary(), task) == ["who: May; drug: iron tablets", "drug: Iron", "none"]
    exact = Dictionary(Dictionary.Settings(fold_case=False))
    assert answers(exact, task) == ["who: May; drug: iron tablets", "none", "none"]


def test_majority_repeats_the_commonest_line_and_others_say_that_they_cannot(make, toy):
    task = load_task("notes", [make()])
    assert answers(Majority(), task) == ["none"] * 3
    with pytest.raises(CannotDo, match=r"tfidf needs fixed labels .* kind entities"):
        fit(Tfidf(), task)
    with pytest.raises(CannotDo, match="dictionary looks up entities; toy is a task of the kind classification"):
        fit(Dictionary(), load_task("toy", [toy]))


def scored(task, said: list[str]) -> tuple[dict[str, Metric], list[dict]]:
    class Scripted:
        def generate_until(self, requests, disable_tqdm=False):
            return said

    samples = task.samples(None)
    lines = predict(task, samples, Scripted())
    metrics, confusion = score(task, samples, lines)
    assert confusion == {}
    return metrics, lines


def test_scores_by_type_with_intervals_and_places(make):
    metrics, lines = scored(
        load_task("notes", [make()]), [" who: May; drug: iron", " drug: Iron; who: Mayer; drug: zinc", " Nothing."]
    )
    assert metrics["entity_f1"].value == pytest.approx(2 * 3 / (6 + 4))  # one is not in the text, one line breaks the grammar
    assert metrics["f1_WHO"].value == 1
    assert metrics["f1_DRUG"].value == pytest.approx(2 * 1 / (3 + 2))
    assert (metrics["precision_DRUG"].value, metrics["recall_DRUG"].value) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert metrics["exact_match"].value == 0
    assert (metrics["invalid_rate"].low, metrics["invalid_rate"].high) == wilson(1, 3)
    assert metrics["hallucination_rate"].value == pytest.approx(1 / 5)
    assert not metrics["hallucination_rate"].higher_is_better
    assert all(metric.n == 3 for metric in metrics.values())
    assert lines[1]["entities"] == {
        "text": "Iron for Mayer",
        "reference": [[0, 4, "DRUG"], [9, 14, "WHO"]],
        "predicted": [[0, 4, "DRUG"], [9, 14, "WHO"]],
        "outside": [["DRUG", "zinc"]],
        "valid": True,
    }
    assert lines[2]["entities"]["valid"] is False
    assert lines[2]["scores"]["invalid_rate"] == 1


def test_a_perfect_and_an_empty_answer(make):
    task = load_task("notes", [make()])
    metrics, lines = scored(task, [f" {sample.reference}" for sample in task.samples(None)])
    assert {metrics[name].value for name in ("entity_f1", "exact_match", "f1_WHO", "recall_DRUG")} == {1.0}
    assert [line["scores"]["exact_match"] for line in lines] == [1, 1, 1]
    metrics, _ = scored(task, [" none"] * 3)
    assert {metrics[name].value for name in ("entity_f1", "f1_WHO", "hallucination_rate", "invalid_rate")} == {0.0}


def test_only_the_scored_types_count(make):
    yaml = YAML.replace("entity_types: [WHO, DRUG]", "entity_types: [WHO, DRUG]\n    scored_types: [WHO]")
    task = load_task("notes", [make(yaml)])
    metrics, lines = scored(task, [" who: May; drug: x", " none", " none"])
    assert "f1_DRUG" not in metrics
    assert metrics["recall_WHO"].value == 0.5
    assert lines[0]["entities"]["outside"] == []


def test_text_that_may_not_be_passed_on_leaves_with_its_places_only(make):
    task = load_task("notes", [make(YAML.replace("redistribute: true", "redistribute: false"))])
    _, lines = scored(task, [" who: May", " none", " none"])
    line = json.dumps(withhold(task, lines)[0])
    assert "iron" not in line
    assert json.loads(line)["entities"]["reference"] == [[0, 3, "WHO"], [8, 20, "DRUG"]]


@pytest.mark.parametrize(
    ("spans", "says"),
    [
        ([{"start": 0, "end": 3, "type": "WHOM"}], "of a type that is not declared"),
        ([{"start": 0, "end": 2, "type": "WHO"}], "cuts a word"),
        ([{"start": 0, "end": 99, "type": "WHO"}], "outside the text"),
        ([{"start": 0, "end": 7, "type": "WHO"}, {"start": 4, "end": 7, "type": "WHO"}], "overlaps"),
    ],
)
def test_wrong_entities_are_said_with_file_and_document(make, spans, says):
    folder = make(test=[TEST[0], {"text": "May and iron", "entities": spans}])
    with pytest.raises(UserError, match=rf"notes\.yaml: document 1 of the test split: entity .*{says}"):
        load_task("notes", [folder]).samples(None)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    entity_types: [WHO, DRUG]\n", "", "declares its entity_types"),
        ("kind: entities", "kind: generation", "and no other does"),
        ("[WHO, DRUG]\n", "[WHO, DRUG]\n    scored_types: [DOG]\n", "names what entity_types does not: DOG"),
    ],
)
def test_types_must_be_declared(make, old, new, says):
    with pytest.raises(UserError, match=rf"notes\.yaml:\d+: metadata\.tunebench: .*{says}"):
        load_task("notes", [make(YAML.replace(old, new))])


def line_of(doc_id: int, text: str, reference: list, predicted: list, outside: tuple = (), valid: bool = True) -> dict:
    entities = {"text": text, "reference": reference, "predicted": predicted, "outside": list(outside), "valid": valid}
    exact = float(reference == predicted and not outside and valid)
    answer = {
        "prediction": json.dumps([predicted, outside]),
        "reference": json.dumps(reference),
        "scores": {"exact_match": exact},
    }
    return {"doc_id": doc_id, "prompt": f"Prompt with {text}", "text": f"Prompt with {text}", **answer, "entities": entities}


LINES = [
    line_of(
        0, "Ana had iron and zinc today", [[0, 3, "WHO"], [8, 12, "DRUG"], [17, 21, "DRUG"]], [[0, 3, "WHO"], [8, 12, "WHO"]]
    ),
    line_of(1, "Bo Lund took iron", [[0, 7, "WHO"], [13, 17, "DRUG"]], [[0, 2, "WHO"], [8, 12, "DRUG"]], [["DRUG", "gold"]]),
    line_of(2, "nothing", [], [], valid=False),
]


def test_what_became_of_the_entities_by_hand():
    counted = [shown.mistakes(shown.marks(line)) for line in LINES]
    assert dict(+counted[0]) == {"right": 1, "type": 1, "missed": 1}
    assert dict(+counted[1]) == {"borders": 1, "missed": 1, "extra": 1, "outside": 1}
    assert dict(+counted[2]) == {"invalid": 1}
    said = " ".join(shown.commonest(Answers("lora", {str(line["doc_id"]): line for line in LINES}), may_show_text=True))
    assert "DRUG taken for WHO (1)" in said
    assert "Missed altogether: DRUG (2)." in said
    assert "“zinc” (DRUG, 1)" in said
    assert "“gold” (DRUG, 1)" in said
    assert "zinc" not in " ".join(shown.commonest(Answers("lora", {str(n["doc_id"]): n for n in LINES}), may_show_text=False))


@pytest.mark.parametrize("entities", [None, 3, {}, {"reference": [[1]], "predicted": [], "outside": []}])
def test_samples_that_say_nothing_readable_of_entities(entities):
    assert shown.marks({"entities": entities}) is None


def test_the_report_shows_entities(tmp_path):
    facts = {"kind": "entities", "entity_types": ["WHO", "DRUG"], "choices": [], "chance": 0}
    metrics = {"macro_f1": Metric(value=0.5, low=0.4, high=0.6, n=3)}
    for kind in ("WHO", "DRUG"):
        metrics |= {f"{measure}_{kind}": Metric(value=0.25, low=0.1, high=0.3, n=3) for measure in ("f1", "precision", "recall")}
    perfect = []
    for line in LINES:
        entities = line["entities"] | {"predicted": line["entities"]["reference"], "outside": [], "valid": True}
        perfect.append(line | {"prediction": line["reference"], "entities": entities, "scores": {"exact_match": 1.0}})
    add(tmp_path, "zero_shot", metrics=metrics, lines=LINES, task=facts, confusion={})
    add(tmp_path, "lora", metrics=metrics, lines=perfect, flops=1e11, task=facts, confusion={})
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "| zero\\_shot | DRUG | 0.250 (0.100 to 0.300) | 0.250 | 0.250 |" in text
    assert "| lora | 5 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| zero\\_shot | 1 | 1 | 1 | 0 | 2 | 1 | 1 | 1 |" in text
    assert "precision\\_DRUG" not in text
    assert "Some were right and some were wrong on 3" in text
    assert "“Ana had iron and zinc today”" in text
    assert (tmp_path / "plots" / "colours-entities.png").stat().st_size > 5000
    assert "plots/colours-entities.png" in text


def test_the_report_of_a_set_that_may_not_be_passed_on_shows_counts_only(tmp_path):
    facts = {"kind": "entities", "entity_types": ["WHO", "DRUG"], "choices": [], "chance": 0, "redistribute": False}
    metrics = {"macro_f1": Metric(value=0.5, n=3), "f1_WHO": Metric(value=0.5, n=3)}
    for method in ("zero_shot", "lora"):
        add(tmp_path, method, metrics=metrics, lines=LINES, flops=1e11, task=facts, confusion={})
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Missed altogether: DRUG" in text
    assert not list((tmp_path / "plots").glob("*entities*"))
    assert "zinc" not in text
    assert "gold" not in text


def test_a_picture_keeps_every_characters_place_and_leaves_long_texts_out():
    from reports.entity_picture import _lines

    text = "a\tb\nc " + "word " * 60
    lines = _lines(text)
    assert sum(len(line) for _, line in lines) == len(text)
    assert all(start == sum(len(line) for _, line in lines[:number]) for number, (start, _) in enumerate(lines))
    long = line_of(0, "Ana " * 400, [[0, 3, "WHO"], [4, 7, "WHO"]], [])
    assert shown.shown_samples([Answers("lora", {"0": long})], 3) == []
    short = line_of(0, "Ana Bo", [[0, 3, "WHO"], [4, 6, "WHO"]], [])
    assert shown.shown_samples([Answers("lora", {"0": short})], 3) == ["0"]
