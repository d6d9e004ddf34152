"""Which runs a sweep has: ranges, random draws, what is refused, what a sweep would take."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer
from hypothesis import assume, given
from hypothesis import strategies as st

from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError
from tuirnn.sweeping.points import drawn
from tuirnn.sweeping.space import Choices, Range, listed, parse

# ── ranges ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text", "axis"),
    [
        ("hidden", "64..512:64", Range(64, 512, 64)),
        ("seed", "0..9", Range(0, 9, 1)),
        ("hidden", "log:16..512", Range(16, 512, 0, True)),
        ("lr", " log:1e-4..1e-2 ", Range(1e-4, 1e-2, 0, True)),
        ("dropout", "0..0.5:0.1", Range(0.0, 0.5, 0.1)),
        ("lr", "1e-3,2e-3", Choices((0.001, 0.002))),
    ],
)
def test_ranges(name: str, text: str, axis: Any) -> None:
    assert parse(name, text) == axis


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("hidden", "8..4", "must end above it, not at 4"),
        ("hidden", "4..4", "must end above it"),
        ("hidden", "4..8.5", "is no range of whole numbers: give LOW..HIGH"),
        ("hidden", "4..", "is no range"),
        ("hidden", "1,2..4", "is no range"),
        ("lr", "log:1e-3", "is no range"),
        ("lr", "0.1...0.5x", "is no range"),
        ("hidden", "0..8", "--hidden must be at least 1"),
        ("dropout", "0..nan", "--dropout takes a finite number"),
        ("dropout", "log:0..0.5", "ratios need a beginning above 0"),
        ("hidden", "log:4..8:2", "a range by ratios has no step; leave out 'log:' or ':2'"),
        ("hidden", "64..500:64", "steps of 64 from 64 reach 448 and 512, not 500"),
        ("hidden", "4..8:0", "the step must be above 0 and at most 4, not 0"),
        ("dropout", "0..0.5:inf", "the step must be above 0"),
    ],
)
def test_a_range_that_is_none_is_refused_with_the_reason(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse(name, text)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@given(st.data())
def test_a_range_holds_what_it_draws_and_lists(data: st.DataObject) -> None:
    low, count, step = (data.draw(st.integers(1, 250)) for _ in range(3))
    log = data.draw(st.booleans())
    high = low + count * step
    axis = parse("hidden", f"log:{low}..{high}" if log else f"{low}..{high}:{step}")
    assert isinstance(axis, Range)
    value = axis.draw(random.Random(data.draw(st.integers(0, 99))))
    assert type(value) is int
    assert low <= value <= high
    if log:
        assert not axis.values
    else:
        assert axis.values == tuple(range(low, high + 1, step))
        assert value in axis.values


@given(st.floats(1e-11, 1.0), st.floats(1e-11, 1.0), st.booleans(), st.integers(0, 99))
def test_a_range_of_numbers_holds_what_it_draws(one: float, other: float, log: bool, seed: int) -> None:
    assume(one != other)
    low, high = sorted((one, other))
    axis = parse("lr", f"{'log:' * log}{low!r}..{high!r}")
    assert isinstance(axis, Range)
    assert low <= axis.draw(random.Random(seed)) <= high
    with pytest.raises(ConfigError, match=r"range without steps.*--trials"):
        listed("lr", axis)


@given(st.text(max_size=20))
def test_any_text_is_values_or_one_clear_line(text: str) -> None:
    for name in ("hidden", "lr", "residual", "cell"):
        try:
            assert parse(name, text)
        except ConfigError as error:
            assert "\n" not in str(error)


def test_ratios_are_equally_likely() -> None:
    axis, generator = parse("lr", "log:1e-4..1e-2"), random.Random(0)
    below = sum(axis.draw(generator) < 1e-3 for _ in range(2000))
    assert abs(below - 1000) < 5 * math.sqrt(500)


def test_draws_are_reproducible_and_no_two_are_alike() -> None:
    axes = {"hidden": parse("hidden", "8..32:8"), "lr": parse("lr", "log:1e-4..1e-2"), "cell": parse("cell", "rnn,gru")}
    some, more = drawn(RunConfig(), axes, "s", 5, 3), drawn(RunConfig(), axes, "s", 9, 3)
    assert [(p.name, p.at) for p in more[:5]] == [(p.name, p.at) for p in some]
    assert some[0].name == "s-000"
    assert some[0].config.train.lr == some[0].at["lr"] == float(f"{some[0].at['lr']:.4g}")
    few = drawn(RunConfig(), {"hidden": axes["hidden"]}, "s", 100, 0)
    assert sorted(p.at["hidden"] for p in few) == [8, 16, 24, 32]


# ── what is refused, what it would take ──────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lr 1e-4..1e-2", "range without steps, which a grid cannot list"),
        ("--lr 1e-4..1e-2 --search tpe", "--search tpe needs an end: --trials N or --time-budget MINUTES"),
        ("--seed 0..3 --trials 3 --search grid", "--trials is for --search random, tpe or gp"),
        ("--seed 0..3 --search-seed 3", "--search-seed is for --search random, tpe or gp"),
        ("--seed 0..3 --trials 0", "--trials must be from 1 to 1,000, not 0"),
        ("--seed 0..3 --retry -1", "--retry must be from 0 to 1,000, not -1"),
        ("--seed 0..3 --time-budget -1", "--time-budget must be a number of minutes from 0 on, not -1"),
        ("--seed 0..3 --cpus 2", "--cpus is for --on ray"),
        ("--seed 0..3 --on cloud", "--on 'cloud' is unknown"),
        ("--seed 0..3 --prune fast", "--prune 'fast' is unknown"),
        ("--tokens char,byte --trials 2 --search tpe", "--tokens changes the data"),
        ("--lr log:1e-4..1e-2 --trials 3 --cell gru --nonlinearity relu", "--nonlinearity"),
        ("--seed 3", "a sweep needs a setting with several values"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(answer: Callable[..., Answer], words: str, said: str) -> None:
    code, out, err = answer("sweep", *words.split(), "--dry-run")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_dry_run_says_what_a_sweep_takes(answer: Callable[..., Answer], small_text: Path) -> None:
    words = ["sweep", str(small_text), "--hidden", "8..24:8", "--minutes", "1,2", "--jobs", "2", "--dry-run"]
    code, out, _ = answer(*words)
    assert code == 0
    assert "6 runs" in out
    assert "of memory" in out
    assert "about 4:30 with 2 at a time" in out
    said = json.loads(answer(*words, "--json").out)
    assert (said["runs"], said["done"], said["seconds"], said["unknown"]) == (6, 0, 270.0, 0)
    assert not Path("checkpoints").exists()
    one = json.loads(answer(*words[:5], "1", *words[6:], "--json", "--jobs", "1").out)
    assert one["memory"] < said["memory"]
    assert "time unknown for 2 runs" in answer("sweep", str(small_text), "--seed", "0,1", "--dry-run").out
