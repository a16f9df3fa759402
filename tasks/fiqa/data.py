"""FiQA 2018, task 1 (financial headlines and posts with a sentiment score from -1 to 1) from the Hub or a local copy.

Columns `sentence` and `score`, splits train, valid, test: https://huggingface.co/datasets/TheFinAI/fiqa-sentiment-classification.
Maia et al.: "WWW'18 Open Challenge: Financial Opinion Mining and Question Answering", 2018.
"""

from datasets import Dataset, DatasetDict

from tunebench import distinct, load_hub_dataset

_SPLITS = {"train": "train", "validation": "valid", "test": "test"}


def label(score: float) -> str:
    """The three classes as FinGPT's benchmark cuts them (AI4Finance-Foundation/FinGPT at 52b1ed1c7a69, its file
    ``fingpt/FinGPT_Benchmark/benchmarks/fiqa.py``): negative below -0.1, positive from 0.1 on, neutral between."""
    return "negative" if score < -0.1 else "positive" if score >= 0.1 else "neutral"


def load(tunebench: dict, data_dir: str = "", **_: object) -> DatasetDict:
    """Splits train, validation and test with the columns text and label. A sentence stands once; one that is scored for
    several companies and not of one class for all of them is left out, because the prompt names no company."""
    source = tunebench["source"]
    rows = load_hub_dataset(source["id"], source["revision"], data_dir)
    found, labels = {}, {}
    for split, published in _SPLITS.items():
        found[split] = [{"text": " ".join(row["sentence"].split()), "label": label(row["score"])} for row in rows[published]]
        for row in found[split]:
            labels.setdefault(row["text"].lower(), set()).add(row["label"])
    settled = {split: [row for row in part if len(labels[row["text"].lower()]) == 1] for split, part in found.items()}
    return DatasetDict({split: Dataset.from_list(part) for split, part in distinct(settled).items()})
