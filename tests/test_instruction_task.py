"""An instruction task from YAML to report: two requests a document, scores by hand and by lm-eval, data options, pictures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from baselines.dictionary import Dictionary
from baselines.majority import Majority
from harness.budget import Meter
from harness.cell import predict
from harness.errors import UserError
from harness.forward import load
from harness.hardware import Compute
from harness.instruction_scores import exact_scores, inst_level_acc, instruction_results, repetition
from harness.intervals import paired
from harness.lm import CausalLM
from harness.loading import load_task
from harness.matrix import Cell, Matrix
from harness.method import CannotDo, Work
from harness.model import chat_template, find_model
from harness.paths import shipped
from harness.resolve import check_names
from harness.score import score
from harness.task import references_digest, requests_digest
from reports.differences import _mcnemar as mcnemar
from tests.test_lm import tiny

FP32 = Compute()
WORDS = {"id": "length_constraints:number_words", "relation": "less than", "num_words": 4}
COMMA = {"id": "punctuation:no_comma"}
DOC = {"constraints": [WORDS, COMMA], "response": "Four words, about naïve."}


def test_results_of_an_answer_are_ifevals_and_the_references():
    found = instruction_results(DOC, ["one two three four", (-12.0, False)])
    assert (found["prompt_level_strict_acc"], found["inst_level_strict_acc"]) == (0.0, [0.0, 1.0])
    assert found["reference_bits_per_byte"] == (-12.0, len(DOC["response"].encode()))
    assert (found["answer_words"], found["repetition"]) == (4.0, 0.0)
    free = instruction_results({"constraints": [], "response": "x"}, ["anything"])
    assert set(free) == {"answer_words", "repetition"}


def test_an_empty_answer_obeys_nothing():
    found = instruction_results(DOC, [""])
    assert found["inst_level_strict_acc"] == found["inst_level_loose_acc"] == [0.0, 0.0]
    assert found["prompt_level_loose_acc"] == 0.0


def test_levels_and_likelihood_are_pooled_over_samples():
    items = [[1.0, 0.0], [1.0], [0.0, 0.0, 1.0]]
    assert inst_level_acc(items) == pytest.approx(3 / 6)
    lines = [{"reference_loglikelihood": -6.0, "reference_tokens": 3}, {"reference_loglikelihood": -2.0, "reference_tokens": 5}]
    found = exact_scores(lines, {"inst_level_strict_acc": items, "reference_bits_per_byte": [(-6.0, 10), (-2.0, 30)]})
    assert found["inst_level_strict_acc"]().value == pytest.approx(0.5)
    likelihood = found["reference_likelihood"]()
    token_probabilities = [math.exp(-2.0)] * 3 + [math.exp(-0.4)] * 5
    assert likelihood.value == pytest.approx(stats.gmean(token_probabilities))
    assert likelihood.low < likelihood.value < likelihood.high
    assert found["reference_bits_per_byte"]().value == pytest.approx(8 / math.log(2) / 40)


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0.0), ("one two three", 0.0), ("a b c d e f", 0.0), ("a b c d " * 3, 1 - 4 / 9), ("No no no no no no", 1 - 1 / 3)],
)
def test_repetition_is_the_share_of_runs_seen_before(text, share):
    assert repetition(text) == pytest.approx(share)


def test_a_paired_interval_is_the_one_of_the_differences():
    """Against scipy's t interval of the paired differences, which for a mean and many samples is nearly the same."""
    rng = np.random.default_rng(3)
    hard = rng.random(400)
    first, second = (rng.random(400) < 0.2 + 0.6 * hard).astype(float), (rng.random(400) < 0.1 + 0.6 * hard).astype(float)
    value, low, high = paired(
        *(np.stack([side, np.ones(400)], axis=1) for side in (first, second)), lambda c: c[..., 0] / c[..., 1]
    )
    expected = stats.ttest_1samp(first - second, 0).confidence_interval(0.95)
    assert value == pytest.approx((first - second).mean())
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.006)
    changed = mcnemar(np.array([[1.0, 1]] * 15 + [[0.0, 1]] * 61), np.array([[0.0, 1]] * 15 + [[1.0, 1]] * 6 + [[0.0, 1]] * 55))
    assert changed == pytest.approx(2 * stats.binom.cdf(6, 21, 0.5))  # by hand: 15 gained, 6 lost
    assert mcnemar(np.array([[0.5, 1.0]]), np.array([[1.0, 1.0]])) is None
    assert mcnemar(np.array([[1.0, 1.0]]), np.array([[1.0, 1.0]])) == 1.0
    same = np.ones((5, 2))
    assert paired(same, same, lambda c: c[..., 0] / c[..., 1]) == (0.0, None, None)


