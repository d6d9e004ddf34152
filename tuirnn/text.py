"""Foreign text and figures as a terminal may show them: no control characters, columns that align."""

import math
import time
import unicodedata
from collections.abc import Sequence

from tuirnn.figures import number

CONTROL_PICTURES = 0x2400
"""U+2400 + n is the printable picture of the control character n."""

STAND_IN = "·"
"""Shown for what has no width or look of its own: joiners, direction marks, variation selectors."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}"

_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")

_REGIONAL_A, _REGIONAL_Z = 0x1F1E6, 0x1F1FF
_SKIN_FIRST, _SKIN_LAST = 0x1F3FB, 0x1F3FF


class _StandIns(dict[int, str]):
    """Code point -> what is shown for it; filled as characters turn up."""

    def __missing__(self, point: int) -> str:
        self[point] = shown = _stand_in(point)
        return shown


def _stand_in(point: int) -> str:
    """One character for one: callers style text by position."""
    character = chr(point)
    if character == "\n":
        return character
    if character == "\t":
        return "→"
    if point < 0x20:
        return chr(CONTROL_PICTURES + point)
    if point == 0x7F:
        return "␡"
    if _REGIONAL_A <= point <= _REGIONAL_Z:  # pairs join into flags, whose width terminals disagree about
        return chr(ord("A") + point - _REGIONAL_A)
    if _SKIN_FIRST <= point <= _SKIN_LAST or 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF:
        return STAND_IN
    category = unicodedata.category(character)
    if category in ("Cs", "Co", "Cn"):
        return UNKNOWN
    if category in ("Cc", "Cf", "Zl", "Zp"):
        return STAND_IN
    return " " if category == "Zs" else character


_STAND_INS = _StandIns()


def visible(text: str) -> str:
    """`text` with a visible stand-in, one for one, for all that could move the cursor; newlines stay."""
    return text.translate(_STAND_INS)


def harmless(text: str) -> str:
    """`text` less only what a terminal would obey: control characters, direction marks, lone surrogates.

    For text that is still to be read as it is; what is kept may be of no width.
    """
    return "".join(visible(ch) if unicodedata.category(ch) in ("Cc", "Cs") or ch in _DIRECTIONS else ch for ch in text)


def visible_line(text: str, newline: str = "↵") -> str:
    """As `visible`, on a single line."""
    return visible(text).replace("\n", newline)


def token_label(token: str) -> str:
    """A token as a name of its own: blanks can be told apart and nothing is empty."""
    return visible_line(token).replace(" ", "␣") or STAND_IN


# ── figures ───────────────────────────────────────────────────────────────────


def count(value: float) -> str:
    """A whole number with thousands separators: '2,346'."""
    return f"{value:,.0f}" if math.isfinite(value) else "–"


def short(value: float) -> str:
    """Three digits and a unit: '16.1k', '1.30M', '842'."""
    if not math.isfinite(value):
        return "–"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:
            scaled = value / limit
            return f"{scaled:.{2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0}f}{unit}"
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.1f}"


def speed(per_second: float, counted: str) -> str:
    """How fast a run trains: '16.1k tok/s'."""
    return f"{short(per_second)} {counted.replace('tokens', 'tok')}/s"


def held_out(value: float, leaky: bool) -> str:
    """A held-out loss, with the word that one needs whose text was trained on; infinite before the first evaluation."""
    return loss(math.nan if value == math.inf else value) + " leaky" * leaky


def loss(value: float) -> str:
    """To three places, or two digits where that is next to nothing; a dash where there is none yet."""
    return number(value)


def figure(value: float) -> str:
    """Any number in four significant digits: '0.4127', '12.35', '2.4e-05'."""
    return "∞" if value == math.inf else "-∞" if value == -math.inf else "–" if math.isnan(value) else f"{value:.4g}"


def rate(value: float) -> str:
    """A learning rate: '2.40e-3'."""
    if not math.isfinite(value) or value == 0:
        return "–"
    mantissa, exponent = f"{value:.2e}".split("e")
    if int(exponent) >= 0:
        return f"{value:.3g}"
    return f"{mantissa}e{int(exponent)}"


def duration(seconds: float) -> str:
    """'0:42', '3:12', '2:05:00', '3 d 4 h'."""
    if not math.isfinite(seconds) or seconds < 0:
        return "–"
    total = round(seconds)
    if total >= 86_400:
        return f"{total // 86_400} d {total % 86_400 // 3600} h"
    hours, minutes = total // 3600, total % 3600 // 60
    return f"{hours}:{minutes:02}:{total % 60:02}" if hours else f"{minutes}:{total % 60:02}"


def age(since: float, now: float | None = None) -> str:
    """How long ago: 'now', '5 m', '2 h', '9 d'."""
    seconds = (time.time() if now is None else now) - since
    if since <= 0 or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return "now"
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "now"


def clock(moment: float) -> str:
    """Local time of day, with the date where it is not today's."""
    if not 0 < moment < 32_503_680_000:  # outside what a calendar holds: a damaged record
        return "–"
    then, now = time.localtime(moment), time.localtime()
    same_day = (then.tm_year, then.tm_yday) == (now.tm_year, now.tm_yday)
    return time.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M", then)


_LEVELS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """A small curve, one character a number."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = (high - low) or 1.0
    return "".join(_LEVELS[round((value - low) / span * 7)] for value in values)


def levels(shares: Sequence[float]) -> str:
    """A small curve of shares from 0 to 1, one character a share; the scale is always the same."""
    return "".join(_LEVELS[round(min(max(share, 0.0), 1.0) * 7)] for share in shares)


STATES = {
    "starting": "…",
    "running": "▶",
    "paused": "‖",
    "silent": "~",
    "done": "✓",
    "stopped": "■",
    "failed": "✕",
    "stale": "◌",
    "damaged": "!",
}
"""A symbol for each state, so that neither colour nor word stands alone."""

STATE_STYLES = {
    "starting": "warning",
    "running": "success",
    "paused": "warning",
    "silent": "error",
    "done": "primary",
    "stopped": "muted",
    "failed": "error",
    "stale": "error",
    "damaged": "error",
}
"""The theme colour of each state."""


def state_label(state: str) -> str:
    """'▶ running' and the like; a state of a later version shows its word alone."""
    return f"{STATES.get(state, '·')} {visible_line(state)}"
