"""What you would have got without a language model: TF-IDF features and logistic regression (scikit-learn)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from harness.choosing import ChoiceLM, fixed_choices
from harness.method import Fitted, Method, Settings, Work
from harness.task import Task


class TfidfSettings(Settings):
    longest_ngram: int = Field(default=1, ge=1)
    """words in the longest feature"""
    inverse_regularisation: float = Field(default=30.0, gt=0)
    """scikit-learn's C"""


class _Classifier(ChoiceLM):
    def __init__(self, task: Task, pipeline: Any) -> None:
        super().__init__(task)
        self.pipeline = pipeline

    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        labels = [str(label) for label in self.pipeline.classes_]
        return [dict(zip(labels, map(float, row), strict=True)) for row in self.pipeline.predict_proba(list(texts))]


class Tfidf(Method):
    """Bag of weighted words and word pairs, and a linear classifier. Reads the whole training split; its FLOPs are not
    counted (they are less than a millionth of a fine-tuning budget), its seconds are."""

    name = "tfidf"
    label = "TF-IDF + logistic regression"
    summary = "a linear classifier over weighted words, no language model"
    uses_model = False
    engine = ("choosing",)
    Settings = TfidfSettings

    def fit(self, work: Work) -> Fitted:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        fixed_choices(work.task, self.name)
        labels = [example.label for example in work.examples]
        if len(set(labels)) < 2:
            return Fitted(_Constant(work.task, labels[0]), notes=["the training split has one label only"])
        pipeline = make_pipeline(
            TfidfVectorizer(ngram_range=(1, self.settings.longest_ngram), sublinear_tf=True),
            LogisticRegression(C=self.settings.inverse_regularisation, max_iter=2000, random_state=work.seed),
        )
        work.budget_meter.start()
        pipeline.fit([example.text for example in work.examples], labels)
        work.budget_meter.stop()
        model = pipeline[-1]
        size = int(model.coef_.size + model.intercept_.size)
        return Fitted(
            _Classifier(work.task, pipeline),
            trainable_parameters=size,
            stored_bytes=size * 8,
            examples=len(labels),
            epochs=1.0,
        )


class _Constant(ChoiceLM):
    def __init__(self, task: Task, label: str) -> None:
        super().__init__(task)
        self.label = label

    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        return [{self.label: 1.0} for _ in texts]
