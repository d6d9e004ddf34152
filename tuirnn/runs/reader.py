"""Everyone else's side of the run directory: tolerant, bounded, never blocking the writer."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tuirnn.config import RunConfig
from tuirnn.errors import RunError, TuirnnError, one_line
from tuirnn.files import open_own, parse_json, read_json
from tuirnn.runs import FORMAT, liveness
from tuirnn.runs.layout import MAX_RECORD_BYTES, RunPaths
from tuirnn.tasks import TASKS
from tuirnn.vocab import Vocabulary

SAID, SAID_SHARE, SAID_TRUE = "said", "said_share", "said_true"
"""Keys of an evaluation of a network with classes: the class that it answers most often, by its number, its share of
the answers, and its share of the truths."""

ELAPSED = "elapsed"
"""Key of the seconds of training in a record of `metrics.jsonl`; absent from logs of earlier versions."""

MAX_LINE = 4 * 2**20
CHUNK = 2**17
"""Bytes that are parsed in one go: about a millisecond, so that a thread that reads holds up no other for long."""

LIVE_STATES = ("starting", "running", "paused", "silent")


@dataclass(frozen=True)
class RunRecord:
    """`run.json`: what the run is.

    Attributes:
        config: every setting.
        vocab: the text's symbols.
        data: name, sha256 and tokens in each split.
        environment: versions and machine at the start.
        created: seconds since the epoch.
        parameters: trainable numbers in the model.
        parent: of a run that began with another's weights: the name and step of that one, the hash of its manifest.
    """

    config: RunConfig
    vocab: Vocabulary
    data: dict[str, Any]
    environment: dict[str, Any]
    created: float
    parameters: int
    parent: dict[str, Any] | None = None

    @property
    def computed(self) -> RunConfig:
        """The settings with what `--dtype auto` has chosen when the run began.

        Raises:
            RunError: the record does not say what.
        """
        if self.config.train.dtype != "auto":
            return self.config
        chosen = self.environment.get("dtype")
        if chosen not in ("float32", "bfloat16"):
            raise RunError("run.json does not say what --dtype auto has chosen; start a new run")
        return self.config.replace(dtype=chosen)

    @property
    def overlap(self) -> float:
        """Share of the held-out part that is trained on as well; 0 where it was not measured."""
        share = as_number(self.data.get("overlap", 0.0))
        return share if 0.0 <= share <= 1.0 else 0.0

    @property
    def leaky(self) -> bool:
        """Whether the run's held-out figures are from a split that overlaps; they are never shown without this word."""
        return self.data.get("leaky") is True

    def to_json(self) -> dict[str, Any]:
        """Plain values, `format` first."""
        return {
            "format": FORMAT,
            "config": self.config.to_json(),
            "vocab": self.vocab.to_json(),
            "data": self.data,
            "environment": self.environment,
            "created": self.created,
            "parameters": self.parameters,
            **({"parent": self.parent} if self.parent else {}),
        }


def read_record(paths: RunPaths) -> RunRecord:
    """Read and check `run.json`.

    Raises:
        RunError: missing, damaged, or of a newer format.
    """
    value = read_json(paths.record, MAX_RECORD_BYTES)
    return parse_record(value, f"run '{paths.name}'")


def parse_record(value: dict[str, Any], where: str) -> RunRecord:
    """The record in the JSON object of a `run.json`.

    Args:
        value: the object.
        where: whose it is, for the error.
    Raises:
        RunError: damaged, or of a newer format.
    """
    if value.get("format") != FORMAT:
        raise RunError(
            f"{where} has format {one_line(value.get('format'), 20)}, this tuirnn reads {FORMAT}; "
            "use the version that wrote it"
        )
    try:
        return RunRecord(
            config=RunConfig.from_json(value["config"], where="run.json"),
            vocab=Vocabulary.from_json(value["vocab"]),
            data=_typed(value, "data", dict),
            environment=_typed(value, "environment", dict),
            created=float(_typed(value, "created", (int, float))),
            parameters=_typed(value, "parameters", int),
            parent=_typed(value, "parent", dict) if "parent" in value else None,
        )
    except KeyError as missing:
        raise RunError(f"{where} is damaged: run.json lacks {missing}") from None
    except (TuirnnError, OverflowError) as error:
        raise RunError(f"{where} is damaged: {error}") from None


