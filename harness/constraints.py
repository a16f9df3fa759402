"""Verifiable constraints on an answer: plain data, checked by small pure functions.

A constraint is one object, `{"id": "length_constraints:number_words", "relation": "less than", "num_words": 40}`: identifiers,
arguments and definitions are IFEval's (Zhou et al. 2023, arXiv:2311.07911). Three things differ. Nothing is fetched at run time,
so sentences are split by NLTK's Punkt with a fixed list of abbreviations in place of its downloaded model, and words in capitals
are counted by NLTK's tokeniser on the whole text. Keywords are plain words, never patterns. One kind is added:
`startend:start_checker`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

Constraint = Mapping[str, Any]

RELATIONS = ("less than", "at least")
"""What a count is held to: `less than` is strict."""

ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""The three answers of `detectable_format:constrained_response`."""

_ABBREVIATIONS = "a.m approx cf dr e.g etc i.e jr mr mrs ms mt p.m prof sr st u.k u.s vs"
#: words that begin a sentence where they stand in capitals behind an abbreviation ("at 5 p.m. She left.")
_STARTERS = (
    "a after all and as at bring but do for he her here his how i if in it its let look my no now on once or our please put she"
    " so take that the their then there these they this those to try use we what when where who why with yes you your"
)


def _holds(count: int, relation: str, bound: int) -> bool:
    return count < bound if relation == "less than" else count >= bound


def _find(pattern: str, text: str) -> list[str]:
    return re.findall(pattern, text, flags=re.IGNORECASE)


@cache
def _splitter() -> Any:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types, parameters.sent_starters = set(_ABBREVIATIONS.split()), set(_STARTERS.split())
    return PunktSentenceTokenizer(parameters)


def sentences(text: str) -> list[str]:
    """The sentences of `text`, after Kiss and Strunk's Punkt (2006) with a fixed list of abbreviations."""
    return [str(sentence) for sentence in _splitter().tokenize(text)]


def words(text: str) -> list[str]:
    """The words of `text` as IFEval counts them: runs of letters, digits and underscores."""
    return re.findall(r"\w+", text)


@cache
def _languages() -> list[str]:
    """The codes that langdetect knows."""
    from langdetect import detector_factory

    detector_factory.init_factory()
    return sorted(detector_factory._factory.get_lang_list())


def _language(text: str) -> str | None:
    """Return the ISO code that langdetect finds, or None where it finds no letters to judge by."""
    import langdetect

    langdetect.DetectorFactory.seed = 0  # it samples; the same text must always give the same answer
    try:
        return str(langdetect.detect(text))
    except langdetect.LangDetectException:
        return None


def _capital_words(text: str) -> int:
    from nltk.tokenize import word_tokenize

    return sum(word.isupper() for word in word_tokenize(text, preserve_line=True))


def _bullets(text: str) -> int:
    return len(re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)) + len(re.findall(r"^\s*-.*$", text, re.MULTILINE))


