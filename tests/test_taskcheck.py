"""``tunebench tasks check``: small sound tasks, each broken in one way; what is told of it, once, with file, line and mend."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import tunebench
from harness.faults import Findings
from harness.model import find_model
from harness.paths import shipped
from harness.taskcheck import check_task
from harness.taskfiles import read_task_file
from tests.conftest import make_tokenizer

CHOICE, FREE, ENTITY, ORDER = "classification", "generation", "entities", "instruction"
SPLITS = ("train", "validation", "test")
YAML = """\
task: toy
custom_dataset: !function scoring.load
training_split: train
validation_split: validation
test_split: test
{middle}metric_list:
  - metric: {metric}
    aggregation: {aggregation}
    higher_is_better: true
metadata:
  version: 1.0
  tunebench:
    main_metric: {metric}
    licence: CC0-1.0
    kind: {kind}
    chance: 0
    chat_template: false
    redistribute: true
    version: 1
"""
ANSWERS = "output_type: generate_until\ngeneration_kwargs: {max_gen_toks: 20}\n"
MIDDLE = {
    CHOICE: 'output_type: multiple_choice\ndoc_to_text: "Text: {{text}}\\nLabel:"\ndoc_to_choice: [bad, good]\n'
    "doc_to_target: label\n",
    FREE: ANSWERS + 'doc_to_text: "{{question}}?"\ndoc_to_target: answer\n',
    ENTITY: ANSWERS + 'doc_to_text: "{{text}} ->"\ndoc_to_target: !function scoring.answer_line\n'
    "process_results: !function scoring.process_results\n",
    ORDER: ANSWERS + "class: !function scoring.InstructionTask\ndoc_to_text: prompt\ndoc_to_target: response\n"
    "process_results: !function scoring.process_results\n",
}  # fmt: skip
METRIC = {CHOICE: "acc", FREE: "exact_match", ENTITY: "entity_f1", ORDER: "prompt_level_strict_acc"}
LOAD = """\
from pathlib import Path
from tunebench import UserError, answer_line, entity_f1, entity_results, read_splits

def load(**_):
    found = read_splits(Path(__file__).parent)
    return found
"""
SCORE = """
def process_results(doc, results):
    return entity_results(doc, results, ("NAME", "DRUG"))
