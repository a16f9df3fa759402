"""Budgets are read from what people write, and a meter never lets one be passed in silence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.budget import Budget, BudgetExceeded, Meter
from harness.errors import UserError


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("1e13flops", 1e13, "flops"),
        ("50ktok", 50_000, "tok"),
        ("120s", 120, "s"),
        ("5usd", 5, "usd"),
        ("1.5e12flops", 1.5e12, "flops"),
        ("1e+13flops", 1e13, "flops"),
        ("1e-3usd", 0.001, "usd"),
        ("2.usd", 2, "usd"),
        ("  5e12 flops ", 5e12, "flops"),
        ("1E13FLOPS", 1e13, "flops"),
        ("1flop", 1, "flops"),
        ("3token", 3, "tok"),
        ("3tokens", 3, "tok"),
        ("9sec", 9, "s"),
        ("9 seconds", 9, "s"),
        ("4dollars", 4, "usd"),
        ("2kflops", 2e3, "flops"),
        ("2mtok", 2e6, "tok"),
        ("2Gflop", 2e9, "flops"),
        ("2 Tflops", 2e12, "flops"),
        ("2pflops", 2e15, "flops"),
        ("2ktokens", 2e3, "tok"),
        ("2ttok", 2e12, "tok"),
    ],
)
def test_amount_scale_and_unit_are_read(text, amount, unit):
    assert Budget.parse(text) == Budget(pytest.approx(amount, rel=1e-15), unit)


@pytest.mark.parametrize("text", ["1e13flops", "50000tok", "120s", "5usd", "0.25usd", "1e06tok", "5e12flops"])
def test_a_written_budget_is_read_back(text):
    budget = Budget.parse(text)
    assert Budget.parse(str(budget)) == budget


def test_budgets_that_differ_are_written_differently():
    assert str(Budget(1_234_567, "tok")) != str(Budget(1_234_568, "tok"))


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "lots", "flops", "5", "1e13", "-5usd", "+5usd", ".5usd", "1,000tok", "1_000tok", "5 5 usd", "1e13flop/s"],
        *["nan s", "infs", "0s", "0.0flops", "1e400flops", "1e-400usd", "9" * 400 + "s", "5k", "5m", "5eur", "1e", "5usd5"],
        *["5.5.5s", "5kkflops", "12 hours", "0x10flops", "\N{ARABIC-INDIC DIGIT FIVE}s", "5s; rm"],
    ],
)
def test_nonsense_is_refused_in_one_line(text):
    with pytest.raises(UserError) as refusal:
        Budget.parse(text)
    assert "\n" not in str(refusal.value)
    assert text.strip().lower() in str(refusal.value).lower()


def test_a_budget_of_several_lines_is_refused_in_one():
    with pytest.raises(UserError) as refusal:
        Budget.parse("five\nusd")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "near"), [("5flps", "flops"), ("5tokns", "tokens"), ("5dolars", "dollars"), ("5us", "usd"), ("5secnds", "seconds")]
)
def test_a_mistyped_unit_brings_the_nearest_ones(text, near):
    with pytest.raises(UserError, match=rf"unknown budget unit '{text[1:]}': did you mean .*\b{near}\b.*in budget '{text}'"):
        Budget.parse(text)


def test_a_unit_like_no_other_brings_the_list():
    with pytest.raises(UserError, match=r"known: .*\bflops\b.*\bs\b.*\btok\b.*\busd\b"):
        Budget.parse("5zz")


def test_charges_add_up_in_every_unit_at_once():
    meter = Meter(Budget(1e6, "flops"))
    meter.charge(flops=100.0, tokens=7, supervised=2, generated=3)
    meter.charge(flops=11.0, tokens=5, supervised=1)
    assert (meter.flops, meter.train_tokens, meter.supervised_tokens, meter.generated_tokens) == (111.0, 12, 3, 3)
    assert meter.spent() == 111.0
    assert meter.share() == pytest.approx(111e-6)


def test_tokens_are_those_read_and_those_written():
    meter = Meter(Budget(100, "tok"))
    meter.charge(flops=1e15, tokens=30, supervised=10, generated=20)
    assert meter.spent() == 50
    assert meter.share() == 0.5


def test_what_just_fits_is_affordable_and_a_token_more_is_not():
    meter = Meter(Budget(100, "tok"))
    meter.charge(tokens=60)
    assert meter.affords(tokens=40)
    assert not meter.affords(tokens=41)
    assert meter.affords(flops=1e30, seconds=1e9), "only the budget's own unit limits"


def test_flops_that_sum_to_the_budget_with_rounding_still_fit():
    meter = Meter(Budget(1.0, "flops"))
    for _ in range(10):
        assert meter.affords(flops=0.1)
        meter.charge(flops=0.1)
    assert meter.share() <= 1.0


@pytest.mark.parametrize(
    ("budget", "charge"),
    [
        (Budget(100, "flops"), {"flops": 101.0}),
        (Budget(100, "tok"), {"tokens": 101}),
        (Budget(100, "tok"), {"tokens": 50, "generated": 51}),
    ],
)
def test_passing_a_counted_budget_is_a_defect_that_is_raised(budget, charge):
    with pytest.raises(BudgetExceeded, match=f"101 of 100{budget.unit}"):
        Meter(budget).charge(**charge)


def test_without_a_budget_everything_is_counted_and_nothing_limited():
    meter = Meter(None)
    meter.charge(flops=1e30, tokens=10**9)
    assert meter.affords(flops=1e30, tokens=10**9, seconds=1e9)
    assert (meter.spent(), meter.share(), meter.price(flops=5.0), meter.flops) == (0.0, 0.0, 0.0, 1e30)


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that stands still until it is told the time."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("harness.budget.time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_seconds_run_from_start_to_stop_only(clock):
    meter = Meter(Budget(10, "s"))
    clock.now += 5
    assert meter.seconds == 0
    meter.start()
    clock.now += 3
    assert meter.seconds == 3, "a running meter tells the time so far"
    meter.stop()
    clock.now += 100
    assert meter.seconds == 3
    meter.stop()
    meter.start()
    clock.now += 4
    meter.stop()
    assert meter.spent() == 7
    assert meter.share() == 0.7
    assert meter.affords(seconds=3)
    assert not meter.affords(seconds=3.1)


def test_a_clock_that_ran_over_is_no_error_and_its_share_is_one(clock):
    meter = Meter(Budget(10, "s"))
    meter.start()
    clock.now += 12
    meter.charge(flops=1.0, tokens=1)
    assert meter.share() == 1.0
    assert not meter.affords()


def test_dollars_are_local_seconds_at_their_price_and_what_was_charged(clock):
    meter = Meter(Budget(2, "usd"), usd_per_hour=7.2)
    meter.start()
    clock.now += 500
    meter.stop()
    assert meter.usd == pytest.approx(1.0)
    meter.usd_charged += 0.5
    assert meter.spent() == pytest.approx(1.5)
    assert meter.price(seconds=250, flops=1e30) == pytest.approx(0.5)
    assert meter.affords(seconds=249)
    assert not meter.affords(seconds=251)
