"""Forecasts of a held-out part: one step ahead, and rolled out, each forecast fed back as input; in numpy alone.

One definition for the trainer's network and for the cell file: whatever reads points and answers with the next ones is
a `Reader`. A network that learned from windows reads the last `look_back` points from a zero state for each forecast;
one that learned from every step carries its state along (`look_back` 0). Beside them stand the naive forecasts: the
last value, and the value one season before.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tuirnn.calibration import LAST, NETWORK, SEASONAL, Calibration
from tuirnn.scaling import Scaling, Series
from tuirnn.tasks.forecast import lately
from tuirnn.tasks.forecast.figures import Figures, Part, chosen
from tuirnn.tasks.forecast.season import seasonal
from tuirnn.tasks.history import History

ORIGINS, CALIBRATING = 32, 128
"""Places from which a roll-out is measured, spread over the held-out part; those that intervals are made of."""

WARM_UP = 512
"""Points before a place that a carried state is made of."""

LANES, LANE, CHUNK = 64, 256, 64
"""Sequences side by side at most, the least points of one, and the points of one call."""

Rows = npt.NDArray[np.int64]
Check = Callable[[], None]


class Reader(Protocol):
    """Reads points and answers each with the next one; in the data's own units."""

    def begin(self, batch: int) -> None:
        """Go to the zero state of `batch` sequences."""

    def read(self, x: Series) -> Series:
        """Points with their calendar [T, B, ·] to the forecasts after each of them [T, B, F]; the state goes on."""


def measure(
    reader: Reader,
    histories: Sequence[History],
    scaling: Scaling,
    *,
    look_back: int,
    season: int = 1,
    naive_mae: Series | None = None,
    calibration: Calibration | None = None,
    origins: int = ORIGINS,
    check: Check = lambda: None,
) -> Figures:
    """Judge forecasts of held-out parts.

    Args:
        reader: the network.
        histories: the series, one for each group, up to the parts' ends; what lies before a part may be read, as one
            could in time. Each part begins at least at 1 and `look_back`; a part that is shorter than the horizon
            shortens its roll-outs.
        scaling: of the training part.
        look_back: see above.
        season: points; 1: none.
        naive_mae: what MASE divides by, [F]; None: not known.
        calibration: which columns are forecast naively, and the intervals; None: none of either.
        origins: roll-outs of each series, at most.
        check: called now and then; it may raise.
    """
    one: dict[str, list[Series]] = {}
    ahead: dict[str, list[Series]] = {}
    shown: list[Series] = []
    parts: list[Part] = []
    with np.errstate(over="ignore", invalid="ignore"):  # a network that runs away has errors that say so
        for history in histories:
            earlier = _earlier(history, look_back)
            errors = _one_step_errors(reader, replace(history, first=history.first - earlier), look_back, season, check)
            begins, rolled, truth, forecast = _rolled_errors(reader, history, look_back, season, origins, check)
            for method, found in errors.items():
                one.setdefault(method, []).append(found[earlier:])
                ahead.setdefault(method, []).append(rolled[method])
            parts.append(Part({method: found[:earlier] for method, found in errors.items()}, begins - history.first))
            shown = shown or [truth, forecast]
    return Figures(
        one={method: np.concatenate(errors) for method, errors in one.items()},
        ahead={method: _side_by_side(errors) for method, errors in ahead.items()},
        truth=shown[0],
        forecast=shown[1],
        scaling=scaling,
        season=season,
        naive_mae=np.full(len(scaling), np.nan) if naive_mae is None else naive_mae,
        calibration=calibration,
        parts=tuple(parts),
        counts=tuple(map(len, one[NETWORK])),
    )


def _earlier(history: History, look_back: int) -> int:
    """How many points before a part are forecast too, for the errors that its first intervals follow."""
    return min(lately.RECENT, history.first - max(1, look_back))


def _one_step_errors(reader: Reader, history: History, look_back: int, season: int, check: Check) -> dict[str, Series]:
    """Errors of one step by method, [N, F]."""
    values, rows = history.values, np.arange(history.first, len(history.values))
    made = {NETWORK: _one_step(reader, history, look_back, check), LAST: values[rows - 1]}
    if season > 1:
        made[SEASONAL] = seasonal(values, rows, rows, season)
    return {method: said - _known(history)[rows] for method, said in made.items()}


def _rolled_errors(
    reader: Reader, history: History, look_back: int, season: int, origins: int, check: Check
) -> tuple[Rows, dict[str, Series], Series, Series]:
    """Where roll-outs begin [R], their errors by method [H, R, F]; truth and forecast of the first."""
    values = history.values
    begins, ahead = _roll_outs(reader, history, look_back, origins, check)
    places = begins[None, :] + np.arange(len(ahead))[:, None]  # [H, R]
    made = {NETWORK: ahead, LAST: np.broadcast_to(values[begins - 1], ahead.shape)}
    if season > 1:
        made[SEASONAL] = seasonal(values, places, np.broadcast_to(begins, places.shape), season)
    known = _known(history)[places]
    return begins, {method: rolled - known for method, rolled in made.items()}, values[places[:, 0]], ahead[:, 0]