"""
COMMA = {"id": "punctuation:no_comma"}
FEW = {"id": "length_constraints:number_words", "relation": "less than", "num_words": 5}


def marked(text: str) -> dict:
    """A document from a text with its entities in brackets: ``[Ana|NAME] came``."""
    entities, plain = [], ""
    for part in re.split(r"(\[[^]]*\])", text):
        mention, _, kind = part.strip("[]").partition("|")
        if kind:
            entities.append({"start": len(plain), "end": len(plain) + len(mention), "type": kind, "text": mention})
        plain += mention
    return {"text": plain, "entities": entities}


ROWS: dict[str, list[dict]] = {
    CHOICE: [
        {"text": text, "label": "bad" if number % 2 else "good"}
        for number, text in enumerate((
            "Pupils paint the harbour wall", "A storm sinks four trawlers", "Library opens on Sundays again",
            "Flu shuts two wards", "Beavers return to the river", "Thieves empty a shed of bees",
            "Old cinema saved by neighbours", "Frost kills the apricots", "Night train gets a dining car",
            "Landslide blocks mountain road", "Choir wins a trip to Vienna", "Mill lays off weavers",
        ))
    ],
    FREE: [
        {"question": question, "answer": answer}
        for question, answer in (
            ("What floats on milk", "cream"), ("Who bakes bread", "a baker"), ("Where do whales sleep", "in the sea"),
            ("Which month is shortest", "February"), ("How many legs has a spider", "eight"), ("What melts in spring", "snow"),
            ("Who mends shoes", "a cobbler"), ("Where is Oslo", "in Norway"), ("Which bird cannot fly", "the ostrich"),
        )
    ],
    ENTITY: [
        marked(text)
        for text in (
            "[Ana|NAME] takes [aspirin|DRUG] at noon", "Gave [Tom Bell|NAME] some tea", "No fever since Monday",
            "[Rosa|NAME] stopped her [statin|DRUG]", "Wound is clean and dry", "[Idris|NAME] was started on [heparin|DRUG] today",
            "[Mr Okoro|NAME] refused [insulin|DRUG]", "Slept without any pain", "Sister [Jones|NAME] holds the [morphine|DRUG]",
        )
    ],
    ORDER: [
        {"prompt": prompt, "response": response, "constraints": constraints}
        for prompt, response, constraints in (
            ("Say why the sky is blue, without commas", "Air scatters blue light most.", [COMMA]),
            ("Name a river of France", "The Loire is one.", []),
            ("Greet my aunt in under five words", "Dear aunt, hello.", [FEW]),
            ("Tell what yeast does, no commas please", "It makes dough rise.", [COMMA]),
            ("Explain tides shortly", "The moon pulls the sea.", []),
            ("Advise me on mice in few words", "Get a cat.", [FEW]),
            ("Describe rust and leave commas out", "Iron meets wet air and crumbles.", [COMMA]),
            ("How do I poach eggs", "Simmer them for three minutes.", []),
            ("Wish Ben luck, four words at most", "Good luck, Ben!", [FEW]),
        )
    ],
}  # fmt: skip


def jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def sound(kind: str) -> dict[str, str]:
    """The files of a task of this kind that has no fault, by name."""
    aggregation = "!function scoring.entity_f1" if kind == ENTITY else "mean"
    yaml = YAML.format(kind=kind, middle=MIDDLE[kind], metric=METRIC[kind], aggregation=aggregation)
    yaml += "    entity_types: [NAME, DRUG]\n" if kind == ENTITY else ""
    code = (shipped("tasks") / "instruction_following" / "scoring.py").read_text() if kind == ORDER else ""
    files = {"toy.yaml": yaml, "scoring.py": LOAD + (SCORE if kind == ENTITY else code)}
    size = len(ROWS[kind]) // len(SPLITS)
    return files | {f"{name}.jsonl": jsonl(ROWS[kind][i * size :][:size]) for i, name in enumerate(SPLITS)}


def write(folder: Path, kind: str, *changes: tuple | dict) -> Path:
    """The toy task of a kind, in `folder`/toy, with its files changed: ``(old, new)`` in its YAML, ``(file, old, new)``, or
    ``{file: text}``. Returns the path of its YAML."""
    files = sound(kind)
    for change in changes:
        if isinstance(change, dict):
            files |= change
            continue
        file, old, new = change if len(change) == 3 else ("toy.yaml", *change)
        assert files[file].count(old) == 1, old
        files[file] = files[file].replace(old, new)
    (folder / "toy").mkdir(parents=True)
    for name, text in files.items():
        (folder / "toy" / name).write_text(text)
    return (folder / "toy" / "toy.yaml").resolve()


def place(yaml: Path, at: str | tuple[str, str]) -> str:
    """``file:line`` of a key of the YAML, or of the first line of a file that holds a text."""
    name, text = ("toy.yaml", f"{at}:") if isinstance(at, str) else at
    path = yaml.parent / (f"{name}.jsonl" if name in SPLITS else name)
    lines = path.read_text().split("\n")
    return f"{path}:{next(number for number, line in enumerate(lines, start=1) if text in line)}"


def places(found: Findings) -> list[str]:
    return [fault.split(": ")[0] for fault in found.faults]


@pytest.fixture
def check(tmp_path):
    def call(kind: str, *changes: tuple | dict, base=None, ours: bool = True) -> tuple[Path, Findings]:
        yaml = write(tmp_path, kind, *changes)
        return yaml, check_task(read_task_file(yaml), None, base, ours)

    return call


def case(name: str, kind: str, at: str | tuple[str, str], says: str, *changes: tuple | dict):
    """A task that is broken in one way."""
    return pytest.param(kind, changes, at, says, id=name)


VERSION = "    version: 1\n"
BLOCK = YAML[YAML.index("metadata:") :].format(kind=CHOICE, metric="acc")
METRICS = "metric_list:\n  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n"
ASPIRIN = '"start": 10, "end": 17, "type": "DRUG", "text": "aspirin"'


def code(*lines: str) -> tuple[str, str, str]:
    """A function put before `load` in the task's own code."""
    return "scoring.py", "\ndef load", "\n" + "\n".join(lines) + "\n\ndef load"


def loading(line: str) -> tuple[str, str, str]:
    """A line put into the task's `load`, before it returns."""
    return "scoring.py", "    return found", f"    {line}\n    return found"


def labels(**given: list) -> dict[str, str]:
    """Other labels for the twelve texts, four a split."""
    return {
        f"{split}.jsonl": jsonl([doc | {"label": value} for doc, value in zip(ROWS[CHOICE][4 * i :], given[split], strict=False)])
        for i, split in enumerate(SPLITS)
        if split in given
    }


def orders(**column) -> dict[str, str]:
    return {f"{s}.jsonl": jsonl([doc | column for doc in ROWS[ORDER][3 * i :][:3]]) for i, s in enumerate(SPLITS)}