def _paragraphs(text: str) -> int | None:
    """Count paragraphs set apart by `***`; None where one between two separators is empty."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    if not all(part.strip() for part in parts[1:-1]):
        return None
    return sum(bool(part.strip()) for part in parts)


def _nth_first_word(text: str, count: int, nth: int, first: str) -> bool:
    parts = text.split("\n\n")
    full = sum(bool(part.strip()) for part in parts)
    if not 1 <= nth <= full or not parts[nth - 1].strip():
        return False
    word = re.split(r"[.,?!'\"]", parts[nth - 1].split()[0].lstrip("'").lstrip('"'))[0]
    return full == count and word.lower() == first.lower()


def _highlights(text: str) -> int:
    single = (found.strip("*") for found in re.findall(r"\*[^\n\*]*\*", text))
    double = (found[2:-2] for found in re.findall(r"\*\*[^\n\*]*\*\*", text))
    return sum(bool(found.strip()) for found in [*single, *double])


def _sections(text: str, splitter: str) -> int:
    return len(re.split(rf"\s?{re.escape(splitter)}\s?\d+\s?", text)) - 1


def _postscript(text: str, marker: str) -> bool:
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(_find(known.get(marker, re.escape(marker)), text))


def _is_json(text: str) -> bool:
    body = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        body = body.removeprefix(fence)
    try:
        json.loads(body.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _two_responses(text: str) -> bool:
    parts = text.split("******")
    full = [part.strip() for part in parts if part.strip()]
    return all(part.strip() for part in parts[1:-1]) and len(full) == 2 and full[0] != full[1]


def _titled(text: str) -> bool:
    return any(title.strip("<> \t") for title in re.findall(r"<<[^\n]+>>", text))


def _quoted(text: str) -> bool:
    body = text.strip()
    return len(body) > 1 and body[0] == body[-1] == '"'


class _Kind(NamedTuple):
    """A kind of constraint: its arguments with their types, and the check of a response against them."""

    arguments: dict[str, type]
    check: Callable[[str, dict[str, Any]], bool]


_KINDS: dict[str, _Kind] = {
    "keywords:existence": _Kind({"keywords": list}, lambda t, a: all(_find(re.escape(word), t) for word in a["keywords"])),
    "keywords:frequency": _Kind(
        {"keyword": str, "frequency": int, "relation": str},
        lambda t, a: _holds(len(_find(re.escape(a["keyword"]), t)), a["relation"], a["frequency"]),
    ),
    "keywords:forbidden_words": _Kind(
        {"forbidden_words": list}, lambda t, a: not any(_find(rf"\b{re.escape(word)}\b", t) for word in a["forbidden_words"])
    ),
    "keywords:letter_frequency": _Kind(
        {"letter": str, "let_frequency": int, "let_relation": str},
        lambda t, a: _holds(t.lower().count(a["letter"].lower()), a["let_relation"], a["let_frequency"]),
    ),
    "language:response_language": _Kind({"language": str}, lambda t, a: _language(t) in (a["language"], None)),
    "length_constraints:number_sentences": _Kind(
        {"num_sentences": int, "relation": str}, lambda t, a: _holds(len(sentences(t)), a["relation"], a["num_sentences"])
    ),
    "length_constraints:number_words": _Kind(
        {"num_words": int, "relation": str}, lambda t, a: _holds(len(words(t)), a["relation"], a["num_words"])
    ),
    "length_constraints:number_paragraphs": _Kind({"num_paragraphs": int}, lambda t, a: _paragraphs(t) == a["num_paragraphs"]),
    "length_constraints:nth_paragraph_first_word": _Kind(
        {"num_paragraphs": int, "nth_paragraph": int, "first_word": str},
        lambda t, a: _nth_first_word(t, a["num_paragraphs"], a["nth_paragraph"], a["first_word"]),
    ),
    "detectable_content:number_placeholders": _Kind(
        {"num_placeholders": int}, lambda t, a: len(re.findall(r"\[.*?\]", t)) >= a["num_placeholders"]
    ),
    "detectable_content:postscript": _Kind({"postscript_marker": str}, lambda t, a: _postscript(t, a["postscript_marker"])),
    "detectable_format:number_bullet_lists": _Kind({"num_bullets": int}, lambda t, a: _bullets(t) == a["num_bullets"]),
    "detectable_format:constrained_response": _Kind({}, lambda t, a: any(answer in t for answer in ANSWERS)),
    "detectable_format:number_highlighted_sections": _Kind(
        {"num_highlights": int}, lambda t, a: _highlights(t) >= a["num_highlights"]
    ),
    "detectable_format:multiple_sections": _Kind(
        {"section_spliter": str, "num_sections": int}, lambda t, a: _sections(t, a["section_spliter"]) >= a["num_sections"]
    ),
    "detectable_format:json_format": _Kind({}, lambda t, a: _is_json(t)),
    "detectable_format:title": _Kind({}, lambda t, a: _titled(t)),
    "combination:two_responses": _Kind({}, lambda t, a: _two_responses(t)),
    "combination:repeat_prompt": _Kind(
        {"prompt_to_repeat": str}, lambda t, a: t.strip().lower().startswith(a["prompt_to_repeat"].strip().lower())
    ),
    "startend:start_checker": _Kind(
        {"start_phrase": str}, lambda t, a: t.strip().strip('"').lower().startswith(a["start_phrase"].strip().lower())
    ),
    "startend:end_checker": _Kind(
        {"end_phrase": str}, lambda t, a: t.strip().strip('"').lower().endswith(a["end_phrase"].strip().lower())
    ),
    "startend:quotation": _Kind({}, lambda t, a: _quoted(t)),
    "change_case:capital_word_frequency": _Kind(
        {"capital_frequency": int, "capital_relation": str},
        lambda t, a: _holds(_capital_words(t), a["capital_relation"], a["capital_frequency"]),
    ),
    "change_case:english_capital": _Kind({}, lambda t, a: t.isupper() and _language(t) in ("en", None)),
    "change_case:english_lowercase": _Kind({}, lambda t, a: t.islower() and _language(t) in ("en", None)),
    "punctuation:no_comma": _Kind({}, lambda t, a: "," not in t),
}

KINDS = tuple(_KINDS)
"""The identifiers that a constraint may have."""

CONSTRAINT_ARGUMENTS = {name: kind for one in _KINDS.values() for name, kind in one.arguments.items()}
"""Every argument of every kind with its type: the columns of a table of constraints."""


def constraint_fault(constraint: object) -> str | None:
    """Say what is wrong with a constraint and how to mend it, or None where nothing is."""
    if not isinstance(constraint, Mapping) or "id" not in constraint:
        return 'a constraint is an object with an "id"'
    kind = _KINDS.get(constraint["id"]) if isinstance(constraint["id"], str) else None
    if kind is None:
        return f"no constraint is called {constraint['id']!r}; there are {', '.join(KINDS)}"
    given = {name: value for name, value in constraint.items() if name != "id" and value is not None}
    if set(given) != set(kind.arguments):
        return (
            f"{constraint['id']} takes {', '.join(kind.arguments) or 'no arguments'}, not {', '.join(map(str, given)) or 'none'}"
        )
    for name, expected in kind.arguments.items():
        value: Any = given[name]
        if type(value) is not expected or value in ("", []):
            return f"{constraint['id']}: {name} is {value!r}, and should be a filled {expected.__name__}"
        if isinstance(value, list) and not all(isinstance(entry, str) and entry for entry in value):
            return f"{constraint['id']}: {name} is {value!r}, and should hold words only"
        if name.endswith("relation") and value not in RELATIONS:
            return f"{constraint['id']}: {name} is {value!r}; write one of {', '.join(map(repr, RELATIONS))}"
        if wrong := _senseless(name, value, given):
            return f"{constraint['id']}: {name} is {value!r}, and should {wrong}"
    return None


def _senseless(name: str, value: Any, given: Mapping[str, Any]) -> str | None:
    """What an argument of the right type should be instead, where no answer could obey it, or any would."""
    if isinstance(value, int) and value < 1:
        return "be 1 or more"
    if isinstance(value, str) and not value.strip():
        return "not be blank"
    if name == "letter" and len(value) != 1:
        return "be one letter"
    if name == "language" and value not in _languages():
        return f"be one of {', '.join(_languages())}"
    if name in ("num_words", "num_sentences") and value < 2 and given["relation"] == "less than":
        return "be 2 or more"
    if name == "first_word" and not re.fullmatch(r"[^\s.,?!'\"]+", value):
        return "be one word without punctuation"
    if name == "start_phrase" and value.strip().startswith('"'):
        return "not begin with a quotation mark (those around an answer are taken away first)"
    if name == "nth_paragraph" and value > given["num_paragraphs"]:
        return "be at most num_paragraphs"
    if name == "end_phrase" and value.strip().endswith('"'):
        return "not end with a quotation mark (those around an answer are taken away first)"
    if name == "forbidden_words" and not all(re.fullmatch(r"\w(.*\w)?", word) for word in value):
        return "hold words that begin and end with letters or digits"
    return None


def without_gaps(constraint: Any) -> Any:
    """A row of a table of several kinds without the columns that are other kinds' (they are null)."""
    return {k: v for k, v in constraint.items() if v is not None} if isinstance(constraint, Mapping) else constraint


def follows(constraint: Constraint, response: str) -> bool:
    """Tell whether `response` obeys the constraint; an empty response obeys none. Raises ValueError for a faulty constraint."""
    if wrong := constraint_fault(constraint):
        raise ValueError(wrong)
    arguments = {name: value for name, value in constraint.items() if value is not None}
    return bool(response.strip()) and _KINDS[constraint["id"]].check(response, arguments)


def loosened(response: str) -> list[str]:
    """Return the response and the seven variants that IFEval's loose accuracy accepts: without the first line, the last, both,
    and each without asterisks."""
    lines = response.split("\n")
    cut = [
        response,
        *("\n".join(lines[first : len(lines) - last]).strip() for first, last in product((0, 1), repeat=2) if first or last),
    ]
    return [*cut, *(variant.replace("*", "") for variant in cut)]


def strict(constraints: Sequence[Constraint], response: str) -> list[bool]:
    """Tell for each constraint whether the response as it stands obeys it."""
    return [follows(constraint, response) for constraint in constraints]


def loose(constraints: Sequence[Constraint], response: str) -> list[bool]:
    """Tell for each constraint whether some loosened variant of the response obeys it."""
    variants = loosened(response)
    return [any(follows(constraint, variant) for variant in variants) for constraint in constraints]
