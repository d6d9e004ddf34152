"""Everything that a training writes to its run directory and reports: steps, evaluations, checkpoints, its status."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tuirnn.config import RunConfig
from tuirnn.errors import DivergedError, RunError
from tuirnn.files import to_json
from tuirnn.runs import checkpoint, liveness
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.reader import ELAPSED, RunRecord, Status, written_status
from tuirnn.runs.writer import RunWriter, disk_of
from tuirnn.settings.section import flag_of
from tuirnn.training import events
from tuirnn.training.devices import Usage
from tuirnn.training.progress import Progress, Stopwatch

HEARTBEAT = 1.0
"""Seconds between two updates of the status."""

HIGHEST_RATE = 0.01
"""Largest learning rate that is advised after a divergence: a third of a rate that was far too high is too high."""

LEAST_MEASURED = 0.5
"""Seconds over which a speed means something."""

TO_DIE = 5.0
"""Seconds that the system takes at most to free the lock of a trainer whose connections have broken."""


class Recorder:
    """Writes what a training does, and reports it.

    Args:
        record: what the run is.
        writer: the run directory, owned.
        report: receives the events.
        device: label of the device, with the number of processes.
        fetch_every: steps whose losses are fetched from the device together.

    Attributes:
        progress: where the training stands; replaced by a resume.
        clock: seconds of training.
        share: what share of the run is done; set by the trainer.
        next_evaluation: seconds to the next evaluation, 0 where they are not known; set by the trainer.
    """

    def __init__(
        self, record: RunRecord, writer: RunWriter, report: events.Report, device: str, fetch_every: int
    ) -> None:
        self.record, self.writer, self.report = record, writer, report
        self.paths = writer.paths
        self.progress, self.clock = Progress(), Stopwatch()
        self.share: Callable[[], float] = lambda: 0.0
        self.next_evaluation: Callable[[], float] = lambda: 0.0
        self.total = 0
        self._fetch_every = fetch_every
        self._pending: list[tuple[int, float, float, float, Tensor, Tensor]] = []  # …, loss, gradient norm
        self._saved: tuple[int, float] | None = None  # step and validation loss that the last checkpoint holds
        self._usage = Usage()
        self._next_heartbeat = 0.0
        self._told_of_losses = False
        self._rate_from = (time.perf_counter(), 0)
        self._began = self._rate_from
        self.status = Status(
            **liveness.introduction(self.paths), device=device, started=time.time(), leaky=record.leaky
        )

    # ── begin and end ─────────────────────────────────────────────────────────

    def start(self, event: events.Start) -> None:
        """The training begins, or goes on from a checkpoint."""
        self.clock.set(self.progress.elapsed)
        self._began = (time.perf_counter(), self.progress.tokens)
        self.restart_rate()
        self.writer.event("resume" if event.step else "start", step=event.step, pid=self.status.pid)
        self.report(event)

    def end(self, outcome: str) -> None:
        """The training ended without an error: 'done', or who asked for it."""
        progress, (began, tokens) = self.progress, self._began
        seconds = time.perf_counter() - began
        rate = self.status.tokens_per_s = (progress.tokens - tokens) / max(seconds, 1e-9)  # of all, not of the last
        self.close("done" if outcome == "done" else "stopped", "" if outcome == "done" else f"ended by {outcome}")
        self.report(
            events.End(
                step=progress.step,
                run=self.paths.name,
                outcome=outcome,
                best_val_loss=progress.best_val_loss,
                best_step=progress.best_step,
                val_loss=progress.val_loss,
                figures=progress.figures,
                leaky=self.record.leaky,
                seconds=seconds,
                tokens_per_s=rate,
            )
        )

    def close(self, state: str, message: str) -> None:
        """Write the last status and the last line of the history."""
        self.heartbeat(state, message=message)
        self.writer.event("end", state=state, message=message, step=self.progress.step)

    def note(self, message: str) -> None:
        """Say something once, in the history and to whoever watches."""
        self.writer.event("note", message=message)
        self.report(events.Note(self.progress.step, message))

    # ── steps ─────────────────────────────────────────────────────────────────

    def step(self, rate: float, loss: Tensor, norm: Tensor) -> None:
        """A training step was taken; its loss and gradient norm may still be on their way from the device."""
        self._pending.append((self.progress.step, time.time(), self.clock.elapsed, rate, loss, norm))

    def flush_if_due(self) -> None:
        """`flush`, once as many losses wait as are fetched together."""
        if len(self._pending) >= self._fetch_every:
            self.flush()

    def flush(self) -> None:
        """Fetch the waiting losses in one go and write them.

        Raises:
            DivergedError: at the first that is not finite.
        """
        if not self._pending:
            return
        values = torch.stack([torch.stack((loss.float(), norm.float())) for *_, loss, norm in self._pending]).tolist()
        records: list[dict[str, Any]] = [
            {
                "step": step,
                "split": "train",
                "at": round(at, 3),
                "loss": loss,
                "grad_norm": norm,
                "lr": rate,
                ELAPSED: round(elapsed, 3),
            }
            for (step, at, elapsed, rate, _, _), (loss, norm) in zip(self._pending, values, strict=True)
        ]
        self._pending.clear()
        self.writer.append("metrics", *records)
        last, status = records[-1], self.status
        status.train_loss, status.grad_norm, status.lr = last["loss"], last["grad_norm"], last["lr"]
        for record in records:
            for name, words in (("loss", "loss"), ("grad_norm", "gradient")):
                if not math.isfinite(record[name]):
                    raise self._diverged(words, record["step"])
        self.heartbeat("running", unless_recent=True)
        self.report(
            events.Step(
                **{name: last[name] for name in ("step", "loss", "grad_norm", "lr")},
                progress=status.progress,
                tokens_per_s=status.tokens_per_s,
                eta=status.eta,
                next_eval=status.next_eval,
            )
        )

    def _diverged(self, what: str, step: int) -> DivergedError:
        train = self.record.config.train
        clip = "--clip 1" if not train.clip else f"--clip {train.clip / 4:g}"
        rate = min(train.lr / 3, HIGHEST_RATE)
        return DivergedError(
            f"the {what} is not finite at step {step}; {kept_checkpoint(self.paths)}; try --lr {rate:.2g} or {clip}"
        )

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Around what is no training: losses are written before, the speed is measured anew after."""
        self.flush()
        self.measure_rate()
        yield
        self.restart_rate()
        self.heartbeat("running")

    # ── evaluations and checkpoints ───────────────────────────────────────────

    def evaluation(self, text: str, *, best: bool) -> None:
        """An evaluation was made, whose numbers are in `progress`; it wrote `text`."""
        progress = self.progress
        self.report(
            events.Evaluation(progress.step, progress.val_loss, progress.figures, leaky=self.record.leaky, best=best)
        )
        self.report(events.Sample(progress.step, text))

    def checkpoint(self, pack: Callable[[dict[str, Any]], dict[str, bytes]]) -> bool:
        """Write a checkpoint of this step unless there is one, and put the checkpoints in order.

        Args:
            pack: the files of the trainer, given the values that the recorder adds to `trainer.json`.
        Returns:
            Whether one was written.
        """
        self.flush()
        progress, paths = self.progress, self.paths
        due = self._saved != (progress.step, progress.val_loss)
        if due:
            progress.elapsed = self.clock.elapsed
            self.writer.sync()
            files = pack({"progress": vars(progress), "lengths": self.writer.lengths()})
            files[checkpoint.RECORD] = to_json(self.record.to_json(), indent=1)
            with disk_of(paths, "write a checkpoint"):
                checkpoint.save(paths, progress.step, files)
                checkpoint.point(paths, "last", progress.step)
            self._saved = (progress.step, progress.val_loss)
            self.report(events.Checkpoint(progress.step))
        with disk_of(paths, "put the checkpoints in order"):
            if progress.best_step == progress.step:
                checkpoint.point(paths, "best", progress.step)
            checkpoint.prune(paths, self.record.config.train.keep)
        return due

    def forget_saved(self) -> None:
        """Write the next checkpoint in any case."""
        self._saved = None

    def rewind(self, progress: Progress, lengths: dict[str, int]) -> None:
        """Go back to a checkpoint: its progress, and the logs as long as they were."""
        self.progress = progress
        self._pending.clear()
        self._saved = None
        self.writer.rewind(lengths)
        self.clock.set(progress.elapsed)

    # ── the status ────────────────────────────────────────────────────────────

    def heartbeat(self, state: str, *, unless_recent: bool = False, message: str = "") -> None:
        """Renew `status.json`; with `unless_recent`, only if that was not done within the last second."""
        now = time.perf_counter()
        if unless_recent and now < self._next_heartbeat:
            return
        self._next_heartbeat = now + HEARTBEAT
        if state == "running":
            self.measure_rate()
        self._tell_of_losses()
        progress, status, share, elapsed = self.progress, self.status, min(1.0, self.share()), self.clock.elapsed
        status.state, status.message, status.heartbeat = state, message or self._incomplete(), time.time()
        status.step, status.epoch, status.elapsed = progress.step, progress.epoch, elapsed
        status.progress = share
        status.eta = elapsed * (1 - share) / share if share > 0 else 0.0
        status.next_eval = self.next_evaluation() if state == "running" else 0.0
        status.total = round(progress.step / share) if share > 0 else self.total
        status.val_loss = progress.val_loss
        status.figures = progress.figures
        status.best_val_loss, status.best_step = progress.best_val_loss, progress.best_step
        status.rss, status.cpu = self._usage.sample()
        self.writer.status(status)

    def _incomplete(self) -> str:
        """What is missing in the logs, for the status; empty where nothing is."""
        lost = self.writer.lost
        return f"{lost:,} record{'s' * (lost > 1)} lost: {self.writer.refused}" if lost else ""

    def _tell_of_losses(self) -> None:
        """Say once that the logs cannot be written."""
        if self.writer.lost and not self._told_of_losses:
            self._told_of_losses = True
            self.report(
                events.Note(
                    self.progress.step,
                    f"{self.writer.refused}; the training goes on, its records are lost until there is room again",
                )
            )

    def measure_rate(self) -> None:
        """Renew the speed from the steps since the last measurement, if that is long enough ago to mean something."""
        now, (since, tokens) = time.perf_counter(), self._rate_from
        if now - since > LEAST_MEASURED and self.progress.tokens > tokens:
            self.status.tokens_per_s = (self.progress.tokens - tokens) / (now - since)
            self.restart_rate()

    def restart_rate(self) -> None:
        """Measure the speed from now on: it is that of training steps alone."""
        self._rate_from = (time.perf_counter(), self.progress.tokens)

    def changes(self, settings: dict[str, Any], data: dict[str, Any], name: str) -> None:
        """Record which settings a resume has changed, and say so.

        Args:
            settings: the new values.
            data: summary of the data, as in `run.json`.
            name: of the data.
        """
        self.writer.event("changes", needed=True, step=self.progress.step, settings=settings, data=data)
        for setting, value in settings.items():
            if setting == "sources":
                sizes = f"{data['train']:,} to train on, {data['val']:,} held out"
                self.note(f"continues with {name}: {sizes}; the best loss is that on these data from now on")
            else:
                self.note(f"{flag_of(setting)} is now {value}")