CASES = [
    case("unknown key", CHOICE, "doc_to_txet", "unknown key 'doc_to_txet': did you mean doc_to_text",
         ("output_type:", "doc_to_txet: x\noutput_type:")),
    case("unknown key beside a class", ORDER, "doc_to_txet", "unknown key 'doc_to_txet'",
         ("output_type:", "doc_to_txet: x\noutput_type:")),
    case("unknown key of a metric", CHOICE, "agregation", "did you mean aggregation",
         ("    aggregation: mean", "    agregation: mean")),
    case("no train split", CHOICE, "task", "no train split: set training_split to", ("training_split: train\n", "")),
    case("no test split", CHOICE, "task", "no test split: set test_split or validation_split to",
         ("validation_split: validation\ntest_split: test\n", "")),
    case("no block", CHOICE, "task", "there is no metadata.tunebench: add main_metric, licence, kind", (BLOCK, "")),
    case("block is no mapping", CHOICE, "tunebench", "valid dictionary", ("  tunebench:\n", "  tunebench: 3\n  other:\n")),
    case("unknown key of ours", CHOICE, "lisence", "unknown key 'lisence': did you mean", ("licence: CC0", "lisence: CC0")),
    case("licence missing", CHOICE, "tunebench", "key 'licence' is missing", ("    licence: CC0-1.0\n", "")),
    case("licence empty", CHOICE, "licence", "'licence': String should have at least 1 character", ("CC0-1.0", "''")),
    case("unknown licence passed on", CHOICE, "redistribute", "or set redistribute: false", ("CC0-1.0", "unknown")),
    case("chance beyond 1", CHOICE, "chance", "'chance': Input should be less than or equal", ("chance: 0", "chance: 7")),
    case("unknown kind", CHOICE, "kind", "'kind': Input should be 'classification'", ("kind: classif", "kind: klassif")),
    case("kind of another output", FREE, "kind", "kind", ("kind: generation", "kind: classification")),
    case("source without revision", CHOICE, "source", "'source.revision' is miss",
         (VERSION, f"{VERSION}    source: {{id: x}}\n")),
    case("unknown key of the source", CHOICE, "source", "unknown key 'idd': did you mean id?",
         (VERSION, f"{VERSION}    source: {{id: x, revision: y, idd: z}}\n")),
    case("types of no entities", CHOICE, "tunebench", "and no other does", (VERSION, f"{VERSION}    entity_types: [A]\n")),
    case("no entity types", ENTITY, "tunebench", "declares its entity_types", ("    entity_types: [NAME, DRUG]\n", "")),
    case("scored type undeclared", ENTITY, "tunebench", "not: DOG", ("DRUG]\n", "DRUG]\n    scored_types: [DOG]\n")),
    case("unknown main metric", CHOICE, "main_metric", "'accc': did you mean acc?", ("main_metric: acc", "main_metric: accc")),
    case("unknown aggregation", CHOICE, "metric_list", "does not know", ("aggregation: mean", "aggregation: meen")),
    case("metric not given", FREE, "metric_list", "unknown metric 'exact_match': did you mean exact?",
         ("metric_list", "process_results: !function scoring.gives\nmetric_list"),
         code("def gives(doc, results):", "    return {'exact': 1.0}")),
    case("data option raises", CHOICE, "data_options", "size: 2 does not load: ",
         (VERSION, f"{VERSION}    data_options: {{size: [1, 2]}}\n"),
         ("scoring.py", "load(**_):\n", "load(size=1, **_):\n    assert size < 2, 'too many'\n")),
    case("data option leaves nothing", CHOICE, "size", "size: 0 does not load: nothing is left to train on",
         (VERSION, f"{VERSION}    data_options:\n      size: [0, 2]\n"), ("scoring.py", "load(**_)", "load(size=4, **_)"),
         loading("found['train'] = found['train'].select(range(size))")),
    case("data raise", CHOICE, ("scoring.py", "boom"), "does not load: RuntimeError: boom",
         loading("raise RuntimeError('boom')")),
    case("data refuse", CHOICE, ("scoring.py", "boom"), "boom", loading("raise UserError('boom')")),
    case("data refuse with a place", CHOICE, ("train", "storm"), "boom",
         loading("try:\n        int('x')\n    except ValueError as error:\n        raise UserError("
                 "f'{Path(__file__).parent}/train.jsonl:2: boom') from error")),
    case("data do not parse", CHOICE, ("scoring.py", "load(**_:"), "SyntaxError",
         {"scoring.py": LOAD.replace("load(**_):", "load(**_:")}),
    case("no such function", CHOICE, "custom_dataset", "'lode'", ("scoring.load", "scoring.lode")),
    case("no such module", CHOICE, "custom_dataset", "'scorng'", ("scoring.load", "scorng.load")),
    case("row is no JSON", CHOICE, ("test", "Choir"), "not JSON: Expecting ':'",
         ("test.jsonl", '"text": "Choir', '"text" "Choir')),
    case("row is no object", CHOICE, ("validation", "3"), "a row is an object", {"validation.jsonl": "\n3\n"}),
    case("no rows", CHOICE, ("test", ""), "holds no rows", {"test.jsonl": "\n"}),
    case("column of the prompt", CHOICE, "doc_to_text", "'txet' is undefined; the data have no column", ("{{text}}", "{{txet}}")),
    case("column of the target", CHOICE, "doc_to_target", "'verdict' is undefined", ("target: label", "target: '{{verdict}}'")),
    case("column of the target in the prompt", CHOICE, "doc_to_target", "'Label' is undefined",
         ("target: label", "target: '{{Label}}'")),
    case("misspelt target column", FREE, "doc_to_target", "the same", ("doc_to_target: answer", "doc_to_target: anwser")),
    case("misspelt prompt column", FREE, "doc_to_text", "are the same: does doc_to_text name", ('"{{question}}?"', "qestion")),
    case("one prompt", FREE, "doc_to_text", "all 3 prompts of the train split are the same: does doc_to_text name a col",
         ('"{{question}}?"', "!function scoring.text"),
         code("def text(doc):", "    return 'Why' if len(doc['question']) < 6 else doc['question']"),
         {"train.jsonl": jsonl([{"question": word, "answer": word} for word in ("Who", "When", "Where")])}),
    case("misspelt train split", CHOICE, "training_split", "no split 'trian'",
         ("training_split: train", "training_split: trian")),
    case("misspelt test split", CHOICE, "test_split", "no split 'tset'", ("test_split: test", "test_split: tset")),
    case("misspelt validation split", CHOICE, "validation_split", "cannot be read: KeyError",
         ("split: validation", "split: dev")),
    case("train is empty", CHOICE, "training_split", "'train' of task 'toy' is emp",
         loading("found['train'] = found['train'].select([])")),
    case("validation is empty", CHOICE, "validation_split", "is empty",
         loading("found['validation'] = found['validation'].select([])")),
    case("nothing to set aside", CHOICE, "training_split", "to set any aside", ("validation_split: validation\n", "")),
    case("test is empty", CHOICE, "test_split", "is empty", loading("found['test'] = found['test'].select([])")),
    case("split cannot be read", CHOICE, ("scoring.py", "Beavers"), "the validation split cannot be read: AssertionError",
         ("output_type:", "process_docs: !function scoring.some\noutput_type:"),
         code("def some(docs):", "    assert 'Beavers' not in docs[0]['text']", "    return docs")),
    case("prompt raises", CHOICE, ("train", "Flu"), "doc_to_text raises Ass",
         ('"Text: {{text}}\\nLabel:"', "!function scoring.text"),
         code("def text(doc):", "    assert 'Flu' not in doc['text']", "    return doc['text']")),
    case("target raises", CHOICE, ("validation", "so-so"),
         "document 2 of the validation split: doc_to_target raises KeyError: 'so-so'",
         ("target: label", "target: !function scoring.gold"),
         code("def gold(doc):", "    return {'good': 1, 'bad': 0}[doc['label']]"),
         labels(validation=["good", "bad", "so-so", "bad"])),
    case("empty prompt", CHOICE, ("train", '" "'),
         "document 3 of the train split: its prompt is empty: fill its text in, or take it out",
         ('"Text: {{text}}\\nLabel:"', "text"), ("train.jsonl", "Flu shuts two wards", " ")),
    case("label of train", CHOICE, ("train", "Bad"), "label 'Bad', which is none of: bad, g",
         labels(train=["good", "Bad", "good", "bad"])),
    case("label of test", CHOICE, ("test", "ugly"), "mend the label, or add it to doc_to_",
         labels(test=["ugly", "bad", "good", "bad"])),
    case("number of no choice", CHOICE, ("train", "Library"), "document 2 of the train split: has label 2",
         labels(train=[0, 1, 2, 1], validation=[0, 1, 0, 1], test=[0, 1, 0, 1])),
    case("number of no choice first in test", CHOICE, ("test", "Night"), "none of its choices",
         labels(train=[0, 1, 0, 1], validation=[0, 1, 0, 1], test=[5, 1, 0, 1])),
    case("choices that YAML reads as truths", CHOICE, "doc_to_choice", "bool", ("[bad, good]", "[no, yes]")),
    case("no answer in train", CHOICE, ("train", "storm"), "document 1 of the train split has no answer: fill it in",
         labels(train=["good", None, "good", "bad"])),
    case("no answer in test", CHOICE, ("test", "Landslide"), "document 1 of the test split has no answer",
         labels(test=["good", None, "good", "bad"])),
    case("neither answer nor constraint", ORDER, ("validation", "tides"), "document 1 of the validation split has no answer",
         ("validation.jsonl", '"The moon pulls the sea."', "null")),
    case("answer read as a list", FREE, ("train", "cream"),
         "reads its answer as a list: name the column itself (doc_to_target: answer)", ("target: answer", "target: '{{answer}}'"),
         ("train.jsonl", '"cream"', '''"['cream', 'fat']"''')),
    case("same in train and test", CHOICE, ("test", "WARDS"), "document 2 of the test split is also in the train split (",
         ("test.jsonl", "Choir wins a trip to Vienna", "flu shuts two  WARDS")),
    case("nearly the same in train and test", CHOICE, ("test", "again!"), "similarity 0.9",
         ("test.jsonl", "Choir wins a trip to Vienna", "Library opens on Sundays again!")),
    case("same in train and validation", FREE, ("validation", "Who"),
         "document 2 of the validation split is also in the train split (",
         ("validation.jsonl", "What melts in spring", "Who bakes bread")),
    case("same in validation and test", ENTITY, ("test", "Wound"),
         "document 1 of the test split is also in the validation split (",
         ("test.jsonl", "Slept without any pain", "Wound is clean and dry")),
    case("offset of another text", ENTITY, ("train", "aspirn"),
         "entity DRUG at 10 to 17 says 'aspirn', the text has 'aspirin' there",
         ("train.jsonl", '"text": "aspirin"', '"text": "aspirn"')),
    case("offset off by one", ENTITY, ("train", "18"), "says 'aspirin', the text has 'spirin' there",
         ("train.jsonl", '"start": 10, "end": 17', '"start": 11, "end": 18')),
    case("type undeclared", ENTITY, ("test", "NURSE"),
         "entity NURSE at 7 to 12 is of a type that is not declared (metadata.tunebench.entity_types: NAME, DRUG)",
         ("test.jsonl", '"NAME", "text": "Jones"', '"NURSE", "text": "Jones"')),
    case("entity outside the text", ENTITY, ("train", "99"), "entity DRUG at 10 to 99 lies outside the text (25 characters)",
         ("train.jsonl", ASPIRIN, '"start": 10, "end": 99, "type": "DRUG"')),
    case("entity cuts a word", ENTITY, ("train", "16"), "('aspiri') cuts a word, or begins or ends with a blank",
         ("train.jsonl", ASPIRIN, '"start": 10, "end": 16, "type": "DRUG"')),
    case("entities overlap", ENTITY, ("train", "17"), "entity DRUG at 0 to 17 overlaps the one before it",
         ("train.jsonl", ASPIRIN, '"start": 0, "end": 17, "type": "DRUG"')),
    case("semicolon in an entity", ENTITY, ("validation", "Ro;a"), "holds a semicolon or a line end, which an answer cannot say",
         ("validation.jsonl", '"Rosa stopped', '"Ro;a stopped'), ("validation.jsonl", '"text": "Rosa"}', '"text": "Ro;a"}')),
    case("entity without an end", ENTITY, ("train", "noon"), "entities need start, end and type",
         ("train.jsonl", ASPIRIN, '"start": 10, "type": "DRUG"')),
    case("no column of entities", ENTITY, ("train", "Slept well"), "entities need start, end and type: KeyError: 'entities'",
         {"train.jsonl": jsonl([{"text": "Slept well"}])}),
    case("constraints are no list", ORDER, ("train", "none"), "constraints is a list of objects",
         {"train.jsonl": orders(constraints="none")["train.jsonl"].split("\n")[0]}),
    case("unknown constraint", ORDER, ("train", "no_coma"), "no constraint is called 'punct",
         ("train.jsonl", "no_comma", "no_coma")),
    case("argument missing", ORDER, ("test", "Ben"), "takes num_words, relation, not relation",
         ("test.jsonl", ', "num_words": 5', "")),
    case("argument out of place", ORDER, ("train", "fewer"), "relation is 'fewer than'; write",
         ("train.jsonl", "less than", "fewer than")),
    case("constraint without id", ORDER, ("train", "idd"), 'an object with an "id"',
         ("train.jsonl", '{"id": "punct', '{"idd": "punct')),
    case("scoring raises on a choice", CHOICE, ("scoring.py", "no mill"),
         "scoring raises AssertionError (no mill) on document 3, choice 0",
         ("metric_list", "process_results: !function scoring.gives\nmetric_list"),
         code("def gives(doc, results):", "    assert 'Mill' not in doc['text'], 'no mill'",
              "    return {'acc': float((results[1] > results[0]) == (doc['label'] == 'good'))}")),
    case("scoring raises on silence", ENTITY, ("scoring.py", "[0][0]"), "scoring raises IndexError (string index out of range)",
         {"test.jsonl": jsonl(ROWS[ENTITY][6:7])},
         ("scoring.py", "    return entity_r", "    results[0][0]\n    return entity_r")),
    case("scoring raises on a long number", ENTITY, ("scoring.py", "< 300"), "on document 0, answer '00000",
         {"test.jsonl": jsonl(ROWS[ENTITY][6:7])},
         ("scoring.py", "    return entity_r", "    assert len(results[0]) < 300\n    return entity_r")),
    case("aggregation raises", FREE, ("scoring.py", "99"), "scoring all samples raises IndexError",
         ("aggregation: mean", "aggregation: !function scoring.some"), code("def some(items):", "    return items[99]")),
    case("perfect is not 1", ENTITY, "process_results",
         "a perfect prediction everywhere scores entity_f1 0 where it should score 1: mend the scoring",
         ("scoring.py", '("NAME", "DRUG")', '("NAME",)')),
    case("perfect choices are not 1", CHOICE, "metric_list", "scores acc 0.5 where it should score 1",
         ("aggregation: mean", "aggregation: !function scoring.half"),
         code("def half(items):", "    return sum(items) / len(items) / 2")),
    case("empty is not 0", FREE, "metric_list", "an empty prediction everywhere scores exact_match 1 where it should score 0",
         ("aggregation: mean", "aggregation: !function scoring.all"), code("def all(items):", "    return 1.0")),
    case("wrong choices are not 0", CHOICE, "metric_list",
         "a wrong prediction everywhere scores acc 1 where it should score 0: mend the scoring, or choose",
         ("aggregation: mean", "aggregation: !function scoring.all"), code("def all(items):", "    return 1.0")),
    case("reference disobeys", ORDER, ("test", "I wish you"), "perfect",
         ("test.jsonl", "Good luck, Ben!", "I wish you luck, Ben!")),
    case("no constraints to obey", ORDER, "process_results", "a perfect prediction everywhere gives no prompt_level_strict_acc",
         {"test.jsonl": orders(constraints=[])["test.jsonl"]}),
    case("line separator in a row", CHOICE, ("train", "worse"), "label 'worse'",
         ("train.jsonl", "Pupils paint", "Pupils\u2028paint"), labels(validation=["good"] * 4),
         ("train.jsonl", 'Flu shuts two wards", "label": "bad', 'Flu shuts two wards", "label": "worse')),
]  # fmt: skip
MEND = re.compile(
    r"did you mean|is missing|should|not declared|not JSON|valid dictionary|there are|is an? (list|object)|no other does"
    r"|name (a|the) column|row is an|\b(add|choose|correct|declare|fill|give|keep|mend|move|need|set|shorten|takes|write)\b"
)


