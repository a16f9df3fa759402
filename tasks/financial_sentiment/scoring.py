"""Scoring of the financial sentiment tasks, under lm-eval and tunebench alike."""

from tunebench import classification_results, macro_f1_of_pairs, mcc_of_pairs

CHOICES = ("negative", "neutral", "positive")


def process_results(doc: dict, results: list) -> dict:
    return classification_results(doc, results, CHOICES, doc["label"])


def macro_f1(items: list) -> float:
    return macro_f1_of_pairs(items)


def mcc(items: list) -> float:
    return mcc_of_pairs(items)
