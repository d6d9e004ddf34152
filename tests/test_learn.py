"""`docs/learn/`: its links stand at the lines they name, its equations are the code's own, its commands run."""

import ast
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tuirnn import cells
from tuirnn.cli import app
from tuirnn.runs.layout import RunPaths, runs_folder
from tuirnn.runs.reader import LogTail
from tuirnn.tasks import datasets

ROOT = Path(__file__).parent.parent
LEARN = ROOT / "docs" / "learn"
PAGES = sorted(LEARN.glob("*.md"))
LINK = re.compile(r"\[([^\]]*(?:\[[^\]]*\][^\]]*)*)\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^    ((?:tuirnn|python) .+)$", re.MULTILINE)
TINY = {"--eval-every": "2", "--checkpoint-every": "2", "--fraction": "0.5",
        "--sample-length": "8", "--length": "40"}  # fmt: skip
FIRST = ("--hidden", "8", "--embed", "4", "--batch-size", "2", "--seq-len", "16", "--device", "cpu")
"""What a new run gets beside `TINY`."""


def links() -> list[tuple[str, str, str]]:
    """(page, label, target) of every link on the pages."""
    return [(page.name, *found) for page in PAGES for found in LINK.findall(page.read_text())]


def defined(source: str) -> dict[str, int]:
    """Line of every function and class, methods as `Class.method`."""
    lines = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            lines[node.name] = node.lineno
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef):
                lines[f"{node.name}.{inner.name}"] = inner.lineno
    return lines


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize(("page", "label", "target"), [link for link in links() if "#L" in link[2]])
def test_lines_hold_what_the_links_say(page: str, label: str, target: str) -> None:
    path, _, line = target.partition("#L")
    source = (LEARN / path).read_text()
    label = label.strip("`")
    if re.fullmatch(r"[\w.]+", label):
        assert defined(source)[label] == int(line), f"{page}: {label} stands at {path}#L{defined(source)[label]}"
    else:
        assert source.splitlines()[int(line) - 1].strip() == label, f"{page}: line {line} of {path} is another"


def test_links_lead_somewhere() -> None:
    for page, label, target in links():
        path, _, fragment = target.partition("#")
        if path.startswith("https:"):
            continue
        there = LEARN / (path or page)
        assert there.exists(), f"{page}: {label}"
        if fragment and not re.fullmatch(r"L\d+", fragment):
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            assert fragment in map(anchor, headings), f"{page}: {target}"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_equations_are_the_codes_own(cell: str) -> None:
    def lines(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()]

    shown = lines("\n".join(re.findall(r"```equations\n(.*?)```", (LEARN / f"{cell}.md").read_text(), re.DOTALL)))
    code = lines(getattr(cells, cell).__doc__)
    assert [line for line in code if line in shown] == shown  # each of them, in the code's order
    assert [line for line in code[1:] if line not in shown and not line.startswith("Backward")] == []


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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks of eight units are no work to share: on a busy machine threads would wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
