"""How good forecasts are: one step ahead, and rolled out, each forecast read as if it were true; in numpy alone.

One definition for the trainer's network and for the cell file: whatever reads points and answers with the next ones is
a `Reader`. A network that learned from windows reads the last `look_back` points from a zero state for each forecast;
one that learned from every step carries its state along (`look_back` 0).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tuirnn.scaling import Scaling, Series

HORIZONS = (1, 10, 50, 200, 1000)
"""Steps ahead at which errors are listed, as far as a roll-out goes."""

ORIGINS = 32
"""Places from which a roll-out is measured, spread over the held-out part."""

WARM_UP = 512
"""Points before a place that a carried state is made of."""

LANES, LANE, CHUNK = 64, 256, 256
"""Sequences side by side at most, the least points of one, and the points of one call."""


class Reader(Protocol):
    """Reads points and answers each with the next one; in the data's own units."""

    def begin(self, batch: int) -> None:
        """Go to the zero state of `batch` sequences."""

    def read(self, x: Series) -> Series:
        """Points [T, B, F] to the forecasts after each of them [T, B, F]; the state goes on."""


@dataclass(frozen=True)
class Figures:
    """Errors in the data's own units, column by column, and beside them those of saying the last value again.

    Attributes:
        points: forecast one step ahead.
        mse, mae, naive_mse, naive_mae: of one step, [F].
        rmse, naive_rmse: of the roll-outs at each step ahead, [H, F].
        rollout_rmse, naive_rollout_rmse: over all their steps, [F].
        origins: how many roll-outs.
        truth, forecast: of the first one, [H, F].
        scaling: for figures over all columns, in deviations of the training part.
    """

    points: int
    mse: Series
    mae: Series
    naive_mse: Series
    naive_mae: Series
    rmse: Series
    naive_rmse: Series
    rollout_rmse: Series
    naive_rollout_rmse: Series
    origins: int
    truth: Series
    forecast: Series
    scaling: Scaling

    @property
    def loss(self) -> float:
        """Squared error of one step, in squared deviations, mean over the columns."""
        return self.overall(self.mse)

    def overall(self, squared: Series) -> float:
        """Squared errors [F] as one figure, in squared deviations."""
        return float((squared / np.array(self.scaling.std) ** 2).mean())

    def absolute(self, errors: Series) -> float:
        """Absolute errors [F] as one figure, in deviations."""
        return float((errors / np.array(self.scaling.std)).mean())

    @property
    def horizons(self) -> tuple[int, ...]:
        """The steps ahead that are listed: those of `HORIZONS`, and the last."""
        last = len(self.rmse)
        return tuple(sorted({*(h for h in HORIZONS if h <= last), last}))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `columns` in the data's own units, the rest in deviations."""
        columns = {
            name: {
                **{key: float(getattr(self, key)[f]) for key in PER_COLUMN},
                "rmse": {str(h): float(self.rmse[h - 1, f]) for h in self.horizons},
                "naive_rmse": {str(h): float(self.naive_rmse[h - 1, f]) for h in self.horizons},
            }
            for f, name in enumerate(self.scaling.columns)
        }
        return {
            "points": self.points,
            "horizon": len(self.rmse),
            "origins": self.origins,
            "mse": self.loss,
            "naive_mse": self.overall(self.naive_mse),
            "mae": self.absolute(self.mae),
            "rollout_rmse": self.overall(self.rollout_rmse**2) ** 0.5,
            "columns": columns,
        }


PER_COLUMN = ("mse", "mae", "naive_mse", "naive_mae", "rollout_rmse", "naive_rollout_rmse")


def measure(
    reader: Reader,
    values: Series,
    first: int,
    scaling: Scaling,
    *,
    look_back: int,
    horizon: int,
    real: npt.NDArray[np.bool_] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Figures:
    """Judge forecasts of a held-out part.

    Args:
        reader: the network.
        values: the series [n, F] up to the part's end; what lies before the part may be read, as one could in time.
        first: where the part begins, at least 1 and `look_back`.
        scaling: of the training part.
        look_back: see above.
        horizon: steps of the roll-outs; a shorter part shortens them.
        real: which values judge [n, F]; the others are filled in. None: all.
        check: called now and then; it may raise.
    """
    known = values if real is None else np.where(real, values, np.nan)
    mean = np.mean if real is None else _mean_of_real
    with np.errstate(over="ignore", invalid="ignore"):  # a network that runs away has errors that say so
        errors = _one_step(reader, values, first, look_back, check) - known[first:]
        naive = values[first - 1 : -1] - known[first:]
        origins, forecasts = _roll_outs(reader, values, first, look_back, horizon, check)
        ahead = origins[None, :] + np.arange(len(forecasts))[:, None]
        truth = known[ahead]  # [H, R, F]
        off, naive_off = (forecasts - truth) ** 2, (values[origins - 1][None] - truth) ** 2
        return Figures(
            points=len(errors),
            mse=mean(errors**2, 0),
            mae=mean(np.abs(errors), 0),
            naive_mse=mean(naive**2, 0),
            naive_mae=mean(np.abs(naive), 0),
            rmse=np.sqrt(mean(off, 1)),
            naive_rmse=np.sqrt(mean(naive_off, 1)),
            rollout_rmse=np.sqrt(mean(off, (0, 1))),
            naive_rollout_rmse=np.sqrt(mean(naive_off, (0, 1))),
            origins=len(origins),
            truth=values[ahead[:, 0]],
            forecast=forecasts[:, 0],
            scaling=scaling,
        )


def _mean_of_real(values: Series, axis: int | tuple[int, ...]) -> Series:
    """Mean over the values that are there; NaN where there is none."""
    there = ~np.isnan(values)
    total, count = np.where(there, values, 0.0).sum(axis), there.sum(axis)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0), np.float64)


