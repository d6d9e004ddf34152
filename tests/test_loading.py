"""A run's export is made once and kept until its checkpoint changes; a kept file is verified before use."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load, save

from tuirnn.cellfile import guard
from tuirnn.cellfile.cell import TrustedCell, properties, reopened
from tuirnn.cellfile.contract import FINGERPRINT
from tuirnn.errors import RunError
from tuirnn.export import exporter
from tuirnn.loading import kept
from tuirnn.loading.cell import load_cell
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime import known
from tuirnn.runtime.session import CellSession

ROOT = Path(__file__).parent.parent
FILES = (ROOT / "export" / "cells" / "shakespeare.onnx", *sorted((ROOT / "tests" / "old" / "cells").glob("*.onnx")))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where exports are kept; nothing is yet, and no cell is known."""
    monkeypatch.setenv("TUIRNN_KNOWN_CELLS", str(tmp_path / "cache" / "known-cells.txt"))
    return tmp_path / "cache" / "kept-cells"


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[TrustedCell]:
    """Every export that is made from here on."""
    made: list[TrustedCell] = []
    export = exporter.export_network

    def counted(*given: object, **named: object) -> TrustedCell:
        made.append(export(*given, **named))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(exporter, "export_network", counted)
    return made


@pytest.fixture
def run(small_run: RunPaths, alone: Callable[..., Path]) -> RunPaths:
    """A run that a test may change."""
    return RunPaths(alone(small_run) / small_run.name)


def loaded(run: RunPaths, which: str = "best") -> TrustedCell:
    return load_cell(run.name, run.root.parent, which)


def spoiled(cell: TrustedCell) -> TrustedCell:
    """A well-formed cell that does not compute what its test vector says."""
    model = onnx.ModelProto.FromString(cell.data)
    table = next(tensor for tensor in model.graph.initializer if tensor.name == "table")
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) * np.float32(1.01), "table"))
    next(prop for prop in model.metadata_props if prop.key == FINGERPRINT).value = guard.fingerprint(model)
    return TrustedCell(model.SerializeToString(), cell.metadata)


def test_a_second_load_exports_nothing(run: RunPaths, folder: Path, exports: list[TrustedCell]) -> None:
    first, second = loaded(run), loaded(run)
    assert len(exports) == 1
    assert second.data == first.data
    assert second.metadata.to_strings() == first.metadata.to_strings()
    CellSession(second, device="cpu")
    copy = shutil.copytree(run.root, run.root.with_name("another"))
    assert loaded(RunPaths(copy)).data == first.data
    assert len(exports) == 1, "the same checkpoint under another name is the same cell"


def test_a_changed_checkpoint_is_exported_anew(run: RunPaths, folder: Path, exports: list[TrustedCell]) -> None:
    first = loaded(run)
    saved = checkpoint.load(run)
    weights = {name: values * np.float32(0.5) for name, values in load(saved.files[checkpoint.MODEL]).items()}
    checkpoint.save(run, saved.step, {**saved.files, checkpoint.MODEL: save(weights)})
    assert loaded(run).data != first.data
    assert len(exports) == 2
    other = next(step for step in checkpoint.steps(run) if step != saved.step)
    assert loaded(run, str(other)).data != first.data
    checkpoint.point(run, "best", other)
    loaded(run)
    assert len(exports) == 3, "best is that step now, whose export is there"