def present_record(paths: RunPaths, record: RunRecord | None = None) -> RunRecord:
    """The run's record with the changes that resumes have made to its settings and data, in order.

    Args:
        paths: the run.
        record: its record, where it has been read already.
    Raises:
        RunError: as `read_record`, or the history holds settings that no run can have.
    """
    record = record or read_record(paths)
    for event in LogTail(paths.events, marked=b'"changes"').records():
        if event.get("event") == "changes" and isinstance(event.get("settings"), dict):
            data = event.get("data", record.data)
            try:
                config = record.config.replace(**event["settings"])
            except (TuirnnError, TypeError) as error:
                raise RunError(f"the history of run '{paths.name}' is damaged: {error}") from None
            if not isinstance(data, dict):
                raise RunError(f"the history of run '{paths.name}' is damaged: its data is not an object")
            record = replace(record, config=config, data=data)
    return record


def _typed(value: dict[str, Any], key: str, kind: Any) -> Any:
    if not isinstance(value[key], kind):
        raise RunError(f"run.json has a {key} of the wrong type")
    return value[key]


FIGURES = tuple(dict.fromkeys(figure.status_key for task in TASKS.values() for figure in task.figures[1:]))
"""Held-out figures beside the loss, of all tasks; a run has those of its own."""


@dataclass
class Status:
    """`status.json`: how a run stands. Times are seconds since the epoch, losses nats per token.

    `figures` are the held-out figures beside the loss, by their keys in `FIGURES`; a task says what they are. `eta` and
    `next_eval` are the estimated seconds to the end and to the next evaluation; 0 where neither is known.

    `state` is starting, running, paused, done, stopped or failed; of a run that claims to live, readers see 'silent'
    where its trainer sends no heartbeat and 'stale' where it has none. `pid`, `host`, `machine`, `process` and `folder`
    say who wrote it (`tuirnn.runs.liveness.introduction`); older versions wrote only the first two.
    """

    state: str = "starting"
    pid: int = 0
    host: str = ""
    machine: str = ""
    process: str = ""
    folder: str = ""
    device: str = ""
    step: int = 0
    total: int = 0
    progress: float = 0.0
    epoch: float = 0.0
    started: float = 0.0
    elapsed: float = 0.0
    heartbeat: float = 0.0
    tokens_per_s: float = 0.0
    eta: float = 0.0
    next_eval: float = 0.0
    lr: float = 0.0
    grad_norm: float = 0.0
    train_loss: float = math.nan
    val_loss: float = math.nan
    best_val_loss: float = math.nan
    best_step: int = 0
    rss: int = 0
    cpu: float = 0.0
    leaky: bool = False
    message: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the figures stand beside the others."""
        return {**{key: value for key, value in vars(self).items() if key != "figures"}, **self.figures}

    def figure(self, key: str) -> float:
        """A held-out figure by its key in `FIGURES`; NaN where the run has none."""
        return self.figures.get(key, math.nan)

    @property
    def live(self) -> bool:
        """Whether a trainer is at work on the run."""
        return self.state in LIVE_STATES


def read_status(paths: RunPaths) -> Status:
    """The run's status, its state as it really is; where none can be read, that of a run that says so."""
    status = written_status(paths)
    if status is None:
        begins = liveness.is_locked(paths) and not paths.status.exists()
        return Status(state="starting") if begins else Status(state="stale", message="no readable status")
    life = liveness.judge(paths, status)
    if life.state == "stale" and (since := written_status(paths)) is not None:
        status = since  # it may have ended in order since it was read
        life = liveness.judge(paths, status)
    status.state, status.message = life.state, life.message or status.message
    if status.state == "silent":
        status.tokens_per_s = status.eta = status.next_eval = 0.0  # what was measured before is so no longer
    return status


