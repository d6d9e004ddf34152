"""`docs/learn/`: links to source lead to what they name, code blocks are those of the sources, commands run."""

import ast
import inspect
import re
import runpy
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tuirnn.cells import CELLS, FAMILIES, Cell
from tuirnn.cli import app
from tuirnn.codegen.equations import equations
from tuirnn.models import RecurrentLayer
from tuirnn.runs.layout import RunPaths, runs_folder
from tuirnn.runs.reader import LogTail
from tuirnn.settings.model import ModelConfig
from tuirnn.tasks import datasets

ROOT = Path(__file__).parent.parent
LEARN = ROOT / "docs" / "learn"
PAGES = sorted(LEARN.glob("*.md"))
LINK = re.compile(r"\[([^\]]*(?:\[[^\]]*\][^\]]*)*)\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^    ((?:tuirnn|python) .+)$", re.MULTILINE)
SIZES = re.compile(r"A layer of (\d+) units on \1 inputs has ([\d,]+) parameters and (\d+) numbers? of state per unit")
TINY = {"--eval-every": "2", "--checkpoint-every": "2", "--fraction": "0.5",
        "--sample-length": "8", "--length": "40"}  # fmt: skip
FIRST = ("--hidden", "8", "--embed", "4", "--batch-size", "2", "--seq-len", "16", "--device", "cpu")
"""What a new run gets beside `TINY`."""


def links() -> list[tuple[str, str, str]]:
    """(page, label, target) of every link on the pages."""
    return [(page.name, *found) for page in PAGES for found in LINK.findall(page.read_text())]


def defined(source: str) -> set[str]:
    """Names of every function and class, methods as `Class.method`."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef):
                names.add(f"{node.name}.{inner.name}")
    return names


def page_of(family: str) -> str:
    return (LEARN / f"{family}.md").read_text()


def of_family(family: str) -> list[Cell]:
    return [cell for cell in CELLS.values() if cell.family == family]


@pytest.mark.parametrize(("page", "label", "target"), [link for link in links() if link[2].endswith(".py")])
def test_what_a_link_names_is_in_its_file(page: str, label: str, target: str) -> None:
    label = label.strip("`")
    if "/" not in label and not label.endswith(".py"):
        assert label in defined((LEARN / target).read_text()), f"{page}: {target} defines no {label}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_page_shows_the_code_itself(family: str) -> None:
    """Each family has a page, and the code blocks on it are what stands in the cell's file."""
    shown = re.findall(r"```python\n(.*?)```", page_of(family), re.DOTALL)
    (source,) = {Path(inspect.getfile(type(cell))).read_text() for cell in of_family(family)}
    assert shown
    for function in (part for block in shown for part in block.split("\n\n")):
        assert textwrap.indent(function, "    ").strip() in source


@pytest.mark.parametrize("family", FAMILIES)
def test_equations_come_from_the_definitions(family: str) -> None:
    """A page has the formulas of its family's cells, both ways, and no other."""
    shown = re.findall(r"```math\n(.*?)\n```", page_of(family), re.DOTALL)
    made = [equations(cell).latex for cell in of_family(family)]
    assert sorted(shown) == sorted(text for latex in made for text in (latex.forward, latex.backward))


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_are_those_of_the_cell(family: str) -> None:
    """Each page states the size of a layer, and a layer has that size; line breaks do not matter."""
    found = SIZES.findall(" ".join(page_of(family).split()))
    assert found
    for width, parameters, parts in found:
        cell, H = of_family(family)[0], int(width)
        layer = RecurrentLayer(ModelConfig(hidden=H).of_cell(cell), H)
        assert sum(each.numel() for each in layer.parameters()) == int(parameters.replace(",", ""))
        assert len(cell.state) == int(parts)


def small(command: str, shakespeare: Path) -> list[str]:
    """The words of a command with settings so small that it takes a moment."""
    words = [str(shakespeare) if word == "shakespeare" else word for word in shlex.split(command)]
    words = [str(ROOT / word) if word.endswith(".onnx") else word for word in words]
    for at, word in enumerate(words[:-1]):
        if word == "--steps":
            words[at + 1] = str(min(4, int(words[at + 1])))
        words[at + 1] = TINY.get(word, words[at + 1])
    if words[1] == "train" and "--resume" not in words:
        words += FIRST
    return words


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "stand-in.txt"
    text.write_text(datasets.default_text()[:20_000])
    monkeypatch.chdir(tmp_path)
    for command in COMMAND.findall(page.read_text()):
        words = small(command, text)
        capsys.readouterr()
        if words[0] == "python":
            monkeypatch.setattr(sys, "argv", words[1:])
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
            assert_shares_of_one(capsys.readouterr().out, words[2:])
            continue
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, f"{command}: {done.output} {done.exception}"


def assert_shares_of_one(printed: str, runs: list[str]) -> None:
    """`fading.py` prints a line for each probe of each run, and the gradient of step after step."""
    lines = [line.split() for line in printed.splitlines()[1:]]
    assert list(dict.fromkeys(name for name, *_ in lines)) == runs
    for name, step, *shares in lines:
        probe = next(p for p in LogTail(RunPaths(runs_folder(None) / name).probes).records() if p["step"] == int(step))
        norms = probe["gradient"][-1]
        assert [float(share) for share in shares] == pytest.approx(
            [norms[-1 - back] / norms[-1] for back in (1, 2, 4, 8)], rel=0.06
        )
