"""The files that `tunebench tasks new` writes, with gaps."""

_META = """\
metadata:
  version: 1.0
  tunebench:
    main_metric: {metric} # the score that ranks methods
    licence: %LICENCE%
    kind: {kind}
    chance: %CHANCE% # what guessing scores
    chat_template: false # true: the prompt is sent as a user's message of a chat
    redistribute: %REDISTRIBUTE% # whether reports and samples may show the text
    version: 1 # raise it when data or prompt change
"""

_HEAD = """\
task: %NAME%
custom_dataset: !function scoring.load
training_split: train
validation_split: validation
test_split: test
"""

CLASSIFICATION = (
    _HEAD
    + """\
output_type: multiple_choice
doc_to_text: %PROMPT%
doc_to_choice: %CHOICES%
doc_to_target: label
process_results: !function scoring.process_results
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: macro_f1
    aggregation: !function scoring.macro_f1
    higher_is_better: true
"""
    + _META.format(metric="macro_f1", kind="classification")
)

ENTITIES = (
    _HEAD
    + """\
output_type: generate_until
doc_to_text: %PROMPT%
doc_to_target: !function scoring.answer_line
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 96
  do_sample: false
process_results: !function scoring.process_results
metric_list:
  - metric: entity_f1
    aggregation: !function scoring.entity_f1
    higher_is_better: true
  - metric: invalid_rate
    aggregation: mean
    higher_is_better: false
"""
    + _META.format(metric="entity_f1", kind="entities")
    + """\
    entity_types: %TYPES%
"""
)

SCORING = {
    "classification": '''\
"""Data and scoring of this task, under lm-eval and tunebench alike."""

from pathlib import Path

from tunebench import classification_results, macro_f1_of_pairs, read_splits

CHOICES = {constant!r}


def load(**_):
    return read_splits(Path(__file__).parent)


def process_results(doc, results):
    return classification_results(doc, results, CHOICES, doc["label"])


def macro_f1(items):
    return macro_f1_of_pairs(items)
''',
    "entities": '''\
"""Data and scoring of this task, under lm-eval and tunebench alike."""

from pathlib import Path

from tunebench import answer_line, entity_f1, entity_results, read_splits

__all__ = ["answer_line", "entity_f1", "load", "process_results"]

TYPES = {constant!r}


def load(**_):
    return read_splits(Path(__file__).parent)


def process_results(doc, results):
    return entity_results(doc, results, TYPES)
''',
}

DATASHEET = """\
# Datasheet: {name}

Made from `{source}` by `tunebench tasks new`. Fill in what only you know.

- **What it is**: (whose texts, from when, in which language)
- **Why it was made**:
- **Who labelled it, by which rules; how far would two people agree?**
- **Answers**: {answers}
- **Licence**: {licence}
- **Known weaknesses**:

| split | texts |
|---|---|
{counts}

The splits are fixed by a hash of each text, labels in the same shares; nearly equal texts stand in one split. `SHA256SUMS` has
the files' hashes. Rows left out: {left_out}.
"""
