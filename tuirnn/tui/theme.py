"""Themes, the colours of lines and shades, and ASCII output for fonts that lack other characters."""

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

SAFE_DARK = Theme(
    name="safe-dark",
    primary="#56B4E9", secondary="#CC79A7", accent="#F0E442", warning="#E69F00", error="#D55E00", success="#56B4E9",
    foreground="#E8E8E8", background="#101214", surface="#191C20", panel="#22262B", dark=True,
)  # fmt: skip
SAFE_LIGHT = Theme(
    name="safe-light",
    primary="#0072B2", secondary="#9A4E7B", accent="#004E7A", warning="#A36A00", error="#B24A00", success="#0072B2",
    foreground="#16181A", background="#FCFCFA", surface="#F1F1EE", panel="#E5E5E1", dark=False,
)  # fmt: skip
"""Blue and orange instead of green and red (Okabe and Ito): distinguishable with any kind of colour vision."""

THEMES = (
    "textual-dark", "textual-light", "safe-dark", "safe-light", "ansi-dark", "ansi-light", "nord", "gruvbox",
    "tokyo-night", "catppuccin-latte", "solarized-light",
)  # fmt: skip
"""In the order of the key T. The two ANSI themes use the terminal's own sixteen colours."""

_DARK_LINES = ("#56B4E9", "#E69F00", "#2FC79A", "#E58CBF", "#F0E442", "#FF8A4C", "#9DA7F0", "#B8B8B8")
_LIGHT_LINES = ("#0072B2", "#B36B00", "#00805C", "#A8528A", "#7A6F00", "#C04A00", "#4A50B5", "#555555")
_ANSI_LINES = ("blue", "yellow", "green", "magenta", "cyan", "red", "bright_blue", "bright_black")


LINES = tuple(f"line-{number}" for number in range(8))
"""Styles of the lines of runs, in the order in which they are assigned."""

STYLES = {
    "axis": ("foreground", 0.3, ""),
    "label": ("foreground", 0.6, ""),
    "note": ("foreground", 1.0, ""),
    "cursor": ("foreground", 0.45, ""),
    "alarm": ("error", 1.0, "bold"),
    "raw": ("primary", 0.6, ""),
    "train": ("primary-lighten-2", 1.0, ""),
    "val": ("warning", 1.0, "bold"),
    "best": ("success", 1.0, "bold"),
    "plain": ("foreground", 1.0, ""),
    "prime": ("accent", 1.0, "bold"),
    "dim": ("foreground", 0.6, ""),
    "tail": ("foreground", 0.4, ""),
    "here": ("accent", 1.0, "ground"),
    "wrong": ("error", 1.0, ""),
    "caret": ("accent", 1.0, ""),
    "positive": ("warning", 1.0, ""),
    "negative": ("primary", 1.0, ""),
    "chosen": ("accent", 1.0, "bold"),
    **{line: (line, 1.0, "") for line in LINES},
    **{f"nats-{level}": (f"surprise-{level}", 1.0, "") for level in range(4)},
    "nats-4": ("surprise-4", 1.0, "bold"),
    "nats-5": ("surprise-5", 1.0, "bold underline"),
    **{f"act-{level}": (f"act-{level}", 1.0, "ground") for level in range(7)},
}
"""Styles of charts and texts: a variable of the theme, its opacity over the background, attributes.

They are resolved once per theme; CSS classes on each widget would make the first frame a third slower.
"""


def style_of(name: str, variables: dict[str, str]) -> Style:
    """One of `STYLES` in the colours of a theme.

    Args:
        name: key of `STYLES`.
        variables: the theme's CSS variables, with those of `css_variables`.
    """
    variable, share, attributes = STYLES[name]
    colour, ground = Color.parse(variables[variable]), Color.parse(variables["background"])
    words = attributes.split()
    if colour.ansi is None and ground.ansi is None and share < 1:
        colour = ground.blend(colour, share)
    elif share < 0.5:
        words.append("dim")
    if "ground" in words:
        strong = name in ("act-0", "act-6") or colour.ansi is not None
        ink = ground if strong else Color.parse(variables["foreground"])
        return Style(color=ink.rich_color, bgcolor=colour.rich_color)
    return Style(
        color=colour.rich_color,
        bold="bold" in words or None,
        underline="underline" in words or None,
        dim="dim" in words or None,
    )


