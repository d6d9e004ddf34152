"""How a command starts: what it imports, what it converts itself, and what it does not do a second time."""

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperCommand
from typer.main import get_group
from typer.testing import CliRunner

from tuirnn import cli
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cli.parsing import App, Command, plain_value
from tuirnn.errors import CellFileError
from tuirnn.export.exporter import export_run, write_cell
from tuirnn.loading.cell import load_cell
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime import admission, known, session
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.verify import verify

# ── what is imported ─────────────────────────────────────────────────────────────

NEVER = ("torch", "textual", "onnx", "google.protobuf", "pydantic", "rich", "orjson", "safetensors", "tuirnn.config",
         "tuirnn.codegen", "tuirnn.training", "tuirnn.export", "tuirnn.cellfile.guard", "tuirnn.cli.train")  # fmt: skip
"""What a second `tuirnn generate` does without."""

COMMAND = (
    "import json, sys; from tuirnn import cli; code = cli._run(); "
    "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
)


@pytest.fixture
def imported(tmp_path: Path, environment: dict[str, str]) -> Callable[..., list[str]]:
    """The modules that a command has imported, in a process of its own."""

    def run(*words: str) -> list[str]:
        there = {**environment, "TUIRNN_KNOWN_CELLS": str(tmp_path / "known-cells.txt")}
        done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, env=there,
                              cwd=tmp_path, check=True)  # fmt: skip
        code, modules = json.loads(done.stderr)
        assert code == 0
        return list(modules)

    return run


def foreign(modules: list[str], banned: tuple[str, ...] = NEVER) -> list[str]:
    return [name for name in modules for one in banned if name == one or name.startswith(f"{one}.")]


@pytest.mark.parametrize("kind", ["run", "file"])
def test_the_second_time_only_what_writes_is_imported(
    kind: str, imported: Callable[..., list[str]], small_run: RunPaths, tmp_path: Path
) -> None:
    model = str(small_run.root)
    if kind == "file":
        model = str(tmp_path / "cell.onnx")
        write_cell(export_run(small_run), Path(model))
    words = ["generate", model, "--length", "3", "--prime", "the", "--temperature", "0.5", "--seed", "7"]
    assert "onnx" in imported(*words), "the first time it is exported, or tried"
    modules = imported(*words)
    assert "onnxruntime" in modules
    assert foreign(modules) == []


def test_a_list_of_runs_loads_no_libraries_of_networks(imported: Callable[..., list[str]], small_run: RunPaths) -> None:
    modules = imported("runs", "ls", "--runs", str(small_run.root.parent))
    assert foreign(modules, ("torch", "textual", "onnx", "onnxruntime", "pydantic", "rich", "tuirnn.cli.train")) == []


def test_every_command_is_in_the_module_that_the_table_names() -> None:
    registered: dict[str, str] = {}
    for module in pkgutil.iter_modules(cli.__path__):
        found = importlib.import_module(f"tuirnn.cli.{module.name}")
        if hasattr(found, "register"):
            part = App()
            found.register(part)
            registered |= dict.fromkeys(get_group(part).commands, module.name)
    assert registered == cli.MODULES


# ── words of the command line ────────────────────────────────────────────────────

WORDS = ("1", "-3", "007", "0", "-0", "1_000", " 4", "4 ", "1e3", "0.5", ".5", "5.", "-2.25", "nan", "inf", "1.0",
         "", "x", "９", "1" * 40, "true", "None", "a\udcffb", ".", "nowhere", "/")  # fmt: skip


def converted(kind: Any, word: str, command: type[TyperCommand]) -> object:
    """What a command is given for a word of its command line; the exit code where there is no such value."""
    given: list[object] = []

    def take(value: Any) -> None:
        given.append(value)

    take.__annotations__["value"] = kind
    app = typer.Typer()
    app.command(cls=command)(take)
    code = CliRunner().invoke(app, ["--", word]).exit_code
    return given[0] if given else code


@pytest.mark.parametrize("kind", [str, int, float, Path, list[str]])
@pytest.mark.parametrize("word", WORDS)
def test_a_plain_word_is_the_value_that_typer_makes_of_it(kind: Any, word: str) -> None:
    ours, typers = converted(kind, word, Command), converted(kind, word, TyperCommand)
    assert repr(ours) == repr(typers)  # nan is not equal to itself


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, 500, 500), (int, "12", 12), (int, "1e3", None), (int, True, None), (float, "0.25", 0.25),
        (float, 0.8, 0.8), (float, "inf", None), (str, "", ""), (Path, ".", Path(".")), (Path, "nowhere", None),
        (list[str], ("a", "b"), ["a", "b"]), (list[str], (1,), None), (bool, "true", None), (list[int], ("1",), None),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_typer(kind: Any, value: object, expected: object) -> None:
    found = plain_value(kind, value)
    assert (type(found), found) == (type(expected), expected)


