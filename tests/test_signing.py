"""Signing again after an edit, and the model card."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from conftest import Answer

from tuirnn.cellfile.card import LONGEST, card_of, read_card
from tuirnn.errors import CellFileError, ConfigError
from tuirnn.export.exporter import export_run, write_cell
from tuirnn.export.options import CellOptions
from tuirnn.runs.layout import RunPaths
from tuirnn.shipped import CELL, CELLS

CARD = {"description": "Foxes — “short” ones", "author": "A. Person", "licence": "CC0-1.0", "date": "2026-11-28"}


@pytest.fixture
def file(small_run: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUIRNN_KNOWN_CELLS", str(tmp_path / "known.txt"))
    path = tmp_path / "cell.onnx"
    write_cell(export_run(small_run, options=CellOptions(card=CARD)), path)
    return path


def edit(path: Path, key: str, value: str) -> None:
    """Change a metadata value as a user's own program would."""
    model = onnx.load(path)
    next(prop for prop in model.metadata_props if prop.key == key).value = value
    onnx.save(model, path)


def test_an_edited_file_is_signed_again_and_a_second_time_nothing_changes(
    file: Path, answer: Callable[..., Answer]
) -> None:
    edit(file, "tuirnn.card", json.dumps({**CARD, "author": "B. Person"}))
    assert "does not match its own sha256" in answer("inspect", str(file)).err
    done = answer("resign", str(file))
    assert done.code == 0, done.err
    assert "signed again" in done.out
    assert "does not prove: who made it" in done.out
    assert "B. Person" in answer("inspect", str(file)).out
    before = file.read_bytes()
    assert "its hash was right" in answer("resign", str(file)).out
    assert file.read_bytes() == before
    assert json.loads(answer("resign", str(file), "--json").out)["changed"] is False


def weights(path: Path) -> str:
    """A hash of the weights."""
    digest = hashlib.sha256()
    for tensor in onnx.load(path).graph.initializer:
        digest.update(tensor.name.encode() + tensor.raw_data)
    return digest.hexdigest()


def test_a_language_model_of_an_earlier_version_gets_its_opening(
    file: Path, tmp_path: Path, answer: Callable[..., Answer]
) -> None:
    old, path = Path(__file__).parent / "old" / "cells" / "lstm.onnx", tmp_path / "lstm.onnx"
    shutil.copy(old, path)
    said = json.loads(answer("resign", str(path), "--json").out)
    assert (said["changed"], said["added"]) == (True, ["tuirnn.opening"])
    assert json.loads(path.with_suffix(".json").read_text("utf-8"))["tuirnn.opening"] == 0
    assert weights(path) == weights(old)
    assert onnx.load(path).graph == onnx.load(old).graph
    assert json.loads(answer("resign", str(path), "--json").out)["changed"] is False
    assert "had no" not in answer("resign", str(file)).out


def test_the_cell_that_comes_with_the_program_has_an_opening_and_the_weights_it_was_made_with() -> None:
    assert json.loads((CELLS / CELL).with_suffix(".json").read_text("utf-8"))["tuirnn.opening"] == 0
    assert weights(CELLS / CELL) == "9eb05839fc7d22c99252cd6a32375be6607b7cea242028ff0223e6509be3199b"


def test_a_file_that_computes_something_else_is_not_signed(file: Path, answer: Callable[..., Answer]) -> None:
    model = onnx.load(file)
    table = next(tensor for tensor in model.graph.initializer if tensor.name == "table")
    table.raw_data = bytes(len(table.raw_data))
    onnx.save(model, file)
    before = file.read_bytes()
    refused = answer("resign", str(file))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "does not reproduce its own test vector" in refused.err
    assert file.read_bytes() == before
    (file.parent / "text.onnx").write_text("not a model")
    assert answer("resign", str(file.parent / "text.onnx")).code == 2
    assert "does not end in .onnx" in answer("resign", str(file.with_suffix(".json"))).err


def test_the_card_is_in_the_file_and_in_the_json_beside_it(file: Path, answer: Callable[..., Answer]) -> None:
    said = json.loads(file.with_suffix(".json").read_text("utf-8"))["tuirnn.card"]
    figures = said.pop("figures")
    assert said == CARD
    assert figures["parameters"] > 100
    assert figures["unit"].startswith("nats")
    shown = answer("inspect", str(file)).out
    assert all(text in shown for text in CARD.values())
    assert "card: figures" in shown


def test_what_is_no_card_is_refused() -> None:
    assert card_of(["author=A=B"]) == {"author": "A=B"}
    for wrong in (["author"], ["writer=A"], ["date="], ["date=" + "x" * (LONGEST + 1)], ["date=1", "date=2"]):
        with pytest.raises(ConfigError, match="--card"):
            card_of(wrong)
    for damaged in ("[]", '{"author": 1}', '{"other": "x"}', '{"figures": {"loss": []}}'):
        with pytest.raises(CellFileError, match="card is damaged"):
            read_card(damaged)
    assert read_card(None) == {}
