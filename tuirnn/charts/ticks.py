"""Figures along an axis: few, round, and all written to the same number of places."""

import bisect
import itertools
import math
import time
from collections.abc import Sequence

MOST = 50
"""No axis ever has more ticks than this."""


def linear_ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """At most about `most` multiples of 1, 2 or 5 × 10^k between low and high; the ends where none fits.

    With `whole`, multiples of whole numbers only: what is counted has no halves.
    """
    span = high - low
    if not (0 < span < math.inf) or most < 1:
        return sorted({low, high})
    step = max(_round_step(span / most), 1.0 if whole else 0.0)
    if step == 0 or not math.isfinite(low / step) or abs(low / step) > 1e15:
        return [low, high]  # the span is lost in the figures' own precision
    for apart in _finer(step, 1.0 if whole else 0.0):
        first, last = math.ceil(low / apart - 1e-9), math.floor(high / apart + 1e-9)
        ticks = [min(max(k * apart, low), high) for k in range(first, min(last, first + MOST) + 1)]
        if len(ticks) > 1:
            return ticks
    return [low, high]


def _finer(step: float, least: float) -> list[float]:
    """A step, and the next round ones below it: a single figure does not tell what an axis spans."""
    steps = [step]
    for _ in range(2):
        steps.append(_round_step(steps[-1] / 2.5))
    return [one for one in steps if one > 0 and one >= least]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 × 10^k that is not below `least`."""
    exponent = math.floor(math.log10(least)) if least > 0 else -400
    if exponent < -300:
        return 0.0
    power = 10.0**exponent
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least * (1 - 1e-9)), 10 * power)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round figures for a logarithmic axis; where it spans less than a decade, those of a linear one."""
    if high / low < 10 if low >= 1e-300 else False:
        return linear_ticks(low, high, most)
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))  # powers of ten inside
    decades = last - first + 1
    factors = (1, 2, 5) if 3 * (decades + 1) <= most else (1, 3) if 2 * (decades + 1) <= most else (1,)
    stride = max(1, -(-decades // max(most, 1)))
    exponents = [k for k in range(first - (len(factors) > 1), last + 1, stride) if -307 <= k <= 307]
    ticks = [factor * 10.0**k for k in exponents for factor in factors]
    inside = [tick for tick in ticks if low <= tick <= high][:MOST]
    return inside if len(inside) > 1 else linear_ticks(low, high, most)


_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def axis_labels(ticks: Sequence[float], log: bool = False) -> list[str]:
    """The ticks as text: '1.0', '1.5', '2.0' or '10k', '20k'; exponents where digits would not fit.

    Args:
        ticks: ascending.
        log: whether the axis is logarithmic: each tick then has digits of its own.
    """
    if not ticks:
        return []
    largest = max(map(abs, ticks))
    if 1e3 <= largest < 1e12:
        shown = [_with_prefix(tick, largest, log) for tick in ticks]
        if len(set(shown)) == len(shown):
            return shown
    if log:
        return [f"{tick:.4g}" for tick in ticks]
    return _plain_labels(ticks)


def _with_prefix(tick: float, largest: float, log: bool) -> str:
    """A tick with the SI prefix of the largest one, or with its own on a logarithmic axis."""
    measured = abs(tick) if log else largest
    for limit, prefix in _PREFIXES:
        if measured >= limit:
            return f"{tick / limit:.4g}{prefix}" if tick else "0"
    return f"{tick:.4g}"


def _plain_labels(ticks: Sequence[float]) -> list[str]:
    largest = max(map(abs, ticks))
    gaps = [b - a for a, b in itertools.pairwise(ticks) if b > a]
    least = min([*gaps, *(abs(tick) for tick in ticks if tick and not gaps)], default=1.0)
    places = max(0, -math.floor(math.log10(least) + 1e-9)) if 0 < least < math.inf else 0
    if largest >= 1e6 or places > 4:
        return [f"{tick:.3g}" for tick in ticks]
    return [f"{tick:.{places}f}" for tick in ticks]


def step_label(step: float) -> str:
    """A step count in few characters: '500', '1.5k', '20k', '3M'."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if limit <= abs(step) < 1e15:
            return f"{step / limit:.4g}{unit}"
    return f"{step:.4g}"


_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Seconds between two ticks of a time axis; beyond the last, round numbers of days."""


def time_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of round spans of time, in seconds."""
    least = (high - low) / max(most, 1)
    if not 1 <= least < math.inf:
        return linear_ticks(low, high, most)
    if least > _TIMES[-1]:
        return [86_400 * day for day in linear_ticks(low / 86_400, high / 86_400, most)]
    step = _TIMES[bisect.bisect_left(_TIMES, least)]
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(k * step) for k in range(first, min(last, first + MOST) + 1)] or [low, high]


def elapsed_label(seconds: float) -> str:
    """A span of time in few characters: '45s', '12m', '1h30m', '3d'."""
    if not math.isfinite(seconds) or abs(seconds) < 60 or seconds < 0:
        return f"{seconds:.3g}s"
    minutes = round(seconds / 60)
    if minutes >= 2 * 1440:
        return f"{minutes / 1440:.3g}d"
    hours, rest = divmod(minutes, 60)
    if not hours:
        over = round(seconds) - 60 * int(seconds // 60)
        return f"{int(seconds // 60)}m{over}s" if over else f"{minutes}m"
    return f"{hours}h{rest}m" if rest else f"{hours}h"


def clock_labels(moments: Sequence[float]) -> list[str]:
    """Local times of day; with the day of the month where they are of several days."""
    try:
        times = [time.localtime(moment) for moment in moments]
    except (OverflowError, ValueError, OSError):
        return [f"{moment:.4g}" for moment in moments]
    apart = min((b - a for a, b in itertools.pairwise(moments)), default=60.0)
    form = "%H:%M:%S" if apart < 60 else "%H:%M"
    if len({(one.tm_yday, one.tm_year) for one in times}) > 1:
        form = "%d. %H:%M"
    return [time.strftime(form, one) for one in times]