def written_status(paths: RunPaths) -> Status | None:
    """The run's status as its trainer wrote it last, whatever has become of it; None where none can be read."""
    try:
        value = read_json(paths.status)
    except RunError:
        return None
    status = Status()
    status.figures = {key: as_number(value[key]) for key in FIGURES if key in value}
    for spec in fields(Status):
        if spec.name == "figures":
            continue
        got = as_number(value[spec.name]) if spec.type is float and spec.name in value else value.get(spec.name)
        if isinstance(got, spec.type):  # type: ignore[arg-type]
            setattr(status, spec.name, got)
    status.state, status.message = one_line(status.state, 20), one_line(status.message)
    return status


def as_number(value: object) -> float:
    """A JSON number, or one of the strings that stand for numbers JSON lacks, as a float; else NaN."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # an integer beyond what a float holds
            return math.inf if value > 0 else -math.inf
    return {"Infinity": math.inf, "-Infinity": -math.inf}.get(value, math.nan) if isinstance(value, str) else math.nan


@dataclass
class LogTail:
    """Follows one `.jsonl` file from a byte offset; call `read` as often as wanted.

    A torn last line is not there yet; a damaged line is counted in `damaged` and passed over; a file that
    was cut or replaced (a resume) is read anew from its start, and `generation` goes up by one. With `marked`, only
    lines that contain these bytes are parsed; all others, damaged ones too, are passed over.
    """

    path: Path
    offset: int = 0
    damaged: int = 0
    generation: int = 0
    size: int = 0
    marked: bytes = b""
    _identity: tuple[int, int] | None = field(default=None, repr=False)

    def read(self) -> list[dict[str, Any]]:
        """The records that have come since the last call."""
        return list(self.records())

    def records(self) -> Iterator[dict[str, Any]]:
        """As `read`, one at a time."""
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """As `read`, a few hundred at a time; `offset` and `size` say how far it is."""
        try:
            descriptor = open_own(self.path)
        except OSError:
            return
        with open(descriptor, "rb") as file:
            stat = os.fstat(file.fileno())
            identity = (stat.st_dev, stat.st_ino)
            if self._identity not in (None, identity) or stat.st_size < self.offset:
                self.offset = 0
                self.generation += 1
            self._identity, self.size = identity, stat.st_size
            file.seek(self.offset)
            rest = b""
            while chunk := file.read(CHUNK):
                end = chunk.rfind(b"\n") + 1
                if not end:
                    rest += chunk
                    if len(rest) > MAX_LINE:  # longer than any record: passed over in pieces
                        self.offset += len(rest)
                        rest = b"-"  # what is left of the line is damaged as well
                        self.offset -= 1
                    continue
                data, rest = rest + chunk[:end], chunk[end:]
                self.offset += len(data)
                if self.marked:
                    data = b"".join(_lines_with(self.marked, data))
                records, damaged = parse_lines(data)
                self.damaged += damaged
                yield records


def _lines_with(mark: bytes, data: bytes) -> Iterator[bytes]:
    """The whole lines that hold some bytes: they are searched for, as most lines of a long log do not."""
    end = 0
    while (at := data.find(mark, end)) >= 0:
        begin, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1
        yield data[begin:end]


def parse_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The records in whole lines, and how many lines were damaged: all at once where none is, else line by line.

    A long run's log is read while keys are pressed, hence the fast parser; it takes nothing that `parse_line` refuses.
    """
    import orjson  # the dashboard draws its first frame without

    lines = data.split(b"\n")[:-1]
    try:
        records = orjson.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, MemoryError):
        records = []
    if len(records) == len(lines) and all(type(record) is dict for record in records):
        return records, 0
    records = [record for record in map(parse_line, lines) if record is not None]
    return records, len(lines) - len(records)


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The record in one line; None for a damaged one."""
    try:
        record = parse_json(line, "line") if len(line) <= MAX_LINE else None
    except RunError:
        return None
    return record if isinstance(record, dict) else None