@pytest.mark.parametrize(("kind", "changes", "at", "says"), CASES)
def test_a_fault_is_told_once_with_file_and_line(check, kind, changes, at, says):
    yaml, found = check(kind, *changes)
    (told,) = found.faults
    assert told.startswith(f"{place(yaml, at)}: ")
    assert says in told
    assert MEND.search(told), "what to do about it"
    assert "\n" not in told


@pytest.mark.parametrize("kind", [CHOICE, FREE, ENTITY, ORDER])
def test_a_sound_task_has_no_fault(check, tiny_model, kind):
    _, found = check(kind, base=find_model(str(tiny_model)))
    assert (found.faults, found.remarks) == ([], [])
    size = len(ROWS[kind]) // 3
    assert found.counts == f"{size} train, {size} validation, {size} test documents"


def test_several_faults_are_told_at_once(check):
    yaml, found = check(
        CHOICE,
        ("licence: CC0", "lisence: CC0"),
        ("chance: 0", "chance: 7"),
        ("main_metric: acc", "main_metric: accc"),
        labels(train=["good", "Bad", "good", None], test=["ugly", "bad", "good", "bad"]),
        ("validation.jsonl", "Old cinema saved by neighbours", "A storm sinks four trawlers"),
    )
    keys = ["lisence", "chance", "main_metric"]
    told = [*keys, ("train", "Bad"), ("train", "Flu"), ("test", "ugly"), ("validation", "storm")]
    assert places(found) == [place(yaml, at) for at in told]


