"""Verifiable constraints: every kind against lm-eval's own ifeval checkers, and by hand where those cannot be asked."""

from __future__ import annotations

import json

import nltk
import pytest

from harness.constraints import CONSTRAINT_ARGUMENTS, KINDS, constraint_fault, follows, loose, loosened, sentences, strict, words
from harness.paths import shipped

#: they load tokenisers that have to be downloaded (Punkt's English model); the tests below check ours by hand
NEED_DOWNLOADS = {"length_constraints:number_sentences", "change_case:capital_word_frequency"}
OWN = {"startend:start_checker"}
ANSWERS = [
    "",
    " \n ",
    "Yes.",
    "My answer is no.",
    "My answer is maybe. I would ask her first",
    '"Quoted, from end to end."',
    '"Only at the start',
    '"',
    "- one\n- two\n- three",
    "* one\n* two\n  * nested\n** not a bullet **",
    "-5 degrees\n--- \n-",
    "First part.\n***\nSecond part.",
    "***\nOnly one\n***",
    "a *** *** b",
    "a\n******\nb",
    "same\n******\nsame",
    "******\na\n******\nb\n******",
    "One\n\nHowever, two.\n\n'Three' is last",
    "\n\nHowever! then\n\n",
    '"However" begins\n\nhowever: goes on',
    "<<A title>>\nbody",
    "<<>> empty, << >> blank",
    "<< <nested> >>",
    "*high* and **higher** and * * and ****",
    "*broken\nhigh*",
    "Part 1\nfirst\nPart 2\nsecond",
    "PART 1 part 2 Part1 Part  3",
    '{"a": [1, 2, {"b": null}]}',
    '```json\n{"a": 1}\n```',
    "```\n[1]\n```",
    "{'a': 1}",
    "[name], [date] and [] or [[x]]",
    "Text.\nP.S. More.",
    "text p. s. lower",
    "P.P.S again",
    "ps without points",
    "THIS IS WRITTEN ALL IN CAPITALS FOR THE NOTICE BOARD",
    "this is written all in small letters for the door",
    "Small And Large, mixed 123",
    "ΑΒΓ 123",
    "La plage est nettoyée chaque matin et les chiens sont tenus en laisse.",
    "Der Hafen ist am Sonntag geschlossen, bitte rufen Sie am Montag wieder an.",
    "1234 5678",
    "no commas here at all",
    "one, comma",
    "rain rain RAIN brain",
    "Mind how you go.",
    "Well, mind how you go.\n",
    'Mind how you go."',
]


def bundled() -> list[dict]:
    home = shipped("tasks") / "instruction_following"
    return [
        json.loads(line)
        for split in ("train", "validation", "test")
        for line in (home / f"{split}.jsonl").read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def checkers():
    """lm-eval's checkers by kind; what they want to download on import is kept away."""
    patch = pytest.MonkeyPatch()
    patch.setattr(nltk, "download", lambda *names, **kw: False)
    from lm_eval.tasks.ifeval import instructions_registry

    patch.undo()
    return instructions_registry.INSTRUCTION_DICT


def theirs(checkers, constraint: dict, prompt: str, answer: str) -> bool:
    """IFEval's verdict, asked as lm-eval's `ifeval/utils.py` asks for it."""
    checker = checkers[constraint["id"]](constraint["id"])
    checker.build_description(**{name: value for name, value in constraint.items() if name != "id"})
    return bool(answer.strip() and checker.check_following(answer))


def test_every_kind_of_ifeval_is_there(checkers):
    assert set(checkers) | OWN == set(KINDS)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - NEED_DOWNLOADS - OWN))
def test_a_kind_agrees_with_lm_evals_checker(checkers, kind):
    rows = bundled()
    asked = [(row["prompt"], one) for row in rows for one in row["constraints"] if one["id"] == kind]
    assert asked, "the bundled prompts use every kind"
    few = 4 if kind.startswith(("language", "change_case")) else 12  # detecting a language takes some milliseconds
    obeying = [row["response"] for row in rows if any(one["id"] == kind for one in row["constraints"])][:few]
    others = [row["response"] for row in rows[:: len(rows) // few]]
    verdicts = set()
    for prompt, constraint in asked[:few]:
        for answer in [*ANSWERS, *obeying, *others]:
            verdict = theirs(checkers, constraint, prompt, answer)
            assert follows(constraint, answer) == verdict, (constraint, answer)
            nearly = any(theirs(checkers, constraint, prompt, variant) for variant in loosened(answer))
            assert loose([constraint], answer) == [nearly], (constraint, answer)
            verdicts.add(verdict)
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One. Two! Three?", 3),
        ("Dr. Amis came at 5 p.m. on Friday. He left.", 2),
        ("It costs 3.50 a kilo, i.e. too much.", 1),
        ("Wait... what? Yes.", 2),
        ("A line\nwithout a full stop", 1),
        ('"Stop." She stopped.', 2),
        ("I said no. She left.", 2),
        ("My answer is no. It would spoil.", 2),
        ("Be there at 5 p.m. Bring salt, pepper, etc. The rest is here.", 3),
        ("We meet Mr. Amis at St. Ives.", 1),
    ],
)
def test_sentences_are_counted_as_a_reader_would(text, count):
    assert len(sentences(text)) == count
    if not count:
        return
    bound = {"id": "length_constraints:number_sentences", "num_sentences": count}
    assert follows(bound | {"relation": "at least"}, text) == bool(text)
    assert follows(bound | {"relation": "less than", "num_sentences": count + 1}, text)


