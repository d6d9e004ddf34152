"""Sequence models: tokens -> embedding, or points as they are -> stack of recurrent layers -> pooling -> head.

Parameter names follow torch.nn: `layers.0.weight_ih`, `embedding.weight`, `head.weight`, so that state dicts read
like those of `nn.Embedding`, `nn.LSTM` and `nn.Linear`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tuirnn.cells.initial import RULES, Constant, Drawn, Orthogonal, Rule, Setting, Uniform
from tuirnn.codegen.trace import traced
from tuirnn.kernels import ForwardCache, recurrent_layer
from tuirnn.kernels.cache import State
from tuirnn.kernels.pooling import running_max
from tuirnn.settings.model import ModelConfig
from tuirnn.tasks.batches import Lanes

COMPUTE_DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
}


DRAWN_AT_ONCE = 1 << 20
"""Elements of a dropout mask whose random numbers lie in memory together."""


class RecurrentLayer(nn.Module):
    """One layer of a cell with PyTorch's weight names and layouts.

    Args:
        config: which cell.
        inputs: width of x; the number of tokens where they are read one-hot.
    """

    weight_hh: Tensor
    bias_hh: Tensor
    vectors: Tensor

    def __init__(self, config: ModelConfig, inputs: int) -> None:
        super().__init__()
        self.cell = traced(config.recurrent)
        H, P = config.hidden, len(self.cell.vectors)
        self.hidden, self.weight_dropout = H, config.weight_dropout
        self.weight_ih = nn.Parameter(torch.empty(self.cell.G * H, inputs))
        self._optional("weight_hh", torch.empty(self.cell.R * H, H))
        self.bias_ih = nn.Parameter(torch.zeros(self.cell.G * H))
        self._optional("bias_hh", torch.zeros(self.cell.R * H))
        self._optional("vectors", torch.empty(P, H))
        self.reset_parameters(config)

    def _optional(self, name: str, values: Tensor) -> None:
        """A parameter; an empty one, of a cell that lacks it, is neither saved nor counted."""
        if not values.numel():
            self.register_buffer(name, values, persistent=False)
        else:
            self.register_parameter(name, nn.Parameter(values))

    def reset_parameters(self, config: ModelConfig) -> None:
        """Draw the first values by the cell's rules (`cells.initial`); those of torch.nn where it has none."""
        cell, H = self.cell, self.hidden
        rules = cell.cell.initial
        with torch.no_grad():
            _draw(self.weight_ih, rules.get("weight_ih", RULES["weight_ih"]), config)
            _draw(self.weight_hh, rules.get("weight_hh", RULES["weight_hh"]), config)
            for gate, rows in zip(cell.gates, self.bias_ih.view(-1, H), strict=True):
                _draw(rows, rules.get(f"bias {gate}", RULES["bias"]), config)
            for name, vector in zip(cell.vectors, self.vectors, strict=True):
                _draw(vector, rules.get(f"vector {name}", RULES["vector"]), config)

    def clip_vectors(self) -> None:
        """Clip the vectors to which the cell sets a limit."""
        with torch.no_grad():
            for name, vector in zip(self.cell.vectors, self.vectors, strict=True):
                if (limit := self.cell.cell.limits.get(name)) is not None:
                    vector.clamp_(-limit, limit)

    def zero_state(self, batch: int) -> State:
        """The state before the first token: zeros, each [B, H]."""
        return tuple(self.weight_ih.new_zeros(batch, self.hidden) for _ in self.cell.state)

    def forward(
        self,
        source: Tensor,
        state: State,
        embedding: Tensor | None = None,
        dtype: torch.dtype | None = None,
        observe: list[ForwardCache] | None = None,
        memory: str = "save",
    ) -> tuple[Tensor, State]:
        """See `kernels.recurrent_layer`; in training with `weight_dropout` (Merity et al. 2018) on weight_hh."""
        weight_hh: Tensor = self.weight_hh
        if self.training and self.weight_dropout and self.cell.R:
            weight_hh = _dropped(weight_hh[None], self.weight_dropout)[0]
        weights = (self.weight_ih, weight_hh, self.bias_ih, self.bias_hh, self.vectors)
        return recurrent_layer(
            self.cell, source, embedding, weights, state, dtype=dtype, memory=memory, observe=observe
        )