def roll_out(
    reader: Reader, history: Series, horizon: int, look_back: int, check: Callable[[], None] = lambda: None
) -> Series:
    """Forecast `horizon` steps from the end of a history.

    Args:
        reader: the network.
        history: what it may read, [W, B, F], W at least 1 and `look_back`.
        horizon: steps.
        look_back: points that each forecast reads from a zero state; 0: the state is carried.
        check: called at each step; it may raise.
    Returns:
        [horizon, B, F].
    """
    _, B, F = history.shape
    made = np.empty((horizon, B, F))
    window = history[-look_back:]
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
            answer = reader.read(made[step - 1 : step])
        made[step] = answer[-1]
        window = np.concatenate([window[1:], made[step : step + 1]]) if look_back else window
    return made


def _one_step(
    reader: Reader, values: Series, first: int, look_back: int, check: Callable[[], None]
) -> npt.NDArray[np.float64]:
    """Forecasts of values[first:] from the true points before each, [n - first, F]."""
    count = len(values) - first
    if look_back:
        made = np.empty((count, values.shape[1]))
        for start in range(0, count, LANE):
            check()
            targets = first + np.arange(start, min(start + LANE, count))
            reader.begin(len(targets))
            made[targets - first] = reader.read(values[_windows(targets, look_back)])[-1]
        return made
    lanes = max(1, min(LANES, count // LANE))
    length, warm = -(-count // lanes), min(WARM_UP, first - 1)
    begins = first - 1 + length * np.arange(lanes)
    reader.begin(lanes)
    answers = []
    for start in range(-warm, length, CHUNK):
        check()
        steps = np.arange(start, min(start + CHUNK, length))
        x = values[np.minimum(begins[None, :] + steps[:, None], len(values) - 1)]  # the last lane may reach beyond
        answers.append(reader.read(x))
    lane_by_lane = np.concatenate(answers)[warm:].swapaxes(0, 1)  # [lanes, length, F]
    return lane_by_lane.reshape(lanes * length, -1)[:count]


def _windows(ends: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Indices [length, B] of the points before each end [B]."""
    return ends[None, :] + np.arange(-length, 0)[:, None]


def _roll_outs(
    reader: Reader, values: Series, first: int, look_back: int, horizon: int, check: Callable[[], None]
) -> tuple[npt.NDArray[np.int64], Series]:
    """Where the roll-outs begin [R], and the forecasts [H, R, F]."""
    horizon = min(horizon, len(values) - first)
    places = np.linspace(first, len(values) - horizon, ORIGINS)
    origins = np.unique(places.astype(np.int64))
    history = values[_windows(origins, look_back or min(WARM_UP, first))]
    return origins, roll_out(reader, history, horizon, look_back, check)


def describe(figures: Figures) -> str:
    """A table for people: one step, and the roll-outs by steps ahead, beside saying the last value again."""
    horizons, width = figures.horizons, max(10, *(len(name) + 2 for name in (c[:24] for c in figures.scaling.columns)))
    head = ["", "MSE", "MAE", *(f"+{h} RMSE" for h in horizons), f"1–{len(figures.rmse)}"]
    lines = ["".join([f"{head[0]:<{width}}", *(f"{title:>11}" for title in head[1:])])]
    for f, name in enumerate(figures.scaling.columns):
        ours = [figures.mse[f], figures.mae[f], *(figures.rmse[h - 1, f] for h in horizons), figures.rollout_rmse[f]]
        last = [
            figures.naive_mse[f],
            figures.naive_mae[f],
            *(figures.naive_rmse[h - 1, f] for h in horizons),
            figures.naive_rollout_rmse[f],
        ]
        lines.append(f"{name[:24]:<{width}}" + "".join(f"{float(x):>11.4g}" for x in ours))
        lines.append(f"{'  last':<{width}}" + "".join(f"{float(x):>11.4g}" for x in last))
    return "\n".join(lines)


def brief(figures: Figures) -> str:
    """The same in few words, over all columns, in deviations."""
    off, last = figures.overall(figures.rollout_rmse**2), figures.overall(figures.naive_rollout_rmse**2)
    ahead = [
        (h, figures.overall(figures.rmse[h - 1] ** 2) ** 0.5, figures.overall(figures.naive_rmse[h - 1] ** 2) ** 0.5)
        for h in figures.horizons
    ]
    lines = [
        f"{'':<12}{'forecast':>10}{'last value':>12}",
        f"{'MSE':<12}{figures.loss:>10.3g}{figures.overall(figures.naive_mse):>12.3g}",
        *(f"{f'RMSE +{h}':<12}{ours:>10.3g}{naive:>12.3g}" for h, ours, naive in ahead),
        f"{f'RMSE 1–{len(figures.rmse)}':<12}{off**0.5:>10.3g}{last**0.5:>12.3g}",
    ]
    return "\n".join(lines)
