"""A saved state: going on from it writes what one run would have written; other and damaged files are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_networks import network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import DataError
from tuirnn.export.exporter import export_network
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.states import CELL, load_state, save_state

HOT = Sampling(5.0)


def made(tokens: str, cell: str = "lstm") -> TrustedCell:
    return export_network(network(tokens, cell=cell, layers=2), proofs=False)


def writer(cell: TrustedCell, seed: int = 0) -> TextWriter:
    return TextWriter(CellSession(cell, device="cpu"), seed)


@pytest.mark.parametrize("tokens", ["char", "byte", "word"])
def test_a_text_goes_on_as_if_it_had_not_stopped(tokens: str, tmp_path: Path) -> None:
    """Random bytes stop within UTF-8 characters too."""
    cell, file = made(tokens), tmp_path / "state.safetensors"
    for seed in range(8):
        one = writer(cell, seed)
        before = "".join(one.stream(HOT, 17 + seed))
        save_state(file, one, cell)
        after = "".join(one.stream(HOT, 40))
        other = writer(cell)
        load_state(file, other, cell)
        other.seek(seed, 17 + seed)
        assert "".join(other.stream(HOT, 40)) == after, (before, after)


def test_the_file_is_what_the_document_says(tmp_path: Path) -> None:
    cell, file = made("char"), tmp_path / "state.safetensors"
    one = writer(cell)
    one.feed("ok")
    save_state(file, one, cell)
    tensors = load_file(file)
    assert {name: (t.shape, str(t.dtype)) for name, t in tensors.items()} == {
        "h_in": ((2, 1, 24), "float32"),
        "c_in": ((2, 1, 24), "float32"),
        "logits": ((1, len(cell.metadata.vocab)), "float32"),
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"h_in": np.zeros((2, 1, 23), np.float32)}, "expected float32 tensors"),
        ({"h_in": np.full((2, 1, 24), np.nan, np.float32)}, "not finite"),
        ({"h_in": np.zeros((2, 1, 24), np.float16)}, "expected float32 tensors"),
        ({"more": np.zeros(1, np.float32)}, "expected float32 tensors"),
        ({"undecoded": np.zeros(9, np.uint8)}, "up to 3 bytes"),
        ({"logits": np.full((1, 15), np.nan, np.float32)}, "not numbers"),
    ],
)
def test_a_damaged_file_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    from tuirnn.cellfile.sidecar import digest

    cell, file = made("char"), tmp_path / "state.safetensors"
    save_state(file, writer(cell), cell)
    save_file({**load_file(file), **changes}, file, {CELL: digest(cell.data)})
    with pytest.raises(DataError, match=said):
        load_state(file, writer(cell), cell)


def test_a_state_of_another_cell_is_refused(tmp_path: Path) -> None:
    cell, file = made("char"), tmp_path / "state.safetensors"
    save_state(file, writer(cell), cell)
    with pytest.raises(DataError, match="another cell file"):
        load_state(file, writer(made("char", "gru")), made("char", "gru"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_in_a_sentence(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    file.write_bytes(data)
    with pytest.raises(DataError):
        load_state(file, WRITER, WRITERS_CELL)


WRITERS_CELL = made("char")
WRITER = writer(WRITERS_CELL)
