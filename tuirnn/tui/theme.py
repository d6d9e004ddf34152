"""Themes, the colours of lines and shades, and ASCII output for fonts that lack other characters."""

import functools

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

from tuirnn.charts.colours import COLOURS

_PLAIN = {"block-cursor-text-style": "bold", "input-selection-background": "#8A8FA0 35%"}

DARK = Theme(
    name="tuirnn-dark",
    primary="#6CB6FF", secondary="#C99BE8", accent="#F2B950", warning="#F0A04B", error="#FF8066", success="#5CC9B1",
    foreground="#E7E4DB", background="#0F1218", surface="#171B23", panel="#1E232D", dark=True,
    variables={
        **_PLAIN, "block-cursor-background": "#2B3342", "block-cursor-foreground": "#FFFFFF",
        "block-cursor-blurred-background": "#222834", "block-hover-background": "#1C212B",
        "scrollbar": "#39424F", "scrollbar-hover": "#556070", "scrollbar-active": "#F2B950",
        "scrollbar-background": "#0F1218", "scrollbar-background-hover": "#0F1218",
        "scrollbar-background-active": "#0F1218", "scrollbar-corner-color": "#0F1218",
    },
)  # fmt: skip
LIGHT = Theme(
    name="tuirnn-light",
    primary="#1B5FA8", secondary="#7B3F98", accent="#8A4A00", warning="#9A4F00", error="#B3261E", success="#0A665A",
    foreground="#1C1E22", background="#FBFAF5", surface="#F3F1E9", panel="#E9E6DB", dark=False,
    variables={
        **_PLAIN, "block-cursor-background": "#DDD8C8", "block-cursor-foreground": "#000000",
        "block-cursor-blurred-background": "#E6E2D5", "block-hover-background": "#EDE9DD",
        "scrollbar": "#C2BCAB", "scrollbar-hover": "#A39C89", "scrollbar-active": "#8A4A00",
        "scrollbar-background": "#FBFAF5", "scrollbar-background-hover": "#FBFAF5",
        "scrollbar-background-active": "#FBFAF5", "scrollbar-corner-color": "#FBFAF5",
    },
)  # fmt: skip
"""The dashboard's own pair: amber for what matters now, blue against orange where two signs or two curves meet.

Blue and orange differ with any kind of colour vision; red and green never carry a meaning alone.
"""

OWN = (DARK, LIGHT)

THEMES = (
    "tuirnn-dark", "tuirnn-light", "ansi-dark", "ansi-light", "nord", "gruvbox", "tokyo-night", "catppuccin-latte",
)  # fmt: skip
"""In the order of the key T. The two ANSI themes use the terminal's own sixteen colours."""

FORMER = {"safe-dark": "tuirnn-dark", "safe-light": "tuirnn-light", "textual-dark": "tuirnn-dark",
          "textual-light": "tuirnn-light", "solarized-light": "tuirnn-light"}  # fmt: skip
"""Names of themes that these have replaced; `--theme` still takes them."""

_DARK_LINES = ("#6CB6FF", "#F0A04B", "#46CFA5", "#E58CBF", "#F0E442", "#FF8A6C", "#A9B1F5", "#BEBEBE")
_LIGHT_LINES = COLOURS
_ANSI_LINES = ("blue", "yellow", "green", "magenta", "cyan", "red", "bright_blue", "bright_black")

READABLE = 4.5
"""Least contrast between a text and its background (WCAG 2.2, criterion 1.4.3, level AA)."""


def contrast(one: Color, other: Color) -> float:
    """The contrast of two opaque colours, 1 to 21 (WCAG 2.2, 'contrast ratio')."""
    dark, light = sorted((_luminance(one.rgb), _luminance(other.rgb)))
    return (light + 0.05) / (dark + 0.05)


@functools.cache  # the same few grounds, again and again
def _luminance(rgb: tuple[int, int, int]) -> float:
    """Relative luminance of an opaque colour, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in (c / 255 for c in rgb))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable(colour: Color, *grounds: Color) -> Color:
    """The colour, moved towards white or black as far as it takes to be read on each of these backgrounds."""
    ends = (Color(255, 255, 255), Color(0, 0, 0))
    end = max(ends, key=lambda end: min(contrast(end, ground) for ground in grounds))
    for share in range(21):
        moved = colour.blend(end, share / 20)
        if all(contrast(moved, ground) >= READABLE for ground in grounds):
            return moved
    return end


LINES = tuple(f"line-{number}" for number in range(8))
"""Styles of the lines of runs, in the order in which they are assigned."""

FAINT = "-faint"
"""Ending of the style of what lies behind a run's line."""