def test_a_wrong_label_hides_neither_a_long_prompt_nor_a_wrong_scoring(check, tiny_model):
    half = ("aggregation: mean", "aggregation: !function scoring.half"), code("def half(items):", "    return 0.5")
    long = "train.jsonl", "Flu shuts two wards", "Flu shuts " + "two wards and " * 40
    _, found = check(CHOICE, *half, long, labels(validation=["ugly", "bad", "good", "bad"]), base=find_model(str(tiny_model)))
    assert len(found.faults) == 3


def test_two_wrong_entities_of_a_document_are_told_at_once(check):
    outside = "train.jsonl", ASPIRIN, '"start": 10, "end": 99, "type": "DRUG"'
    _, found = check(ENTITY, ("train.jsonl", '"NAME", "text": "Ana"', '"NURSE", "text": "Ana"'), outside)
    assert [said in "\n".join(found.faults) for said in ("not declared", "outside the text")] == [True, True]


def test_faults_of_a_kind_beyond_three_are_counted(check):
    yaml, found = check(CHOICE, labels(train=["a", "b", "c", "d"]), {"test.jsonl": sound(CHOICE)["validation.jsonl"]})
    assert places(found) == [f"{yaml.parent}/{split}.jsonl:{line}" for split in ("train", "test") for line in (1, 2, 3)]
    assert ["(and 1 more like this)" in fault for fault in found.faults] == [False, False, True] * 2


