"""exploration"""

from __future__ import annotations

import json
import re
from pathlib import Path
import time
import pytest

from harness.taskcheck import check_task
from harness.taskfiles import read_task_file
from harness.paths import shipped

HEAD = """\
task: toy
custom_dataset: !function scoring.load
training_split: train
validation_split: validation
test_split: test
"""
META = """\
metadata:
  version: 1.0
  tunebench:
    main_metric: {metric}
    licence: CC0-1.0
    kind: {kind}
    chance: {chance}
    chat_template: {chat}
    redistribute: true
    version: 1
"""
METRIC = """\
metric_list:
  - metric: {metric}
    aggregation: {aggregation}
    higher_is_better: true
"""
LOAD = """\
from pathlib import Path
from tunebench import read_splits

def load(**_):
    return read_splits(Path(__file__).parent)
"""


def jsonl(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def marked(text: str) -> dict:
    """A document from a text with its entities in brackets: ``[Ana|NAME] came``."""
    entities, plain = [], ""
    for part in re.split(r"(\[[^]]*\])", text):
        mention, _, kind = part.strip("[]").partition("|")
        if kind:
            entities.append({"start": len(plain), "end": len(plain) + len(mention), "type": kind, "text": mention})
        plain += mention
    return {"text": plain, "entities": entities}


def constrained(prompt, response, *constraints) -> dict:
    return {"prompt": prompt, "response": response, "constraints": list(constraints)}


COMMA = {"id": "punctuation:no_comma"}


def words(n):
    return {"id": "length_constraints:number_words", "relation": "less than", "num_words": n}


SPLITS = ("train", "validation", "test")


def split(rows: list, *sizes: int) -> dict[str, str]:
    n = len(rows) // 3
    return {f"{name}.jsonl": jsonl(rows[i * n : (i + 1) * n]) for i, name in enumerate(SPLITS)}


CLASSES = [
    ("Pupils paint the harbour wall", "good"),
    ("A storm sinks four trawlers", "bad"),
    ("Library opens on Sundays again", "good"),
    ("Flu shuts two wards", "bad"),
    ("Beavers return to the upper river", "good"),
    ("Thieves empty a bee keeper's shed", "bad"),
    ("Old cinema saved by its neighbours", "good"),
    ("Frost kills most apricot blossom", "bad"),
    ("Night train gets a dining car", "good"),
    ("Landslide blocks the mountain road", "bad"),
    ("Choir wins a trip to Vienna", "good"),
    ("Mill lays off ninety weavers", "bad"),
]
QUESTIONS = [
    ("What floats on milk", "cream"),
    ("Who bakes bread", "a baker"),
    ("Where do whales sleep", "in the sea"),
    ("Which month is shortest", "February"),
    ("How many legs has a spider", "eight"),
    ("What melts in spring", "snow"),
    ("Who mends shoes", "a cobbler"),
    ("Where is Oslo", "in Norway"),
    ("Which bird cannot fly", "the ostrich"),
]
NOTES = [
    "[Ana|NAME] takes [aspirin|DRUG] at noon",
    "Gave [ibuprofen|DRUG] to [Tom Bell|NAME]",
    "No fever since Monday",
    "[Rosa|NAME] stopped her [statin|DRUG]",
    "Wound is clean and dry",
    "[Idris|NAME] was started on [heparin|DRUG] today",
    "[Mr Okoro|NAME] refused [insulin|DRUG]",
    "Slept well without any pain",
    "Ward sister [Jones|NAME] holds the [morphine|DRUG]",
]
ORDERS = [
    constrained("Say why the sky is blue, without commas", "Air scatters blue light most.", COMMA),
    constrained("Name a river of France", "The Loire is one."),
    constrained("Greet my aunt in under five words", "Dear aunt, hello.", words(5)),
    constrained("Tell what yeast does, no commas please", "It makes dough rise.", COMMA),
    constrained("Explain tides shortly", "The moon pulls the sea."),
    constrained("Give advice on mice, fewer than nine words", "Get a cat.", words(9)),
    constrained("Describe rust and leave commas out", "Iron meets wet air and crumbles.", COMMA),
    constrained("How do I poach eggs", "Simmer them in water for three minutes."),
    constrained("Wish Ben luck in fewer than four words", "Good luck, Ben!", words(4)),
]


def files(kind: str) -> dict[str, str]:
    if kind == "classification":
        yaml = (
            HEAD
            + 'output_type: multiple_choice\ndoc_to_text: "Text: {{text}}\\nLabel:"\ndoc_to_choice: [bad, good]\ndoc_to_target: label\n'
            + METRIC.format(metric="acc", aggregation="mean")
            + META.format(metric="acc", kind=kind, chance=0.5, chat="false")
        )
        return {"toy.yaml": yaml, "scoring.py": LOAD} | split([{"text": t, "label": l} for t, l in CLASSES])
    if kind == "generation":
        yaml = (
            HEAD
            + 'output_type: generate_until\ndoc_to_text: "{{question}}?"\ndoc_to_target: answer\ngeneration_kwargs:\n  until: ["\\n"]\n  max_gen_toks: 20\n'
            + METRIC.format(metric="exact_match", aggregation="mean")
            + META.format(metric="exact_match", kind=kind, chance=0, chat="false")
        )
        return {"toy.yaml": yaml, "scoring.py": LOAD} | split([{"question": t, "answer": l} for t, l in QUESTIONS])
    if kind == "entities":
        yaml = (
            HEAD
            + 'output_type: generate_until\ndoc_to_text: "{{text}} ->"\ndoc_to_target: !function scoring.answer_line\ngeneration_kwargs:\n  until: ["\\n"]\n  max_gen_toks: 20\nprocess_results: !function scoring.process_results\n'
            + METRIC.format(metric="entity_f1", aggregation="!function scoring.entity_f1")
            + META.format(metric="entity_f1", kind=kind, chance=0, chat="false")
            + "    entity_types: [NAME, DRUG]\n"
        )
        code = (
            LOAD
            + """
from tunebench import answer_line, entity_f1, entity_results

def process_results(doc, results):
    return entity_results(doc, results, ("NAME", "DRUG"))
"""
        )
        return {"toy.yaml": yaml, "scoring.py": code} | split(list(map(marked, NOTES)))
    yaml = (
        HEAD
        + 'class: !function scoring.InstructionTask\noutput_type: generate_until\ndoc_to_text: prompt\ndoc_to_target: response\ntarget_delimiter: ""\ngeneration_kwargs:\n  until: []\n  max_gen_toks: 20\nprocess_results: !function scoring.process_results\n'
        + METRIC.format(metric="prompt_level_strict_acc", aggregation="mean")
        + META.format(metric="prompt_level_strict_acc", kind=kind, chance=0, chat="true")
    )
    code = (shipped("tasks") / "instruction_following" / "scoring.py").read_text() + "\n" + LOAD
    return {"toy.yaml": yaml, "scoring.py": code} | split(ORDERS)


OUT = Path("/tmp/explore.txt")


def explore(tmp, name, kind, *changes, base=None):
    folder = tmp / name / "toy"
    folder.mkdir(parents=True)
    made = files(kind)
    for file, old, new in changes:
        if old is None:
            made[file] = new
        else:
            assert made[file].count(old) == 1, (name, old, made[file].count(old))
            made[file] = made[file].replace(old, new)
    for f, text in made.items():
        if text is not None:
            (folder / f).write_text(text)
    began = time.time()
    try:
        found = check_task(read_task_file(folder / "toy.yaml"), None, base)
        said = [*found.faults, *("REMARK " + r for r in found.remarks), found.counts]
    except Exception as e:
        import traceback

        said = ["CRASH " + repr(e) + traceback.format_exc()[-600:]]
    with OUT.open("a") as f:
        f.write(
            f"=== {name} {time.time() - began:.2f}\n"
            + "\n".join(l.replace(str(folder.resolve()) + "/", "@") for l in said)
            + "\n"
        )


Y = "toy.yaml"


def test_explore(tmp_path, tiny_model):
    from harness.model import find_model

    OUT.write_text("")
    base = find_model(str(tiny_model))
    e = lambda *a, **k: explore(tmp_path, *a, **k)
    for kind in ("classification", "generation", "entities", "instruction"):
        e("sound" + kind, kind)
        e("soundm" + kind, kind, base=base)
    C, G, E, I = "classification", "generation", "entities", "instruction"
    e("unknown key", C, (Y, "doc_to_choice:", "doc_to_choices: [a]\ndoc_to_choice:"))
    e("unknown key far", C, (Y, "doc_to_choice:", "zzz: [a]\ndoc_to_choice:"))
    e("unknown key class", I, (Y, "doc_to_text:", "doc_to_txet: [a]\ndoc_to_text:"))
    e("no train", C, (Y, "training_split: train\n", ""))
    e("no test", C, (Y, "validation_split: validation\ntest_split: test\n", ""))
    e("no validation", C, (Y, "validation_split: validation\n", ""))
    e("revision", C, (Y, "custom_dataset: !function scoring.load", "dataset_path: someone/something"))
    e(
        "revision given",
        C,
        (Y, "custom_dataset: !function scoring.load", "dataset_path: someone/something\ndataset_kwargs: {revision: abc}"),
    )
    e("no block", C, (Y, META.format(metric="acc", kind=C, chance=0.5, chat="false"), ""))
    e(
        "meta many",
        C,
        (Y, "licence: CC0-1.0", "lisense: x"),
        (Y, "chance: 0.5", "chance: 7"),
        (Y, "    version: 1\n", ""),
        (Y, "kind: classification", "kind: classify"),
    )
    e("source", C, (Y, "    version: 1\n", "    version: 1\n    source: {id: x}\n"))
    e("source2", C, (Y, "    version: 1\n", "    version: 1\n    source: {id: x, revision: y, idd: z}\n"))
    e("licence missing", C, (Y, "    licence: CC0-1.0\n", ""))
    e("licence empty", C, (Y, "    licence: CC0-1.0\n", "    licence: ''\n"))
    e("licence unknown", C, (Y, "    licence: CC0-1.0\n", "    licence: unknown\n"))
    e(
        "licence unknown kept",
        C,
        (Y, "    licence: CC0-1.0\n", "    licence: unknown\n"),
        (Y, "redistribute: true", "redistribute: false"),
    )
    e("types missing", E, (Y, "    entity_types: [NAME, DRUG]\n", ""))
    e("types in class", C, (Y, "    version: 1\n", "    version: 1\n    entity_types: [A]\n"))
    e("scored stray", E, (Y, "DRUG]\n", "DRUG]\n    scored_types: [DOG]\n"))
    e("block no mapping", C, (Y, "  tunebench:\n", "  tunebench: 3\n  other:\n"))
    e("load raises", C, ("scoring.py", "    return read", "    raise RuntimeError('boom')\n    return read"))
    e(
        "load usererror",
        C,
        ("scoring.py", "    return read", "    from tunebench import UserError\n    raise UserError('boom')\n    return read"),
    )
    e("not json", C, ("test.jsonl", '"text": "Night', '"text" "Night'))
    e("not object", C, ("test.jsonl", None, "3\n"))
    e("no rows", C, ("test.jsonl", None, ""))
    e("no file", C, ("test.jsonl", None, None))
    e("undefined text", C, (Y, "{{text}}", "{{txet}}"))
    e("undefined target", C, (Y, "doc_to_target: label", "doc_to_target: '{{Label}}'"))
    e("misspelt col target", C, (Y, "doc_to_target: label", "doc_to_target: lable"))
    e("misspelt col target gen", G, (Y, "doc_to_target: answer", "doc_to_target: anser"))
    e("misspelt text col", G, (Y, '"{{question}}?"', "qestion"))
    e("misspelt train", C, (Y, "training_split: train", "training_split: trian"))
    e("misspelt validation", C, (Y, "validation_split: validation", "validation_split: dev"))
    e("misspelt test", C, (Y, "test_split: test", "test_split: tset"))
    e("misspelt two", C, (Y, "test_split: test", "test_split: tset"), (Y, "training_split: train", "training_split: trian"))
    e("first label index", C, ("test.jsonl", None, jsonl([{"text": "a b c", "label": 5}, {"text": "d e f", "label": 0}])))
    e("label", C, ("test.jsonl", 'Vienna", "label": "good"', 'Vienna", "label": "ugly"'))
    e("label first", C, ("test.jsonl", 'car", "label": "good"', 'car", "label": "ugly"'))
    e("label train", C, ("train.jsonl", 'trawlers", "label": "bad"', 'trawlers", "label": "Bad"'))
    e("label none train", C, ("train.jsonl", 'trawlers", "label": "bad"', 'trawlers", "label": null'))
    e("label none test", C, ("test.jsonl", 'Vienna", "label": "good"', 'Vienna", "label": null'))
    e("label none validation", C, ("validation.jsonl", 'shed", "label": "bad"', 'shed", "label": ""'))
    e("hidden test", C, ("test.jsonl", None, jsonl([{"text": t, "label": None} for t, _ in CLASSES[8:]])))
    e("yes no", C, (Y, "[bad, good]", "[no, yes]"))
    e("metric_list empty", C, (Y, METRIC.format(metric="acc", aggregation="mean"), "metric_list: []\n"))
    e(
        "metric_list empty no block",
        C,
        (Y, METRIC.format(metric="acc", aggregation="mean"), "metric_list: []\n"),
        (Y, META.format(metric="acc", kind=C, chance=0.5, chat="false"), ""),
    )
    e("metric_list none", C, (Y, METRIC.format(metric="acc", aggregation="mean"), ""))
    e("main metric", C, (Y, "main_metric: acc", "main_metric: accc"))
    e("metric name", C, (Y, "  - metric: acc\n", "  - metric: acc_norn\n"))
    e(
        "metric extra",
        C,
        (
            Y,
            METRIC.format(metric="acc", aggregation="mean"),
            METRIC.format(metric="acc", aggregation="mean")
            + "  - metric: acc_norn\n    aggregation: mean\n    higher_is_better: true\n",
        ),
    )
    e("metric aggr", C, (Y, "aggregation: mean", "aggregation: meen"))
    e("metric aggr key", C, (Y, "aggregation: mean", "agregation: mean"))
    e("function missing", C, (Y, "scoring.load", "scoring.lode"))
    e("module missing", C, (Y, "scoring.load", "scorng.load"))
    e("syntax", C, ("scoring.py", "def load(**_):", "def load(**_:"))
    e(
        "process_docs",
        C,
        (Y, "output_type:", "process_docs: !function scoring.some\noutput_type:"),
        (
            "scoring.py",
            "def load",
            "def some(docs):\n    assert 'Beavers' not in docs[0]['text'], 'no beavers'\n    return docs\n\ndef load",
        ),
    )
    e(
        "text raises",
        C,
        (Y, '"Text: {{text}}\\nLabel:"', "!function scoring.text"),
        (
            "scoring.py",
            "def load",
            "def text(doc):\n    assert 'Flu' not in doc['text'], 'no flu'\n    return doc['text']\n\ndef load",
        ),
    )
    e(
        "target raises",
        C,
        (Y, "doc_to_target: label", "doc_to_target: !function scoring.text"),
        (
            "scoring.py",
            "def load",
            "def text(doc):\n    assert 'Flu' not in doc['text'], 'no flu'\n    return doc['label']\n\ndef load",
        ),
    )
    e(
        "choice raises",
        C,
        (Y, "[bad, good]", "options"),
        *[
            (
                f"{s}.jsonl",
                None,
                jsonl(
                    [
                        {"text": t, "label": l, "options": ["bad", "good"] if "Flu" not in t else None}
                        for t, l in CLASSES[i * 4 : i * 4 + 4]
                    ]
                ),
            )
            for i, s in enumerate(SPLITS)
        ],
    )
    e("empty prompt", C, (Y, '"Text: {{text}}\\nLabel:"', "text"), ("train.jsonl", "Flu shuts two wards", " "))
    e(
        "list",
        G,
        (Y, "doc_to_target: answer", "doc_to_target: '{{answer}}'"),
        ("train.jsonl", '"cream"', '''"['cream', 'skin']"'''),
    )
    e("list col", G, (Y, "doc_to_target: answer", "doc_to_target: answer"), ("train.jsonl", '"cream"', '''"['cream', 'skin']"'''))
    e("same prompts", G, (Y, '"{{question}}?"', "'Answer me'"))
    e("kind mismatch", C, (Y, "kind: classification", "kind: generation"))
    e("kind mismatch 2", G, (Y, "kind: generation", "kind: classification"))
    e(
        "kind mismatch 3",
        C,
        (Y, "kind: classification", "kind: entities"),
        (Y, "    version: 1\n", "    version: 1\n    entity_types: [A]\n"),
    )
    e("dup", C, ("test.jsonl", "Choir wins a trip to Vienna", "flu  shuts two WARDS"))
    e("near", C, ("test.jsonl", "Choir wins a trip to Vienna", "Library opens on Sundays again!"))
    e("near tv", C, ("validation.jsonl", "Old cinema saved by its neighbours", "Library opens on Sundays again"))
    e("near vt", C, ("test.jsonl", "Choir wins a trip to Vienna", "Frost kills most apricot blossom"))
    e("within", C, ("test.jsonl", "Choir wins a trip to Vienna", "Mill lays off ninety weavers"))
    e("dup4", C, ("test.jsonl", None, files(C)["train.jsonl"]))
    e(
        "data option",
        C,
        (Y, "    version: 1\n", "    version: 1\n    data_options: {size: [1, 2]}\n"),
        ("scoring.py", "def load(**_):\n", "def load(size=1, **_):\n    assert size < 2, 'too many'\n"),
    )
    e(
        "data option none left",
        C,
        (Y, "    version: 1\n", "    version: 1\n    data_options:\n      size: [0, 2]\n"),
        (
            "scoring.py",
            "def load(**_):\n    return read_splits(Path(__file__).parent)",
            "def load(size=4, **_):\n    found = read_splits(Path(__file__).parent)\n    found['train'] = found['train'].select(range(size))\n    return found",
        ),
    )
    # entities
    e("offset", E, ("train.jsonl", '"text": "aspirin"', '"text": "aspirn"'))
    e("offset shift", E, ("train.jsonl", '"start": 10, "end": 17', '"start": 11, "end": 18'))
    e("type undeclared", E, ("train.jsonl", '"NAME", "text": "Ana"', '"PERSON", "text": "Ana"'))
    e(
        "outside",
        E,
        (
            "train.jsonl",
            '"start": 10, "end": 17, "type": "DRUG", "text": "aspirin"',
            '"start": 10, "end": 170, "type": "DRUG", "text": null',
        ),
    )
    e("cut", E, ("train.jsonl", '"end": 17, "type": "DRUG", "text": "aspirin"', '"end": 16, "type": "DRUG", "text": null'))
    e(
        "overlap",
        E,
        (
            "train.jsonl",
            '"start": 10, "end": 17, "type": "DRUG", "text": "aspirin"',
            '"start": 0, "end": 17, "type": "DRUG", "text": null',
        ),
    )
    e(
        "semicolon",
        E,
        ("train.jsonl", "Ana takes aspirin at noon", "Ana takes ;spirin at noon"),
        ("train.jsonl", '"text": "aspirin"', '"text": ";spirin"'),
    )
    e("no end", E, ("train.jsonl", '"start": 10, "end": 17', '"start": 10'))
    e("no entities", E, *[(f"{s}.jsonl", None, files(E)[f"{s}.jsonl"].replace('"entities"', '"ents"')) for s in SPLITS])
    e(
        "no entities fine",
        E,
        ("test.jsonl", None, jsonl([{"text": "Slept well", "entities": []}, {"text": "Ate some soup", "entities": []}])),
    )
    e("no entity some", E, ("train.jsonl", "", "") if False else ("train.jsonl", '"text": "Ana"', '"text": "Ana"'))
    e("scoring raises", E, ("scoring.py", "    return entity_results", "    assert results[0]\n    return entity_results"))
    e(
        "scoring raises odd",
        E,
        ("scoring.py", "    return entity_results", "    int(len(results[0])) < 300 or int('x')\n    return entity_results"),
    )
    e("perfect no 1", E, ("scoring.py", '("NAME", "DRUG")', '("NAME",)'))
    e(
        "perfect no 1 lower",
        E,
        ("scoring.py", 'doc, results, ("NAME", "DRUG")', '{**doc, "text": doc["text"].lower()}, results, ("NAME", "DRUG")'),
    )
    e(
        "empty no 0",
        G,
        (Y, "aggregation: mean", "aggregation: !function scoring.agg"),
        ("scoring.py", "def load", "def agg(items):\n    return 1.0\n\ndef load"),
    )
    e(
        "agg raises",
        G,
        (Y, "aggregation: mean", "aggregation: !function scoring.agg"),
        ("scoring.py", "def load", "def agg(items):\n    return items[99]\n\ndef load"),
    )
    e(
        "wrong no 0",
        C,
        (Y, "aggregation: mean", "aggregation: !function scoring.agg"),
        ("scoring.py", "def load", "def agg(items):\n    return 1.0\n\ndef load"),
    )
    e(
        "gives none",
        G,
        (Y, "metric_list", "process_results: !function scoring.res\nmetric_list"),
        ("scoring.py", "def load", "def res(doc, results):\n    return {'exact': 1.0}\n\ndef load"),
    )
    e(
        "class raises",
        C,
        (Y, "metric_list", "process_results: !function scoring.res\nmetric_list"),
        ("scoring.py", "def load", "def res(doc, results):\n    raise KeyError('gold')\n\ndef load"),
    )
    e("lower better", G, (Y, "higher_is_better: true", "higher_is_better: false"))
    # instruction
    e("constraint unknown", I, ("train.jsonl", "punctuation:no_comma", "punctuation:no_coma"))
    e("constraint args", I, ("train.jsonl", ', "num_words": 5', ""))
    e("constraint relation", I, ("train.jsonl", "less than", "fewer than"))
    e("constraint no id", I, ("train.jsonl", '{"id": "punctuation:no_comma"}', '{"idd": "punctuation:no_comma"}'))
    e(
        "constraint str",
        I,
        *[
            (f"{s}.jsonl", None, jsonl([o | {"constraints": "none"} for o in ORDERS[3 * i : 3 * i + 3]]))
            for i, s in enumerate(SPLITS)
        ],
    )
    e("reference disobeys", I, ("test.jsonl", "Good luck, Ben!", "I wish you good luck Ben!"))
    e("no constraints", I, ("test.jsonl", None, jsonl([o | {"constraints": []} for o in ORDERS[6:]])))
    e("no answer", I, ("test.jsonl", '"Simmer them in water for three minutes."', "null"))
    e("no answer train", I, ("train.jsonl", '"The Loire is one."', "null"))
    # lengths
    e("long train", C, ("train.jsonl", "Flu shuts two wards", "Flu shuts " + "two wards and " * 40), base=base)
    e("long test gen", G, ("test.jsonl", "Where is Oslo", "Where is " + "Oslo or perhaps" * 33), base=base)
    e(
        "long instr false",
        I,
        ("test.jsonl", "Simmer them in water for three minutes.", "Simmer them in water for three minutes. " * 10),
        (Y, "max_gen_toks: 20", "max_gen_toks: 200"),
        base=base,
    )
    e(
        "long and label",
        C,
        ("train.jsonl", "Flu shuts two wards", "Flu shuts " + "two wards and " * 40),
        ("test.jsonl", 'Vienna", "label": "good"', 'Vienna", "label": "ugly"'),
        base=base,
    )
    from types import SimpleNamespace
    from tests.conftest import make_tokenizer

    tok = make_tokenizer()
    tok.chat_template = None
    e("no template", I, base=SimpleNamespace(name="x", config=lambda: {"max_position_embeddings": 512}, tokenizer=lambda: tok))
    e(
        "u2028",
        C,
        ("train.jsonl", "Pupils paint", "Pupils\u2028paint"),
        ("train.jsonl", 'wards", "label": "bad"', 'wards", "label": "Bad"'),
    )
    import csv, io