def bundled(**data):
    return load_task("instruction_following", [shipped("tasks")], None, tuple(data.items()), 12)


def test_a_document_asks_for_an_answer_and_for_the_references_likelihood(tiny_model):
    task = bundled()
    lm = tiny(tiny_model)
    samples = task.samples(chat_template(lm.tokenizer), "test", limit=6)
    assert [[r.request_type for r in s.requests] for s in samples] == [["generate_until", "loglikelihood"]] * 6
    lines = predict(task, samples, lm)
    costs = (lm.flops, lm.generated_tokens)
    alone = tiny(tiny_model)
    alone.generate_until([s.requests[0] for s in samples])
    assert costs == (alone.flops, alone.generated_tokens)  # the likelihood serves scoring and is no cost of answering
    for sample, line in zip(samples, lines, strict=True):
        context, response = sample.requests[1].args
        assert response == sample.doc["response"] == sample.reference
        prompt, whole = lm.tok_encode(context.rstrip()), lm.tok_encode(context + response)
        with torch.no_grad():
            logprobs = lm.model(torch.tensor([whole[:512]])).logits[0].log_softmax(-1)
        if len(whole) <= 512:
            total = sum(logprobs[i - 1, whole[i]].item() for i in range(len(prompt), len(whole)))
            assert line["reference_loglikelihood"] == pytest.approx(total, abs=2e-3)
        assert line["reference_tokens"] == len(whole) - len(lm.tok_encode(context))
    metrics, _ = score(task, samples, lines)
    constrained = [line for line in lines if line["constraints"]]
    assert metrics["prompt_level_strict_acc"].n == len(constrained)
    assert metrics["inst_level_loose_acc"].value is not None
    for line in lines:
        assert 0 < line["scores"]["reference_likelihood"] < 1
        assert ("inst_level_strict_acc" in line["scores"]) == bool(line["constraints"])
    assert lines[0]["raw"].strip() == lines[0]["prediction"].strip()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_prompts_and_answers_are_the_rows_own_also_where_they_look_like_lists(split):
    task = bundled()
    rows = [json.loads(line) for line in (shipped("tasks") / "instruction_following" / f"{split}.jsonl").read_text().splitlines()]
    examples = task.examples(None, split)
    assert [(e.prompt, e.completion, e.label) for e in examples] == [(r["prompt"], r["response"], r["response"]) for r in rows]
    assert any(row["response"].startswith("[") for row in rows)


def test_references_are_the_rows_own():
    samples = bundled().samples(None)
    assert [sample.reference for sample in samples] == [sample.doc["response"] for sample in samples]


def test_a_perfect_answer_obeys_everything(tiny_model):
    task = bundled()
    samples = task.samples(None)

    class Perfect:
        def generate_until(self, requests, disable_tqdm=True):
            return [request.doc["response"] for request in requests]

        def loglikelihood(self, requests, disable_tqdm=True):
            return [(-1.0, True) for _ in requests]

    metrics, _ = score(task, samples, predict(task, samples, Perfect()))
    for level in ("prompt", "inst"):
        for way in ("strict", "loose"):
            assert metrics[f"{level}_level_{way}_acc"].value == 1.0
    assert metrics["prompt_level_strict_acc"].n >= 110


def test_data_options_choose_the_training_set_and_leave_the_tests_alone():
    whole, small, hurried = bundled(), bundled(size=25), bundled(answers="careless", size=25)
    first = [example.completion for example in whole.examples(None)][:25]
    assert [example.completion for example in small.examples(None)] == first
    assert [e.prompt for e in hurried.examples(None)] == [e.prompt for e in small.examples(None)]
    assert not {e.completion for e in hurried.examples(None)} & set(first)
    assert list(whole.docs("test")["prompt"]) == list(hurried.docs("test")["prompt"])
    assert whole.lm_eval.dataset["preferences_test"].column_names[:3] == ["id", "prompt", "chosen"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((("answer", "self"),), "unknown data option of instruction_following 'answer': did you mean answers"),
        ((("answers", "lazy"),), "answers of instruction_following is 'lazy'; it may be curated, careless, self"),
        ((("size", 30),), "size of instruction_following is 30; it may be 25, 50, 100, 200, 350"),
    ],
)
def test_data_options_that_a_task_does_not_know_are_refused(data, said):
    cell = Cell("instruction_following", "zero_shot", "tiny", budget=None, seed=0, data=data)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said):
        check_names(Matrix((cell,)), [shipped("tasks")])


