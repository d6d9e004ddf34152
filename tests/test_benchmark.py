"""`tuirnn bench train`: the same weights on both sides, and consistent figures."""

import itertools
import json
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tuirnn import compiling
from tuirnn.cells import CELLS
from tuirnn.cli import app
from tuirnn.errors import ConfigError, VerificationError
from tuirnn.runtime import benchmark as running
from tuirnn.training import contenders
from tuirnn.training.benchmark import compare
from tuirnn.training.contenders import Case, check
from tuirnn.training.profile import CLIP, PARTS, REST, UPDATE, Stopwatch, parts_of_a_step
from tuirnn.training.rounds import PATIENCE, QUIET, LoadMonitor, interleaved

SMALL = {"small": (3, 5, 8)}


@pytest.mark.parametrize(("what", "dtype"), [("layer", "float32"), ("model", "float32"), ("model", "bfloat16")])
@pytest.mark.parametrize("cell", CELLS)
def test_a_comparison_in_this_process(
    cell: str, dtype: str, what: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contenders, "SQUARE", 64)
    (lines,) = compare([cell], SMALL, rounds=1, what=what, embed=6, dtype=dtype)
    forward, both = lines
    assert both.peer == ("torch.nn" if CELLS[cell].in_torch else "autograd")
    assert (forward.backward, both.backward) == (False, True)
    assert (both.embed, both.dtype, both.against) == (8 if what == "layer" else 6, dtype, "float32")
    for line in lines:
        assert line.ratio == pytest.approx(line.theirs / line.ours)
        assert line.share == pytest.approx(line.flops / line.ours / line.matrix_flops)
        assert line.low <= line.high
        assert line.best_flops >= line.matrix_flops
        assert line.peak is line.peak_theirs is None
    assert both.flops == 3 * forward.flops


def test_both_sides_have_the_same_weights_and_the_check_would_see_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for what in ("layer", "model"):
        case = Case(what, "gru", 3, 5, 8, 8 if what == "layer" else 6, False)
        with torch.no_grad():
            ours, theirs = contenders._ours(case).outputs(), contenders._theirs(case).outputs()
        assert torch.allclose(ours, theirs, atol=1e-5)
        check(case, "float32")
    monkeypatch.setattr(contenders, "_copy", lambda *_: None)
    with pytest.raises(VerificationError, match="differs by"):
        check(case, "float32")


def test_nominal_operations() -> None:
    """The formula of the field: 2gH(I + H) a token forward, three times that with backward."""
    assert Case("layer", "lstm", 2, 3, 16, 16, False).flops == 2 * 4 * 16 * (16 + 16) * 2 * 3
    assert Case("model", "gru", 2, 3, 16, 4, True).flops == 3 * (2 * 3 * 16 * (4 + 16) + 2 * 16 * 65) * 2 * 3


def test_rounds_run_every_contender_in_turn_and_drop_the_first() -> None:
    calls: list[str] = []

    def clock(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    times, disturbed = interleaved({"a": lambda: clock("a"), "b": lambda: clock("b")}, 3, Recorded([1.0] * 4))
    assert calls == ["a", "b"] * 4
    assert times == {"a": [3.0, 5.0, 7.0], "b": [4.0, 6.0, 8.0]}
    assert disturbed == 0


class Recorded(LoadMonitor):
    """A machine whose slowness is known beforehand."""

    def __init__(self, slowness: list[float]) -> None:
        self.slowness = iter(slowness)

    def __call__(self) -> float:
        now = next(self.slowness)
        self.quickest = min(self.quickest, now)
        return now


@given(st.lists(st.sampled_from([1.0, 1.2, 1.5, 2.0, 3.0]), min_size=20, max_size=20), st.integers(1, 6))
def test_disturbed_rounds_are_made_again_and_the_quietest_count(slowness: list[float], rounds: int) -> None:
    """A round is as disturbed as the worse of the probes before and after it; its own times do not matter."""
    calls = itertools.count()
    times, disturbed = interleaved({"a": lambda: float(next(calls))}, rounds, Recorded(slowness))
    made = next(calls) - 1
    assert rounds <= made <= PATIENCE * rounds
    around = [max(pair) for pair in itertools.pairwise(slowness[: made + 1])]
    still = QUIET * min(slowness[: made + 1])
    chosen = [int(n) - 1 for n in times["a"]]
    assert len(set(chosen)) == rounds
    assert disturbed == sum(around[n] > still for n in chosen)
    left = [around[n] for n in range(made) if n not in chosen]
    assert all(slow > still for slow in left)
    assert not disturbed or (made == PATIENCE * rounds and max(around[n] for n in chosen) <= min(left))


def test_the_portable_loop_runs_in_a_process_without_the_compiled_one() -> None:
    before = dict(os.environ)
    words = ["--cell", "rnn", "--shape", "3x5x8", "--kernels", "portable", "--rounds", "1", "--no-memory", "--json"]
    done = CliRunner().invoke(app, ["bench", "train", *words])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert [(row["kernels"], row["shape"], row["backward"]) for row in report["rows"]] == [
        ("portable", "3×5×8", False), ("portable", "3×5×8", True),
    ]  # fmt: skip
    assert os.environ == before


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_profile_adds_up_and_leaves_everything_as_it_was(cell: str) -> None:
    before = [getattr(owner, name) for places in PARTS.values() for owner, name in places]
    parts = parts_of_a_step(Case("model", cell, 4, 6, 16, 8, True), 3)
    assert [getattr(owner, name) for places in PARTS.values() for owner, name in places] == before
    assert all(seconds > 0 for seconds in parts.values()), parts
    assert {*PARTS, REST, CLIP, UPDATE} == set(parts)


def test_time_belongs_to_the_innermost_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(now)))
    watch = Stopwatch(lambda: None)
    with watch.part("outer"):
        with watch.part("inner"):
            pass
        watch.around("inner", lambda: None)()
    assert watch.seconds == {"outer": 3.0, "inner": 2.0}


def test_profile_as_json() -> None:
    done = CliRunner().invoke(app, ["bench", "train", "--cell", "rnn", "--shape", "2x3x8", "--profile", "--json"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.output)["rows"]
    assert row["seconds"] == pytest.approx(sum(row["parts"].values()))
    assert (row["cell"], row["batch"], row["length"], row["hidden"], row["embed"]) == ("rnn", 2, 3, 8, 8)


@pytest.mark.parametrize("cell", CELLS)
def test_any_cell_can_be_timed_as_a_cell_file(cell: str, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compiler", lambda language: None)  # the C cell has tests of its own
    monkeypatch.setattr(running, "bandwidth", lambda size: 1e9)
    words = ["--grid", "--networks", f"{cell}-8x2", "--rounds", "1", "--seconds", "0.001", "--json"]
    done = CliRunner().invoke(app, ["bench", "cell", *words])
    assert done.exit_code == 0, done.output
    rows = {row["what"]: row["per_s"] for row in json.loads(done.output)["rows"]}
    assert all(speed > 0 for speed in rows.values())
    for precision in ("fp32", "int8"):
        assert f"{cell.upper()}-8×2 {precision}: steps" in rows
    kind = "" if CELLS[cell].in_torch else " (autograd, torch.nn has none)"
    assert f"PyTorch eager{kind}: characters" in rows


@pytest.mark.parametrize("words", ["lstm", "lstm-0x", "nothing-8", "lstm-8x", ""])
def test_networks_that_are_none_are_refused(words: str) -> None:
    done = CliRunner().invoke(app, ["bench", "cell", "--grid", "--networks", words])
    assert isinstance(done.exception, ConfigError)
    assert "--networks" in str(done.exception)
