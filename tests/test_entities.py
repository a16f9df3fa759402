"""Entities: grammar, places, tags; scores against conlleval's numbers and against a second implementation from the definition."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from harness.entities import Entity, answer_line, entities_of, fault, parse_answer, read_answer, tags, words
from harness.entity_scores import (
    counts_by_type,
    entity_f1,
    entity_precision,
    entity_recall,
    entity_results,
    exact_scores,
    hallucination_rate,
)

TYPES = ("NAME", "DATE", "MEDICATION", "DOSAGE", "CONDITION")
TEXT = "May Aaltonen, seen in May, takes aspirin 75 mg daily and aspirin prn for angina."


def doc(text: str = TEXT, *entities: tuple[str, str, int]) -> dict:
    """A document; each entity is (type, mention, which occurrence, from 0)."""
    found = []
    for kind, mention, which in entities:
        start = -1
        for _ in range(which + 1):
            start = text.index(mention, start + 1)
        found.append({"start": start, "end": start + len(mention), "type": kind})
    return {"text": text, "entities": found}


def placed(answer: str, text: str = TEXT) -> list[tuple[int, str, str]]:
    return [(one.start, text[one.start : one.end], one.type) for one in read_answer(text, answer, TYPES).entities]


WHOLE = doc(
    TEXT,
    ("NAME", "May Aaltonen", 0),
    ("DATE", "May", 1),
    ("MEDICATION", "aspirin", 0),
    ("DOSAGE", "75 mg daily", 0),
    ("MEDICATION", "aspirin", 1),
    ("DOSAGE", "prn", 0),
    ("CONDITION", "angina", 0),
)
LINE = (
    "name: May Aaltonen; date: May; medication: aspirin; dosage: 75 mg daily; medication: aspirin; dosage: prn; condition: angina"
)


def test_the_right_answer_is_written_in_text_order_and_reads_back_as_itself():
    assert answer_line(WHOLE) == LINE
    assert read_answer(TEXT, LINE, TYPES).entities == tuple(entities_of(WHOLE))
    assert answer_line(doc()) == "none"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("none", []),
        (" NONE ", []),
        ("name: Ana", [("NAME", "Ana")]),
        ("Name:Ana ;date:  3   May ", [("NAME", "Ana"), ("DATE", "3 May")]),
        ("dosage: 1:2 dilution", [("DOSAGE", "1:2 dilution")]),
        ("medication: none", [("MEDICATION", "none")]),
        ("", None),
        (";", None),
        ("name: Ana;", None),
        ("name:", None),
        ("name", None),
        ("doctor: Ana", None),
        ("Ana", None),
        ("none; name: Ana", None),
        ("name: Ana\ndate: May", None),
        ("name: Ana\rBo", None),
        ("name: Ana; ; date: May", None),
    ],
)
def test_the_grammar(line, found):
    assert parse_answer(line, TYPES) == found


@pytest.mark.parametrize(
    ("answer", "found", "outside"),
    [
        ("medication: aspirin; medication: aspirin", [(33, "aspirin"), (57, "aspirin")], []),
        ("medication: aspirin; medication: aspirin; medication: aspirin", [(33, "aspirin"), (57, "aspirin")], ["aspirin"]),
        ("dosage: prn; medication: aspirin", [(33, "aspirin"), (65, "prn")], []),  # nothing behind: the first one anywhere
        ("dosage: 75 mg daily; medication: aspirin", [(41, "75 mg daily"), (57, "aspirin")], []),  # the one behind
        ("name: May Aaltonen; date: May", [(0, "May Aaltonen"), (22, "May")], []),  # not over a place that is taken
        ("date: May", [(0, "May")], []),
        ("medication: Aspirin", [], ["Aspirin"]),  # exact characters
        ("medication: asp", [], ["asp"]),  # no part of a word
        ("medication: spirin 75", [], ["spirin 75"]),
        ("condition: angina.", [(73, "angina.")], []),  # a sign is a unit of its own
        ("medication: ibuprofen", [], ["ibuprofen"]),
        ("name: May Aaltonen; name: Aaltonen", [(0, "May Aaltonen")], ["Aaltonen"]),
    ],
)
def test_where_mentions_stand(answer, found, outside):
    assert [(start, mention) for start, mention, _ in placed(answer)] == found
    assert [mention for _, mention in read_answer(TEXT, answer, TYPES).outside] == outside


def test_blanks_and_patterns_in_mentions_are_plain_text():
    text = "Took 5\u00a0mg (oral)  twice,\nthen co-amoxiclav (1.2 g)?"
    assert placed("dosage: 5 mg (oral) twice; medication: co-amoxiclav", text) == [
        (5, "5\u00a0mg (oral)  twice", "DOSAGE"),
        (30, "co-amoxiclav", "MEDICATION"),
    ]
    assert placed("dosage: 1.2 g", text)[0][0] == 44
    assert placed("dosage: 1x2 g", text) == []


def test_tags_by_hand():
    text = "Dr O'Dea: ?AF, on 5mg b.d."
    entities = [Entity(3, 8, "NAME"), Entity(11, 13, "CONDITION"), Entity(18, 25, "DOSAGE")]
    assert [text[start:end] for start, end in words(text)] == [
        "Dr", "O", "'", "Dea", ":", "?", "AF", ",", "on", "5mg", "b", ".", "d", ".",
    ]  # fmt: skip
    assert tags(text, entities) == [
        "O", "B-NAME", "I-NAME", "I-NAME", "O", "O", "B-CONDITION", "O", "O", "B-DOSAGE", "I-DOSAGE", "I-DOSAGE", "I-DOSAGE", "O",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entity", "says"),
    [
        ({"start": 0, "end": 3, "type": "DOCTOR"}, "not declared"),
        ({"start": 0, "end": 999, "type": "NAME"}, "outside the text"),
        ({"start": 3, "end": 3, "type": "NAME"}, "outside the text"),
        ({"start": 0, "end": 4, "type": "NAME"}, "'May '"),
        ({"start": 1, "end": 3, "type": "NAME"}, "cuts a word"),
        ({"start": 0, "end": 21, "type": "NAME"}, "overlaps"),
    ],
)
def test_a_faulty_reference_is_said(entity, says):
    text = "May Aaltonen, seen in; May"
    wrong = fault({"text": text, "entities": [entity, {"start": 4, "end": 12, "type": "NAME"}]}, TYPES)
    assert says in wrong
    assert fault(WHOLE, TYPES) == ""
    assert "semicolon" in fault({"text": text, "entities": [{"start": 14, "end": 26, "type": "DATE"}]}, TYPES)


def scores(document: dict, answer: str) -> tuple[float, float, float, float, float, float]:
    """precision, recall, F1, exact match, invalid, hallucinated of one sample alone."""
    found = entity_results(document, [answer], TYPES)
    pair = [found["entity_f1"]]
    rates = hallucination_rate([found["hallucination_rate"]])
    return (
        entity_precision(pair), entity_recall(pair), entity_f1(pair), found["exact_match"], found["invalid_rate"], rates,
    )  # fmt: skip


ONE = doc(TEXT, ("CONDITION", "angina", 0))


@pytest.mark.parametrize(
    ("document", "answer", "expected"),
    [
        (WHOLE, LINE, (1, 1, 1, 1, 0, 0)),
        (WHOLE, "none", (0, 0, 0, 0, 0, 0)),
        (ONE, "condition: angina; condition: asthma", (0.5, 1, 2 / 3, 0, 0, 0.5)),  # not in the text: costs precision
        (ONE, "condition: angina; condition: angina", (0.5, 1, 2 / 3, 0, 0, 0.5)),  # once more than the text has it
        (ONE, "condition: angina; condition: aspirin", (0.5, 1, 2 / 3, 0, 0, 0)),
        (ONE, "name: angina", (0, 0, 0, 0, 0, 0)),  # the right place, the wrong type
        (ONE, "condition: for angina", (0, 0, 0, 0, 0, 0)),  # the wrong border
        (ONE, "angina", (0, 0, 0, 0, 1, 0)),  # outside the grammar
        (doc(), "none", (0, 0, 0, 1, 0, 0)),  # nothing to find: only exact_match sees it
        (doc(), "no entities", (0, 0, 0, 0, 1, 0)),
    ],
)
def test_one_sample_scored_by_hand(document, answer, expected):
    assert scores(document, answer) == pytest.approx(expected)


def test_nonsense_on_a_text_without_entities_costs_precision():
    right = entity_results(ONE, ["condition: angina"], TYPES)["entity_f1"]
    silent, nonsense = (entity_results(doc(), [answer], TYPES)["entity_f1"] for answer in ("none", "I see none."))
    assert entity_precision([right, silent]) == 1
    assert entity_precision([right, nonsense]) == 0.5


def test_only_scored_types_count():
    found = entity_results(WHOLE, [LINE + "; name: Nobody; condition: asthma"], TYPES, scored=("CONDITION",))
    assert entity_precision([found["entity_f1"]]) == 0.5
    assert entity_recall([found["entity_f1"]]) == 1


def test_strict_mode_is_what_is_asked_of_seqeval():
    """seqeval's default mode mends tags that break the scheme and calls this right; strict mode does not."""
    from seqeval.metrics import f1_score

    gold, predicted = ["B-NAME", "I-NAME"], ["I-NAME", "I-NAME"]
    assert f1_score([gold], [predicted]) == 1
    assert entity_f1([(gold, predicted)]) == 0