def test_another_fault_of_entities_is_not_counted_with_those_of_one_kind(check):
    docs = [marked(f"{word} [Ana|NAME]s") for word in ("Monday", "August", "Easter")] + [marked("Gave [Tom|NURSE] tea")]
    _, found = check(ENTITY, {"train.jsonl": jsonl(docs)})
    assert "NURSE" in found.faults[-1]


def test_a_twin_is_told_with_its_own_line(check):
    yaml, found = check(CHOICE, ("test.jsonl", "Choir wins a trip to Vienna", "Flu shuts two wards"))
    assert found.faults[0].endswith(f"({place(yaml, ('train', 'Flu'))}): keep it in one")


def test_a_twin_in_a_csv_file_is_told_with_its_own_line(check):
    files = {f"{s}.csv": "text,label\n" + "".join(f"{d['text']},{d['label']}\n" for d in ROWS[CHOICE][i * 4 :][:4])
             for i, s in enumerate(SPLITS)}  # fmt: skip
    read = "{s: Dataset.from_list([row for _, row in read_rows(Path(__file__).parent / f'{s}.csv', [])]) for s in names}"
    imports = "from datasets import Dataset, DatasetDict\nfrom harness.rows import read_rows\n"
    source = f"{imports}{LOAD}".replace("read_splits(Path(__file__).parent)", f"DatasetDict({read})").replace(
        "    found =", "    names = ('train', 'validation', 'test')\n    found ="
    )
    files["test.csv"] = files["test.csv"].replace("Choir wins a trip to Vienna", "Flu shuts two wards")
    yaml, found = check(CHOICE, files, {"scoring.py": source} | {f"{s}.jsonl": "" for s in SPLITS})
    (told,) = found.faults
    assert told.startswith(f"{place(yaml, ('test.csv', 'Flu'))}: ")
    assert f"({place(yaml, ('train.csv', 'Flu'))})" in told


