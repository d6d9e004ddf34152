"""Errors of forecasts, column by column, of the network and of the naive methods; what follows from them.

A column that the network forecasts worse than a naive method, on the validation part, is forecast by that method: the
`answer` is what the program says, the network's own errors stand beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.calibration import COVERAGE, LAST, NETWORK, SEASONAL, Calibration
from tuirnn.scaling import Scaling, Series
from tuirnn.tasks.forecast import lately

HORIZONS = (1, 10, 50, 200, 1000)
"""Steps ahead at which errors are listed, as far as a roll-out goes."""

WIDTHS = 64
"""Steps ahead at most at which intervals are kept."""

FEW = 20
"""Errors of one step from which an interval's width is their quantile and not a multiple of their root mean square."""

PAST, CALMEST = 50, 3.0
"""Errors as many as which the past before a validation part counts, and how much calmer this part is taken to be at
most."""

LAGS = 128
"""Roll-outs at most over which errors are taken to have something in common."""


@dataclass(frozen=True)
class Errors:
    """Of one method, in the data's own units.

    Attributes:
        mse, mae: of one step, [F].
        rmse: of the roll-outs at each step ahead, [H, F].
        rollout_rmse: over all their steps, [F].
    """

    mse: Series
    mae: Series
    rmse: Series
    rollout_rmse: Series

    @classmethod
    def of(cls, one: Series, ahead: Series) -> "Errors":
        """Of errors of one step [N, F] and of roll-outs [H, R, F]; NaN counts nothing."""
        with np.errstate(over="ignore", invalid="ignore"):
            squared = ahead**2
            return cls(
                mse=mean(one**2, 0),
                mae=mean(np.abs(one), 0),
                rmse=np.sqrt(mean(squared, 1)),
                rollout_rmse=np.sqrt(mean(squared, (0, 1))),
            )


