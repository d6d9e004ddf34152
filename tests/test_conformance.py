"""The table of `make conformance`: every cell is in it, and what a runtime does wrong or cannot do is named."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tuirnn.cells import CELLS

FOLDER = Path(__file__).parent.parent / "export" / "conformance"


def script(name: str) -> ModuleType:
    """A module of the folder, by its path."""
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def conformance(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with small cells and few steps."""
    found = script("conformance")
    small = {name: replace(config, hidden=6, embed=4) for name, config in found.SHAPES.items()}
    for name, value in {"SHAPES": small, "STEPS": 12, "GREEDY": 4}.items():
        monkeypatch.setattr(found, name, value)
    return found


def test_every_cell_is_in_the_table_and_refusals_are_named(conformance: ModuleType, tmp_path: Path) -> None:
    runtimes = script("runtimes")
    refused = f"{next(iter(CELLS))}-3"

    class Fussy(runtimes.OnnxRuntime):  # type: ignore[misc, name-defined]
        """A runtime without Tanh for one of the cells."""

        package = "numpy"  # whose version is printed

        def __init__(self, path: str, *rest: Any) -> None:
            if Path(path).stem == refused:
                raise ValueError("parse error\nno such operator: Tanh (opset 13)")
            super().__init__(path, *rest)

    def runner(job: Path) -> tuple[str, str]:
        runtimes.RUNTIMES["fussy"] = Fussy
        runtimes.main("fussy", json.loads(job.read_text()))
        return "fussy", "9"

    job, expected = conformance.make_cells(tmp_path)
    assert set(expected) == {f"{name}-{layers}" for name in (*CELLS, "pooled") for layers in (1, 3)}
    row = conformance.judge("fussy", runner, job, expected)
    assert row.refused == {refused: "lacks Tanh"}
    assert row.passed, row
    table = "\n".join(conformance.render([row, conformance.Row("absent", "–", why="not here: no wheel")]))
    assert all(f"| {name} |" in table for name in (*CELLS, "pooled"))
    assert f"- fussy, {refused}: lacks Tanh." in table
    assert "- absent: not here: no wheel." in table

    last = list(expected)[-1]
    logits, tokens = expected[last]
    for wrong in ((logits + 1e-3, tokens), (logits, [*tokens[:-1], tokens[-1] + 1])):
        bad = conformance.judge("fussy", runner, job, {**expected, last: wrong})
        assert bad.wrong == [last]
        assert not bad.passed
    assert "parts at token 3" in conformance.cell_figure(bad, last.rpartition("-")[0])
    Path(f"{tmp_path / last}.onnx.fussy.why").write_text("segmentation fault")
    assert conformance.judge("fussy", runner, job, expected).wrong == [last]
    assert np.isfinite(max(row.worst.values()))


def test_every_form_is_held_to_its_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    precisions, speeds = script("precisions"), script("speeds")
    monkeypatch.setattr(speeds, "SECONDS", 0.0)
    runtime = script("runtimes").RUNTIMES["onnxruntime"]

    def off(cell: dict[str, Any]) -> float:
        return float(speeds.run(speeds.Host(runtime, cell), cell)["off"])

    cells = {
        cell["name"]: cell for cell in json.loads(precisions.make_cells(tmp_path, precisions.forms(8)).read_text())
    }
    assert list(cells) == ["block 64", "primed", "series", "differences", "calendar"]
    assert max(map(off, cells.values())) <= 1
    cells["primed"]["primed"]["tokens"][-1] += 1
    cells["calendar"]["vector"]["y"][0] += 0.01
    assert off(cells["primed"]) == np.inf
    assert off(cells["calendar"]) > 1