def overlap_notes(record: RunRecord) -> list[str]:
    """What is to be said of the held-out part's copies in the training part."""
    if record.leaky:
        return [f"leaky: {100 * record.overlap:.0f} % of the held-out part is trained on as well"]
    if record.overlap >= 0.01:
        return [f"{100 * record.overlap:.0f} % of the held-out text occurs word for word in the training text"]
    return []


def kept_checkpoint(paths: RunPaths) -> str:
    """Which checkpoint a training that fails leaves behind, for its error."""
    if not is_run(paths.root):
        return "the run is not on this machine"
    last = checkpoint.pointed(paths, "last")
    return f"the last good checkpoint is {last.name}" if last else "there is no checkpoint yet"


def resume_advice(paths: RunPaths) -> str:
    """What to do where another process was lost, for the error."""
    return f"{kept_checkpoint(paths)}: continue with 'tuirnn train --resume {paths.name}'"


def memory_advice(paths: RunPaths, config: RunConfig) -> str:
    """What to do where memory was short, for the error."""
    less = f"--accumulate {2 * config.train.accumulate}" + " --memory recompute" * (config.train.memory == "save")
    return (
        f"{kept_checkpoint(paths)}; try 'tuirnn train --resume {paths.name} {less}', or a new run with a lower "
        "--batch-size, --seq-len or --hidden"
    )


def record_failure(paths: RunPaths, message: str) -> bool:
    """Write into a run why it ended, for a trainer that was killed.

    Returns:
        False if the trainer has done so itself, or lives.
    """
    until = time.monotonic() + TO_DIE
    while time.monotonic() < until:
        with contextlib.suppress(RunError), RunWriter(paths) as writer:
            status = written_status(paths) or Status()
            if not status.live:
                return False
            status.state, status.message = "failed", message
            writer.status(status)
            writer.event("end", state="failed", message=message, step=status.step)
            return True
        time.sleep(0.1)
    return False
