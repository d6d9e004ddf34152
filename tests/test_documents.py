"""The command line and the documents agree: what they name exists, and what exists is documented."""

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuirnn.cli import app
from tuirnn.cli.parsing import VALUED, Group, tidied

ROOT = Path(__file__).parent.parent
WRITER = runpy.run_path(str(ROOT / "docs" / "commands.py"))
COMMANDS: dict[str, Any] = dict(WRITER["commands"]())
PROGRAM = COMMANDS["tuirnn"]
OPTIONS = {
    name: {"--help", "-h", *(word for each in WRITER["parameters"](command) for word in WRITER["names"](each))}
    for name, command in COMMANDS.items()
}
"""Every option of each command; those of `tuirnn` itself may stand before any of them."""

HISTORY = {"CHANGELOG.md", "docs/notebook.md"}
"""Documents that name commands as they were."""

DOCUMENTS = [
    path
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("export/**/*.md")))
    if str(path.relative_to(ROOT)) not in HISTORY
]

PAGES = [
    *DOCUMENTS,
    *(ROOT / name for name in (*sorted(HISTORY), "CONTRIBUTING.md", "SECURITY.md", "checkpoints/README.md")),
]
"""All documents."""

LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\((?![a-z]+:)([^)\s]+)\)")
"""The target of a link, but not to a place outside the repository."""

OTHER_PROGRAMS = {
    "--bind": "http.server", "--ignore-scripts": "npm", "--no-deps": "pip", "--head": "ray start",
    "--address": "ray start",
    **dict.fromkeys(("--signal", "--nodes", "--ntasks-per-node", "--gpus-per-node", "--requeue"), "sbatch"),
}  # fmt: skip
"""Options in the documents that are another program's; those of torchrun are asked of its own parser."""

CODE = re.compile(r"`([^`\n]+)`|^(?: {4}|\$ )(.+)$", re.MULTILINE)


def code_of(path: Path) -> list[str]:
    """Inline code and lines of code blocks."""
    text = path.read_text()
    blocks = [
        line
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    return [inline or line for inline, line in CODE.findall(text)] + blocks


def invocations(path: Path) -> list[list[str]]:
    """The words after each `tuirnn` that a document shows as a command."""
    found = []
    for code in code_of(path):
        for match in re.finditer(r"(?:^|[\s(])tuirnn(?= |$)([^|;&>)]*)", code):
            lexer = shlex.shlex(match[1], posix=True, punctuation_chars=False)
            lexer.whitespace_split, lexer.commenters, lexer.quotes = True, "#", '"'
            found.append(list(lexer))
    return found


def anchors(path: Path) -> set[str]:
    """Those of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in headings}


def unknown(words: list[str]) -> list[str]:
    """What of a command line the program does not have: its command, or options of it."""
    before, command, name, words = [], PROGRAM, "tuirnn", tidied(words)
    while words and words[0].startswith("-"):
        count = 2 if words[0] in VALUED else 1
        before, words = [*before, *words[:count]], words[count:]
    while isinstance(command, Group) and words and not words[0].startswith("-"):
        first, *words = [*command.others.get(words[0], words[:1]), *words[1:]]
        name = f"{name} {first}"
        inner = command.get_command(None, first)
        if inner is None:
            return [name]
        command = inner
    known = OPTIONS["tuirnn"].union(*(OPTIONS[each] for each in OPTIONS if each.startswith(name)))
    given = [word.partition("=")[0] for word in (*before, *words) if re.match(r"--?[a-z]", word)]
    return [f"{name} {option}" for option in given if option not in known]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(path: Path) -> None:
    wrong = [said for words in invocations(path) for said in unknown(words)]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_in_documents_exist(path: Path) -> None:
    """Those that stand alone in code, such as `--cell`: of some command, or of a script of this repository."""
    from torch.distributed.run import get_args_parser

    torchrun = {option for action in get_args_parser()._actions for option in action.option_strings}
    known = set(OTHER_PROGRAMS).union(torchrun, *OPTIONS.values())
    for script in (*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "export").rglob("*.py")):
        known |= set(re.findall(r'"(--[a-z-]+)"', script.read_text()))
    named = {option for code in code_of(path) for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", code)}
    assert named - known == set()


def test_a_wrong_command_and_a_wrong_option_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("Run `tuirnn data fetch x`, then:\n\n    tuirnn --runs DIR train a.txt --hiden 3  # text\n")
    assert [said for words in invocations(path) for said in unknown(words)] == [
        "tuirnn data fetch", "tuirnn train --hiden",
    ]  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """To a file or folder, and to a heading of it where they name one; docs/cells.md is made with the site."""
    for target in LINK.findall(path.read_text()):
        name, _, fragment = target.partition("#")
        there = path.parent / name if name else path
        assert there.exists() or there.resolve() == ROOT / "docs" / "cells.md", target
        assert not fragment or fragment in anchors(there), target


def test_the_results_are_those_of_the_figures() -> None:
    """`python docs/results.py` renews docs/results.md; each table names a day, a commit that is here, and a command."""
    writer = runpy.run_path(str(ROOT / "docs" / "results.py"))
    assert writer["PAGE"].read_text() == writer["page"]()
    for table in writer["tables"]():
        assert table["processor"] in writer["PROCESSORS"]
        assert re.match(r"20\d\d-\d\d-\d\d", table["date"])
        assert re.search("`.+`", table["command"])
        assert re.match("[0-9a-f]{7}", table["commit"])


def test_the_reference_is_that_of_the_program() -> None:
    """Each command and option stands in docs/commands.md; `python docs/commands.py` renews it."""
    assert WRITER["PAGE"].read_text() == WRITER["reference"]()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_an_example(name: str) -> None:
    words = name.split()[1:]
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="tuirnn", env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for option in OPTIONS[name] - {"-h"}:
        assert option in done.output
    if words:
        assert re.search(rf"Examples?: .*{name}\b", done.output)
