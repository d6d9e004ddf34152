"""Whether a training will fit into memory, said before it begins."""

from typing import Any

import torch

from tuirnn import machine
from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError
from tuirnn.estimate import memory
from tuirnn.machine import Room, size
from tuirnn.settings.section import flag_of
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.task import TaskData


class MemoryCheck:
    """What a run takes and what there is.

    Args:
        config: every setting.
        data: of its task.
        batches: of the data, which may fill fewer lanes than were asked for, and are as long as their sequences.
        device: where it computes.
        processes: of the run that are on this machine.
    """

    def __init__(
        self, config: RunConfig, data: TaskData, batches: Batches, device: torch.device, processes: int
    ) -> None:
        self.config = config.replace(batch_size=batches.B, seq_len=batches.longest or config.train.seq_len)
        self.data, self.device, self._by_data = data, device, batches.longest > 0
        self.count = 1 if device.type == "cuda" else processes  # each has a GPU of its own
        self.takes = self.needed()

    def needed(self, **changes: Any) -> float:
        """Bytes at the peak, estimated, with changes to the settings: of this machine's processes, or of a GPU."""
        config = self.config.replace(**changes)
        return self.count * memory(config, self.data.inputs, self.data.outputs, self.device.type, self.data.memory)

    def room(self) -> Room | None:
        """What there is for it; None where the system does not say."""
        if self.device.type == "cuda":
            free, whole = torch.cuda.mem_get_info(self.device)
            return Room(whole, free, "this GPU")
        return machine.room()

    def check(self) -> str:
        """A warning where it is tight, else nothing.

        Raises:
            ConfigError: the run takes more than there is, swap included.
        """
        there = self.room()
        if there is None or self.takes <= there.free:
            return ""
        how = self._lower(there.free)
        if self.takes <= there.whole:
            return f"this takes about {size(self.takes)} of memory, and {there.of} has {size(there.free)} free; {how}"
        raise ConfigError(
            f"this takes about {size(self.takes)} of memory, and {there.of} has {size(there.whole)}, "
            f"{size(there.free)} of it free; {how}"
        )

    def _lower(self, free: float) -> str:
        """What to change so that the run fits into `free` bytes: of each kind the mildest that is enough."""
        train = self.config.train
        halves = [2**k for k in range(1, train.batch_size.bit_length())]
        parts = [{"accumulate": train.accumulate * k} for k in halves]
        batches = [{"batch_size": train.batch_size // k} for k in halves]
        words = [self._mildest(kind, free) for kind in ([{"memory": "recompute"}], parts, batches)]
        if not any(words):
            words = [self._mildest([{"memory": "recompute", **part} for part in parts], free)]
        return (
            "try " + " or ".join(filter(None, words))
            if any(words)
            else "lower --hidden or --layers" + " or --seq-len" * (not self._by_data)
        )

    def _mildest(self, kind: list[dict[str, Any]], free: float) -> str:
        """The first of some changes that is enough, as options and what the run takes then; else nothing."""
        for change in kind:
            takes = self.needed(**change)
            if takes <= free:
                return " ".join(f"{flag_of(name)} {value}" for name, value in change.items()) + f" ({size(takes)})"
        return ""
