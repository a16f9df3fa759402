"""Training under a meter: budgets exact, losses right, the same twice."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.budget import Budget, Meter
from harness.errors import UserError
from harness.flops import cost_model
from harness.forward import skeleton
from harness.hardware import Compute
from harness.loading import load_task
from harness.method import Work, make_method
from harness.model import _tokenizer, find_model
from harness.paths import shipped
from harness.task import Example
from harness.training import SupervisedSettings, train_supervised
from harness.trainplan import Encoded, encode, make_plan, schedule

FP32 = Compute(device="cpu", precision="fp32", threads=1)
SETTINGS = SupervisedSettings(learning_rate=1e-3, batch_size=4)


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)


@pytest.fixture
def encoded(tiny_model, toy):
    return encode(load_task("toy", [toy]).examples(None), _tokenizer(str(tiny_model)), 512)


def test_supervised_tokens_are_the_completions(tiny_model):
    tokenizer = _tokenizer(str(tiny_model))
    (choice,) = encode([Example("Text: x\nLabel:", " good", 0, "x", ends=False)], tokenizer, 512)
    assert tokenizer.decode(choice.ids[-choice.supervised :]) == " good"
    (answer,) = encode([Example("Q:", " yes", 0, "Q", ends=True)], tokenizer, 512)
    assert tokenizer.decode(answer.ids[-answer.supervised :]) == " yes<|im_end|>"


def test_nothing_to_supervise_is_refused(tiny_model):
    with pytest.raises(UserError, match="supervised"):
        encode([Example("prompt", "", 0, "", ends=False)], _tokenizer(str(tiny_model)), 512)


def test_a_long_pair_loses_the_beginning_of_its_prompt_never_its_completion(tiny_model):
    tokenizer = _tokenizer(str(tiny_model))
    (cut,) = encode([Example("long " * 100, " good", 0, "", ends=False)], tokenizer, 64)
    assert len(cut.ids) == 64
    assert tokenizer.decode(cut.ids[-cut.supervised :]) == " good"


@pytest.mark.parametrize("amount", [1e7, 3.3e7, 2e8])
def test_a_plan_is_short_by_less_than_one_example(model, encoded, amount):
    meter = Meter(Budget(amount))
    costs = cost_model(model)
    plan = make_plan(encoded, costs, meter, 4, seed=1)
    spent = sum(plan.flops[i] for batch in plan.batches for i in batch)
    assert spent <= amount
    assert amount - spent < max(plan.flops)
    assert plan.examples == sum(map(len, plan.batches))
    assert plan.epochs == pytest.approx(plan.examples / len(encoded))


def test_data_repeats_when_it_runs_out_and_every_epoch_is_whole(model, encoded):
    cost = sum(cost_model(model).train(len(e.ids), logits=e.supervised) for e in encoded)
    plan = make_plan(encoded, cost_model(model), Meter(Budget(2.0000001 * cost)), 4, seed=0)
    used = sorted(i for batch in plan.batches for i in batch)
    assert used == sorted(list(range(len(encoded))) * 2)


@pytest.mark.parametrize(("epochs", "examples"), [(1, 20), (2.5, 50), (0.01, 1)])
def test_epochs_end_a_plan_before_its_budget(model, encoded, epochs, examples):
    plan = make_plan(encoded, cost_model(model), Meter(Budget(1e12)), 4, seed=0, epochs=epochs)
    assert (plan.examples, plan.whole) == (examples, True)
    poor = make_plan(encoded, cost_model(model), Meter(Budget(3.3e7)), 4, seed=0, epochs=3)
    assert not poor.whole
    assert poor == make_plan(encoded, cost_model(model), Meter(Budget(3.3e7)), 4, seed=0)


def test_a_schedule_runs_its_course_where_epochs_end_it(model, tiny_model, encoded):
    meter = Meter(Budget(1e12))
    settings = SETTINGS.model_copy(update={"epochs": 3})
    train_supervised(model, encoded, _tokenizer(str(tiny_model)), settings, meter, FP32, seed=0)
    assert meter.examples == 60
    assert meter.spent() < 0.01 * meter.budget.amount
    rates = [point["learning_rate"] for point in meter.curve]
    assert max(rates) > 0.8 * settings.learning_rate
    assert rates[-1] < 0.1 * settings.learning_rate


def test_a_budget_that_pays_for_nothing_is_said(model, encoded):
    with pytest.raises(UserError, match="does not pay for one training example"):
        make_plan(encoded, cost_model(model), Meter(Budget(10.0)), 4, seed=0)


@pytest.mark.parametrize(("budget", "spent"), [("5e8flops", "flops"), ("2ktok", "train_tokens")])
def test_training_spends_the_budget_and_never_more(model, tiny_model, encoded, budget, spent):
    meter = Meter(Budget.parse(budget))
    train_supervised(model, encoded, _tokenizer(str(tiny_model)), SETTINGS, meter, FP32, seed=0)
    assert 0.95 * meter.budget.amount < getattr(meter, spent) <= meter.budget.amount
    assert meter.curve[-1]["share"] == pytest.approx(meter.share())
    rates = [point["learning_rate"] for point in meter.curve]
    assert max(rates) <= SETTINGS.learning_rate
    assert rates[-1] < 0.5 * max(rates)
    assert meter.seconds > 0


def test_a_budget_in_seconds_is_not_passed(model, tiny_model, encoded):
    meter = Meter(Budget(3.0, "s"))
    train_supervised(model, encoded, _tokenizer(str(tiny_model)), SETTINGS, meter, FP32, seed=0)
    assert meter.seconds <= 3.0
    assert meter.train_tokens > 0


@pytest.mark.parametrize("method", ["sft", "lora"])
def test_a_clock_budget_works_in_bf16(tiny_model, toy, method):
    """The rehearsal of the first step runs before the trainer has wrapped the model in autocast."""
    compute = Compute(device="cpu", precision="bf16", threads=2)
    task = load_task("toy", [toy])
    meter = Meter(Budget.parse("3s"))
    fitted = make_method(method).fit(Work(task, task.examples(None), meter, 0, compute, find_model(str(tiny_model)), None))
    assert meter.seconds > 0
    assert fitted.examples > 0


def test_the_first_loss_is_transformers_own(model, tiny_model, encoded):
    """One step on one example against the model's own loss with the same labels masked."""
    untouched = copy.deepcopy(model)
    meter = Meter(Budget(1.01 * cost_model(model).train(len(encoded[0].ids), logits=encoded[0].supervised)))
    train_supervised(model, encoded[:1], _tokenizer(str(tiny_model)), SETTINGS, meter, FP32, seed=0)
    ids = torch.tensor([encoded[0].ids])
    labels = ids.clone()
    labels[:, : -encoded[0].supervised] = -100
    with torch.no_grad():
        expected = untouched(input_ids=ids, labels=labels).loss.item()
    assert meter.curve[0]["loss"] == pytest.approx(expected, rel=1e-4)


