"""What the trainer records of a cell's gates: every gate that can be seen, in the range that it can have."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from tuirnn.cells import CELLS
from tuirnn.codegen.trace import traced
from tuirnn.gates import span, visible
from tuirnn.models import SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.training.probes import BINS, probe


@pytest.mark.parametrize("name", CELLS)
def test_gates_lie_in_their_ranges(name: str) -> None:
    torch.manual_seed(0)
    cell = traced(CELLS[name])
    model = SequenceModel(ModelConfig(cell=name, hidden=8, layers=2, embed=4, dropout=0.0), 11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # so that some gates come near to their ends
    tokens = torch.randint(11, (13, 5))
    found = probe(model, lambda y, t: cross_entropy(y.flatten(0, 1), t.flatten()), tokens[:-1], tokens[1:])
    assert len(found["gates"]) == len(found["ranges"]) == 2
    for shares, ranges in zip(found["gates"], found["ranges"], strict=True):
        assert tuple(shares) == tuple(ranges) == visible(cell)
        for gate, (low, high) in ranges.items():
            assert len(shares[gate]) == BINS
            assert sum(shares[gate]) == pytest.approx(1.0, abs=1e-3), "a value lies outside the range"
            known = span(cell, gate)
            assert low == known[0] or math.isinf(known[0])
            assert high == known[1] or math.isinf(known[1])
            assert low < high


def test_a_gate_without_limits_is_seen_in_the_range_of_its_values() -> None:
    torch.manual_seed(0)
    model = SequenceModel(ModelConfig(cell="rnn-relu", hidden=8, embed=4, dropout=0.0), 11)
    tokens = torch.randint(11, (13, 5))
    found = probe(model, lambda y, t: cross_entropy(y.flatten(0, 1), t.flatten()), tokens[:-1], tokens[1:])
    states = []
    state = model.zero_state(5)
    for step in tokens[:-1].split(1):
        _, state = model(step, state)
        states.append(state[0][0])
    assert found["ranges"][0]["h"] == pytest.approx([0.0, float(torch.stack(states).detach().max())], rel=1e-3)


def test_every_cell_has_something_to_see() -> None:
    assert all(visible(traced(cell)) for cell in CELLS.values())
