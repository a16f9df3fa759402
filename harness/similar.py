"""Near-duplicates: cosine of the counts of character 3- to 5-grams within words, in blocks, so that large sets fit in memory.

Counts are not weighted by how rare an n-gram is, so what two texts score does not depend on the others beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: a pair of texts that are this alike says the same thing in nearly the same words
NEAR = 0.9
_BLOCK = 256
#: characters of a text that are compared
_COMPARED = 1000


def plain(text: str) -> str:
    """A text without case and with single blanks: what is the same in it is the same text."""
    return " ".join(text.split()).lower()


def similar_pairs(first: Sequence[str], second: Sequence[str], near: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """(position in `first`, position in `second`, cosine from `near` to 1) of every text of `second` that is like one of
    `first`, with the nearest one."""
    from sklearn.feature_extraction.text import HashingVectorizer

    if not first or not second:
        return
    reader = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), alternate_sign=False, n_features=2**18)
    known = reader.transform([text[:_COMPARED] for text in first]).T.tocsr()
    asked = reader.transform([text[:_COMPARED] for text in second])
    for start in range(0, len(second), _BLOCK):
        block = (asked[start : start + _BLOCK] @ known).tocsr()
        for row in range(block.shape[0]):
            values = block.data[block.indptr[row] : block.indptr[row + 1]]
            if len(values) and values.max() >= near:
                column = int(block.indices[block.indptr[row] + int(values.argmax())])
                yield column, start + row, min(1.0, float(values.max()))