@dataclass(frozen=True)
class Part:
    """Of one series.

    Attributes:
        before: errors of one step before the held-out part by method, [K, F] each.
        begins: points of the part that its roll-outs begin at, [R].
    """

    before: dict[str, Series]
    begins: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Figures:
    """What was measured on held-out parts.

    Attributes:
        one: errors of one step by method, [N, F] each; NaN where the true value is not known.
        ahead: errors of the roll-outs by method, [H, R, F] each.
        truth, forecast: of the first roll-out, [H, F].
        scaling: for figures over all columns.
        season, naive_mae, calibration: see `rollout.measure`.
        parts: of each series, one after the other in `one` and `ahead`; none: nothing is known before the only one.
        counts: points of each.
    """

    one: dict[str, Series]
    ahead: dict[str, Series]
    truth: Series
    forecast: Series
    scaling: Scaling
    season: int
    naive_mae: Series
    calibration: Calibration | None
    parts: tuple[Part, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def points(self) -> int:
        """Forecast one step ahead."""
        return len(self.one[NETWORK])

    @property
    def origins(self) -> int:
        """How many roll-outs."""
        return int(self.ahead[NETWORK].shape[1])

    @property
    def horizon(self) -> int:
        """Steps of the longest roll-out."""
        return len(self.ahead[NETWORK])

    @property
    def horizons(self) -> tuple[int, ...]:
        """The steps ahead that are listed: those of `HORIZONS`, and the last."""
        return tuple(sorted({*(h for h in HORIZONS if h <= self.horizon), self.horizon}))

    @cached_property
    def errors(self) -> dict[str, Errors]:
        """By method."""
        return {method: Errors.of(one, self.ahead[method]) for method, one in self.one.items()}

    @property
    def network(self) -> Errors:
        """The network's own."""
        return self.errors[NETWORK]

    @cached_property
    def answers(self) -> tuple[Series, Series]:
        """Errors of what is answered, [N, F] and [H, R, F]: each column by the method of its calibration."""
        if self.calibration is None:
            return self.one[NETWORK], self.ahead[NETWORK]
        one = chosen(self.one, self.calibration.one_step)
        return one, chosen(self.ahead, self.calibration.rollout)

    @cached_property
    def answer(self) -> Errors:
        """Of what is answered."""
        return Errors.of(*self.answers)

    @property
    def loss(self) -> float:
        """Squared error of the network's one step, over all columns; see `overall`."""
        return self.overall(self.network.mse)

    def overall(self, squared: Series) -> float:
        """Squared errors [F] as one figure: the mean over the columns, each in its own squared unit."""
        return float((squared / self.scaling.unit**2).mean())

    def mase(self, errors: Errors) -> Series:
        """Mean absolute scaled error of one step, [F]; see `season`."""
        return np.asarray(errors.mae / self.naive_mae, np.float64)

    def covered(self) -> tuple[Series, Series] | None:
        """Share of the true values inside the intervals, one step ahead and rolled out, [F]; None without intervals."""
        if self.calibration is None:
            return None
        widths = self.calibration.half_widths(self.horizon)
        one, ahead = (np.abs(errors) for errors in self.answers)
        first, least = widths[0], widths[0]
        if self.calibration.scores:
            each, at_begin = self.deviations(self.calibration.one_step, np.array(self.calibration.usual))
            first, least = (part * np.array(self.calibration.scores) for part in (each, at_begin))
        inside = np.where(np.isnan(one), np.nan, one <= first)
        rolled = np.where(np.isnan(ahead), np.nan, ahead <= np.maximum(widths[:, None, :], least))
        return mean(inside, 0), mean(rolled, (0, 1))

    def deviations(self, methods: Sequence[str], usual: Series) -> tuple[Series, Series]:
        """How far forecasts have erred lately, before each point [N, F] and each roll-out [R, F]; see `lately`."""
        errors, each, at_begin, done = chosen(self.one, methods), [], [], 0
        alone = Part({method: found[:0] for method, found in self.one.items()}, np.zeros(self.origins, np.int64))
        for part, count in zip(self.parts or (alone,), self.counts or (self.points,), strict=True):
            before = chosen(part.before, methods)
            found = lately.deviation(np.concatenate([before, errors[done : done + count]]), usual)[len(before) :]
            each.append(found[:-1])
            at_begin.append(found[part.begins])
            done += count
        return np.concatenate(each), np.concatenate(at_begin)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `columns` in the data's own units, the rest in the scaling's."""
        covered = self.covered()
        columns = {}
        for f, name in enumerate(self.scaling.columns):
            values: dict[str, Any] = {}
            for method, prefix in (
                ("answer", ""),
                ("last", "naive_"),
                ("seasonal", "seasonal_"),
                (NETWORK, "network_"),
            ):
                errors = self.answer if method == "answer" else self.errors.get(method)
                if errors is None:
                    continue
                values |= {prefix + key: float(getattr(errors, key)[f]) for key in ("mse", "mae", "rollout_rmse")}
                values[prefix + "rmse"] = {str(h): float(errors.rmse[h - 1, f]) for h in self.horizons}
                values[prefix + "mase"] = float(self.mase(errors)[f])
            if self.calibration is not None:
                values["by"] = {"one_step": self.calibration.one_step[f], "rollout": self.calibration.rollout[f]}
            if covered is not None:
                values["covered"] = {"one_step": float(covered[0][f]), "rollout": float(covered[1][f])}
            columns[name] = values
        overall = {
            "mse": self.overall(self.answer.mse),
            "naive_mse": self.overall(self.errors["last"].mse),
            "network_mse": self.loss,
            "mae": float((self.answer.mae / self.scaling.unit).mean()),
            "mase": float(self.mase(self.answer).mean()),
            "rollout_rmse": self.overall(self.answer.rollout_rmse**2) ** 0.5,
        }
        if covered is not None:
            overall["covered"] = float(np.nanmean(covered[0]))
            overall["rollout_covered"] = float(np.nanmean(covered[1]))
        return {
            "points": self.points, "horizon": self.horizon, "origins": self.origins, "season": self.season, **overall,
            "columns": columns,
        }  # fmt: skip


def calibrate(figures: Figures) -> Calibration:
    """What these figures of the validation part say: the best method of each column, and the intervals' widths.

    A width is such that `COVERAGE` of the validation errors lie within (conformal prediction, one step: Vovk et al.
    2005), each divided by how far forecasts erred lately (see `lately`). Further ahead it is the root mean square
    error of each step, times the quantile of all errors divided by that of their step, which takes far fewer roll-outs
    than a quantile for each step. The errors of roll-outs that begin close together are alike: as many as are
    independent of one another make the degrees of freedom of Student's t. Where the naive forecast errs less on the
    validation part than before it, the widths grow towards what it says of the past.
    """
    errors = figures.errors
    one_step = _best({method: found.mse for method, found in errors.items()})
    rollout = _best({method: found.rollout_rmse for method, found in errors.items()})
    one, ahead = np.abs(chosen(figures.one, one_step)), chosen(figures.ahead, rollout)
    H, calm = figures.horizon, _calm(figures)
    steps = np.unique(np.round(np.geomspace(1, H, min(H, WIDTHS))).astype(np.int64))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rms = np.maximum.accumulate(np.nan_to_num(np.sqrt(mean(ahead**2, 1)), posinf=1e300), 0)  # [H, F]
        scaled = np.abs(ahead) / np.maximum(rms, 1e-300)[:, None, :]
    free = _independent(ahead / np.maximum(rms[-1], 1e-300))  # [H, F]
    quantiles = np.array([_quantile(scaled[:, :, f].ravel()) for f in range(len(figures.scaling))])
    widths = rms * quantiles * _student(free) * _towards_past(free, calm)
    widths[0] = [_quantile(column) for column in one.T] * _towards_past(np.float64(figures.points), calm)
    widths = np.minimum(np.maximum.accumulate(widths, 0), 1e300)
    usual = np.clip(np.nan_to_num(np.sqrt(mean(one**2, 0))), 1e-300, 1e300)
    scores = one / np.maximum(figures.deviations(one_step, usual)[0], 1e-300)
    return Calibration(
        season=figures.season,
        one_step=one_step,
        rollout=rollout,
        naive_mae=tuple(np.nan_to_num(figures.naive_mae).tolist()),
        steps=tuple(steps.tolist()),
        widths=tuple(tuple(float(f"{width:.6g}") for width in row) for row in widths[steps - 1]),
        usual=tuple(usual.tolist()),
        scores=tuple(min(1e300, _quantile(column)) for column in scores.T),
    )


def _quantile(errors: Series) -> float:
    """The width within which a further error lies with probability `COVERAGE`, from absolute errors [n].

    Half a standard error above their quantile: the checkpoint was chosen by these errors, which are smaller for it.
    """
    known = np.sort(np.nan_to_num(errors[~np.isnan(errors)], posinf=1e300))
    if not len(known):
        return 0.0
    if len(known) < FEW:
        return min(1e300, 1.645 * float(np.sqrt((known**2).mean())))
    n = len(known)
    share = COVERAGE + 0.5 * np.sqrt(COVERAGE * (1 - COVERAGE) / n)
    return float(np.interp(share * (n + 1) - 1, np.arange(n), known))


def _calm(figures: Figures) -> Series:
    """How much less the naive forecast errs on the validation part than on the training part, [F]: 1 where it does not.

    MASE divides by the errors on the training part, of the value one season before where there is a season.
    """
    method = SEASONAL if SEASONAL in figures.errors else LAST
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = figures.naive_mae / figures.errors[method].mae
    return np.clip(np.nan_to_num(ratio, nan=1.0, posinf=1.0), 1.0, CALMEST)


def _towards_past(free: Series | np.float64, calm: Series) -> Series:
    """By how much widths grow: the variance of so many errors and of the past, each by its weight."""
    return np.asarray(np.sqrt((np.asarray(free) + PAST * calm**2) / (np.asarray(free) + PAST)), np.float64)


def _independent(ahead: Series) -> Series:
    """How many of the errors of roll-outs [H, R, F] are independent of one another at each step, [H, F]; 2 at least.

    R / (1 + 2 Σ ρ), the autocorrelations ρ of neighbouring roll-outs up to the first that is not positive (Geyer
    1992); further ahead there are not more of them.
    """
    known = np.nan_to_num(ahead, posinf=0.0, neginf=0.0)
    R = known.shape[1]
    power, total = np.maximum((known**2).sum(1), 1e-300), np.zeros((len(known), known.shape[2]))
    going = np.ones_like(total, bool)
    for lag in range(1, min(R, LAGS)):
        rho = (known[:, :-lag] * known[:, lag:]).sum(1) / power
        going &= rho > 0
        total += np.where(going, rho, 0.0)
    return np.minimum.accumulate(np.maximum(R / (1 + 2 * total), 2.0), 0)


def _student(freedom: Series) -> Series:
    """Quantile of Student's t, two-sided `COVERAGE`, divided by the normal one (Cornish-Fisher, two terms)."""
    z = 1.645
    return np.asarray(1 + (z**2 + 1) / (4 * freedom) + (5 * z**4 + 16 * z**2 + 3) / (96 * freedom**2), np.float64)


def _best(squared: dict[str, Series]) -> tuple[str, ...]:
    """The method with the least error for each column; the network where nothing is better."""
    columns = len(squared[NETWORK])
    table = {method: np.nan_to_num(errors, nan=np.inf) for method, errors in squared.items()}
    return tuple(min(table, key=lambda method, f=f: float(table[method][f])) for f in range(columns))  # type: ignore[misc]


def chosen(errors: Mapping[str, Series], methods: Sequence[str]) -> Series:
    """The errors of each column [..., F] by its method; the network's where the method is not there."""
    columns = [errors.get(method, errors[NETWORK])[..., f] for f, method in enumerate(methods)]
    return np.stack(columns, -1)


def mean(values: Series, axis: int | tuple[int, ...]) -> Series:
    """Mean over the values that are there; NaN where there is none."""
    there = ~np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        total, count = np.where(there, values, 0.0).sum(axis), there.sum(axis)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0), np.float64)