def test_gradients_of_a_padded_batch_equal_those_of_single_rows(model, encoded):
    """Padding on the right without a mask changes nothing (eager attention, row by row, is the reference)."""
    from harness.forward import head_at

    rows = sorted(encoded, key=lambda e: len(e.ids))[:: len(encoded) - 1]
    longest = max(len(r.ids) for r in rows)
    ids = torch.tensor([list(r.ids) + [2] * (longest - len(r.ids)) for r in rows])
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for n, row in enumerate(rows):
        mask[n, len(row.ids) - row.supervised - 1 : len(row.ids) - 1] = True
    with head_at(model, mask), torch.no_grad():
        together = model(input_ids=ids, use_cache=False).logits
    with torch.no_grad():
        single = torch.cat(
            [model(input_ids=torch.tensor([r.ids])).logits[0, len(r.ids) - r.supervised - 1 : len(r.ids) - 1] for r in rows]
        )
    assert torch.allclose(together, single, atol=1e-5)


def test_the_same_twice_is_the_same(tiny_model, encoded):
    results = []
    for _ in range(2):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        train_supervised(model, encoded, _tokenizer(str(tiny_model)), SETTINGS, Meter(Budget(3e8)), FP32, seed=3)
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*results)


@pytest.mark.parametrize(("share", "factor"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0)])
def test_the_schedule_rises_then_falls(share, factor):
    assert schedule(share, 0.1) == pytest.approx(factor)


def test_sft_and_lora_spend_within_two_percent_of_each_other_at_1e13(embedded_cache, monkeypatch):
    monkeypatch.setenv("TUNEBENCH_CACHE", embedded_cache)
    from peft import LoraConfig, get_peft_model

    base = find_model("smollm2-135m-instruct")
    task = load_task("financial_sentiment", [shipped("tasks")])
    pairs = encode(task.examples(None), base.tokenizer(), 8192)
    full = skeleton(base)
    adapted = get_peft_model(skeleton(base).requires_grad_(False), LoraConfig(r=16, target_modules="all-linear"))
    spends = []
    for model in (full, adapted):
        plan = make_plan(pairs, cost_model(model), Meter(Budget(1e13)), 8, seed=0)
        spends.append(sum(plan.flops[i] for batch in plan.batches for i in batch))
    assert all(spend <= 1e13 for spend in spends)
    assert abs(spends[0] - spends[1]) < 0.02 * max(spends)


def test_a_plan_needs_only_lengths():
    from harness.flops import CostModel

    costs = CostModel(block_weights=10, head_weights=5, adapter_weights=0, attention_width=4, trains_all=True)
    plan = make_plan([Encoded((1, 2, 3), 1)], costs, Meter(Budget(1000.0)), 2, seed=0)
    assert plan.flops == (costs.train(3, logits=1),)
