"""Scoring of the medical entity tasks, under lm-eval and tunebench alike: seqeval, strict, IOB2."""

from tunebench import entity_f1, entity_precision, entity_recall, entity_results, hallucination_rate

__all__ = ["entity_f1", "entity_precision", "entity_recall", "hallucination_rate", "process_results"]

TYPES = ("NAME", "DATE", "MEDICATION", "DOSAGE", "CONDITION")


def process_results(doc: dict, results: list) -> dict:
    return entity_results(doc, results, TYPES)
