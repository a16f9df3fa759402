"""few_shot: which examples are shown, how, what they cost; and their common beginning computed once without another answer."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from baselines.few_shot import FewShot, FewShotSettings, _draw, _nearest
from harness.budget import Budget, Meter
from harness.hardware import Compute
from harness.lm import CausalLM
from harness.loading import load_task
from harness.method import CannotDo, Work
from harness.model import _tokenizer, chat_template, find_model
from harness.task import Example
from tests.conftest import TASK, write_task

FP32 = Compute(device="cpu", precision="fp32", threads=2)
GENERATES = (
    TASK.replace(
        "output_type: multiple_choice", "output_type: generate_until\ngeneration_kwargs: {{until: ['\\n'], max_gen_toks: 8}}"
    )
    .replace("doc_to_choice: [bad, good]\n", "")
    .replace("  - metric: acc", "  - metric: exact_match")
    .replace("main_metric: acc", "main_metric: exact_match")
    .replace("kind: classification", "kind: generation")
)


def pool(labels: str, ends: bool = False) -> list[Example]:
    return [Example(f"p{i}", label, i, f"text {i}", ends, label) for i, label in enumerate(labels)]


def fitted(task, model, budget="1e15flops", template=None, **settings):
    meter = Meter(Budget.parse(budget))
    work = Work(task, task.examples(template), meter, 0, FP32, find_model(str(model)), template)
    return FewShot(FewShotSettings(**settings)).fit(work), meter


def asked(task, template=None):
    return [request for sample in task.samples(template) for request in sample.requests]


def test_random_examples_are_a_seeds_own_and_not_repeated():
    some = pool("ab" * 20)
    drawn = _draw(some, "random", 8, 3)
    assert drawn == _draw(some, "random", 8, 3) != _draw(some, "random", 8, 4)
    assert len({one.doc_id for one in drawn}) == 8
    assert len(_draw(some, "random", 99, 0)) == 40


def test_balanced_examples_come_in_turn_from_the_labels():
    drawn = _draw(pool("aaaaaaaaaaaaaaaabbbc"), "balanced", 9, 0)
    assert Counter(one.label for one in drawn) == {"a": 5, "b": 3, "c": 1}
    assert {one.label for one in drawn[:3]} == {"a", "b", "c"}
    assert len(_draw(pool("abcdefgh", ends=True), "balanced", 3, 0)) == 3


def test_the_nearest_stand_last_and_are_those_of_the_highest_cosine():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    texts = ["red apple pie", "green apple", "a blue car", "the car is red", "apple pie recipe", "rain again"]
    some = [Example("", "", i, text, False, "") for i, text in enumerate(texts)]
    reader = TfidfVectorizer(sublinear_tf=True).fit(texts)
    likeness = cosine_similarity(reader.transform(texts), reader.transform(["an apple pie"])).ravel()
    assert [one.doc_id for one in _nearest(some, 3)("an apple pie")] == likeness.argsort(kind="stable")[-3:].tolist()


def test_prompts_are_lm_evals_own_few_shot_prompts(tiny_model, toy):
    """The same examples given to lm-eval as its few-shot samples."""
    task = load_task("toy", [toy])
    made, _ = fitted(task, tiny_model, examples=3, choice="random")
    shown = _draw(task.examples(None), "random", 3, 0)
    docs = [task.docs("train")[one.doc_id] for one in shown]

    class Fixed:
        def sample(self, n, doc=None, **_):
            return docs

    ours = made.lm.rewrite(asked(task)[0]).args[0]
    task.lm_eval.sampler = Fixed()
    assert ours == task.lm_eval.fewshot_context(task.docs("test")[0], num_fewshot=3)


def test_in_a_chat_examples_are_turns(tiny_model, tmp_path):
    yaml = GENERATES.format(name="toy").replace("chat_template: false", "chat_template: true")
    task = load_task("toy", [write_task(tmp_path, yaml=yaml)])
    template = chat_template(_tokenizer(str(tiny_model)))
    made, _ = fitted(task, tiny_model, template=template, examples=2)
    first, second = _draw(task.examples(template), "balanced", 2, 0)
    request = asked(task, template)[0]
    turns = [(first.text, first.label), (second.text, second.label)]
    before = "".join(f"<|im_start|>user\n{a}<|im_end|>\n<|im_start|>assistant\n{b}<|im_end|>\n" for a, b in turns)
    assert made.lm.rewrite(request).args[0] == before + request.args[0]


def test_the_budget_pays_for_reading_the_examples_once_and_bounds_them(tiny_model, toy):
    task = load_task("toy", [toy])
    made, meter = fitted(task, tiny_model, examples=6)
    everything = meter.flops
    with FlopCounterMode(display=False) as counter:
        ids = made.lm.tok_encode(made.lm.rewrite(asked(task)[0]).args[0])[: meter.train_tokens]
        AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager").model(torch.tensor([ids]))
    assert everything == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert (made.examples, meter.examples) == (6, 6)
    fewer, meter = fitted(task, tiny_model, f"{everything * 0.7}flops", examples=6)
    assert 1 <= fewer.examples < 6
    assert meter.flops <= everything * 0.7
    with pytest.raises(CannotDo, match="raise the budget, or take zero_shot"):
        fitted(task, tiny_model, "10flops")


def test_where_the_context_is_short_fewer_examples_are_shown(tiny_model, toy):
    task = load_task("toy", [toy])
    made, meter = fitted(task, tiny_model, examples=200)  # of 512 tokens, a byte each
    assert 5 < made.examples < 20
    assert meter.train_tokens < 512
    long, short = asked(task)[0], asked(task)[2]
    long.doc["text"] = "word " * 80
    long.arguments = (f"Text: {long.doc['text']}\nLabel:", long.arguments[1])
    counts = [made.lm.rewrite(one).args[0].count("Label:") - 1 for one in (long, short)]
    assert 0 <= counts[0] < counts[1] == made.examples
    assert all(len(made.lm.tok_encode("".join(made.lm.rewrite(one).args))) <= 512 for one in (long, short))


def test_the_nearest_are_chosen_for_each_prompt_and_nothing_is_charged(tiny_model, toy):
    task = load_task("toy", [toy])
    made, meter = fitted(task, tiny_model, examples=2, choice="nearest")
    assert (meter.flops, made.examples) == (0.0, 0)
    assert len({made.lm.rewrite(one).args[0].split("\n\n")[0] for one in asked(task)}) > 1


def test_a_common_beginning_is_computed_once_with_the_same_answers(tiny_model, toy):
    task = load_task("toy", [toy])
    made, _ = fitted(task, tiny_model, examples=6)
    plain = CausalLM(made.lm.model, made.lm.tokenizer, FP32, shares_prefix=False)
    plain.rewrite = made.lm.rewrite
    shared, apart = (lm.loglikelihood(asked(task), disable_tqdm=True) for lm in (made.lm, plain))
    assert [one[0] for one in shared] == pytest.approx([one[0] for one in apart], abs=1e-4)
    assert [one[1] for one in shared] == [one[1] for one in apart]
    assert made.lm.flops < 0.5 * plain.flops


def test_what_is_counted_for_rows_behind_a_common_beginning_is_what_is_computed(tiny_model, toy):
    task = load_task("toy", [toy])
    made, _ = fitted(task, tiny_model, examples=4)
    eager = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager", dtype=torch.float32)
    lm = CausalLM(eager, made.lm.tokenizer, FP32, batch_rows=1)  # one row at a time has no padding
    lm.rewrite = made.lm.rewrite
    with FlopCounterMode(display=False) as counter:
        lm.loglikelihood(asked(task), disable_tqdm=True)
    assert lm.flops == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_a_generated_answer_is_the_same_with_and_without_a_common_beginning(tiny_model, tmp_path):
    task = load_task("toy", [write_task(tmp_path, yaml=GENERATES.format(name="toy"))])
    made, _ = fitted(task, tiny_model, examples=3)
    together = made.lm.generate_until(asked(task), disable_tqdm=True)
    made.lm.generated_rows = 1
    assert made.lm.generate_until(asked(task), disable_tqdm=True) == together