STYLES = {
    "axis": ("foreground", 0.3, ""),
    "label": ("foreground", 0.6, ""),
    "note": ("foreground", 1.0, ""),
    "cursor": ("foreground", 0.45, ""),
    "alarm": ("error", 1.0, "bold"),
    "raw": ("primary", 0.6, ""),
    "train": ("primary-lighten-2", 1.0, ""),
    "val": ("foreground", 1.0, "bold"),
    "best": ("success", 1.0, "bold"),
    "actual": ("foreground", 0.8, ""),
    "ahead": ("warning", 1.0, "bold"),
    "band": ("warning", 0.35, ""),
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
    **{f"{line}{FAINT}": (line, 0.5, "") for line in LINES},
    **{f"nats-{level}": (f"surprise-{level}", 1.0, "") for level in range(4)},
    "nats-4": ("surprise-4", 1.0, "bold"),
    "nats-5": ("surprise-5", 1.0, "bold underline"),
    **{f"act-{level}": (f"act-{level}", 1.0, "ground") for level in range(7)},
}
"""Styles of charts and texts: a variable of the theme, its opacity over the background, attributes.

They are resolved once per theme; CSS classes on each widget would make the first frame a third slower.
"""

_DRAWN = ("axis", "cursor", "raw", "band", *(f"{line}{FAINT}" for line in LINES))
"""Styles of lines alone, which may be fainter than a text."""


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
        if colour.ansi is not None:
            return Style(color=ground.rich_color, bgcolor=colour.rich_color)
        inks = (ground, Color.parse(variables["foreground"]))
        ink = readable(max(inks, key=lambda ink: contrast(ink, colour)), colour)
        return Style(color=ink.rich_color, bgcolor=colour.rich_color)
    if colour.ansi is None and ground.ansi is None and name not in _DRAWN:
        colour = readable(colour, ground)
    return Style(
        color=colour.rich_color,
        bold="bold" in words or None,
        underline="underline" in words or None,
        dim="dim" in words or None,
    )


_GROUNDS = ("background", "surface", "surface-lighten-1", "surface-lighten-2", "panel", "panel-lighten-2")
_TEXTS = ("foreground", "accent", "text-accent", "text-primary", "text-secondary", "text-success", "text-warning",
          "text-error", "footer-key-foreground", "button-foreground")  # fmt: skip
"""CSS variables of a theme whose colours texts have, and those of what texts stand on."""


def css_variables(variables: dict[str, str], ansi: bool, dark: bool) -> dict[str, str]:
    """Further CSS variables for a theme: lines of runs, shades of surprise and of activation; text that can be read.

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
        readable(one, ground).hex
        for one in (base.blend(ground, 0.35), base.blend(ground, 0.1), base.blend(warm, 0.55), warm,
                    warm.blend(hot, 0.55), hot)
    ]  # fmt: skip
    activation = [
        one.hex
        for one in (cold, cold.blend(ground, 0.35), cold.blend(ground, 0.65), ground.blend(base, 0.12),
                    warm.blend(ground, 0.65), warm.blend(ground, 0.35), warm)
    ]  # fmt: skip
    grounds = [Color.parse(variables[name]) for name in _GROUNDS]
    muted = readable(base.blend(ground, 0.35), *grounds).hex
    texts = {name: readable(Color.parse(variables[name]), *grounds).hex for name in _TEXTS}
    for name in ("block-cursor", "block-cursor-blurred"):  # the selected row of a table
        under = ground + Color.parse(variables[f"{name}-background"])
        texts[f"{name}-foreground"] = readable(base, under).hex
    return (
        named
        | texts
        | {"text-muted": muted, "text-disabled": muted, "foreground-muted": muted}
        | {f"surprise-{k}": c for k, c in enumerate(surprise)}
        | {f"act-{k}": c for k, c in enumerate(activation)}
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
        ("✓", "v"), ("✕", "x"), ("■", "#"), ("‖", "="), ("…", "."), ("·", "."), ("•", "*"), ("×", "x"), ("–—", "-"),
        ("“”", '"'), ("‘’", "'"), ("↑", "^"), ("↓", "v"), ("←", "<"), ("→", ">"), ("⏎↵", "$"), ("␣", "_"), ("∞", "I"),
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
