"""An unknown cell file: its first run in a child process, the data that it names, the JSON beside it."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper

from tuirnn.cellfile import guard
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import FINGERPRINT
from tuirnn.errors import CellFileError, DataError
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.loading.cell import load_cell
from tuirnn.runtime import admission, known
from tuirnn.runtime.data import held_out, training_text
from tuirnn.settings.model import ModelConfig

SHIPPED = Path(__file__).parents[1] / "export" / "cells" / "shakespeare.onnx"


@pytest.fixture(scope="module")
def exported() -> TrustedCell:
    return export_network(random_network(ModelConfig(cell="lstm", hidden=24, embed=8)))


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that knows no cell yet."""
    path = tmp_path / "cache" / "known-cells.txt"
    monkeypatch.setenv("TUIRNN_KNOWN_CELLS", str(path))
    return path


def changed(good: bytes, **metadata: str) -> bytes:
    """A cell with other metadata and a new hash."""
    model = onnx.ModelProto.FromString(good)
    for prop in model.metadata_props:
        prop.value = metadata.get(prop.key.removeprefix("tuirnn."), prop.value)
    next(prop for prop in model.metadata_props if prop.key == FINGERPRINT).value = guard.fingerprint(model)
    return model.SerializeToString()


def tuirnn(*words: str, environment: dict[str, str], said: str = "", folder: Path | None = None) -> SimpleNamespace:
    done = subprocess.run([sys.executable, "-m", "tuirnn", *words], capture_output=True, text=True, input=said,
                          env=environment, cwd=folder, check=False)  # fmt: skip
    return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)


# ── the trial ────────────────────────────────────────────────────────────────────


