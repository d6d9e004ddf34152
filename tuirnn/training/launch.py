"""Start a new run, or go on with an old one."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tuirnn import tasks
from tuirnn.config import FIELDS, RunConfig
from tuirnn.diagnosis import HOPELESS
from tuirnn.errors import ConfigError, DataError, RunError, one_line
from tuirnn.estimate import parameters
from tuirnn.models import count_parameters
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.parent import Parent
from tuirnn.runs.reader import RunRecord, present_record, written_status
from tuirnn.runs.writer import RunWriter
from tuirnn.settings.section import flag_of
from tuirnn.shortage import told
from tuirnn.tasks import sources
from tuirnn.tasks.batches import Batches
from tuirnn.tasks.overlap import LIMIT, overlap
from tuirnn.tasks.task import TaskData
from tuirnn.training.choosing import AUTO, Choice, chosen
from tuirnn.training.devices import begin_compiling, environment, keep_freed_memory, pick_device
from tuirnn.training.events import Report
from tuirnn.training.following import introduce
from tuirnn.training.learner import build_model
from tuirnn.training.member import find_member, launch_id, under_torchrun
from tuirnn.training.memory_check import MemoryCheck
from tuirnn.training.team import gathered
from tuirnn.training.trainer import Trainer

WIDTHS = (8, 16, 32, 64, 128, 256)
"""Hidden units that are advised where a network is too large."""

FIXED_ON_RESUME = frozenset(
    name for name, (section, _) in FIELDS.items() if section in ("model", "data") and name != "sources"
) | {
    "batches",
    "batch_size",
    "seq_len",
    "optimizer",
    "dtype",
    "seed",
    "auxiliary",
}
"""Settings that a run keeps for life: its weights, its cut of the data and its batches depend on them."""


def start(
    config: RunConfig, folder: Path, name: str, report: Report, *, data: TaskData | None = None,
    parent: Parent | None = None, said: Sequence[str] = (),
) -> str:  # fmt: skip
    """Train a new run to its end; returns `Trainer.run`'s outcome.

    Args:
        config: every setting.
        folder: of runs.
        name: of the run.
        report: receives its events.
        data: the text that `config` names, where it has been read already.
        parent: the run whose weights it begins with, and whose settings `config` has; None: weights are drawn.
        said: to be said when the training begins, a line each.

    Raises:
        TuirnnError: bad data, a taken name, no such device; nothing is left behind.
    """
    member = find_member()
    config = config.replace(processes=_processes(config.train.processes))
    device = pick_device(config.train.device, member)
    begin_compiling(config.model, device)
    data = data or (parent.load(config) if parent else tasks.load(config.data))
    if config.train.token_dropout and not data.vocab.symbols:
        raise ConfigError("--token-dropout reads tokens as unknown, and no byte or subword is; use --dropout alone")
    tight = MemoryCheck(config, data, _batches(config, data), device, member.local_size).check()
    described, notes = _described(config, data, parent)
    choice = _choice(config, data, device)
    record = RunRecord(
        config=config,
        vocab=data.vocab,
        data=described,
        environment={**environment(device), **launch_id(), **(choice.environment if choice else {})},
        created=time.time(),
        parameters=_parameters(config.replace(dtype=choice.dtype) if choice else config, data),
        parent=parent.to_json() if parent else None,
    )
    stdin = data.raw if sources.STDIN in config.data.sources else None
    keep_freed_memory()  # of steps; what reading a text has taken goes back
    with gathered() as team, RunWriter.create(folder, name, record, stdin) as writer:
        introduce(team, record, writer.paths, data.sha256)
        trainer = Trainer(record, data, writer, device, report, team)
        if parent:
            trainer.begin_with(parent.weights(trainer.weights(), data))
        for note in (
            *said,
            *notes,
            *_memorises(record, data),
            *([tight] if tight else []),
            *([f"--dtype auto: {choice.line}"] if choice else []),
        ):
            trainer.recorder.note(note)
        return trainer.run()


def _memorises(record: RunRecord, data: TaskData) -> list[str]:
    """What is to be said where the network is far too large for its data."""
    there, noun = record.data.get("train"), record.config.task.counted(record.vocab.kind)
    if not isinstance(there, int) or record.parameters < HOPELESS * there:
        return []
    fitting = [WIDTHS[0]]
    for h in WIDTHS[1:]:
        with contextlib.suppress(ConfigError):  # other settings hold on to the width
            model = record.config.replace(hidden=h).model
            if parameters(model, data.inputs, data.outputs) < HOPELESS * there:
                fitting.append(h)
    return [
        f"{record.parameters:,} parameters learn from {there:,} {noun}: the network will memorise them; "
        f"try --hidden {fitting[-1]}, or more data"
    ]


def _choice(config: RunConfig, data: TaskData, device: torch.device) -> Choice | None:
    """What `--dtype auto` chooses; None where the settings name a type."""
    if config.train.dtype != AUTO:
        return None
    lanes = -(-_batches(config, data).B // (config.train.processes * config.train.accumulate))
    return chosen(config, data, lanes, device)


def _processes(wanted: int) -> int:
    """How many processes there are: as many as torchrun has started.

    Raises:
        ConfigError: another number is wanted.
    """
    started = find_member().size
    if wanted in (1, started):
        return started
    if under_torchrun():
        raise ConfigError(f"--processes {wanted}, but torchrun has started {started}; leave --processes out")
    raise ConfigError(f"--processes {wanted} needs as many processes; use 'tuirnn train' or torchrun, which start them")


def _batches(config: RunConfig, data: TaskData) -> Batches:
    """The batches; refuses short texts, and fewer sequences than processes."""
    batches, processes = data.batches(config.train), config.train.processes
    if processes > batches.B:
        raise ConfigError(f"{processes} processes cannot share a batch of {batches.B}; lower --processes")
    return batches


def _described(config: RunConfig, data: TaskData, parent: Parent | None = None) -> tuple[dict[str, Any], list[str]]:
    """What the record says of the data, with the overlap of what is held out and what is or was trained on; and notes.

    Raises:
        DataError: they overlap, and the settings do not allow it.
    """
    share, notes = overlap(data), []
    trained, remedy = "is trained on", "give the text once"
    if parent:
        before, unknown = parent.overlap(data)
        notes = [*parent.notes(data), *unknown]
        if before > share:
            share, trained = before, f"run '{parent.name}' was trained on"
            remedy = "hold out another part, such as that run's own"
    if share >= LIMIT and not config.data.allow_leak and tasks.reads(config.task, "allow_leak"):
        raise DataError(
            f"{100 * share:.0f} % of what {data.name} holds out occurs word for word in what {trained}, so its "
            f"loss would be meaningless; {remedy}, remove copies with --dedupe, or train with --allow-leak, which "
            "marks every figure as leaky"
        )
    plan = config.task.plan(config.train, data)
    return {**data.summary(), **plan, "overlap": round(share, 4), "leaky": share >= LIMIT}, notes


def _parameters(config: RunConfig, data: TaskData) -> int:
    """Trainable numbers; building the model once also shows whether it can be had at all."""
    with told("lower --hidden or --layers"):
        return count_parameters(build_model(config, data))


def resume(paths: RunPaths, changes: dict[str, Any], report: Report) -> str:
    """Go on with a run from its last checkpoint, with `changes` to the settings that may change.

    Raises:
        RunError: a change that the run cannot take, no checkpoint, changed data, or nothing left to do.
    """
    record, member, before = present_record(paths), find_member(), written_status(paths)
    known = record.config.flat()
    wanted = changes.get("processes", 1 if under_torchrun() else known["processes"])
    changes = {**changes, "processes": _processes(wanted)}
    changes = {name: value for name, value in changes.items() if value != known[name]}
    for setting in FIXED_ON_RESUME & changes.keys():
        raise RunError(
            f"{flag_of(setting)} cannot change when a run is resumed: run '{paths.name}' was made with "
            f"{known[setting]}; start a new run with it"
        )
    config = record.config.replace(**changes)
    device = pick_device(config.train.device, member)
    begin_compiling(config.model, device)
    data = _data_again(paths, record, config, other="sources" in changes)
    if "sources" in changes:
        record = replace(record, data=_described(config, data)[0])
    record = replace(record, config=config)
    tight = MemoryCheck(config, data, _batches(config, data), device, member.local_size).check()
    keep_freed_memory()
    with gathered() as team, RunWriter(paths) as writer:
        introduce(team, record, paths, data.sha256)
        trainer = Trainer(record, data, writer, device, report, team)
        if tight:
            trainer.recorder.note(tight)
        saved = _last_good(paths, trainer)
        if saved is None and record.parent:
            raise RunError(
                f"run '{paths.name}' ended before it had the weights of run '{one_line(record.parent.get('run'), 80)}'"
                "; start it again with --from"
            )
        if saved is None:
            trainer.recorder.note("there is no checkpoint yet; training from the beginning")
            trainer.restart()
        else:
            trainer.restore(saved)
        ended = (
            before is not None and before.state == "done"
        )  # else a kill came between its last checkpoint and its end
        if trainer.finished and (ended or changes):
            raise RunError(
                f"run '{paths.name}' is complete at step {trainer.progress.step:,}; give a larger --steps, --epochs "
                "or --minutes to go on"
            )
        if changes:
            trainer.recorder.changes(changes, record.data, data.name)
        return trainer.run()


def _data_again(paths: RunPaths, record: RunRecord, config: RunConfig, *, other: bool) -> TaskData:
    """The data that the run has been trained on, or with `other` the data that it goes on with."""
    try:
        with told("bring a machine with more memory"):
            data = tasks.load(config.data, vocab=record.vocab, known=record.data, stdin=paths.stdin)
    except DataError as error:
        again = "cannot be read" if other else "cannot be read again"
        raise DataError(f"the data of run '{paths.name}' {again}: {error}") from None
    complete = record.vocab.kind == "char" and not record.data.get("unknown")  # not of its commonest characters alone
    if other and complete and (strange := data.unknown()):
        raise DataError(
            f"{data.name} has {len(strange)} characters that run '{paths.name}' does not know, "
            f"such as '{one_line(strange[0])}'; its vocabulary is fixed: start a new run with it"
        )
    if not other and data.sha256 != record.data.get("sha256"):
        raise DataError(
            f"the data of run '{paths.name}' ({one_line(record.data.get('name'), 100)}) has changed since it began; "
            "bring back the same content, name the new one after --resume, or start a new run"
        )
    return data


def _last_good(paths: RunPaths, trainer: Trainer) -> checkpoint.Checkpoint | None:
    """The last checkpoint, or the newest one that is whole, said aloud; None where none was ever written."""
    if not checkpoint.steps(paths):
        return None
    try:
        return checkpoint.load(paths, "last")
    except RunError as damage:
        good = checkpoint.newest_good(paths)
        if good is None:
            raise
        trainer.recorder.note(f"{damage}; going on from there")
        return good
