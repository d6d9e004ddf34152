"""A text that is kept on the device gives the same batches as one that is sent to it."""

import numpy as np
import pytest
import torch

from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.lm.data import BATCHES
from tuirnn.training.feed import Feed


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["int64", "smallest"])
@pytest.mark.parametrize("most", [60, 200, 30_000, 50_000, 70_000])
@pytest.mark.parametrize("kind", BATCHES)
def test_a_resident_text_gives_the_same_batches(kind: str, most: int, dtype: str, device: str) -> None:
    ids = np.random.default_rng(0).integers(0, most + 1, 600)
    ids[::7] = most
    if dtype == "smallest":  # as a kept text is mapped
        ids = ids.astype(np.min_scalar_type(most))
        ids.flags.writeable = False
    batches = BATCHES[kind](ids, TrainConfig(batch_size=4, seq_len=9), newline=most)
    sent, resident = (Feed(batches, torch.device(device), resident=where) for where in (False, True))
    for _ in range(2 * batches.batches_per_epoch + 1):
        batch = batches.next()
        for lanes in (slice(0, batches.B), slice(1, 3)):
            pairs = list(zip(sent(batch, lanes), resident(batch, lanes), strict=True))
            assert all(torch.equal(a, b) and a.dtype == b.dtype == torch.int64 for a, b in pairs)
        assert np.array_equal(sent(batch, slice(None))[0].cpu(), batch[0])