def test_capital_words_and_beginnings():
    capitals = {"id": "change_case:capital_word_frequency", "capital_relation": "at least", "capital_frequency": 2}
    assert follows(capitals, "PLEASE shut the GATE.")
    assert not follows(capitals, "PLEASE shut the Gate.")
    start = {"id": "startend:start_checker", "start_phrase": "Dear Mr Bramwell"}
    assert follows(start, '"dear mr bramwell, thank you')
    assert not follows(start, "To Dear Mr Bramwell")


def test_loose_takes_lines_and_asterisks_away():
    assert loosened("a\n*b*\nc") == ["a\n*b*\nc", "a\n*b*", "*b*\nc", "*b*", "a\nb\nc", "a\nb", "b\nc", "b"]
    quoted = {"id": "startend:quotation"}
    assert strict([quoted], 'Sure!\n"Here."') == [False]
    assert loose([quoted], 'Sure!\n"Here."') == [True]


def test_words_in_an_answer_are_not_patterns():
    wild = {"id": "keywords:existence", "keywords": ["c++ (fast)"]}
    assert follows(wild, "Use C++ (fast) here")
    assert not follows({"id": "keywords:existence", "keywords": ["a.c"]}, "abc")


def test_nested_json_and_long_answers_end():
    assert not follows({"id": "detectable_format:json_format"}, "[" * 100_000)
    assert follows({"id": "detectable_format:json_format"}, "[" * 50 + "]" * 50)


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        ("no object", 'an object with an "id"'),
        ({"keywords": ["a"]}, 'an object with an "id"'),
        ({"id": "keywords:exists", "keywords": ["a"]}, "no constraint is called 'keywords:exists'; there are keywords:existence"),
        ({"id": "keywords:existence"}, "takes keywords, not none"),
        ({"id": "punctuation:no_comma", "num": 3}, "takes no arguments, not num"),
        ({"id": "keywords:existence", "keywords": "a"}, "keywords is 'a', and should be a filled list"),
        ({"id": "keywords:existence", "keywords": []}, "should be a filled list"),
        ({"id": "keywords:existence", "keywords": [3]}, "should hold words only"),
        ({"id": "length_constraints:number_words", "num_words": True, "relation": "at least"}, "should be a filled int"),
        ({"id": "length_constraints:number_words", "num_words": -3, "relation": "at least"}, "should be 1 or more"),
        ({"id": "language:response_language", "language": "french"}, "should be one of af, ar"),
        ({"id": "startend:start_checker", "start_phrase": '"Hello'}, "should not begin with a quotation mark"),
        ({"id": "length_constraints:number_sentences", "num_sentences": 1, "relation": "less than"}, "should be 2 or more"),
        ({"id": "startend:end_checker", "end_phrase": " "}, "should not be blank"),
        ({"id": "startend:end_checker", "end_phrase": 'he said "no"'}, "should not end with a quotation mark"),
        ({"id": "keywords:forbidden_words", "forbidden_words": ["C++"]}, "begin and end with letters or digits"),
        ({"id": "keywords:letter_frequency", "letter": "ab", "let_frequency": 1, "let_relation": "at least"}, "be one letter"),
        (
            {"id": "length_constraints:nth_paragraph_first_word", "num_paragraphs": 2, "nth_paragraph": 5, "first_word": "x"},
            "should be at most num_paragraphs",
        ),
        (
            {"id": "length_constraints:number_words", "num_words": 40, "relation": "at most"},
            "write one of 'less than', 'at least'",
        ),
    ],
)
def test_a_faulty_constraint_is_told(constraint, said):
    assert said in (constraint_fault(constraint) or "")
    if isinstance(constraint, dict) and "id" in constraint:
        with pytest.raises(ValueError, match=r"takes|should|write|no constraint"):
            follows(constraint, "answer")


def test_empty_arguments_of_a_table_are_no_arguments():
    row = dict.fromkeys(CONSTRAINT_ARGUMENTS) | {"id": "keywords:existence", "keywords": ["rain"]}
    assert constraint_fault(row) is None
    assert follows(row, "Rain again")
    assert words("don't 3.5") == ["don", "t", "3", "5"]
