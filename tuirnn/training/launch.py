"""Start a new run, or go on with an old one."""

import time
from pathlib import Path
from typing import Any

from tuirnn.config import FIELDS, RunConfig, flag_of
from tuirnn.errors import ConfigError, DataError, RunError
from tuirnn.files import atomic_write
from tuirnn.models import count_parameters
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, present_config, read_record
from tuirnn.runs.writer import RunWriter
from tuirnn.tasks import lm, sources
from tuirnn.training.devices import environment, keep_freed_memory, pick_device
from tuirnn.training.trainer import Report, Trainer, build_model

FIXED_ON_RESUME = frozenset(name for name, (section, _) in FIELDS.items() if section in ("model", "data")) | {
    "batches",
    "batch_size",
    "seq_len",
    "optimizer",
    "dtype",
    "seed",
}
"""Settings that a run keeps for life: its weights, data and batches would no longer be the same."""


def start(config: RunConfig, folder: Path, name: str, report: Report, *, data: lm.TextData | None = None) -> str:
    """Train a new run to its end; returns `Trainer.run`'s outcome.

    Args:
        config: every setting.
        folder: of runs.
        name: of the run.
        report: receives its events.
        data: the text that `config` names, where it has been read already.

    Raises:
        TuirnnError: bad data, a taken name, no such device; nothing is left behind.
    """
    keep_freed_memory()
    device = pick_device(config.train.device)
    data = data or lm.load(config.data)
    lm.BATCHES[config.train.batches](data.train, config.train)  # refuses short texts before anything is written
    record = RunRecord(
        config=config,
        vocab=data.vocab,
        data={
            "name": data.name,
            "sha256": data.sha256,
            "train": len(data.train),
            "val": len(data.val),
            "test": len(data.test),
        },
        environment=environment(device),
        created=time.time(),
        parameters=_parameters(config, data),
    )
    with RunWriter.create(folder, name, record) as writer:
        if sources.STDIN in config.data.sources:
            atomic_write(writer.paths.stdin, data.raw)
        return Trainer(config, data, writer, device, report).run()


def _parameters(config: RunConfig, data: lm.TextData) -> int:
    """Trainable numbers; building the model once also shows whether it can be had at all."""
    try:
        return count_parameters(build_model(config, data))
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise ConfigError(
            f"a network with --hidden {config.model.hidden}, --layers {config.model.layers} does not fit into this "
            "machine's memory; lower one of them"
        ) from None


def resume(paths: RunPaths, changes: dict[str, Any], report: Report) -> str:
    """Go on with a run from its last checkpoint, with `changes` to the settings that may change.

    Raises:
        RunError: a change that the run cannot take, no checkpoint, changed data, or nothing left to do.
    """
    keep_freed_memory()
    record = read_record(paths)
    known = present_config(paths, record)
    for setting in changes:
        if setting in FIXED_ON_RESUME and changes[setting] != known.flat()[setting]:
            raise RunError(
                f"{flag_of(setting)} cannot change when a run is resumed: run '{paths.name}' was made with "
                f"{known.flat()[setting]}; start a new run with it"
            )
    config = known.replace(**changes)
    device = pick_device(config.train.device)
    try:
        data = lm.load(config.data, vocab=record.vocab, stdin=paths.stdin if paths.stdin.exists() else None)
    except DataError as error:
        raise DataError(f"the data of run '{paths.name}' cannot be read again: {error}") from None
    if data.sha256 != record.data.get("sha256"):
        raise DataError(
            f"the data of run '{paths.name}' ({record.data.get('name')}) has changed since it began; "
            "bring back the same content, or start a new run"
        )
    with RunWriter(paths) as writer:
        trainer = Trainer(config, data, writer, device, report)
        saved = _last_good(paths, trainer)
        trainer.restore(saved)
        if trainer.share_done() >= 1.0:
            raise RunError(
                f"run '{paths.name}' is complete at step {saved.step:,}; give a larger --steps, --epochs or "
                "--minutes to go on"
            )
        if changes:
            writer.event("changes", step=saved.step, settings=changes)
        return trainer.run()


def _last_good(paths: RunPaths, trainer: Trainer) -> checkpoint.Checkpoint:
    """The last checkpoint, or the newest one that is whole, said aloud."""
    try:
        return checkpoint.load(paths, "last")
    except RunError as damage:
        good = checkpoint.newest_good(paths)
        if good is None:
            raise
        trainer.note(f"{damage}; going on from there")
        return good
