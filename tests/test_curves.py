"""Each cell learns as it did: the loss of every fifth step of a short training against what is stored."""

from collections.abc import Iterator

import curves
import pytest

from tuirnn.cells import CELLS
from tuirnn.kernels import native


@pytest.fixture
def portable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernels that the curves were made with."""
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")
    native.forget()
    yield
    native.forget()


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_learns_as_it_did(name: str, portable: None) -> None:
    if not (curves.FOLDER / f"{name}.json").exists():
        pytest.fail(f"cell '{name}' has no loss curve yet; make it: {curves.COMMAND} {name}")
    wanted = curves.stored(name)
    assert len(wanted) == curves.STEPS // curves.EVERY
    assert wanted[-1] < wanted[0] - 0.15, "it does not learn"
    assert curves.curve(name) == pytest.approx(wanted, abs=curves.TOLERANCE)


def test_there_is_no_curve_without_its_cell() -> None:
    assert {path.stem for path in curves.FOLDER.glob("*.json")} == set(CELLS)