def test_a_task_without_options_takes_none():
    cell = Cell("medical_ner", "zero_shot", "tiny", budget=None, seed=0, data=(("size", 25),))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the data source of medical_ner takes no options"):
        check_names(Matrix((cell,)), [shipped("tasks")])


@pytest.fixture
def changed(tmp_path):
    """A copy of the bundled task, its test rows changed by a function of each; returns the folder of tasks."""

    def call(change, name: str = "test") -> Path:
        home = tmp_path / "tasks" / "mine"
        source = shipped("tasks") / "instruction_following"
        home.mkdir(parents=True, exist_ok=True)
        for path in source.glob("*.*"):
            if path.suffix in (".yaml", ".py", ".jsonl"):
                (home / path.name).write_bytes(path.read_bytes())
        rows = [json.loads(line) for line in (source / f"{name}.jsonl").read_text().splitlines()]
        lines = [json.dumps(change(number, row) or row) for number, row in enumerate(rows, start=1)]
        (home / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        return tmp_path / "tasks"

    return call


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ([{"id": "keywords:exists", "keywords": ["x"]}], r"test\.jsonl:4: no constraint is called 'keywords:exists'"),
        (
            [{"id": "keywords:existence", "keywords": "rain"}],
            r"test\.jsonl:4: .* keywords is 'rain', and should be a filled list",
        ),
        ([{"id": "punctuation:no_comma", "colour": 3}], r"test\.jsonl:4: .* takes no arguments, not colour"),
        (["none"], r'test\.jsonl:4: a constraint is an object with an "id"'),
        ("none", r"test\.jsonl:4: constraints is a list"),
    ],
)
def test_a_faulty_constraint_in_the_data_is_told_before_any_model_loads(changed, constraints, said):
    folder = changed(lambda number, row: row.update(constraints=constraints) if number == 4 else None)
    with pytest.raises(UserError, match=said):
        load_task("instruction_following", [folder])


def test_a_changed_training_constraint_is_a_changed_training_set(changed, tiny_model):
    from harness.budget import Budget
    from harness.facts import task_facts

    def fewer(number: int, row: dict) -> None:
        row["constraints"] = row["constraints"][:1]

    cell = Cell("instruction_following", "majority", str(tiny_model), Budget(1e12), 0, test_limit=3)
    base = find_model(str(tiny_model))
    found = [task_facts(cell, [folder], None, base, trains=True) for folder in (shipped("tasks"), changed(fewer, "train"))]
    assert found[0].train != found[1].train
    assert found[0].requests == found[1].requests


def test_a_changed_constraint_is_scored_again(changed):
    def stricter(number: int, row: dict) -> None:
        for one in row["constraints"]:
            one.update({"num_words": one["num_words"] + 1} if "num_words" in one else {})

    before, after = (load_task("instruction_following", [f]).samples(None) for f in (shipped("tasks"), changed(stricter)))
    assert requests_digest(before) == requests_digest(after)
    assert references_digest(before) != references_digest(after)


@pytest.mark.parametrize("empty", ["", None])
def test_a_prompt_without_a_reference_is_still_held_to_its_constraints(changed, empty):
    folder = changed(lambda number, row: row.update(response=empty))
    task = load_task("instruction_following", [folder])
    samples = task.samples(None)[:11]
    assert {len(sample.requests) for sample in samples} == {1}
    fit = Majority().fit(_work(task))
    lines = predict(task, samples, fit.lm)
    metrics, _ = score(task, samples, lines)
    assert metrics["prompt_level_strict_acc"].n == sum(bool(sample.doc["constraints"]) for sample in samples)
    assert "reference_likelihood" not in metrics


def _work(task) -> Work:
    return Work(task, task.examples(None), Meter(None), 0, FP32, base=None, chat_template=None)  # type: ignore[arg-type]