def test_a_folder_with_a_blank_in_its_name_changes_no_place(tmp_path):
    yaml = write(tmp_path / "my tasks", CHOICE, ("test.jsonl", '"text": "Choir', '"text" "Choir'))
    (told,) = check_task(read_task_file(yaml), None, None).faults
    assert told.startswith(f"{place(yaml, ('test', 'Choir'))}: not JSON")


def test_data_of_the_hub_need_a_revision(check):
    yaml, found = check(CHOICE, ("custom_dataset: !function scoring.load", "dataset_path: someone/something"))
    assert found.faults[0].startswith(f"{place(yaml, 'dataset_path')}: the revision of someone/something is missing: add")


def test_data_of_the_hub_with_a_revision_and_files_beside_the_task_need_none(check):
    yaml, found = check(CHOICE, ("custom_dataset: !function scoring.load", "dataset_path: a/b\ndataset_kwargs: {revision: 6f1c}"))
    assert len(found.faults) == 1
    assert "revision" not in found.faults[0]
    files = "dataset_path: json\ndataset_kwargs:\n  data_files:\n" + "".join(
        f"    {split}: {yaml.parent}/{split}.jsonl\n" for split in SPLITS
    )
    yaml.write_text(sound(CHOICE)["toy.yaml"].replace("custom_dataset: !function scoring.load\n", files))
    assert check_task(read_task_file(yaml), None, None).faults == []


def test_a_task_of_lm_evals_own_needs_neither_block_nor_licence_nor_revision(check):
    _, found = check(CHOICE, (BLOCK, ""), ours=False)
    assert found.faults == []


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        (CHOICE, [("CC0-1.0", "unknown"), ("redistribute: true", "redistribute: false")], "the licence is unknown"),
        (CHOICE, [labels(test=[None] * 4)], "no document of the test split has an answer: cells will be unscored"),
        (CHOICE, [labels(train=["bad"] * 8), ("validation_split: validation\n", "")], "1 of 8 training documents are set aside"),
        (FREE, [("higher_is_better: true", "higher_is_better: false")], "lower is better for exact_match: perfect and empty"),
        (FREE, [("test.jsonl", "Who mends shoes", "Where is Oslo")], "1 documents of the test split stand there more than once"),
        (ENTITY, [{"test.jsonl": jsonl([marked("Slept well"), marked("Ate soup")])}], "no test text has an entity: what a"),
        (
            ENTITY,
            [{"test.jsonl": jsonl([marked("Ana wrote, then [Ana|NAME] slept"), marked("[Tom|NAME] ate soup")])}],
            "document 0 of the test split: its own answer reads back as other places (a mention also stands earlier",
        ),
    ],
)
def test_what_is_no_fault_is_remarked(check, kind, changes, says):
    _, found = check(kind, *changes)
    assert found.faults == []
    (remark,) = found.remarks
    assert says in remark


@pytest.mark.parametrize(
    ("kind", "change", "at", "says"),
    [
        (CHOICE, ("train.jsonl", "Flu shuts", "Flu " + "shuts, " * 80), ("train", "Flu"), "document 3 of the train split takes "),
        (
            CHOICE,
            ("test.jsonl", "Choir wins", "Choir " + "wins, " * 90),
            ("test", "Choir"),
            "document 2 of the test split takes ",
        ),
        (FREE, ("validation.jsonl", "Which month", "dry " * 125), ("validation", "dry"), " tokens with 20 for the answer, more"),
        (ENTITY, ("test.jsonl", "Slept without", "Slept " * 100), ("test", "Slept"), "of tiny-model0: shorten it, or take a"),
    ],
)
def test_a_prompt_beyond_the_models_context_is_told(check, tiny_model, kind, change, at, says):
    yaml, found = check(kind, change, base=find_model(str(tiny_model)))
    (told,) = found.faults
    assert told.startswith(f"{place(yaml, at)}: ")
    assert says in told
    assert "more than the 512 of" in told


def test_prompt_and_room_and_prompt_and_reference_fit_each_by_themselves(check, tiny_model):
    reference = "test.jsonl", "Simmer them", "Simmer them " * 30
    _, found = check(ORDER, ("{max_gen_toks: 20}", "{max_gen_toks: 200}"), reference, base=find_model(str(tiny_model)))
    assert found.faults == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([(METRICS, "metric_list: []\n")], id="no metrics"),
        pytest.param([(METRICS, "metric_list: []\n"), (BLOCK, "")], id="no metrics and no block"),
        pytest.param(
            [("[bad, good]", "options"), (BLOCK, ""),
             {f"{s}.jsonl": jsonl([d | {"options": None if "Mill" in d["text"] else ["bad", "good"]} for d in some])
              for s, some in zip(SPLITS, (ROWS[CHOICE][:4], ROWS[CHOICE][4:8], ROWS[CHOICE][8:]), strict=True)}],
            id="a row without choices and no block",
        ),
    ],
)  # fmt: skip
def test_no_broken_task_breaks_the_check(check, changes):
    _, found = check(CHOICE, *changes)
    assert found.faults