def _known(history: History) -> Series:
    """The values that are in the data, NaN for others."""
    return history.values if history.real is None else np.where(history.real, history.values, np.nan)


def latest_errors(reader: Reader, history: History, look_back: int, season: int, methods: Sequence[str]) -> Series:
    """Errors of one step of a history's last points, the newest last [K, F]: each column by its method."""
    n, F = history.values.shape
    whole = replace(history, first=n)
    earlier = _earlier(whole, look_back)
    if earlier < 1:
        return np.empty((0, F))
    found = _one_step_errors(reader, replace(whole, first=n - earlier), look_back, season, lambda: None)
    return chosen(found, methods)


def _side_by_side(errors: Sequence[Series]) -> Series:
    """Errors of roll-outs [H, R, F] of series whose horizons differ, NaN beyond the shorter ones' ends."""
    horizon = max(map(len, errors))
    return np.concatenate(
        [np.pad(part, ((0, horizon - len(part)), (0, 0), (0, 0)), constant_values=np.nan) for part in errors], 1
    )


def roll_out(
    reader: Reader,
    history: Series,
    horizon: int,
    look_back: int,
    calendar: Series | None = None,
    check: Check = lambda: None,
) -> Series:
    """Forecast `horizon` steps from the end of a history.

    Args:
        reader: the network.
        history: what it may read, with its calendar [W, B, ·], W at least 1 and `look_back`.
        horizon: steps.
        look_back: points that each forecast reads from a zero state; 0: the state is carried.
        calendar: beside each of the forecasts but the last, [horizon, B, ·]; None: nothing.
        check: called at each step; it may raise.
    Returns:
        [horizon, B, F].
    """
    B = history.shape[1]
    made: list[Series] = []
    window, last = history[-look_back:], history[-1:]
    if not look_back:
        reader.begin(B)
        for start in range(0, len(history), CHUNK):
            check()
            answer = reader.read(history[start : start + CHUNK])
    for step in range(horizon):
        check()
        if look_back:
            reader.begin(B)
            answer = reader.read(window)
        elif step:
            answer = reader.read(last)
        made.append(answer[-1])
        last = made[-1][None] if calendar is None else np.concatenate([made[-1], calendar[step]], -1)[None]
        window = np.concatenate([window[1:], last]) if look_back else window
    return np.stack(made)


def fed(history: History) -> Series:
    """The points of a history with their calendar, [n, ·]."""
    return history.values if history.calendar is None else np.concatenate([history.values, history.calendar], 1)


def _one_step(reader: Reader, history: History, look_back: int, check: Check) -> Series:
    """Forecasts of the held-out part from the true points before each, [n - first, F]."""
    x, first = fed(history), history.first
    count = len(x) - first
    if look_back:
        made = np.empty((count, history.values.shape[1]))
        for start in range(0, count, LANE):
            check()
            targets = first + np.arange(start, min(start + LANE, count))
            reader.begin(len(targets))
            made[targets - first] = reader.read(x[_windows(targets, look_back)])[-1]
        return made
    lanes = max(1, min(LANES, count // LANE))
    length, warm = -(-count // lanes), min(WARM_UP, first - 1)
    begins = first - 1 + length * np.arange(lanes)
    reader.begin(lanes)
    answers = np.empty((warm + length, lanes, history.values.shape[1]))  # none is kept among what a call frees
    for start in range(-warm, length, CHUNK):
        check()
        steps = np.arange(start, min(start + CHUNK, length))
        places = np.minimum(begins[None, :] + steps[:, None], len(x) - 1)  # the last lane may reach beyond
        answers[steps + warm] = reader.read(x[places])
    lane_by_lane = answers[warm:].swapaxes(0, 1)  # [lanes, length, F]
    return lane_by_lane.reshape(lanes * length, -1)[:count]


def _windows(ends: Rows, length: int) -> Rows:
    """Indices [length, B] of the points before each end [B]."""
    return ends[None, :] + np.arange(-length, 0)[:, None]


def _roll_outs(reader: Reader, history: History, look_back: int, most: int, check: Check) -> tuple[Rows, Series]:
    """Where the roll-outs begin [R], and the forecasts [H, R, F]."""
    x, first = fed(history), history.first
    horizon = min(history.horizon, len(x) - first)
    origins = np.unique(np.linspace(first, len(x) - horizon, most).astype(np.int64))
    before = x[_windows(origins, look_back or min(WARM_UP, first))]
    calendar = history.calendar
    beside = None if calendar is None else calendar[origins[None, :] + np.arange(horizon)[:, None]]
    return origins, roll_out(reader, before, horizon, look_back, beside, check)
