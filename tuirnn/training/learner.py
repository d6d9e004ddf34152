"""What every process of a training does: its lanes of each batch, there and back, and the same update as all others."""

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tuirnn.config import RunConfig
from tuirnn.errors import RunError, VerificationError
from tuirnn.kernels.cache import State
from tuirnn.models import COMPUTE_DTYPES, SequenceModel, detached
from tuirnn.runs.checkpoint import Checkpoint
from tuirnn.tasks.batches import IGNORE, Lanes
from tuirnn.tasks.task import TaskData
from tuirnn.training import checkpoints
from tuirnn.training.devices import prepare
from tuirnn.training.feed import Feed
from tuirnn.training.graphed import Graphed, capture_on
from tuirnn.training.losses import CrossEntropy
from tuirnn.training.optimizers import make_optimizer, set_rate
from tuirnn.training.tasks import half_of
from tuirnn.training.team import Alone


def build_model(config: RunConfig, data: TaskData) -> SequenceModel:
    """The untrained network for this data."""
    return SequenceModel(
        config.model,
        data.inputs,
        outputs=data.outputs,
        unk=data.vocab.unk,
        compute_dtype=COMPUTE_DTYPES[config.train.dtype],
        memory=config.train.memory,
        auxiliary=data.inputs if config.train.auxiliary else 0,
    )