def _draw(values: Tensor, rule: Rule, config: ModelConfig) -> None:
    """Fill a matrix [rows, columns], or the numbers of all units [H], by a rule."""
    H = config.hidden
    match rule:
        case Uniform(scale):
            values.uniform_(-scale / math.sqrt(H), scale / math.sqrt(H))
        case Orthogonal(gain):
            for rows in torch.split(values, H):
                nn.init.orthogonal_(rows, gain)
        case Constant(value):
            values.fill_(value)
        case Setting(name):
            values.fill_(float(getattr(config, name)))
        case Drawn(value):
            values.copy_(torch.tensor([value(u) for u in torch.rand(len(values)).tolist()]))


class SequenceModel(nn.Module):
    """Tokens [T, B] or points [T, B, F], and a state, to outputs [T, B, ·] and the next state.

    Args:
        config: the architecture.
        inputs: number of tokens, or width F of a point, which takes a `config` without embedding.
        outputs: width of the head; None: as the inputs.
        unk: token whose input row starts at zero, so that unknown symbols add nothing.
        compute_dtype: of the recurrent layers' products; parameters keep float32 unless it is float64.
        memory: 'save' or 'recompute', see `kernels.recurrent_layer`.
        auxiliary: in training, further outputs of a head of their own, beside those of `outputs`; 0: none.
    """

    def __init__(
        self,
        config: ModelConfig,
        inputs: int,
        *,
        outputs: int | None = None,
        unk: int | None = None,
        compute_dtype: torch.dtype = torch.float32,
        memory: str = "save",
        auxiliary: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype, self.memory = compute_dtype, memory
        self.embedding = nn.Embedding(inputs, config.embed) if config.embed else None
        widths = [config.embed or inputs] + [config.hidden] * (config.layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(config, width) for width in widths)
        self.projection = nn.Linear(config.top, config.projection) if config.projection else None
        self.head = nn.Linear(config.projection or config.top, outputs or inputs)
        self.auxiliary = nn.Linear(config.hidden, auxiliary) if auxiliary else None
        with torch.no_grad():
            if self.embedding is not None:
                self.embedding.weight.normal_(0.0, 1.0 if not config.tied else config.embed**-0.5)
            for name, matrix in self.named_parameters() if config.init_std else ():
                if matrix.dim() == 2 and not name.endswith("vectors"):
                    matrix.normal_(0.0, config.init_std)
            if unk is not None:
                (
                    self.embedding.weight[unk] if self.embedding is not None else self.recurrent(0).weight_ih[:, unk]
                ).zero_()
            self.head.bias.zero_()
        if config.tied:
            assert self.embedding is not None
            self.head.weight = self.embedding.weight
        if compute_dtype == torch.float64:
            self.double()

    def recurrent(self, index: int) -> RecurrentLayer:
        """Layer `index` of the stack."""
        layer = self.layers[index]
        assert isinstance(layer, RecurrentLayer)
        return layer

    def zero_state(self, batch: int) -> list[State]:
        """Every layer's state before the first token, then the state of the pooling, if there is one."""
        state = [self.recurrent(i).zero_state(batch) for i in range(len(self.layers))]
        return [*state, (self.head.weight.new_zeros(batch, self.config.hidden),)] if self.config.pools else state

    def forward(
        self,
        source: Tensor,
        state: Sequence[State],
        *,
        masks: Sequence[Tensor] | None = None,
        lanes: Lanes | None = None,
        observe: list[ForwardCache] | None = None,
        head: bool = True,
    ) -> tuple[Tensor, list[State]]:
        """Run the network over a batch of sequences.

        Args:
            source: tokens, int64 [T, B], or points, floating [T, B, F].
            state: as of `zero_state`, each tensor [B, H].
            masks: dropout masks to use instead of drawing them, one [T, B, H] per layer.
            lanes: which of a larger batch these sequences are; dropout is then drawn for all of it.
            observe: receives one `ForwardCache` per layer.
            head: whether outputs are wanted; False: what the head would read, [T, B, ·].
        Returns:
            outputs [T, B, ·], logits where tokens are predicted, with the auxiliary ones behind them in training; and
            the state after the last step.
        """
        x: Tensor = source
        after: list[State] = []
        for i in range(len(self.layers)):
            embedding = self.embedding.weight if i == 0 and self.embedding is not None else None
            y, last = self.recurrent(i)(x, state[i], embedding, self.compute_dtype, observe, self.memory)
            if self.config.residual and i > 0:
                y = y + x
            if self.config.pools and i == len(self.layers) - 1:
                most = running_max(y, state[-1][0])
                y = torch.cat((y, most), -1)  # [T, B, 2H]
            x = self._drop(y, masks[i] if masks is not None else None, lanes)
            after.append(last)
        if self.config.pools:
            after.append((most[-1],))
        top = x
        if self.projection is not None:
            x = self.projection(x)
        if not head:
            return x, after
        outputs = self.head(x)
        if self.auxiliary is not None and self.training:
            outputs = torch.cat((outputs, self.auxiliary(top[..., : self.config.hidden])), -1)
        return outputs, after

    def _drop(self, x: Tensor, mask: Tensor | None, lanes: Lanes | None) -> Tensor:
        if mask is not None:
            return x * mask
        if not self.training or not self.config.dropout:
            return x
        return _dropped(x, self.config.dropout, lanes)


def _dropped(x: Tensor, p: float, lanes: Lanes | None = None) -> Tensor:
    return _Dropout.apply(x, dropout_mask(x, p, lanes), 1 / (1 - p))  # type: ignore[no-untyped-call, no-any-return]


class _Dropout(torch.autograd.Function):
    """x where `kept`, enlarged so that the mean stays, else 0; for the backward pass one byte an element is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        ctx.save_for_backward(kept)
        return kept.to(x.dtype).mul_(scale).mul_(x)  # a product with bool is slower than this conversion

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return kept.to(dy.dtype).mul_(ctx.scale).mul_(dy), None, None


def dropout_mask(like: Tensor, p: float, lanes: Lanes | None = None) -> Tensor:
    """Which elements of `like` [T, B, H] stay: bool, false with probability p (on the CPU to 1/65536).

    On the CPU four elements share one 64-bit draw: PyTorch's own Bernoulli draws for each, which cost a sixth of
    a training step.

    Args:
        like: what is to be masked.
        p: share that is dropped.
        lanes: which part of a larger batch `like` is. Numbers are drawn for the whole of it, so that a mask does not
            depend on how many processes, or parts of a step, share the batch.
    """
    T, B, H = like.shape
    lanes = lanes or Lanes(0, B, B)
    if like.device.type != "cpu":
        whole = torch.empty(T, lanes.B, H, dtype=torch.bool, device=like.device).bernoulli_(1 - p)
        return whole[:, lanes.own].contiguous()
    least = round(p * 65_536) - 32_768
    kept = torch.empty(T, B, H, dtype=torch.bool)
    span = 4 * max(1, DRAWN_AT_ONCE // (4 * lanes.B * H))  # a multiple of four, so that no draw is cut
    for piece in torch.split(kept, span):
        drawn = len(piece) * lanes.B * H
        draws = torch.empty(-(-drawn // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        torch.ge(draws[:drawn].view(-1, lanes.B, H)[:, lanes.own], least, out=piece)
    return kept


def detached(state: Sequence[State]) -> list[State]:
    """The state's values without their history: where truncated BPTT truncates."""
    return [tuple(tensor.detach() for tensor in layer) for layer in state]


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
