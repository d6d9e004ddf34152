"""Foreign text never moves the cursor; numbers keep their widths."""

import math
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tuirnn import text
from tuirnn.tui.widgets.bars import bar
from tuirnn.tui.widgets.styled_text import LEVELS, surprise_style, wrap


@given(st.text(st.characters(), max_size=80))
def test_visible_text_is_harmless_and_keeps_positions(foreign: str) -> None:
    shown = text.visible(foreign)
    assert len(shown) == len(foreign)
    assert all(ch == "\n" or unicodedata.category(ch) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for ch in shown)
    assert "\n" not in text.visible_line(foreign)
    assert sum(map(cell_len, shown.replace("\n", ""))) == cell_len(shown.replace("\n", ""))
    shown.encode()


def test_stand_ins_can_be_told_apart() -> None:
    assert text.visible("\x1b[31m\t\x00\x7f") == "␛[31m→␀␡"
    assert text.visible("a\u202eb\u200dc\ud800") == "a·b·c\N{REPLACEMENT CHARACTER}"
    assert text.visible("日本\n") == "日本\n"
    assert [text.token_label(token) for token in (" ", "\n", "", "\t")] == ["␣", "↵", "·", "→"]


@given(st.text(st.characters(), max_size=200), st.integers(1, 30))
def test_wrapping_keeps_every_character_and_the_width(foreign: str, width: int) -> None:
    characters = [(ch, "plain") for ch in text.visible(foreign)]
    lines = wrap(characters, 0, width)
    assert [k for begin, end in lines for k in range(begin, end)] == list(range(len(characters)))
    for begin, end in lines:
        line = "".join(ch for ch, _ in characters[begin:end]).rstrip("\n")
        assert cell_len(line.rstrip(" ")) <= width or sum(cell_len(ch) > 0 for ch in line) == 1


@given(st.text(st.characters(), max_size=120), st.integers(2, 20), st.integers(0, 120))
def test_wrapping_from_the_last_line_on_is_wrapping_from_the_start(foreign: str, width: int, cut: int) -> None:
    characters = [(ch, "") for ch in text.visible(foreign)]
    lines = wrap(characters[:cut], 0, width)
    start = lines.pop()[0]
    assert lines + wrap(characters, start, width) == wrap(characters, 0, width)


def test_surprise_has_its_levels() -> None:
    assert surprise_style(0.0) == "nats-0"
    assert surprise_style(-1.0) == "nats-0"
    assert surprise_style(1e9) == surprise_style(math.nan) == surprise_style(math.inf) == f"nats-{LEVELS - 1}"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_figures_are_short_for_any_number(value: float) -> None:
    for figure in (text.count, text.short, text.loss, text.rate, text.duration, text.clock, text.age):
        shown = figure(value)
        assert shown
        assert shown.isprintable()
    assert len(bar(value, 10)) == 10


def test_figures() -> None:
    assert [text.short(x) for x in (842, 16_100, 1.3e6, 999_999)] == ["842", "16.1k", "1.30M", "1.00M"]
    assert [text.duration(x) for x in (42, 192, 7500, 273_600)] == ["0:42", "3:12", "2:05:00", "3 d 4 h"]
    assert [text.age(1000.0, 1000.0 + x) for x in (5, 300, 7200, 800_000)] == ["now", "5 m", "2 h", "9 d"]
    assert text.rate(2.4e-3) == "2.40e-3"
    assert text.loss(math.nan) == "–"
    assert bar(0.5, 4) == "██  "