VOCABULARY = ["Ana", "Bo", "May", "3", "5", "mg", "daily", "aspirin", "statin", "angina", "gout",
              "with", "and", "on", ",", ".", "(", ")", "of", "the"]  # fmt: skip


def random_documents(seed: int, number: int) -> list[tuple[dict, str]]:
    """Documents of random words and spans, with answers that copy, shift, retype, invent, repeat and break off."""
    chance = random.Random(seed)
    found = []
    for _ in range(number):
        said = [chance.choice(VOCABULARY) for _ in range(chance.randint(3, 18))]
        text = " ".join(said)
        edges = words(text)
        entities, place = [], 0
        while place < len(edges):
            length = chance.randint(1, 3)
            if chance.random() < 0.35 and place + length <= len(edges):
                span = {"start": edges[place][0], "end": edges[place + length - 1][1], "type": chance.choice(TYPES)}
                entities.append(span)
                place += length
            place += 1
        parts = []
        for span in entities:
            start, end, kind = span["start"], span["end"], span["type"]
            luck = chance.random()
            if luck < 0.12:
                continue
            if luck < 0.24:
                end = next((stop for begin, stop in edges if begin > end), end)
            elif luck < 0.34:
                kind = chance.choice(TYPES)
            mention = text[start:end] if luck < 0.9 else chance.choice(["Zed", "rose", text[start:end]])
            parts.append(f"{kind.lower()}: {mention}")
            if chance.random() < 0.08:
                parts.append(parts[-1])
        line = "; ".join(parts) or "none"
        found.append(({"text": text, "entities": entities}, line if chance.random() < 0.95 else "well, " + line))
    return found