def test_the_floor_repeats_the_training_answer_that_obeys_most(toy):
    task = bundled()
    fitted = Majority().fit(_work(task))
    assert fitted.notes[0].startswith("always answers: ")
    answer = fitted.notes[0].removeprefix("always answers: ")
    assert answer in {row["response"] for row in task.docs("train")}
    samples = task.samples(None)
    lines = predict(task, samples, fitted.lm)
    assert {line["prediction"] for line in lines} == {answer}
    assert not any("reference_loglikelihood" in line for line in lines)
    metrics, _ = score(task, samples, lines)
    assert 0.1 < metrics["prompt_level_strict_acc"].value < 0.4  # what luck obeys
    with pytest.raises(CannotDo, match="dictionary looks up entities"):
        Dictionary().fit(_work(task))


def test_an_answer_leaves_room_for_its_prompt(tiny_model):
    from harness.budget import Budget
    from harness.facts import task_facts

    cell = Cell("instruction_following", "zero_shot", str(tiny_model), Budget(1e12), 0, max_new_tokens=500, test_limit=3)
    with pytest.raises(UserError, match=r"max_new_tokens 500 of 'instruction_following' leaves no room for its longest prompt"):
        task_facts(cell, [shipped("tasks")], None, find_model(str(tiny_model)), trains=False)


def test_the_embedded_model_scores_as_under_lm_eval(embedded_cache, monkeypatch):
    """A slice of ``lm_eval --model hf --tasks instruction_following --include_path tasks --apply_chat_template`` in fp32."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("TUNEBENCH_CACHE", embedded_cache)
    base = find_model("smollm2-135m-instruct")
    folder = shipped("tasks") / "instruction_following"
    task = load_task("instruction_following", [shipped("tasks")], None, (), 24)
    lm = CausalLM(load(base, FP32), base.tokenizer(), FP32)
    samples = task.samples(chat_template(base.tokenizer()))[:10]
    lines = predict(task, samples, lm)
    metrics, _ = score(task, samples, lines)
    result = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(base.folder), "dtype": "float32"},
        tasks=["instruction_following"],
        task_manager=TaskManager(include_path=[str(folder)], include_defaults=False),
        batch_size=5,
        device="cpu",
        limit=10,
        bootstrap_iters=0,
        apply_chat_template=True,
        gen_kwargs={"max_gen_toks": 24},
    )
    theirs = result["results"]["instruction_following"]
    assert {line["doc_id"]: line["prediction"] for line in lines} == {
        line["doc_id"]: line["filtered_resps"][0] for line in result["samples"]["instruction_following"]
    }
    for name in ("prompt_level_strict_acc", "inst_level_strict_acc", "inst_level_loose_acc", "answer_words", "repetition"):
        assert metrics[name].value == pytest.approx(theirs[f"{name},none"]), name
    assert metrics["reference_bits_per_byte"].value == pytest.approx(theirs["reference_bits_per_byte,none"], rel=1e-4)


def test_cells_are_the_same_as_before_where_no_option_is_given():
    """Results of earlier versions stay valid: options that are not given leave no trace in a cell's key."""
    from harness.budget import Budget

    plain = Cell("toy", "lora", "tiny", Budget(1e12), 0)
    assert set(plain.spec) == {"task", "method", "model", "budget", "seed", "settings", "split", "test_limit"}
    assert replace(plain, data=(("size", 25),)).spec_key != plain.spec_key != replace(plain, max_new_tokens=9).spec_key
    assert "25" in replace(plain, data=(("size", 25),)).id


def test_a_plan_knows_that_epochs_may_end_before_the_budget():
    from types import SimpleNamespace as Given

    from baselines.lora import Lora
    from harness.budget import Budget
    from harness.rates import estimate_cell

    config = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 1000}
    facts = Given(generates=False, test_tokens=0, test_samples=0, longest_answer=0, train_tokens=1000)

    def seconds(budget: str, **settings) -> float:
        cell = Given(budget=Budget.parse(budget))
        job = Given(cell=cell, base=Given(config=lambda: config, sha256="0" * 64))
        method = Lora(Lora.Settings(**settings))
        estimate = estimate_cell(Given(method=method, job=job, facts=facts), {"probe_predict": 1e9, "probe_train": 1e9})
        return estimate - 6.0

    assert seconds("1e13flops") == pytest.approx(1e4)
    assert seconds("1e13flops", epochs=3) == pytest.approx(3 * seconds("1e13flops", epochs=1))
    assert seconds("1e13flops", epochs=3) < 100
    assert seconds("1e6flops", epochs=3) == pytest.approx(1e-3)
    assert seconds("9s") == 9
    assert seconds("1s", epochs=1000) == 1
    assert seconds("1ktok") == pytest.approx(seconds("1e13flops", epochs=1))
