"""Pooling: the running maximum and its derivative, in training, in the exported step, in every precision."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from tuirnn.cellfile import guard
from tuirnn.cellfile.contract import POOLED
from tuirnn.cells import CELLS
from tuirnn.errors import CellFileError
from tuirnn.export.exporter import export_network
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.export.weights import read_weights
from tuirnn.kernels.pooling import running_max
from tuirnn.models import SequenceModel
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.verify import verify
from tuirnn.settings.model import ModelConfig
from tuirnn.training.verification import FINITE_DIFFERENCE_BOUND, Trial, finite_difference_error
from tuirnn.vocab import Vocabulary

VOCAB = Vocabulary("char", tuple("abcdefgh"))


def model_of(**settings: Any) -> SequenceModel:
    """A pooling network with first weights, in float64."""
    torch.manual_seed(0)
    config = ModelConfig(**{"hidden": 8, "embed": 4, "pooling": "last+max", **settings})
    model = SequenceModel(config, len(VOCAB), unk=VOCAB.unk, compute_dtype=torch.float64)
    return model.eval()


def network_of(model: SequenceModel) -> Network:
    tensors = {name: value.float().contiguous() for name, value in model.state_dict().items()}
    return Network("m", model.config, read_weights(save(tensors), model.config, "m"), VOCAB)


@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_the_running_maximum_and_its_derivative_are_those_of_torch(
    T: int, B: int, H: int, seed: int, ties: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, before, d = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((T, B, H), (B, H), (T, B, H))
    )
    if ties:
        x, before = x.round(), before.round()
    x.requires_grad_()
    before.requires_grad_()
    found = running_max(x, before)
    assert torch.equal(found, torch.cat([before[None], x]).cummax(0).values[1:])
    dx, dbefore = torch.autograd.grad(found, (x, before), d)
    whole = torch.cat([before[None], x]).detach()
    first = torch.stack(
        [(whole[: t + 1] == whole[: t + 1].amax(0)).int().argmax(0) for t in range(1, T + 1)]
    )  # [T, B, H]
    expected = torch.zeros_like(whole).scatter_add_(0, first, d)
    torch.testing.assert_close(torch.cat([dbefore[None], dx]), expected)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    "settings", [{}, {"residual": True}, {"projection": 5}], ids=["plain", "residual", "projection"]
)
def test_the_network_has_the_gradient_of_finite_differences(layers: int, settings: dict[str, Any]) -> None:
    model = model_of(layers=layers, **settings)
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * normal(*parameter.shape))
    state = [tuple(normal(3, 8).requires_grad_() for _ in layer) for layer in model.zero_state(3)]
    outputs = [(6, 3, len(VOCAB)), *((3, 8) for layer in state for _ in layer)]
    tokens = torch.randint(len(VOCAB), (6, 3), generator=generator)
    subject = Trial(model, tokens, state, None, [normal(*shape) for shape in outputs])
    assert finite_difference_error(subject) < FINITE_DIFFERENCE_BOUND


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    "settings", [{}, {"residual": True}, {"projection": 5}], ids=["plain", "residual", "projection"]
)
@pytest.mark.parametrize("cell", ["lstm", "gru-before", "rnn-relu", "slstm"])
def test_carried_steps_in_onnx_runtime_are_those_of_the_network(
    cell: str, settings: dict[str, Any], layers: int
) -> None:
    model = model_of(layers=layers, **{**CELLS[cell].settings, **settings})
    session, tokens = CellSession(export_network(network_of(model)), device="cpu"), np.random.default_rng(0)
    state = model.zero_state(1)
    for _ in range(2):  # the state is carried from one call to the next
        part = tokens.integers(0, len(VOCAB), 40)
        with torch.no_grad():
            expected, state = model(torch.from_numpy(part)[:, None], state)
        y = expected[:, 0].numpy()
        found = np.stack([session.step(int(token))[0].copy() for token in part])
        assert (np.abs(found - y) <= 1e-5 * np.maximum(1, np.abs(y))).all()


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_every_precision_reproduces_its_test_vectors(precision: str) -> None:
    made = export_network(network_of(model_of(layers=2, hidden=64)), CellOptions(precision=precision))
    assert made.metadata.state_map.items() >= POOLED.items()
    verify(made, device="cpu")


def test_a_state_that_the_metadata_lack_is_refused() -> None:
    made = export_network(network_of(model_of()))
    assert guard.inspect(made.data, "m").metadata.pools
    assert not guard.inspect(export_network(network_of(model_of(pooling="last"))).data, "m").metadata.pools
    with pytest.raises(CellFileError):
        guard.inspect(made.data.replace(b"pooled_in", b"pooled_on"), "m")