def from_the_definition(documents: list[tuple[dict, str]]) -> Counter:
    """Right, predicted and reference entities by type, from character spans alone: no tags, no seqeval, no shared helper
    but the parser. Mentions are placed by the written rules, found here by scanning the characters."""
    found: Counter = Counter()
    for document, line in documents:
        text = document["text"]
        gold = {(e["start"], e["end"], e["type"]) for e in document["entities"]}
        for _, _, kind in gold:
            found[kind, "gold"] += 1
        mentions = parse_answer(line, TYPES)
        if mentions is None:
            found["INVALID", "predicted"] += 1
            continue
        taken: list[tuple[int, int]] = []
        behind = 0
        for kind, mention in mentions:
            found[kind, "predicted"] += 1
            places = []
            for start in range(len(text) - len(mention) + 1):
                end = start + len(mention)
                inside = text[start:end] == mention
                cut_left = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
                cut_right = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
                if inside and not cut_left and not cut_right and all(end <= s or e <= start for s, e in taken):
                    places.append((start, end))
            later = [place for place in places if place[0] >= behind]
            if places:
                place = (later or places)[0]
                taken.append(place)
                behind = place[1]
                found[kind, "right"] += (*place, kind) in gold
    return found


@pytest.mark.parametrize("seed", range(4))
def test_scores_against_a_second_implementation(seed):
    documents = random_documents(seed, 150)
    results = [entity_results(document, [line], TYPES) for document, line in documents]
    pairs = [result["entity_f1"] for result in results]
    counts = from_the_definition(documents)
    right, predicted, gold = (sum(v for (_, w), v in counts.items() if w == what) for what in ("right", "predicted", "gold"))
    assert entity_precision(pairs) == pytest.approx(right / predicted)
    assert entity_recall(pairs) == pytest.approx(right / gold)
    assert entity_f1(pairs) == pytest.approx(2 * right / (predicted + gold))
    exact = exact_scores({name: [result[name] for result in results] for name in results[0]}, TYPES)
    assert exact["entity_f1"]().value == pytest.approx(entity_f1(pairs), abs=1e-12)
    for kind in TYPES:
        assert exact[f"precision_{kind}"]().value == pytest.approx(counts[kind, "right"] / counts[kind, "predicted"])
        assert exact[f"recall_{kind}"]().value == pytest.approx(counts[kind, "right"] / counts[kind, "gold"])
        assert exact[f"f1_{kind}"]().value == pytest.approx(
            2 * counts[kind, "right"] / (counts[kind, "predicted"] + counts[kind, "gold"])
        )


