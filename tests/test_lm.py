"""Evaluation: the same answers as lm-eval's own model class, whatever the batch size."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.forward import load
from harness.hardware import Compute
from harness.lm import CausalLM
from harness.loading import load_task
from harness.model import _tokenizer, chat_template, find_model
from harness.paths import shipped
from tests.conftest import TASK, write_task

FP32 = Compute(device="cpu", precision="fp32", threads=2)


def tiny(folder, **options) -> CausalLM:
    return CausalLM(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), _tokenizer(str(folder)), FP32, **options)


def answers(task, lm, template=None, split="test", limit=None):
    requests = [r for sample in task.samples(template, split, limit) for r in sample.requests]
    return lm.loglikelihood(requests, disable_tqdm=True)


def lm_eval_answers(task_name, folder, include, limit=None, chat=False):
    """(log-likelihood, greedy) of every request, by lm-eval's own command path in fp32."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    result = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder), "dtype": "float32"},
        tasks=[task_name],
        task_manager=TaskManager(include_path=str(include), include_defaults=False),
        limit=limit,
        batch_size=4,
        device="cpu",
        log_samples=True,
        apply_chat_template=chat,
        bootstrap_iters=0,
    )
    samples = sorted(result["samples"][task_name], key=lambda sample: sample["doc_id"])
    return [(float(r[0][0]), bool(r[0][1])) for s in samples for r in s["resps"]], result["results"][task_name]


@pytest.mark.parametrize("chat", [False, True])
def test_log_likelihoods_equal_lm_evals_own(tiny_model, tmp_path, chat):
    include = write_task(
        tmp_path, "toy", yaml=TASK.format(name="toy").replace("chat_template: false", f"chat_template: {chat}".lower())
    )
    task = load_task("toy", [include])
    template = chat_template(_tokenizer(str(tiny_model))) if chat else None
    ours = answers(task, tiny(tiny_model), template)
    theirs, _ = lm_eval_answers("toy", tiny_model, include, chat=chat)
    assert [a[0] for a in ours] == pytest.approx([a[0] for a in theirs], abs=1e-4)
    assert [a[1] for a in ours] == [a[1] for a in theirs]


def test_batch_size_changes_no_prediction_in_fp32(tiny_model, toy):
    task = load_task("toy", [toy])
    one, many = answers(task, tiny(tiny_model, batch_rows=1)), answers(task, tiny(tiny_model, batch_rows=32))
    assert [a[0] for a in one] == pytest.approx([a[0] for a in many], abs=1e-4)
    assert [a[0] > b[0] for a, b in zip(one[::2], one[1::2], strict=True)] == [
        a[0] > b[0] for a, b in zip(many[::2], many[1::2], strict=True)
    ]


def test_choices_of_several_tokens_equal_a_direct_computation(tiny_model, toy):
    """The sum of log-softmax over the continuation, written out without batching or sharing."""
    task = load_task("toy", [toy])
    lm = tiny(tiny_model)
    for request, (got, _) in zip([r for s in task.samples(None) for r in s.requests], answers(task, lm), strict=True):
        context, whole = (lm.tok_encode(text) for text in (request.args[0], request.args[0] + request.args[1]))
        with torch.no_grad():
            logprobs = lm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        expected = sum(logprobs[i - 1, whole[i]].item() for i in range(len(context), len(whole)))
        assert got == pytest.approx(expected, abs=1e-4)


def test_choices_that_share_all_but_their_last_token_share_one_pass(tiny_model, tmp_path):
    one_token = TASK.format(name="toy").replace("[bad, good]", "[a, b]")
    rows = [{"text": f"number {i}", "label": "ab"[i % 2]} for i in range(8)]
    include = write_task(tmp_path, rows={"train": rows, "validation": rows, "test": rows}, yaml=one_token)
    lm = tiny(tiny_model)
    answers(load_task("toy", [include]), lm)
    assert sum(map(len, lm.plan)) == 8  # sixteen requests


def test_the_batch_plan_is_fixed(tiny_model, toy):
    task = load_task("toy", [toy])
    plans = []
    for _ in range(2):
        lm = tiny(tiny_model)
        answers(task, lm)
        plans.append(lm.batch_plan())
    assert plans[0] == plans[1] != ""


def test_generation_is_greedy_and_independent_of_the_batch(tiny_model, tmp_path):
    yaml = (
        TASK.format(name="toy")
        .replace("output_type: multiple_choice", "output_type: generate_until")
        .replace("doc_to_choice: [bad, good]", "generation_kwargs: {until: ['!'], max_gen_toks: 8, do_sample: false}")
        .replace("metric: acc", "metric: exact_match")
        .replace("main_metric: acc", "main_metric: exact_match")
        .replace("kind: classification", "kind: generation")
    )
    task = load_task("toy", [write_task(tmp_path, yaml=yaml)])
    requests = [r for s in task.samples(None) for r in s.requests]
    lm = tiny(tiny_model, batch_rows=1)
    one, many = lm.generate_until(requests), tiny(tiny_model, batch_rows=8).generate_until(requests)
    assert one == many
    ids = lm.tok_encode(requests[0].args[0])
    for _ in range(8):  # greedy decoding, written out
        with torch.no_grad():
            ids.append(int(lm.model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == lm.eot_token_id:
            break
    expected = lm.tokenizer.decode(ids[len(lm.tok_encode(requests[0].args[0])) :], skip_special_tokens=True).split("!")[0]
    assert one[0] == expected


def test_the_embedded_model_answers_the_bundled_task_as_lm_eval_does(embedded_cache, monkeypatch):
    """A slice of ``lm_eval --model hf --tasks financial_sentiment --include_path tasks`` in fp32: no prediction differs."""
    monkeypatch.setenv("TUNEBENCH_CACHE", embedded_cache)
    base = find_model("smollm2-135m-instruct")
    task = load_task("financial_sentiment", [shipped("tasks")])
    lm = CausalLM(load(base, FP32), base.tokenizer(), FP32)
    template = chat_template(base.tokenizer()) if task.meta.chat_template else None
    ours = answers(task, lm, template)[: 3 * 48]
    theirs, _ = lm_eval_answers(
        "financial_sentiment", base.folder, shipped("tasks") / "financial_sentiment", limit=48, chat=task.meta.chat_template
    )
    assert [a[0] for a in ours] == pytest.approx([a[0] for a in theirs], abs=2e-3)
    choose = [max(range(3), key=lambda k: block[k]) for block in _blocks(ours)]
    assert choose == [max(range(3), key=lambda k: block[k]) for block in _blocks(theirs)]


def _blocks(pairs):
    return [[value for value, _ in pairs[i : i + 3]] for i in range(0, len(pairs), 3)]
