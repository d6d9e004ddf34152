"""Batches as tensors where the network is.

A text lies on the GPU once; what a step sends is where its windows begin: a few kilobytes, for which the driver need
not wait until the device has caught up, as it may for two whole copies of a batch. Everything else is sent batch by
batch; on the CPU there is nothing to send.
"""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tuirnn.tasks.batches import Batch, Batches
from tuirnn.tasks.windows import Windows


class Feed:
    """Sends batches, or some of their lanes, to a device.

    Args:
        batches: where they come from.
        device: where they go.
        resident: whether a text is kept there; None: where the device is not the CPU. Points of a series never are.
    """

    def __init__(self, batches: Batches, device: torch.device, *, resident: bool | None = None) -> None:
        self.batches, self.device = batches, device
        self._text: Tensor | None = None
        tokens = isinstance(batches, Windows) and batches.targets is batches.ids and batches.ids.dtype.kind in "iu"
        if isinstance(batches, Windows) and tokens and (device.type != "cpu" if resident is None else resident):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes there
                self._text = torch.from_numpy(_signed(batches.ids)).to(device)
            self._offsets = torch.arange(batches.T + 1, device=device)[:, None]

    def __call__(self, batch: Batch, lanes: slice) -> tuple[Tensor, Tensor]:
        """x and y of some lanes of the batch that `Batches.next` gave last."""
        x, y, _ = batch
        if self._text is None:
            first, second = (torch.from_numpy(part[:, lanes]).to(self.device, non_blocking=True) for part in (x, y))
            return first, second
        assert isinstance(self.batches, Windows)
        starts = torch.from_numpy(self.batches.starts[lanes]).to(self.device, non_blocking=True)
        windows = self._text[starts + self._offsets].long()  # [T+1, B]
        if self._text.dtype == torch.int16:
            windows &= 0xFFFF
        return windows[:-1], windows[1:]


def _signed(ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Tokens in as few bytes as hold them, of a type that PyTorch indexes: of uint16 the bits are those of int16."""
    small = ids if ids.dtype.kind == "u" else ids.astype(np.min_scalar_type(int(ids.max())))
    return small if small.itemsize == 1 else small.view(np.dtype(f"i{small.itemsize}"))