CONLLEVAL: dict = {
    "tokens": 2186,
    "phrases": 423,
    "found": 383,
    "correct": 239,
    "overall": {"precision": 62.40, "recall": 56.50, "f1": 59.31},
    # precision, recall, FB1, found
    "CONDITION": (61.84, 54.02, 57.67, 76),
    "DATE": (65.71, 57.50, 61.33, 70),
    "DOSAGE": (58.75, 52.81, 55.62, 80),
    "INVALID": (0.0, 0.0, 0.0, 10),
    "MEDICATION": (69.86, 60.71, 64.97, 73),
    "NAME": (64.86, 57.83, 61.15, 74),
}


def test_scores_against_conlleval():
    """What conlleval.pl (version 2004-01-26, Erik Tjong Kim Sang) prints for the same tags: a line ``w GOLD PREDICTED`` a word,
    an empty line behind each sample, of the pairs below, given to ``perl conlleval.pl``."""
    pairs = [entity_results(document, [line], TYPES)["entity_f1"] for document, line in random_documents(2004, 200)]
    assert sum(len(gold) for gold, _ in pairs) == CONLLEVAL["tokens"]
    counts = counts_by_type(pairs, TYPES).sum(axis=0)
    assert counts.sum(axis=0).tolist() == [CONLLEVAL["correct"], CONLLEVAL["found"], CONLLEVAL["phrases"]]
    said = {"precision": entity_precision(pairs), "recall": entity_recall(pairs), "f1": entity_f1(pairs)}
    assert {name: round(100 * value, 2) for name, value in said.items()} == CONLLEVAL["overall"]
    for number, kind in enumerate([*TYPES, "INVALID"]):
        right, predicted, gold = counts[number]
        precision, recall, f1, found = CONLLEVAL[kind]
        assert predicted == found
        assert round(100 * right / predicted, 2) == precision
        assert round(100 * right / gold if gold else 0.0, 2) == recall
        assert round(200 * right / (predicted + gold), 2) == f1


def test_intervals_are_over_samples_and_honest_at_the_ends():
    documents = random_documents(11, 120)
    results = [entity_results(document, [line], TYPES) for document, line in documents]
    exact = exact_scores({name: [result[name] for result in results] for name in results[0]}, TYPES)
    metric = exact["entity_f1"]()
    assert metric.n == 120
    counts = counts_by_type([result["entity_f1"] for result in results], TYPES).sum(axis=1)
    chance = np.random.default_rng(5)  # a percentile bootstrap by hand
    drawn = counts[chance.integers(0, 120, (4000, 120))].sum(axis=1)
    low, high = np.quantile(2 * drawn[:, 0] / (drawn[:, 1] + drawn[:, 2]), [0.025, 0.975])
    assert metric.low == pytest.approx(low, abs=0.012)
    assert metric.high == pytest.approx(high, abs=0.012)
    perfect = [entity_results(WHOLE, [LINE], TYPES)["entity_f1"]] * 30
    one = exact_scores({"entity_f1": perfect}, TYPES)["entity_f1"]()
    assert (one.value, one.high, one.interval) == (1.0, 1.0, "bound")
    assert one.low == pytest.approx(1 - 1.96**2 / (30 + 1.96**2), abs=1e-3)
    nothing = [entity_results(doc(), ["none"], TYPES)["entity_f1"]] * 30
    none = exact_scores({"entity_f1": nothing}, TYPES)["entity_f1"]()
    assert (none.value, none.low, none.high) == (0.0, None, None)


def test_an_answer_of_many_repeated_mentions_is_placed_quickly_and_accents_belong_to_their_letter():
    text = "a " * 3000
    found = read_answer(text, "; ".join(["name: a"] * 3001), TYPES)
    assert (len(found.entities), len(found.outside)) == (3000, 1)
    assert placed("name: Jose", "saw Jose\u0301 today") == []
    assert placed("name: Jose\u0301", "saw Jose\u0301 today") == [(4, "Jose\u0301", "NAME")]


def test_mentions_of_types_that_do_not_count_are_no_hallucinations_either():
    found = entity_results(ONE, ["condition: angina; name: Bob; condition: gout"], TYPES, scored=("CONDITION",))
    assert found["hallucination_rate"] == (1, 2)
