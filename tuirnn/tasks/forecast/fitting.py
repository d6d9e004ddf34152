"""How a network reads a series: the normalisation, the calendar beside the points, whether it answers differences."""

from dataclasses import replace

import numpy as np

from tuirnn.errors import DataError
from tuirnn.scaling import DIFFERENCE, LEVEL, RESOLUTION, Scaling, Series
from tuirnn.settings.data import DataConfig
from tuirnn.tasks.forecast.clock import Clock
from tuirnn.tasks.forecast.parts import Group, end_to_end, joined, rows_of
from tuirnn.tasks.forecast.reading import Points

RESIDUAL = "residual"
"""The scale of a network that reads levels and answers differences."""

MOST_OUTSIDE = 0.2
"""Share of the validation part outside the training part's range from which levels are not read."""

CLOSER = 0.5
"""A network answers differences where the last value errs less than so many times what the training mean does."""

COARSE = 0.01
"""Steps of float32 that a value may have, as a share of the deviation of its column's differences."""


def fit(points: Points, config: DataConfig) -> tuple[Scaling, list[str]]:
    """The normalisation of a new run, and what is to be said of it."""
    groups = points.groups
    train = rows_of(groups, "train", config)
    scaling = Scaling.fit(points.columns, joined(points.values, train))
    periods, words = calendar_of_step(groups, config)
    notes = [f"calendar: the network reads the {', '.join(words)} of the next point"] if words else []
    scaling = replace(scaling, periods=periods)
    scale, why = _scale(points, groups, config)
    if scale != LEVEL:
        steps = _steps(points, train)
        if _tells_apart(steps, points.values):
            scaling = scaling.with_steps(steps, DIFFERENCE if scale == DIFFERENCE else LEVEL)
        else:
            scale, why = LEVEL, "as float32 does not tell the differences apart"
    notes.append(f"scale: {scale}, {why}")
    return scaling, notes


def _scale(points: Points, groups: tuple[Group, ...], config: DataConfig) -> tuple[str, str]:
    """What the network reads and answers, as --scale says or the validation part speaks for; and why."""
    if config.scale != "auto":
        return config.scale, "as --scale says"
    outside = _outside(points, groups, config)
    if outside > MOST_OUTSIDE:
        return DIFFERENCE, f"as {outside:.0%} of the validation part lie outside the training part's range"
    ratio = _ratio(points, groups, config)
    squared = "the squared error of the last value on the validation part is"
    return (RESIDUAL if ratio < CLOSER else LEVEL), f"as {squared} {ratio:.2g} times that of the training mean"


def _outside(points: Points, groups: tuple[Group, ...], config: DataConfig) -> float:
    """Share of the validation part outside the range of the training part; of the column with the largest share."""
    train = joined(points.values, rows_of(groups, "train", config))
    val = joined(points.values, rows_of(groups, "val", config))
    return float(((val < train.min(0)) | (val > train.max(0))).mean(0).max())


def calendar_of_step(groups: tuple[Group, ...], config: DataConfig) -> tuple[tuple[float, ...], list[str]]:
    """Periods of the calendar that the training part of the longest series shows; nothing where it has no times."""
    longest = max(groups, key=lambda group: group.last - group.first)
    if config.calendar == "no" or longest.clock is None:
        return (), []
    begin, end = longest.parts(config)["train"]
    return longest.clock.periods(end - begin)


def _steps(points: Points, train: list[slice]) -> Series:
    """Deviation of the differences in the training parts, [F], but for those to values that are filled in."""
    found = end_to_end([np.diff(points.values[rows], axis=0) for rows in train])  # [n, F]
    if not len(found):
        return np.zeros(found.shape[1])
    if points.real is None:
        return np.asarray(found.std(0), np.float64)
    found[~end_to_end([points.real[rows][1:] for rows in train])] = np.nan
    return np.asarray(np.nan_to_num(np.nanstd(found, 0)), np.float64)


def _tells_apart(steps: Series, values: Series) -> bool:
    """Whether float32 tells differences of a deviation apart, in every column."""
    largest = np.maximum(values.max(0), -values.min(0))
    return bool((largest * RESOLUTION < COARSE * steps).all())


def _ratio(points: Points, groups: tuple[Group, ...], config: DataConfig) -> float:
    """Squared error of the last value, divided by that of the training mean, on the validation part: median column."""
    last: list[Series] = []
    mean: list[Series] = []
    center = joined(points.values, rows_of(groups, "train", config)).mean(0)
    for rows in rows_of(groups, "val", config):
        truth, before = points.values[rows], points.values[rows.start - 1 : rows.stop - 1]
        gone = None if points.real is None else ~points.real[rows]
        for found, off in ((last, truth - before), (mean, truth - center)):
            found.append(off**2 if gone is None else np.where(gone, np.nan, off**2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = np.nanmean(np.concatenate(last), 0) / np.nanmean(np.concatenate(mean), 0)
    known = ratios[np.isfinite(ratios)]
    return float(np.median(known)) if len(known) else 1.0


def calendar_of(clock: Clock | None, scaling: Scaling, rows: int, first: int = 0) -> Series | None:
    """What a network reads beside each row from `first` on, `rows` of them: the calendar of the next, [rows, ·]."""
    if not scaling.periods:
        return None
    if clock is None or not clock.calendar:
        raise DataError(
            "the table has no column of dates, and this network reads the calendar of the next point; name the column "
            "with --time-column, or give dates that can be read"
        )
    times = np.concatenate([clock.values[first + 1 : first + rows + 1], clock.following(1)])[:rows]
    return scaling.calendar(times)