def css_variables(variables: dict[str, str], ansi: bool, dark: bool) -> dict[str, str]:
    """Further CSS variables for a theme: lines of runs, shades of surprise, shades of activation.

    Args:
        variables: the theme's own.
        ansi: whether it uses the terminal's colours.
        dark: whether its background is dark.
    """
    lines = [f"ansi_{name}" for name in _ANSI_LINES] if ansi else _DARK_LINES if dark else _LIGHT_LINES
    named = {f"line-{number}": colour for number, colour in enumerate(lines)}
    if ansi:
        shades = ["bright_black", "default", "yellow", "bright_yellow", "red", "bright_red"]
        acts = ["blue", "bright_blue", "cyan", "default", "yellow", "bright_red", "red"]
        surprise, activation = ([f"ansi_{name}" for name in names] for names in (shades, acts))
        return (
            named
            | {f"surprise-{k}": c for k, c in enumerate(surprise)}
            | {f"act-{k}": c for k, c in enumerate(activation)}
        )
    base, warm, hot, cold = (Color.parse(variables[name]) for name in ("foreground", "warning", "error", "primary"))
    ground = Color.parse(variables["background"])
    surprise = [
        one.hex
        for one in (base.blend(ground, 0.35), base.blend(ground, 0.1), base.blend(warm, 0.55), warm,
                    warm.blend(hot, 0.55), hot)
    ]  # fmt: skip
    activation = [
        one.hex
        for one in (cold, cold.blend(ground, 0.35), cold.blend(ground, 0.65), ground.blend(base, 0.12),
                    warm.blend(ground, 0.65), warm.blend(ground, 0.35), warm)
    ]  # fmt: skip
    return (
        named | {f"surprise-{k}": c for k, c in enumerate(surprise)} | {f"act-{k}": c for k, c in enumerate(activation)}
    )


def _ascii_table() -> dict[int, str]:
    table = {}
    for dots in range(1, 256):  # braille: the upper half of the dots, the lower half, or both
        upper, lower = dots & 0b00011011, dots & 0b11100100
        table[0x2800 + dots] = ":" if upper and lower else "'" if upper else "."
    table[0x2800] = " "
    for characters, plain in (
        ("─━═╌╍┄┅", "-"), ("│┃║▏▎┊", "|"), ("┌┐└┘╭╮╰╯├┤┬┴┼┏┓┗┛╔╗╚╝▁", "+"), ("█▓▇▆▉▊", "#"), ("▒▅▄▋▌", "="),
        ("░▃▂▍", "-"), ("◆◇●", "o"), ("○◌", "."), ("★", "*"), ("▲", "^"), ("▼", "v"), ("▶▸", ">"), ("◀", "<"),
        ("✓", "v"), ("✕", "x"), ("■", "#"), ("‖", "="), ("…", "."), ("·", "."), ("×", "x"), ("–—", "-"), ("“”", '"'),
        ("‘’", "'"), ("↑", "^"), ("↓", "v"), ("←", "<"), ("→", ">"), ("⏎↵", "$"), ("␣", "_"), ("∞", "I"),
        ("▔▀", "-"), ("▐▕", "|"), ("σ", "s"), ("²", "2"),
    ):  # fmt: skip
        table |= {ord(character): plain for character in characters}
    table[ord("▁")] = "_"
    return table


class AsciiFilter(LineFilter):
    """Replaces the dashboard's symbols by ASCII characters of the same width; letters in data are not changed."""

    TABLE = _ascii_table()

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Each segment with its characters replaced."""
        return [Segment(text.translate(self.TABLE), style, control) for text, style, control in segments]
