"""Figures of forecasts for people: the network beside the last value and the seasonal naive forecast."""

import math

import numpy as np

from tuirnn.calibration import COVERAGE, LAST, NETWORK, SEASONAL, Calibration
from tuirnn.errors import one_line
from tuirnn.scaling import Series
from tuirnn.tasks.forecast.figures import Errors, Figures

WORDS = {NETWORK: "the network", LAST: "the last value", SEASONAL: "seasonal naive"}

WORSE = 1.05
"""How much worse than a naive forecast a column must be to be named."""


def describe(figures: Figures) -> str:
    """A table: one step, and the roll-outs at and up to some steps ahead, each column beside the naive forecasts."""
    horizons, columns = figures.horizons, figures.scaling.columns
    width = max(12, *(len(name[:24]) + 2 for name in columns))
    head = ["MSE", "MAE", "MASE", *(f"+{h} RMSE" for h in horizons), f"≤{figures.horizon} RMSE"]
    lines = ["".join([" " * width, *(f"{title:>11}" for title in head)])]

    def row(title: str, errors: Errors, f: int) -> str:
        values = [errors.mse[f], errors.mae[f], figures.mase(errors)[f], *(errors.rmse[h - 1, f] for h in horizons)]
        return f"{title:<{width}}" + "".join(_cell(float(value)) for value in (*values, errors.rollout_rmse[f]))

    for f, name in enumerate(columns):
        lines.append(row(one_line(name, 24), figures.answer, f))
        lines += [
            row(f"  {_short(method)}", errors, f) for method, errors in figures.errors.items() if method != NETWORK
        ]
    return "\n".join(lines)


def _cell(value: float) -> str:
    return f"{'–' if math.isnan(value) else f'{value:.4g}':>11}"


def _short(method: str) -> str:
    return {LAST: "last", SEASONAL: "seasonal"}[method]


def remarks(figures: Figures) -> list[str]:
    """What a reader of the table should know: total and worst column, intervals, columns that are forecast naively."""
    lines = []
    mase = figures.mase(figures.answer)
    if np.isfinite(mase).all():
        worst = int(mase.argmax())
        name = one_line(figures.scaling.columns[worst], 40)
        over = f", the worst {mase[worst]:.3g} ('{name}')" if len(mase) > 1 else ""
        what = f"season {figures.season}" if figures.season > 1 else "no season found: the last value"
        lines.append(f"MASE {float(mase.mean()):.3g} over all columns{over}; 1: as good as naive in training ({what})")
    if (covered := figures.covered()) is not None:
        one, ahead = (f"{100 * float(np.nanmean(part)):.0f} %" for part in covered)
        lines.append(f"{COVERAGE:.0%} intervals contain {one} of the true values one step ahead, {ahead} in roll-outs")
    if figures.calibration is not None:
        lines += fallbacks(figures.calibration, figures.scaling.columns)
    return [*lines, *worse(figures)]


def fallbacks(calibration: Calibration, columns: tuple[str, ...]) -> list[str]:
    """Which columns are not forecast by the network, a line for each way."""
    lines = []
    for when, methods in (("one step ahead", calibration.one_step), ("further ahead", calibration.rollout)):
        for method in (LAST, SEASONAL):
            names = [f"'{one_line(name, 40)}'" for name, by in zip(columns, methods, strict=True) if by == method]
            if names:
                lines.append(
                    f"{when} {one_line(', '.join(names), 200)} {'is' if len(names) == 1 else 'are'} forecast by "
                    f"{WORDS[method]}, which the network did not beat on the validation part"
                )
    return lines


def worse(figures: Figures) -> list[str]:
    """The column whose answer is worst beside the better naive forecast, where it is worse at all."""
    naive = [errors for method, errors in figures.errors.items() if method != NETWORK]
    lines = []
    for when, ours, best in (
        ("one step ahead", figures.answer.mse**0.5, _least([errors.mse**0.5 for errors in naive])),
        ("rolled out", figures.answer.rollout_rmse, _least([errors.rollout_rmse for errors in naive])),
    ):
        ratio = np.divide(ours, best, out=np.zeros_like(ours), where=best > 0)
        behind = np.flatnonzero(ratio > WORSE)
        if len(behind):
            worst = int(ratio.argmax())
            name = one_line(figures.scaling.columns[worst], 40)
            lines.append(
                f"worse than the better naive forecast {when}: {len(behind)} of {len(ratio)} columns, the most "
                f"'{name}', {ratio[worst]:.3g} times its RMSE"
            )
    return lines


def _least(errors: list[Series]) -> Series:
    return np.asarray(np.fmin.reduce(errors))


def brief(figures: Figures) -> str:
    """The network in few words, over all columns, in the scaling's units."""
    methods = figures.errors
    lines = [f"{'':<11}" + "".join(f"{title:>11}" for title in (_title(method) for method in methods))]

    def row(title: str, values: list[float]) -> None:
        lines.append(f"{title:<11}" + "".join(f"{value:>11.3g}" for value in values))

    row("MSE", [figures.overall(errors.mse) for errors in methods.values()])
    row("MASE", [float(figures.mase(errors).mean()) for errors in methods.values()])
    for h in figures.horizons:
        row(f"RMSE +{h}", [figures.overall(errors.rmse[h - 1] ** 2) ** 0.5 for errors in methods.values()])
    row(f"RMSE 1–{figures.horizon}", [figures.overall(errors.rollout_rmse**2) ** 0.5 for errors in methods.values()])
    return "\n".join([*lines, *worse(figures)])


def _title(method: str) -> str:
    return {NETWORK: "forecast", LAST: "last value", SEASONAL: "seasonal"}[method]
