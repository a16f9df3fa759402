"""Scoring of the instruction tasks, under lm-eval and tunebench alike."""

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from tunebench import inst_level_acc, instruction_results

__all__ = ["InstructionTask", "inst_level_acc", "process_results"]


class InstructionTask(ConfigurableTask):
    """Asks two things of a document: an answer, and how likely the reference is. (lm-eval's YAML knows one request a task.)"""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def construct_requests(self, doc: dict, ctx: str, **kwargs: Any) -> list[Instance]:
        answer = super().construct_requests(doc, ctx, **kwargs)
        if not doc.get("response"):
            return [answer]
        arguments = (ctx, doc["response"])
        return [answer, Instance("loglikelihood", doc, arguments, idx=1, metadata=answer.metadata)]


def process_results(doc: dict, results: list) -> dict:
    return instruction_results(doc, results)
