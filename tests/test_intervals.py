"""Which forecast a column is answered with, and the intervals around it: what they hold, and what they follow."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.calibration import COVERAGE, LAST, NETWORK, SEASONAL, Calibration
from tuirnn.errors import DataError
from tuirnn.scaling import Scaling
from tuirnn.tasks.forecast import lately, report
from tuirnn.tasks.forecast.figures import Figures, calibrate

# ── fallback and intervals ───────────────────────────────────────────────────────


def figures(network: float, last: float, seasonal: float, *, n: int = 400, seed: int = 0) -> Figures:
    """Normal errors of these deviations, one column; roll-outs of three steps."""
    rng = np.random.default_rng(seed)
    sizes = {NETWORK: network, LAST: last, SEASONAL: seasonal}
    return Figures(
        one={method: rng.normal(0, size, (n, 1)) for method, size in sizes.items()},
        ahead={method: rng.normal(0, size, (3, n // 4, 1)) for method, size in sizes.items()},
        truth=np.zeros((3, 1)), forecast=np.zeros((3, 1)), scaling=Scaling(("a",), (0.0,), (1.0,)), season=7,
        naive_mae=np.full(1, 0.8 * seasonal), calibration=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "best"), [((1.0, 2.0, 3.0), NETWORK), ((2.0, 1.0, 3.0), LAST), ((3.0, 2.0, 1.0), SEASONAL)]
)
def test_a_column_is_forecast_by_what_was_best(sizes: tuple[float, float, float], best: str) -> None:
    found = calibrate(figures(*sizes))
    assert (found.one_step, found.rollout) == ((best,), (best,))
    judged = Figures(**{**vars(figures(*sizes, seed=1)), "calibration": found})
    assert judged.answer.mse[0] == min(errors.mse[0] for errors in judged.errors.values())
    covered = judged.covered()
    assert covered is not None
    for share in covered:
        assert abs(share[0] - COVERAGE) < 0.05
    said = " ".join(report.fallbacks(found, ("a",)))
    assert ("which the network did not beat" in said) == (best != NETWORK)


def wandering(rng: np.random.Generator, n: int, horizon: int, scale: float, naive: float) -> Figures:
    """Errors of a random walk forecast by its last value: those of roll-outs that begin close together are alike."""
    walk = np.cumsum(rng.normal(0, scale, n))
    begins = np.unique(np.linspace(0, n - horizon - 1, 32).astype(int))
    ahead = walk[begins[None, :] + 1 + np.arange(horizon)[:, None]] - walk[begins]  # [H, R]
    return Figures(
        one={NETWORK: np.diff(walk)[:, None], LAST: 2 * np.diff(walk)[:, None]},
        ahead={NETWORK: ahead[..., None], LAST: 2 * ahead[..., None]},
        truth=np.zeros((1, 1)), forecast=np.zeros((1, 1)), scaling=Scaling(("a",), (0.0,), (1.0,)), season=1,
        naive_mae=np.full(1, naive), calibration=None,
    )  # fmt: skip


@pytest.mark.parametrize(("n", "horizon"), [(40, 20), (100, 10), (300, 100)])
def test_intervals_of_few_independent_errors_hold_what_they_say(n: int, horizon: int) -> None:
    rng, shares = np.random.default_rng(2), []
    for _ in range(150):
        known = calibrate(wandering(rng, n, horizon, 1.0, 1.6))
        covered = Figures(**{**vars(wandering(rng, n, horizon, 1.0, 1.6)), "calibration": known}).covered()
        assert covered is not None
        shares.append([float(part[0]) for part in covered])
    one, ahead = np.mean(shares, 0)
    assert abs(one - COVERAGE) < 0.05
    assert abs(ahead - COVERAGE) < 0.05


def test_a_calm_validation_part_does_not_make_intervals_narrow() -> None:
    def widths(naive: float) -> np.ndarray[Any, Any]:
        return np.mean([calibrate(wandering(np.random.default_rng(i), 40, 10, 1.0, naive)).widths for i in range(9)], 0)

    assert (widths(4.8) > 1.5 * widths(1.6)).all()
    np.testing.assert_array_equal(widths(0.1), widths(math.nan))


def test_widths_between_and_beyond_the_kept_steps() -> None:
    found = Calibration(1, (NETWORK,), (NETWORK,), (1.0,), (1, 3), ((2.0,), (4.0,)))
    assert found.half_widths(12)[:, 0].tolist() == [2, 3, 4, *(4 * math.sqrt(h / 3) for h in range(4, 13))]
    again = Calibration.from_json(json.loads(json.dumps(found.to_json())), 1)
    assert again == found


@pytest.mark.parametrize(
    "damage",
    [{"season": 0}, {"one_step": ["oracle"]}, {"rollout": []}, {"steps": [3, 1]}, {"widths": [[1.0], [-1.0]]},
     {"widths": [[1.0]]}, {"naive_mae": ["x"]}, {"steps": "1"}, {"one_step": [{}]}],
)  # fmt: skip
def test_damaged_calibrations_are_refused(damage: dict[str, Any]) -> None:
    good = Calibration(1, (NETWORK,), (LAST,), (1.0,), (1, 3), ((2.0,), (4.0,))).to_json()
    with pytest.raises(DataError, match="calibration is damaged"):
        Calibration.from_json({**good, **damage}, 1)


@pytest.mark.parametrize("damage", [{"usual": [1.0, 2.0]}, {"scores": []}, {"usual": [-1.0]}, {"scores": "1"}])
def test_damaged_scores_are_refused(damage: dict[str, Any]) -> None:
    good = Calibration(1, (NETWORK,), (LAST,), (1.0,), (1,), ((2.0,),), (0.5,), (1.7,))
    assert Calibration.from_json(good.to_json(), 1) == good
    with pytest.raises(DataError, match="calibration is damaged"):
        Calibration.from_json({**good.to_json(), **damage}, 1)


@given(st.lists(st.one_of(st.none(), st.floats(-9, 9)), max_size=90), st.floats(0.1, 9))
def test_the_latest_errors_count_as_a_recursion_says(errors: list[float | None], usual: float) -> None:
    """v becomes v + (e² − v)(1 − λ); an error that is not known counts as the usual one."""
    found = lately.deviation(np.array([[np.nan if e is None else e] for e in errors]).reshape(-1, 1), np.array([usual]))
    assert len(found) == len(errors) + 1
    for end in range(len(errors) + 1):
        v = usual**2
        for e in errors[max(0, end - lately.RECENT) : end]:
            v += ((usual if e is None else e) ** 2 - v) * (1 - lately.DECAY)
        assert found[end, 0] == pytest.approx(math.sqrt(v))


def test_intervals_follow_a_series_that_becomes_wilder_and_calm_again() -> None:
    """Errors of one step grow threefold, then shrink; fixed widths would hold too few, then all."""
    rng = np.random.default_rng(3)
    calm = {NETWORK: rng.normal(0, 1, (400, 1)), LAST: rng.normal(0, 2, (400, 1))}
    rest: dict[str, Any] = {**vars(figures(1, 2, 3)), "season": 1}
    rest["ahead"] = {method: rng.normal(0, 1 + (method == LAST), (3, 100, 1)) for method in calm}
    known = calibrate(Figures(**{**rest, "one": calm}))
    scale = np.repeat([1.0, 3.0, 0.3], 300)[:, None]
    wild = {NETWORK: rng.normal(0, scale), LAST: rng.normal(0, 2 * scale)}
    each = Figures(**{**rest, "one": wild, "calibration": known})
    width = each.deviations(known.one_step, np.array(known.usual))[0] * known.scores
    inside = np.abs(wild[NETWORK]) <= width
    assert all(abs(inside[part].mean() - COVERAGE) < 0.06 for part in (slice(300), slice(320, 600), slice(630, 900)))
    fixed = np.abs(wild[NETWORK]) <= known.half_widths(1)[0]
    assert fixed[320:600].mean() < 0.6
    assert fixed[630:].all()