# ── what is known of a cell ──────────────────────────────────────────────────────


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that knows no cell yet."""
    path = tmp_path / "cache" / "known-cells.txt"
    monkeypatch.setenv("TUIRNN_KNOWN_CELLS", str(path))
    return path


@pytest.fixture
def bursts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of threads that are measured; every cell is large enough for more than one, on two cores."""
    tried: list[int] = []
    burst = CellSession._trial

    def noted(self: CellSession) -> float:
        tried.append(self.threads)
        return burst(self)

    monkeypatch.setattr(CellSession, "_trial", noted)
    monkeypatch.setattr(session, "THREADS_PAY_FROM", 0)
    monkeypatch.setattr(session.os, "cpu_count", lambda: 2)
    return tried


def test_threads_are_measured_once(small_run: RunPaths, memory: Path, bursts: list[int], tmp_path: Path) -> None:
    first = load_cell(small_run.name, small_run.root.parent)
    assert bursts == [1, 2]
    second = load_cell(small_run.name, small_run.root.parent)
    assert first.threads == second.threads in (1, 2)
    assert CellSession(second, device="cpu").threads == second.threads
    (tmp_path / "cell.onnx").write_bytes(second.data)
    assert admission.open_file(tmp_path / "cell.onnx").threads == second.threads, "the same bytes"
    assert bursts == [1, 2]
    CellSession(second, device="cpu", batch=3)
    assert bursts == [1, 2, 1, 2], "several sequences are another matter"


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        (b"threads-", b"threads-9"), (b"threads-", b"threads-0"), (b"threads-", b"threads--"),
        (b"threads-", b"threads-" + b"1" * 5000), (b" threads-", b" of-another-machine threads-"),
        (b"cores-2", b"cores-3"), (b"onnxruntime-", b"onnxruntime-0."), (b"tuirnn-", b"tuirnn-0."),
    ],
)  # fmt: skip
def test_a_changed_line_is_measured_again(
    was: bytes, is_now: bytes, small_run: RunPaths, memory: Path, bursts: list[int]
) -> None:
    cell = load_cell(small_run.name, small_run.root.parent)
    lines = memory.read_bytes()
    assert was in lines
    memory.write_bytes(lines.replace(was, is_now))
    for _ in range(2):
        again = load_cell(small_run.name, small_run.root.parent)
        assert (again.data, again.threads in (1, 2)) == (cell.data, True)
    assert bursts == [1, 2, 1, 2], "measured again, and remembered"


def test_threads_without_the_cell_s_own_line_are_not_believed(
    small_run: RunPaths, memory: Path, bursts: list[int]
) -> None:
    cell = load_cell(small_run.name, small_run.root.parent)
    own, threads = memory.read_bytes().splitlines(keepends=True)
    memory.write_bytes(threads)
    assert not known.is_known(cell.data)
    assert known.known_cell(cell.data) is None
    memory.write_bytes(own)
    assert known.known_cell(cell.data) == replace(cell, threads=None)


def spoiled(cell: TrustedCell) -> TrustedCell:
    """A cell that says of itself what it does not compute."""
    test = cell.metadata.test
    wrong = replace(test, outputs=tuple(value + 1 for value in test.outputs))
    return replace(cell, metadata=replace(cell.metadata, test=wrong))


def test_only_the_session_that_was_measured_is_not_checked_again(small_run: RunPaths, memory: Path) -> None:
    cell = spoiled(load_cell(small_run.name, small_run.root.parent))
    assert cell.threads == 1
    CellSession(cell, device="cpu")
    for other in ({"threads": 1}, {"threads": 2}, {"batch": 1}, {"batch": 2}):
        with pytest.raises(CellFileError, match="test vector"):
            CellSession(cell, device="cpu", **other)
    with pytest.raises(CellFileError, match="test vector"):
        CellSession(replace(cell, threads=None), device="cpu")
    with pytest.raises(CellFileError, match="test vector"):
        verify(cell, device="cpu")
    assert known.measured(replace(cell, threads=None)).threads is None
