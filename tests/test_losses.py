"""The first 50 losses of each cell are those stored in `tests/losses`: first weights, forward, backward, update.

Run as a program, it writes the file of each cell that is named: python tests/test_losses.py CELL …
"""

import json
import sys
from pathlib import Path

import pytest
import torch

from tuirnn.cells import CELLS
from tuirnn.models import SequenceModel, detached
from tuirnn.settings.model import ModelConfig

STORED = Path(__file__).parent / "losses"
TEXT = "the old man and the sea; the young man and the old sea. "
STEPS, T, B = 50, 12, 2


def losses(cell: str) -> list[float]:
    """Nats per character over 50 steps of Adam on a short text, in float64, the state carried."""
    letters = sorted(set(TEXT))
    lane = torch.tensor([letters.index(letter) for letter in TEXT])
    lanes = torch.stack([lane, lane.roll(7)], 1)  # [text, B]
    torch.manual_seed(0)
    config = ModelConfig(hidden=12, embed=6, layers=2, dropout=0.0).of_cell(CELLS[cell])
    model = SequenceModel(config, len(letters), compute_dtype=torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    state, found = model.zero_state(B), []
    for step in range(STEPS):
        at = torch.arange(step * T, step * T + T + 1) % len(lanes)
        logits, state = model(lanes[at[:-1]], state)
        state = detached(state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), lanes[at[1:]].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        found.append(float(loss.detach()))
    return found


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("cell", CELLS)
def test_losses_are_those_that_are_stored(cell: str) -> None:
    stored = json.loads((STORED / f"{cell}.json").read_text())
    assert len(stored) == STEPS
    assert sum(stored[-15:]) < 0.96 * sum(stored[:15])
    assert losses(cell) == pytest.approx(stored, rel=1e-6)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        numbers = [float(f"{loss:.9g}") for loss in losses(name)]
        (STORED / f"{name}.json").write_text(json.dumps(numbers) + "\n")