@pytest.mark.parametrize("changed", ["record", "sources", "version"])
def test_an_export_depends_on_more_than_the_checkpoint(
    changed: str, run: RunPaths, folder: Path, exports: list[TrustedCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(run)
    if changed == "record":
        run.record.write_bytes(run.record.read_bytes() + b"\n")
    elif changed == "sources":
        monkeypatch.setattr(kept, "_sources", lambda: "edited")
    else:
        monkeypatch.setattr("tuirnn.__version__", "0.0")
    loaded(run)
    assert len(exports) == 2


def test_sources_are_distinguished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "__init__.py").touch()
    (tmp_path / "cells" / "own.py").write_text("a = 1")
    monkeypatch.setattr("tuirnn.__file__", str(tmp_path / "__init__.py"))
    found = [kept._sources.__wrapped__()]
    (tmp_path / "cells" / "notes.txt").touch()
    assert kept._sources.__wrapped__() == found[0]
    (tmp_path / "cells" / "own.py").write_text("a = 22")
    found.append(kept._sources.__wrapped__())
    os.utime(tmp_path / "cells" / "own.py", (1, 1))
    found.append(kept._sources.__wrapped__())
    (tmp_path / "cells" / "new.py").touch()
    found.append(kept._sources.__wrapped__())
    assert len(set(found)) == 4


@pytest.mark.parametrize("planted", ["flipped bit", "stranger", "nothing", "link", "rubbish"])
def test_a_kept_file_is_verified(
    planted: str, run: RunPaths, folder: Path, exports: list[TrustedCell], tmp_path: Path
) -> None:
    first = loaded(run)
    (path,) = folder.iterdir()
    if planted == "flipped bit":
        data = bytearray(first.data)
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif planted == "stranger":  # it would pass every inspection
        path.write_bytes(spoiled(first).data)
        guard.read_cell(path)
    elif planted == "link":
        path.rename(tmp_path / "elsewhere.onnx")
        path.symlink_to(tmp_path / "elsewhere.onnx")
    else:
        path.write_bytes(b"" if planted == "nothing" else b"rubbish")
    assert loaded(run).data == first.data
    assert len(exports) == 2
    assert path.read_bytes() == first.data
    assert not path.is_symlink()


def test_a_wrong_export_is_not_kept(run: RunPaths, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = exporter.export_network
    monkeypatch.setattr(exporter, "export_network", lambda *given, **named: spoiled(export(*given, **named)))
    cell = loaded(run)
    assert not folder.exists()
    assert not known.is_known(cell.data)


def test_a_known_cell_that_is_forgotten_is_exported_anew(
    run: RunPaths, folder: Path, exports: list[TrustedCell]
) -> None:
    loaded(run)
    folder.with_name("known-cells.txt").unlink()
    loaded(run)
    assert len(exports) == 2
    assert known.is_known(exports[1].data)


def test_exports_work_where_nothing_can_be_kept(run: RunPaths, folder: Path, exports: list[TrustedCell]) -> None:
    folder.parent.write_text("a file where the folder should be")
    assert loaded(run).data == loaded(run).data
    assert len(exports) == 2


def test_the_longest_unused_go_first(
    run: RunPaths, folder: Path, exports: list[TrustedCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "FILES", 3)
    cell = loaded(run)
    (own,) = folder.iterdir()
    for number in range(4):
        (folder / f"{number}.onnx").touch()
        os.utime(folder / f"{number}.onnx", (1_000 + number, 1_000 + number))
    os.utime(own, (0, 0))
    (folder / ".half.onnx.x.tmp").touch()
    (folder / ".old.onnx.x.tmp").touch()
    os.utime(folder / ".old.onnx.x.tmp", (1_000, 1_000))
    loaded(run)
    assert len(exports) == 1
    assert own.stat().st_mtime > time.time() - 60, "it has been used"
    kept.keep("new", cell)
    assert {path.name for path in folder.iterdir()} == {own.name, "new.onnx", "3.onnx", ".half.onnx.x.tmp"}
    monkeypatch.setattr(kept, "BYTES", len(cell.data))
    kept.keep("newer", cell)
    assert [path.name for path in folder.glob("*.onnx")] == ["newer.onnx"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_metadata_are_found_without_onnx(path: Path) -> None:
    data = path.read_bytes()
    expected = {prop.key: prop.value for prop in onnx.ModelProto.FromString(data).metadata_props}
    assert properties(data) == expected
    assert len(expected) > 10
    assert reopened(data).metadata.to_strings() == guard.inspect(data, path.name).metadata.to_strings()


def test_errors_are_those_of_the_checkpoint(run: RunPaths, folder: Path) -> None:
    with pytest.raises(RunError, match="no run 'nobody'"):
        load_cell("nobody", run.root.parent)
    with pytest.raises(RunError, match="no checkpoint 'middle'"):
        loaded(run, "middle")
    (checkpoint.load(run).path / checkpoint.MANIFEST).write_text("[]")
    with pytest.raises(RunError, match=r"manifest\.json is damaged: expected a JSON object, got list; the newest good"):
        loaded(run)