def test_an_unknown_file_is_tried_once(exported: TrustedCell, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = memory.parents[1] / "c.onnx"
    path.write_bytes(exported.data)
    tried: list[bytes] = []
    run = admission._try
    monkeypatch.setattr(admission, "_try", lambda data: (tried.append(data), run(data)))
    for _ in range(3):
        assert admission.open_file(path).metadata.to_strings() == exported.metadata.to_strings()
    assert len(tried) == 1
    memory.write_bytes(memory.read_bytes().replace(b"onnxruntime-", b"onnxruntime-0."))
    admission.open_file(path)
    assert len(tried) == 2  # another ONNX Runtime may crash on it


def test_what_is_made_here_or_comes_along_is_known(exported: TrustedCell, memory: Path, tmp_path: Path) -> None:
    assert not known.is_known(exported.data)
    write_cell(exported, tmp_path / "c.onnx")
    assert known.is_known(exported.data)
    assert known.is_known(SHIPPED.read_bytes())
    assert memory.stat().st_mode & 0o022 == 0


def test_what_cannot_be_remembered_is_tried_again(exported: TrustedCell, memory: Path) -> None:
    memory.parent.write_text("a file where the folder should be")
    known.remember(exported.data)
    assert not known.is_known(exported.data)


def test_the_oldest_are_forgotten(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "REMEMBERED", 8)
    for number in range(20):
        known.remember(bytes([number]))
    assert len(memory.read_bytes().splitlines()) <= 8
    assert known.is_known(bytes([19]))
    assert not known.is_known(bytes([0]))


@pytest.mark.skipif(sys.platform == "win32", reason="no signals, no limits")
@pytest.mark.parametrize(
    ("harm", "line"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes ONNX Runtime.*SIGSEGV"),
        ("import os; os._exit(3)", "without an answer, exit code 3"),
        ("print('[]')", "without an answer"),
        ("import time; time.sleep(60)", "more than 1 s"),
        ("from tuirnn.runtime import isolated; isolated.limit(2**31, 1, 60)\nwhile True: pass", "s of the processor"),
        ("from tuirnn.runtime import isolated; isolated._reason = lambda data: bytearray(2**40)\n"
         "isolated.main(2**28, 9, 9)", "more than 256 MB"),
    ],
)  # fmt: skip
def test_whatever_happens_to_the_child_is_one_line(
    harm: str, line: str, exported: TrustedCell, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CHILD", f"import sys, json; sys.path[:] = json.loads(sys.argv.pop())\n{harm}")
    if "sleep" in harm:
        monkeypatch.setattr(admission, "SECONDS", 1)
    with pytest.raises(CellFileError, match=f"c.onnx is refused: .*{line}") as error:
        admission.admit(guard.inspect(exported.data, "c.onnx"), "c.onnx")
    assert str(error.value).isprintable()
    assert not known.is_known(exported.data)


def test_a_crash_of_onnx_runtime_is_one_line(
    exported: TrustedCell, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variadic operator that crashes ONNX Runtime, let past the inspection of both processes."""
    model = onnx.ModelProto.FromString(exported.data)
    model.graph.node.append(helper.make_node("Max", ["h_in", ""], ["more"]))
    let_past = "from tuirnn.cellfile import guard, sizes; guard.check_graph = lambda *given: None\n"
    checked = "from tuirnn.runtime import isolated; isolated.check = lambda data: None\n"
    monkeypatch.setattr(guard, "check_graph", lambda *given: None)
    monkeypatch.setattr(admission, "CHILD", admission.CHILD.replace("; from", f"\n{let_past}{checked}from"))
    next(prop for prop in model.metadata_props if prop.key == FINGERPRINT).value = guard.fingerprint(model)
    cell = guard.inspect(model.SerializeToString(), "c.onnx")
    with pytest.raises(CellFileError, match=f"{signal.SIGSEGV.name}|ONNX Runtime refuses"):
        admission.admit(cell, "c.onnx")


@pytest.mark.parametrize("options", [CellOptions("int8", unroll=3), CellOptions(static_batch=1), CellOptions("int4")])
def test_every_form_passes_its_trial(options: CellOptions, memory: Path) -> None:
    made = export_network(random_network(ModelConfig(cell="gru", hidden=96, embed=8)), options)
    assert admission.admit(guard.inspect(made.data, "c.onnx"), "c.onnx").data == made.data


def test_a_large_cell_has_room_enough(memory: Path) -> None:
    """The limit of memory grows with the file."""
    made = export_network(random_network(ModelConfig(cell="lstm", hidden=640, embed=8)))
    assert len(made.data) > 6_000_000
    admission.admit(guard.inspect(made.data, "c.onnx"), "c.onnx")


# ── what it names ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("named", ["-", "/etc/passwd", ".", "..", "shakespeare.txt", "Default", "a\x1b[2J"])
def test_a_cell_never_names_a_path(
    named: str, exported: TrustedCell, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shakespeare.txt").write_text("secret " * 1000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"secret " * 1000)))
    path = tmp_path / "c.onnx"
    path.write_bytes(changed(exported.data, data=named))
    cell = load_cell(str(path), tmp_path)
    for read in (lambda: held_out(str(path), tmp_path, cell.metadata), lambda: training_text(str(path), tmp_path)):
        with pytest.raises(DataError, match="no data set") as error:
            read()
        assert str(error.value).isprintable()


def test_a_data_set_is_no_file_of_that_name(exported: TrustedCell, memory: Path, tmp_path: Path) -> None:
    """On the command line an existing path wins; in a stranger's file it does not."""
    (tmp_path / "default").write_text("secret " * 1000)
    (tmp_path / "c.onnx").write_bytes(changed(exported.data, data="default"))
    environment = {**os.environ, "TUIRNN_KNOWN_CELLS": str(memory)}
    done = tuirnn("novelty", "c.onnx", "--json", "--length", "200", environment=environment, folder=tmp_path)
    assert done.code == 0, done.err
    assert training_text(str(tmp_path / "c.onnx"), tmp_path)[:2000].count("secret") == 0
    (tmp_path / "c.onnx").write_bytes(changed(exported.data, data="-"))
    for command in (["eval", "c.onnx"], ["novelty", "c.onnx"]):
        done = tuirnn(*command, environment=environment, folder=tmp_path, said="secret " * 1000)
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert "no data set" in done.err


# ── the JSON beside it ───────────────────────────────────────────────────────────


def swapped(said_file: dict[str, object]) -> None:
    symbols = said_file["tuirnn.vocab"]["symbols"]  # type: ignore[index]
    symbols[3], symbols[4] = symbols[4], symbols[3]


LIES = {
    "symbols": swapped,
    "unk": lambda said_file: said_file.update({"tuirnn.unk": 3}),
    "state": lambda said_file: said_file["tuirnn.state_map"].update(h_out="c_in"),
    "classes": lambda said_file: said_file.update({"tuirnn.classes": ["a", "b"]}),
    "lost key": lambda said_file: said_file.pop("tuirnn.hidden"),
    "shape": lambda said_file: said_file["inputs"]["h_in"].update(shape=[1, "batch", 25]),
    "sha256": lambda said_file: said_file.update(sha256="0" * 64),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_sidecar_that_says_something_else_is_noticed(lie: str, exported: TrustedCell, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tuirnn.cli import app

    said_file = write_cell(exported, tmp_path / "c.onnx")
    said = json.loads(said_file.read_text())
    assert said["sha256"] == hashlib.sha256(exported.data).hexdigest()
    good = CliRunner().invoke(app, ["inspect", str(tmp_path / "c.onnx")])
    assert "c.json agrees" in good.stdout
    LIES[lie](said)
    said_file.write_text(json.dumps(said))
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "c.onnx")])
    assert isinstance(done.exception, CellFileError)
    assert "c.json differs from" in str(done.exception)
    assert done.stdout == ""


def test_old_sidecars_are_read(exported: TrustedCell, tmp_path: Path) -> None:
    """Without the hash, and with names for the dimensions of a state."""
    from tuirnn.cellfile import sidecar

    said_file = write_cell(exported, tmp_path / "c.onnx")
    said = json.loads(said_file.read_text())
    del said["sha256"]
    said["inputs"]["h_in"]["shape"] = ["layers", "batch", "hidden"]
    said_file.write_text(json.dumps(said))
    properties = exported.metadata.to_strings()
    found = sidecar.check(said_file, exported.data, properties, exported.metadata, None)
    assert found is not None
    assert "without the file's hash" in found
    said_file.write_text("[" * 10_000)
    with pytest.raises(CellFileError, match="damaged"):
        sidecar.check(said_file, exported.data, properties, exported.metadata, None)
    assert np.isfinite(exported.metadata.test.outputs).all()
