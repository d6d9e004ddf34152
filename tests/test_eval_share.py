"""How much of a long held-out part evaluations read, so that they take no more than their share of a training."""

from pathlib import Path

import numpy as np
from conftest import train_small
from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn.runs import checkpoint
from tuirnn.runs.reader import LogTail
from tuirnn.settings.training import TrainConfig
from tuirnn.tasks.lm import data as lm
from tuirnn.vocab import Vocabulary


def long_data(n: int) -> lm.TextData:
    ids = np.random.default_rng(0).integers(0, 60, n).astype(np.uint8)
    return lm.TextData("long", "", b"", Vocabulary("byte"), ids, ids, ids[:0])


def test_evaluations_read_what_there_is_time_for() -> None:
    train = TrainConfig()
    assert long_data(lm.EVALUATED_WHOLE).read_by_evaluations(train) == lm.EVALUATED_WHOLE
    assert long_data(10**6).read_by_evaluations(train) == 49_152  # 5 % of 500 · 32 · 64
    assert long_data(10**6).read_by_evaluations(TrainConfig(eval_share=0.0)) == 10**6
    assert long_data(10**6).read_by_evaluations(TrainConfig(eval_every=1)) == lm.LEAST_EVALUATED
    assert long_data(10**6).read_by_evaluations(TrainConfig(minutes=4.0)) == 24_576  # it may end just after another
    data = long_data(10**6)
    read = data.passages(49_152)
    assert len(read) == 49_152
    assert np.array_equal(read[-768:], data.val[-768:])


@settings(max_examples=60)
@given(limit=st.integers(1, 20_000), every=st.integers(0, 2_000), by_time=st.booleans())
def test_evaluations_read_no_more_than_their_share(limit: int, every: int, by_time: bool) -> None:
    """Wherever a run ends by its steps, and wherever one that is limited by time ends after its first evaluation."""
    data = long_data(10**6)
    train = TrainConfig(steps=0 if by_time else limit, minutes=float(by_time), eval_every=every)
    read, batches = data.read_by_evaluations(train), data.batches(train)
    every = every or batches.batches_per_epoch
    steps = every + limit if by_time else limit
    trained = steps * batches.B * train.seq_len
    assert -(-steps // every) * read <= train.eval_share * trained or read == lm.LEAST_EVALUATED


def test_an_early_look_reads_no_held_out_part(tmp_path: Path) -> None:
    """What a run that is limited by time shows before its first evaluation costs nothing but a sample."""
    path = tmp_path / "long.txt"
    path.write_bytes(np.random.default_rng(0).integers(97, 123, 40_000, np.uint8).tobytes())
    done = train_small(tmp_path, "one", path, steps=0, minutes=0.02, eval_every=10**6, val_fraction=0.3)
    samples, metrics = LogTail(done.samples).read(), LogTail(done.metrics).read()
    (only,) = [record["step"] for record in metrics if record["split"] == "val"]
    looks = [record["step"] for record in samples if record["kind"] == "sample"]
    assert len(looks) == 2
    assert looks[0] < looks[1] == only
    assert [record["step"] for record in LogTail(done.probes).read()] == looks
    assert checkpoint.load(done, "last").trainer["progress"]["looked"] == looks[0]
