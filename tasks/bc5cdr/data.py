"""BC5CDR (sentences of PubMed abstracts, chemicals and diseases marked) from the Hub or a local copy, as text with offsets.

Columns `tokens` and `tags`, files of JSON lines: https://huggingface.co/datasets/tner/bc5cdr (its loading script is not run).
Li et al.: "BioCreative V CDR task corpus", Database, 2016, baw068.
"""

from datasets import Dataset, DatasetDict, Features, Value

from tunebench import distinct, entity_results, load_hub_dataset, text_from_tags

TYPES = ("CHEMICAL", "DISEASE")
#: what the numbers of `tags` mean, by the set's card
_TAGS = ("O", "B-CHEMICAL", "B-DISEASE", "I-DISEASE", "I-CHEMICAL")
_FILES = {"train": "dataset/train.json", "validation": "dataset/valid.json", "test": "dataset/test.json"}
_FEATURES = Features(
    {"text": Value("string"), "entities": [{"start": Value("int32"), "end": Value("int32"), "type": Value("string")}]}
)


def load(tunebench: dict, data_dir: str = "", **_: object) -> DatasetDict:
    """The published splits with the columns text and entities, every sentence once."""
    source = tunebench["source"]
    rows = load_hub_dataset(source["id"], source["revision"], data_dir, _FILES)
    splits = {
        split: [text_from_tags(row["tokens"], [_TAGS[tag] for tag in row["tags"]]) for row in rows[split]] for split in _FILES
    }
    return DatasetDict({split: Dataset.from_list(part, features=_FEATURES) for split, part in distinct(splits, TYPES).items()})


def process_results(doc: dict, results: list) -> dict:
    return entity_results(doc, results, TYPES)
