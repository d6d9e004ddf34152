"""`torch.nn.LSTM`, `GRU` and `RNN` on this package's kernels: drop-in modules for other people's training scripts.

Each is a subclass of PyTorch's module of the same name: the same arguments, first weights (by the same seed the same),
parameter names, shapes and answers; only `forward`, with its hand-written backward pass, is ours. State dicts load both
ways. Letters: T time steps, B sequences, I input width, H hidden width, L layers.
"""

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from tuirnn.cells import CELLS
from tuirnn.codegen.trace import Traced, traced
from tuirnn.errors import ConfigError
from tuirnn.kernels import native, recurrent_layer
from tuirnn.kernels.cache import State

if TYPE_CHECKING:
    from tuirnn.kernels.layer import Weights

__all__ = ["GRU", "LSTM", "RNN"]

MODES = {
    "_".join([cell.in_torch[0], *cell.in_torch[1].values()]).upper(): cell for cell in CELLS.values() if cell.in_torch
}
"""What torch.nn calls the mode of a module -> the cell."""

DTYPES = (torch.float32, torch.float64, torch.bfloat16)


class _Recurrent(nn.RNNBase):
    """What the three modules share: everything but their arguments."""

    def _prepare(self) -> None:
        """Refuse what our kernels do not do; compile them in the background where this processor has none yet."""
        name = type(self).__name__
        if self.bidirectional:
            raise ConfigError(
                f"tuirnn.nn.{name} reads a sequence from its first step to its last, so that it can run step by step: "
                f"bidirectional=True is not supported; flip the sequence for a second module, or use torch.nn.{name}"
            )
        if self.proj_size:
            raise ConfigError(
                f"tuirnn.nn.{name} has no kernel that projects the hidden state: proj_size is not supported; follow "
                f"the module with a torch.nn.Linear, or use torch.nn.{name}"
            )
        if self.all_weights[0][0].device.type == "cpu" and native.is_to_be_compiled(self._cell):
            warnings.warn(
                "tuirnn compiles the kernels of this cell for this processor, once: some seconds", stacklevel=3
            )
            native.prepare(self._cell)

    @property
    def _cell(self) -> Traced:
        return traced(MODES[self.mode])

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # a compiled model breaks its graph here
    def _run(self, input: Tensor, hx: State | None) -> tuple[Tensor, State]:
        """h of every step and the last state, in the form of the arguments.

        Args:
            input: [T, B, I], with `batch_first` [B, T, I], of a single sequence [T, I].
            hx: the parts of the state, each [L, B, H], of a single sequence [L, H]; None: zeros.
        Raises:
            ConfigError: a packed sequence, or a dtype that no kernel computes in.
            RuntimeError, ValueError: PyTorch's own, for arguments of other shapes or types.
        """
        name, parts = type(self).__name__, len(self._cell.state)
        if isinstance(input, PackedSequence):
            raise ConfigError(
                f"tuirnn.nn.{name} reads sequences of one length: packed sequences are not supported; pad them and "
                f"leave the padding out of the loss, or use torch.nn.{name}"
            )
        if input.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        lone, across = input.dim() == 2, 0 if self.batch_first else 1
        if lone:
            input, hx = input.unsqueeze(across), None if hx is None else tuple(part.unsqueeze(1) for part in hx)
        if hx is None:
            hx = (input.new_zeros(self.num_layers, input.shape[across], self.hidden_size),) * parts
        self.check_forward_args(input, hx if parts > 1 else hx[0], None)  # type: ignore[arg-type]
        x = input.transpose(0, 1).contiguous() if self.batch_first else input  # [T, B, I]
        if not len(x):
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        y, state = self._layers(x, hx)
        y = y.transpose(0, 1) if self.batch_first else y
        return (y.squeeze(across), tuple(part.squeeze(1) for part in state)) if lone else (y, state)

    def _layers(self, x: Tensor, hx: State) -> tuple[Tensor, State]:
        """h [T, B, H] of the last layer and the last states, each [L, B, H], for x [T, B, I] and first states."""
        kind, cell = x.device.type, self._cell
        cast = torch.is_autocast_enabled(kind)
        operand = torch.get_autocast_dtype(kind) if cast else x.dtype
        if operand not in DTYPES:
            raise ConfigError(
                f"tuirnn.nn computes in float32, float64 or bfloat16, not in {operand}; convert the module"
            )
        kept = torch.float64 if operand == torch.float64 else torch.float32  # of states and sums, as in training
        last: list[State] = []
        with torch.autocast(kind, enabled=False) if cast else contextlib.nullcontext():
            x = x.to(kept)
            for layer in range(self.num_layers):
                if layer:
                    x = dropout(x, self.dropout, self.training)
                first = tuple(part[layer].to(kept) for part in hx)
                x, after = recurrent_layer(cell, x, None, self._weights(layer, kept), first, dtype=operand)
                last.append(after)
        return x.to(operand), tuple(torch.stack(parts).to(operand) for parts in zip(*last, strict=True))

    def _weights(self, layer: int, dtype: torch.dtype) -> "Weights":
        """The parameters of a layer; by their names, so that parametrizations and functional calls are heeded."""
        weight_ih, weight_hh = (getattr(self, f"weight_{of}_l{layer}").to(dtype) for of in ("ih", "hh"))
        none = weight_ih.new_zeros(len(weight_ih))
        bias_ih, bias_hh = (
            getattr(self, f"bias_{of}_l{layer}").to(dtype) if self.bias else none for of in ("ih", "hh")
        )
        return weight_ih, weight_hh, bias_ih, bias_hh, weight_ih.new_zeros(0, self.hidden_size)


class LSTM(_Recurrent, nn.LSTM):
    """Drops in for `torch.nn.LSTM`, whose documentation describes the arguments.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, device, dtype: as there.
        bidirectional, proj_size: must be False and 0.
    Raises:
        ConfigError: another value of one of the last two.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype
        )
        self._prepare()

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """h of every step, and (h, c) after the last, of sequences [T, B, I], `batch_first` [B, T, I], or [T, I].

        Args:
            input: in the dtype of the parameters.
            hx: (h, c) before the first step, each [L, B, H], or [L, H]; None: zeros.
        """
        y, (h, c) = self._run(input, hx)
        return y, (h, c)


class GRU(_Recurrent, nn.GRU):
    """Drops in for `torch.nn.GRU`, whose documentation describes the arguments.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, device, dtype: as there.
        bidirectional: must be False.
    Raises:
        ConfigError: it is not.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device=device, dtype=dtype
        )
        self._prepare()

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """h of every step, and after the last, of sequences [T, B, I], with `batch_first` [B, T, I], or [T, I].

        Args:
            input: in the dtype of the parameters.
            hx: h before the first step, [L, B, H] or [L, H]; None: zeros.
        """
        y, (h,) = self._run(input, None if hx is None else (hx,))
        return y, h


class RNN(_Recurrent, nn.RNN):
    """Drops in for `torch.nn.RNN`, whose documentation describes the arguments.

    Args:
        input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, device, dtype: as there.
        bidirectional: must be False.
    Raises:
        ConfigError: it is not.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip
        self._prepare()

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """See `GRU.forward`."""
        y, (h,) = self._run(input, None if hx is None else (hx,))
        return y, h
