"""Strings of a run in reports and tables: shown as they are, never markup, never a formula."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # comes with rich

from tuirnn import sweeping
from tuirnn.cli.series import to_csv as forecast_to_csv
from tuirnn.comparison import Compared, write_report
from tuirnn.escaping import for_csv, for_markdown
from tuirnn.runlog.feed import RunFeed
from tuirnn.runs.export import to_csv
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.listing import summarize
from tuirnn.tables import table as tables
from tuirnn.tasks.history import Forecast, History

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![a](http://x/y.png)",
    "<https://evil.example>", "a | b", "`code` *strong* ~~gone~~ __all__", "&lt;b&gt; &amp;", "\\<b>",
    "www.evil.example",
)  # fmt: skip
FORMULAS = ("=HYPERLINK(1)", "+1+1", "-1-1", "@SUM(A1)", "\t=1", "\r=1", "＝1")


def html(markdown: str) -> str:
    return str(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))


def text_of(rendered: str) -> str:
    """What a reader sees of a piece of HTML."""
    shown = re.sub(r"<[^>]*>", "", rendered)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        shown = shown.replace(entity, character)
    return shown


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), max_size=40))
def test_markdown_shows_any_string_as_it_is(text: str) -> None:
    rendered = html(f"| a |\n|---|\n| {for_markdown('x' + text + 'x')} |\n")
    assert set(re.findall(r"<(/?[a-z]+)", rendered)) <= {
        f"{end}{tag}" for end in ("", "/") for tag in ("table", "thead", "tbody", "tr", "th", "td")
    }
    assert f"x{text}x" in text_of(rendered)


def test_a_report_holds_no_markup_of_a_run(small_run: RunPaths, tmp_path: Path) -> None:
    compared = []
    for number, text in enumerate(HOSTILE):
        paths = RunPaths(Path(shutil.copytree(small_run.root, tmp_path / f"run_{number}")))
        record = json.loads(paths.record.read_text())
        record["config"]["data"]["sources"] = [text]
        record["config"]["train"]["sample_prime"] = text
        paths.record.write_text(json.dumps(record))
        feed = RunFeed(paths)
        while feed.advance():
            pass
        compared.append(Compared(summarize(paths), feed.snapshot))
    write_report(compared, tmp_path / "report")
    report = (tmp_path / "report" / "report.md").read_text()
    assert not re.search(r"<(?!curves\.svg>)", report)
    assert "www.evil" not in report
    assert "https://" not in report
    rendered = html(report)
    assert rendered.count("<img") == report.count("![curves, one unit an axis]") <= 1
    for tag in ("script", "a ", "code", "strong", "s>"):
        assert f"<{tag}" not in rendered
    for text in HOSTILE:
        assert text in text_of(rendered)


def test_a_sweep_holds_no_markup_of_a_value() -> None:
    assert html(sweeping.markdown([[("run", "<b>"), ("a|b", "<img src=x>")], []])).count("<td>") == 2


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_and_no_heading_is_a_formula(text: str, small_run: RunPaths, tmp_path: Path) -> None:
    paths = RunPaths(Path(shutil.copytree(small_run.root, tmp_path / "run")))
    with open(paths.metrics, "a") as log:
        log.write(json.dumps({"step": 21, text: 1.5, "split": text, "loss": -2.5}) + "\n")
    to_csv(paths, tmp_path / "run.csv")
    rows = list(csv.reader((tmp_path / "run.csv").read_text().splitlines()))
    for cell in (rows[0][-2], rows[-1][1]):  # the last column is the unit
        assert cell.startswith("'")
        assert "\t" not in cell
        assert "\r" not in cell
    assert (rows[-1][3], rows[-1][-2]) == ("-2.5", "1.5")  # numbers stay numbers
    history = History("a series", np.zeros((1, 2)), first=1)
    said = forecast_to_csv((text, "power"), [(history, Forecast(np.array([[-1.0, 2.0]])))])
    assert next(csv.reader(io.StringIO(said)))[0].startswith("'")
    if text.isprintable():  # the forecast is a table that can be read again
        assert tables.read(said.encode(), "next.csv").names == (text, "power")


def test_numbers_are_no_formulas() -> None:
    assert [for_csv(value) for value in (-1, -2.5, "-Infinity", "NaN", True)] == [-1, -2.5, "-Infinity", "NaN", True]
