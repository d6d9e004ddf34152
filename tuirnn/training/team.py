"""Several processes that share each batch: what one has to tell the others, and how their gradients become one.

torchrun starts and watches them. One process leads. It alone decides what comes next (a step, a checkpoint, the end)
and says so in an `Order`; the others wait for its word and do the same. So nobody waits for anybody at a place of its
own: an evaluation, a pause or a signal is the leader's affair, and the others stand where it has left them, for as long
as it takes.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tuirnn import machine
from tuirnn.errors import LostError
from tuirnn.shortage import ending
from tuirnn.tasks.batches import Lanes
from tuirnn.training.hangs import HangWatch
from tuirnn.training.heartbeats import Heartbeats
from tuirnn.training.member import ALONE, Member, find_member, under_command
from tuirnn.training.rendezvous import PATIENT, rendezvous, rendezvous_store


class Order(IntEnum):
    """What the leader has all do next."""

    STEP = 0
    """One training step, at the learning rate that comes with the order."""
    GATHER_STATE = 1
    """Bring the carried state together, for a checkpoint."""
    RESTORE = 2
    """Go on from a checkpoint, which follows."""
    SHUTDOWN = 3
    """End."""


class Alone:
    """A training in one process: nobody to tell, nothing to add up."""

    member = ALONE
    under_command = False
    """Whether `tuirnn train --processes N` started this process and will report which one was lost."""

    def lanes(self, B: int) -> Lanes:
        """This process's part of a batch of B, at least as many as there are processes; parts differ by one at most."""
        rank, size = self.member.rank, self.member.size
        return Lanes(rank * B // size, (rank + 1) * B // size, B)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model, so that a backward pass leaves the gradients of the whole batch in every process."""
        return model

    def holding(self, network: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Inside, a backward pass of `wrap`'s network only adds to this process's gradients."""
        return contextlib.nullcontext()

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of every process's tensor."""
        return tensor

    def same_weights(self, model: nn.Module) -> bool:
        """Whether all have the same weights, to the bit."""
        return True

    def order(self, order: Order, step: int, value: float = 0.0) -> None:
        """Tell the others what comes next, in which step; the leader's part, which `Team.listen` answers."""

    def send(self, data: bytes) -> None:
        """Give the others some bytes; the leader's part, which `Team.receive` answers."""

    def lost_error(self, error: Exception) -> LostError | None:
        """The error that reports the loss of another process, if that caused this one."""
        return None

    def on_silence(self, report: Callable[[str], str]) -> None:
        """Have `report(message)` called, in another thread, before this process ends as one is silent or hangs.

        Args:
            report: returns the line to print.
        """

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Inside, the others wait, and their cores are the leader's."""
        yield


class Team(Alone):
    """The processes of a training, joined by gloo, on GPUs by nccl as well.

    Args:
        member: this process.
    """

    def __init__(self, member: Member) -> None:
        self.member, self.under_command = member, under_command()
        self._group: Any = None  # gloo's: on GPUs `wrap` makes one of nccl
        self._kills, self._stepped = machine.kills(), False
        if member.local_size == member.size:
            _stay_on_this_machine()
        name, store = rendezvous(member)
        self._heartbeats = Heartbeats(member) if member.local_size < member.size else None
        dist.init_process_group("gloo", store=store, rank=member.rank, world_size=member.size, timeout=PATIENT)
        if self._heartbeats:
            self._heartbeats.start()
        self._watch = HangWatch(member, rendezvous_store(name, member))
        self._cores = torch.get_num_threads()
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, self._cores // member.local_size))
        self._share = torch.get_num_threads()

    def wrap(self, model: nn.Module) -> nn.Module:
        """See `Alone.wrap`. Sums are taken in the order of the ranks, so that equal runs have equal bits."""
        if next(model.parameters()).is_cuda:
            self._group = dist.new_group(backend="nccl")
        total = _sum_by_nccl if self._group else _sum_in_order
        # Its buffers are empty; before each step they would be sent all the same, in an exchange that nobody counts.
        parallel = nn.parallel.DistributedDataParallel
        empty = [name for name, _ in model.named_buffers()]
        parallel._set_params_and_buffers_to_ignore_for_model(model, empty)  # type: ignore[no-untyped-call]
        network = parallel(model, process_group=self._group, gradient_as_bucket_view=True)

        def exchange(group, bucket):  # type: ignore[no-untyped-def]  # PyTorch takes no types but its own
            self._watch.arrive()
            return total(group, bucket.buffer())

        network.register_comm_hook(self._group, exchange)
        return network

    def holding(self, network: nn.Module) -> contextlib.AbstractContextManager[None]:
        """See `Alone.holding`."""
        assert isinstance(network, nn.parallel.DistributedDataParallel)
        held: contextlib.AbstractContextManager[None] = network.no_sync()
        return held

    def add(self, tensor: Tensor) -> Tensor:
        """See `Alone.add`. In the order of the ranks."""
        self._watch.arrive()
        parts = [torch.empty_like(tensor) for _ in range(self.member.size)]
        dist.all_gather(parts, tensor, group=self._group)
        return _in_order(parts, torch.empty_like(tensor))

    def same_weights(self, model: nn.Module) -> bool:
        """See `Alone.same_weights`."""
        self._watch.arrive()
        bits = {4: torch.int32, 8: torch.int64}
        words = [p.detach().view(bits[p.element_size()]).sum(dtype=torch.int64).cpu() for p in model.parameters()]
        ours = torch.stack(words)
        all_words = [torch.empty_like(ours) for _ in range(self.member.size)]
        dist.all_gather(all_words, ours)
        return all(torch.equal(ours, theirs) for theirs in all_words)

    def order(self, order: Order, step: int, value: float = 0.0) -> None:
        """See `Alone.order`."""
        if self._stepped:
            self._watch.done()
        self._stepped = order is Order.STEP
        dist.broadcast(torch.tensor([order, value, step, self._watch.limit], dtype=torch.float64), 0)
        self._watch.begin(step)

    def listen(self) -> tuple[Order, float]:
        """The leader's next order and the value that comes with it."""
        self._watch.rest()
        heard = torch.empty(4, dtype=torch.float64)
        dist.broadcast(heard, 0)
        order, value, step, self._watch.limit = heard.tolist()
        self._watch.begin(int(step))
        return Order(int(order)), value

    def send(self, data: bytes) -> None:
        """See `Alone.send`."""
        self._watch.arrive()
        dist.broadcast(torch.tensor([len(data)]), 0)
        dist.broadcast(torch.frombuffer(bytearray(data), dtype=torch.uint8), 0)

    def receive(self) -> bytes:
        """What the leader sends, never empty."""
        self._watch.arrive()
        length = torch.empty(1, dtype=torch.int64)
        dist.broadcast(length, 0)
        data = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(data, 0)
        return data.numpy().tobytes()

    def lost_error(self, error: Exception) -> LostError | None:
        """See `Alone.lost_error`."""
        if not connection_broke(error):
            return None
        short = machine.kills() > self._kills  # of this machine's processes
        how = ending(-signal.SIGKILL, self._kills) if short else "has ended"
        return LostError(f"another of the {self.member.size} processes {how}")

    def on_silence(self, report: Callable[[str], str]) -> None:
        """See `Alone.on_silence`."""
        self._watch.on_hang = report
        if self._heartbeats:
            self._heartbeats.on_silence = report

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """See `Alone.resting`."""
        torch.set_num_threads(self._cores)
        try:
            yield
        finally:
            torch.set_num_threads(self._share)

    def part(self) -> None:
        """Undo the joining."""
        self._watch.stop()
        if self._heartbeats:
            self._heartbeats.stop()
        dist.destroy_process_group()
        torch.set_num_threads(self._cores)


@contextlib.contextmanager
def gathered() -> Iterator[Alone]:
    """The processes of this training, which this one leads; the others are told to end if the block ends well.

    Raises:
        LostError: one of them has ended before.
    """
    member = find_member()
    if member.size == 1:
        yield Alone()
        return
    team = Team(member)
    try:
        yield team
        with contextlib.suppress(RuntimeError):  # one that ended when all was done is no loss
            team.order(Order.SHUTDOWN, 0)
    except RuntimeError as error:
        raise (team.lost_error(error) or error) from None
    finally:
        team.part()


def connection_broke(error: BaseException) -> bool:
    """Whether an error is what PyTorch says where another process has gone."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def _sum_in_order(group: Any, own: Tensor) -> Any:
    """The processes' gradients, added up in the order of their ranks: a future of the sum, which is left in `own`.

    A ring adds in an order that depends on where a number stands in a bucket, and the buckets are rebuilt after the
    first step, of a resumed run as well: with three processes or more its bits would be others.
    """
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]

    gathering: Any = dist.all_gather(parts, own, group=group, async_op=True)
    return gathering.get_future().then(lambda _: _in_order(parts, own))


def _in_order(parts: list[Tensor], total: Tensor) -> Tensor:
    """The sum of two parts or more, from the first to the last, left in `total`."""
    torch.add(parts[0], parts[1], out=total)
    for part in parts[2:]:
        total.add_(part)
    return total


def _sum_by_nccl(group: Any, own: Tensor) -> Any:
    """As `_sum_in_order`, in nccl's own order."""
    reducing: Any = dist.all_reduce(own, group=group, async_op=True)
    return reducing.get_future().then(lambda done: done.value()[0])


def _stay_on_this_machine() -> None:
    """Have gloo and nccl talk over the loopback interface, which no other machine can reach."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    if loopback:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, loopback)