class Learner:
    """The network, its optimizer, the batches and the hidden state carried from one to the next.

    Each process draws the whole of every batch and all of its random numbers, and takes its own lanes of them: so the
    random generators are the same everywhere, and what is learned does not depend on how many processes there are.

    Args:
        config: every setting.
        data: of the run's task.
        team: the processes that share each batch.
        device: where to compute.
        note: told, in one line each, what does not run as well as it could.

    Attributes:
        lanes: this process's part of a batch.
        parts: those that are in memory at once, one after the other.
        state: carried, of these lanes.
    """

    def __init__(
        self, config: RunConfig, data: TaskData, team: Alone, device: torch.device, note: Callable[[str], None]
    ) -> None:
        self.config, self.data, self.team, self.device = config, data, team, device
        torch.manual_seed(config.train.seed)
        self.model = build_model(config, data).to(device)
        self.batches = data.batches(config.train)
        self.feed = Feed(self.batches, device)
        self.lanes = team.lanes(self.batches.B)
        self.parts = self.lanes.divided(config.train.accumulate)
        self.optimizer = make_optimizer(self.model, config.train)
        self.loss = half_of(config).make_loss(config, data, device)
        self.unknown = data.vocab.unk or 0
        self.state = self.model.zero_state(len(self.lanes))
        prepare(self.model, len(self.parts[0]), config.train.dtype, device, note)
        self.network = team.wrap(self.model)
        # Between parts the random state is set back, and between processes gradients are sent: no graph holds that.
        recordable = len(self.parts) == 1 and team.member.size == 1
        self.take_step = Graphed(self._update, capture_on(device) if recordable else None, note)

    def training_step(self, rate: float) -> tuple[Tensor, Tensor, int]:
        """One batch, one update.

        Args:
            rate: the learning rate.
        Returns:
            the loss and the gradient's norm before clipping, of the whole batch, and the batch's size in tokens.
        """
        x, y, carry = batch = self.batches.next()
        tokens, targets = self.feed(batch, self.lanes.own)
        carried = [tensor for layer in self._carried(carry[self.lanes.own]) for tensor in layer]
        set_rate(self.optimizer, rate)
        loss, norm, *after = self.take_step([tokens, targets, self._weights(y), *carried])
        self.state = self._by_layer(after)
        return self.team.add(loss), norm, x.shape[0] * x.shape[1]

    def _weights(self, y: npt.NDArray[Any]) -> Tensor:
        """What the batch's loss counts in the gradient, then the share of each part in that loss, [1 + parts]."""
        unit = int((y != IGNORE).sum()) if self.config.train.summed else 1
        whole = self.loss.weight(y)
        shares = [self.loss.weight(y[:, part.own]) / whole for part in self.parts]
        return torch.tensor([unit, *shares]).to(self.device, non_blocking=True)

    def _update(self, inputs: list[Tensor]) -> list[Tensor]:
        """From (tokens, targets, weights, carried state) to (loss, gradient norm, state), the network a step further.

        On CUDA it is recorded once and replayed: only the device's values may decide what it does.
        """
        train = self.config.train
        tokens, targets, weights, *carried = inputs
        unit, *shares = weights.unbind()
        if train.token_dropout:
            hidden = torch.rand(len(tokens), self.lanes.B, device=self.device) < train.token_dropout
            tokens = tokens.masked_fill(hidden[:, self.lanes.own], self.unknown)
        self.optimizer.zero_grad()
        before = self._by_layer(carried)
        random = random_state(self.device) if len(self.parts) > 1 else None
        loss, after = torch.zeros((), device=self.device), []
        for part, share in zip(self.parts, shares, strict=True):
            local = slice(part.first - self.lanes.first, part.last - self.lanes.first)
            if random is not None:
                set_random_state(random, self.device)  # every part draws for the whole batch, the same
            with self.team.holding(self.network) if part is not self.parts[-1] else contextlib.nullcontext():
                mean, state = self._forward(tokens[:, local], targets[:, local], _lanes_of(before, local), part)
                counted = mean * share
                (counted * unit).backward()  # type: ignore[no-untyped-call]
            loss += counted.detach()
            after.append(detached(state))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), train.clip or math.inf)
        self.optimizer.step()
        for index in range(len(self.model.layers)):
            self.model.recurrent(index).clip_vectors()
        return [loss, norm, *(tensor for layer in _side_by_side(after) for tensor in layer)]

    def _forward(
        self, tokens: Tensor, targets: Tensor, state: Sequence[State], part: Lanes
    ) -> tuple[Tensor, list[State]]:
        """The loss of a part of the batch, and the state after it."""
        in_pieces = isinstance(self.loss, CrossEntropy) and self.loss.takes_head(targets.numel(), self.model.head)
        outputs, after = self.network(tokens, state, lanes=part, head=not in_pieces)
        if in_pieces:
            assert isinstance(self.loss, CrossEntropy)
            return self.loss.of_head(outputs, self.model.head, targets), after
        return self.loss(outputs, targets), after

    def _by_layer(self, tensors: Sequence[Tensor]) -> list[State]:
        rest = iter(tensors)
        return [tuple(itertools.islice(rest, len(layer))) for layer in self.state]

    def _carried(self, carry: npt.NDArray[np.float32]) -> list[State]:
        if not carry.any():
            return self.model.zero_state(len(self.lanes))
        if carry.all():
            return self.state
        keep = torch.from_numpy(carry)[:, None].to(self.device, self.state[0][0].dtype)
        return [tuple(tensor * keep for tensor in layer) for layer in self.state]

    def show(self) -> list[State]:
        """The carried hidden state of the whole batch; nothing where none is carried.

        Raises:
            VerificationError: the processes' weights are no longer the same.
        """
        if not self.team.same_weights(self.model):
            raise VerificationError(
                "the processes' weights have drifted apart, which must not happen: the machine, or its arithmetic, is "
                "at fault; go on from the last checkpoint with --processes 1"
            )
        if not self.batches.carries_state:
            return []
        return [tuple(self._whole(tensor) for tensor in layer) for layer in self.state]

    def _whole(self, tensor: Tensor) -> Tensor:
        if len(self.lanes) == self.lanes.B:
            return tensor
        whole = tensor.new_zeros(self.lanes.B, *tensor.shape[1:])
        whole[self.lanes.own] = tensor
        return self.team.add(whole)

    def restore(self, saved: Checkpoint) -> dict[str, Any]:
        """Go on exactly where `saved` was taken; with other data than it was taken on, from their beginning.

        Returns:
            its `trainer.json`.
        Raises:
            RunError: the checkpoint does not fit this run.
            KeyError, TypeError, ValueError, OverflowError, DataError: its cursor is damaged.
        """
        self.take_step.forget()
        carried, values = checkpoints.unpack(saved, self.model, self.optimizer, self.device)
        if values["data"] == self.data.sha256:
            self.batches.restore(values["cursor"])
            whole = carried or self.model.zero_state(self.batches.B)
            self._fits(whole, saved)
            self.state = [tuple(tensor[self.lanes.own] for tensor in layer) for layer in whole]
        return values

    def _fits(self, state: list[State], saved: Checkpoint) -> None:
        wanted = self.model.zero_state(self.batches.B)
        forms, ours = ([[(t.shape, t.dtype) for t in layer] for layer in each] for each in (state, wanted))
        if forms != ours:
            raise RunError(f"{saved.path.name} carries a hidden state of another shape than this run's")


def random_state(device: torch.device) -> Tensor:
    """Where the random numbers of a device come from next."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Draw from there again."""
    torch.cuda.set_rng_state(state, device) if device.type == "cuda" else torch.set_rng_state(state)


def _lanes_of(state: Sequence[State], own: slice) -> list[State]:
    return [tuple(tensor[own] for tensor in layer) for layer in state]


def _side_by_side(parts: Sequence[Sequence[State]]) -> list[State]:
    """The states of all lanes from those of their parts, each tensor [B, H]."""
    return [tuple(torch.cat(tensors) for tensors in zip(*layers, strict=True)) for layers in zip(*parts, strict=True)]