def test_a_model_without_a_chat_template_is_told_with_the_rest(check):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = None
    base = SimpleNamespace(name="plain", config=lambda: {"max_position_embeddings": 512}, tokenizer=lambda: tokenizer)
    yaml, found = check(ORDER, ("chat_template: false", "chat_template: true"), ("chance: 0", "chance: 7"), base=base)
    assert places(found) == [place(yaml, "chance"), place(yaml, "chat_template")]


@pytest.fixture
def command(tmp_path, tiny_model, capsys, monkeypatch):
    """``tunebench tasks check TARGET`` beside the tasks in `tmp_path`: its status, and the lines of its two outputs."""
    monkeypatch.setattr("harness.taskfiles.catalogue_folder", lambda: tmp_path / "no catalogue")

    def call(target: str) -> tuple[int, list[str], list[str]]:
        status = tunebench.main(["tasks", "check", target, "--include-path", str(tmp_path), "--model", str(tiny_model)])
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err.splitlines()

    return call


def test_a_sound_task_by_name_gives_0(command, tmp_path):
    write(tmp_path, FREE, ("CC0-1.0", "unknown"), ("redistribute: true", "redistribute: false"))
    status, printed, wrong = command("toy")
    assert (status, wrong) == (0, [])
    assert printed[0].startswith("  remark: ")
    assert printed[1:] == ["toy: nothing to mend (3 train, 3 validation, 3 test documents)"]


def test_a_broken_task_by_name_gives_1(command, tmp_path):
    yaml = write(tmp_path, CHOICE, labels(test=["ugly", "bad", "good", "bad"]), ("chance: 0", "chance: 7"))
    status, printed, wrong = command("toy")
    assert (status, wrong) == (1, [])
    assert [line.split(": ")[0] for line in printed[:2]] == [place(yaml, "chance"), place(yaml, ("test", "ugly"))]
    assert printed[2:] == ["toy: 2 to mend (4 train, 4 validation, 4 test documents)"]


def test_a_folder_with_a_broken_file_and_a_sound_task_tells_of_both(command, tmp_path):
    write(tmp_path, ENTITY)
    (tmp_path / "another.yaml").write_text("task: another\nkeys: [\n")
    status, printed, wrong = command(str(tmp_path))
    assert (status, wrong) == (1, [])
    assert printed[0].startswith(f"{tmp_path.resolve()}/another.yaml:3: broken YAML: ")
    assert printed[1:] == ["toy: nothing to mend (3 train, 3 validation, 3 test documents)"]


def test_a_broken_file_that_a_task_includes_is_told_once(command, tmp_path):
    write(tmp_path, CHOICE, ("task: toy\n", "include: shared.yaml\ntask: toy\n"))
    (tmp_path / "toy" / "shared.yaml").write_text("keys: [\n")
    _, printed, _ = command(str(tmp_path))
    assert sum("shared.yaml:2: broken YAML" in line for line in printed) == 1


def test_an_unknown_name_gives_2_and_near_names(command, tmp_path):
    write(tmp_path, CHOICE)
    assert command("toyy") == (2, [], ["tunebench: unknown task 'toyy': did you mean toy? (tunebench tasks lists them)"])


def test_a_folder_without_tasks_gives_2(command, tmp_path):
    (tmp_path / "empty").mkdir()
    status, printed, wrong = command(str(tmp_path / "empty"))
    assert (status, printed) == (2, [])
    assert wrong == [f"tunebench: {tmp_path}/empty holds no task: no YAML in it says 'task: NAME'"]


def test_a_task_that_ends_the_program_ends_no_check_of_others(command, tmp_path):
    write(tmp_path / "one", CHOICE, loading("raise SystemExit(0)"))
    yaml = write(tmp_path / "two", FREE, ("task: toy", "task: other"))
    status, printed, _ = command(str(tmp_path))
    assert status == 1
    assert "SystemExit" in printed[0]
    assert printed[-1] == "other: nothing to mend (3 train, 3 validation, 3 test documents)"
    assert yaml.exists()


def test_secrets_are_not_printed(command, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    write(tmp_path, CHOICE, loading("raise RuntimeError('hf_verysecret at https://me:pass@host/x')"))
    _, printed, wrong = command("toy")
    assert "verysecret" not in "".join(printed + wrong)
    assert "me:pass" not in "".join(printed + wrong)
    assert "<HF_TOKEN> at https://<credentials>@host/x" in printed[0]


@pytest.mark.parametrize(
    ("kind", "change", "at", "says"),
    [
        (CHOICE, ("[bad, good]", "[bad, good, bad]"), "doc_to_choice", "stands twice"),
        (CHOICE, ("output_type: multiple_choice", "output_type: loglikelihood"), "output_type", "no prompt and completion"),
        (CHOICE, ("train.jsonl", "Flu shuts two wards", " "), ("train", '" "'), "its prompt is empty"),
    ],
)
def test_faults_that_once_went_unseen(check, kind, change, at, says):
    yaml, found = check(kind, change)
    assert found.faults[0].startswith(f"{place(yaml, at)}: ")
    assert says in found.faults[0]
