"""The training loop: batches in, run directory out."""

import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tuirnn.errors import DataError, DivergedError, LostError, OutOfMemoryError, RunError, TuirnnError, one_line
from tuirnn.files import to_json
from tuirnn.models import count_parameters
from tuirnn.runs import checkpoint, control, liveness
from tuirnn.runs.reader import RunRecord, Status
from tuirnn.runs.writer import RunWriter, disk_of
from tuirnn.settings.section import flag_of
from tuirnn.shortage import shortage
from tuirnn.tasks.task import TaskData
from tuirnn.training import checkpoints
from tuirnn.training.devices import Usage, arithmetic, device_label
from tuirnn.training.fitting import Fitting
from tuirnn.training.following import share_checkpoint
from tuirnn.training.learner import Learner
from tuirnn.training.optimizers import learning_rate
from tuirnn.training.progress import Progress
from tuirnn.training.signals import Interrupted, Signals
from tuirnn.training.tasks import half_of
from tuirnn.training.team import Alone, Order

Report = Callable[[dict[str, Any]], None]
"""Receives each event: {'event': 'start' | 'step' | 'eval' | 'sample' | 'checkpoint' | 'note' | 'end', …}."""

HEARTBEAT = 1.0
CONTROL_POLL = 0.1
ROLLBACK_FACTOR, MOST_ROLLBACKS = 0.5, 8
"""What each rollback multiplies the learning rate by, and how often it is tried without a new checkpoint."""

LOG_EVERY_CUDA = 20
"""Losses are fetched from the GPU this many steps at a time: each fetch waits for the device."""


class Trainer:
    """One training of one run, from wherever its last checkpoint left it; of several processes, the one that leads.

    Args:
        record: what the run is, with any changes of a resume.
        data: of the run's task.
        writer: the run directory, owned.
        device: where to compute.
        report: receives the run's events, for a terminal or a program.
        team: the processes that share each batch.
    """

    def __init__(
        self, record: RunRecord, data: TaskData, writer: RunWriter, device: torch.device, report: Report, team: Alone
    ) -> None:
        self.record, self.data, self.writer, self.device, self.report = record, data, writer, device, report
        self.config = config = record.config
        self.progress = Progress()
        self.team, self.learner = team, Learner(config, data, team, device, self.note)
        self.model, self.batches = self.learner.model, self.learner.batches
        self.arithmetic = arithmetic(self.model, self.batches.B, device)
        self.last_step = config.train.last_step(self.batches.batches_per_epoch)
        self.usage = Usage()
        self.status = Status(
            **liveness.introduction(writer.paths),
            device=device_label(device) + (f", {team.place.size} processes" if team.place.size > 1 else ""),
            started=time.time(),
            leaky=record.leaky,
        )
        self._pending: list[tuple[int, float, float, Tensor, Tensor]] = []  # step, time, lr, loss, gradient norm
        self.signals = Signals()
        self.evaluator = half_of(config).evaluator(config, self.model, data, writer, device, self._check)
        team.when_stuck(lambda lost: self._end("failed", lost))
        self.leaky = {"leaky": True} if record.leaky else {}
        self._asked_to_stop = self._asked_to_evaluate = False
        self._saved: tuple[int, float] | None = None  # step and validation loss that the last checkpoint holds
        self._rollbacks = 0  # since the last checkpoint
        self._clock = time.perf_counter()
        self._next_poll = self._next_heartbeat = 0.0
        self._rate_from = (self._clock, 0)
        for note in (*data.notes, *_overlap_notes(record)):
            self.note(note)
        if config.train.batch_size > self.batches.B:
            self.note(
                f"the data fill {self.batches.B} sequences side by side, not {config.train.batch_size}; going on with "
                "these"
            )

    # ── the road ──────────────────────────────────────────────────────────────

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Go on exactly where `saved` was taken; cuts the logs back to it.

        With other data than it was taken on, the text is read from its beginning and the best loss is sought anew.

        Raises:
            RunError: the checkpoint does not fit this run.
        """
        self._pending.clear()
        self._saved = None
        try:
            values = self.learner.restore(saved)
            self.progress = Progress.from_json(values["progress"])
            if values["data"] != self.data.sha256:
                self.progress.best_val_loss, self.progress.best_step = math.inf, 0
                self.progress.evaluations_without_best = 0
            lengths = {log: int(length) for log, length in values["lengths"].items()}
            arithmetic = str(values.get("arithmetic", self.arithmetic))  # checkpoints before 0.2 do not say
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, DataError) as error:
            raise RunError(f"{saved.path.name}/{checkpoint.TRAINER} is damaged: {one_line(error)}") from None
        share_checkpoint(self.team, saved)
        self.writer.rewind(lengths)
        if arithmetic != self.arithmetic:
            self.note(
                f"the run was computed by {one_line(arithmetic, 200)} and goes on by {self.arithmetic}: its numbers "
                "will differ in the last digits from those of a run that was never stopped"
            )
        best = self.progress.best_step
        with disk_of(self.writer.paths, "put the checkpoints in order"):
            if best in checkpoint.steps(self.writer.paths):  # a kill may have come before the pointer was moved
                checkpoint.point(self.writer.paths, "best", best)
        self._clock = time.perf_counter() - self.progress.elapsed

    def restart(self) -> None:
        """Begin again from nothing; cuts the logs to nothing."""
        self.writer.rewind({})

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: a limit is reached and the network has been evaluated there."""
        return self.share_done() >= 1.0 and self.progress.evaluated == self.progress.step

    def run(self) -> str:
        """Train until a limit, a request or a signal.

        Returns:
            'done', 'stopped' (asked to), or the name of the signal that ended it.
        Raises:
            DivergedError: the loss or the gradient is not finite; the last checkpoint is from before.
        """
        self._clock = time.perf_counter() - self.progress.elapsed
        self._rate_from = (time.perf_counter(), self.progress.tokens)
        first_tokens, began, name = self.progress.tokens, time.perf_counter(), self.writer.paths.name
        place = self.team.place
        fitting = Fitting(self.config, self.data, self.batches.B, self.device, place.local_size)
        self.writer.event("resume" if self.progress.step else "start", step=self.progress.step, pid=os.getpid())
        self.report(
            {
                "event": "start",
                "run": name,
                "step": self.progress.step,
                "total": self.last_step,
                "parameters": count_parameters(self.model),
                "device": self.status.device,
                "processes": place.size,
                "data": self.data.name,
                "vocab": self.data.inputs,
                "memory": round(fitting.takes),
            }
        )
        try:
            with self.signals:
                outcome = self._train()
            if self.finished:  # a signal or a request that came with the last step
                outcome = "done"
        except Exception as error:
            if lost := self.team.explain(error):
                self._end("failed", str(lost))
                raise LostError(f"{lost}; {self._kept()}: go on with 'tuirnn train --resume {name}'") from None
            if short := shortage(error):
                error = OutOfMemoryError(f"{short}; {self._with_less()}")
            self._end("failed", str(error) if isinstance(error, TuirnnError) else f"{type(error).__name__}: {error}")
            raise error from None
        seconds = time.perf_counter() - began
        self._end("done" if outcome == "done" else "stopped", "" if outcome == "done" else f"ended by {outcome}")
        self.report(
            {
                "event": "end",
                "run": name,
                "step": self.progress.step,
                "outcome": outcome,
                "best_val_loss": self.progress.best_val_loss,
                "best_step": self.progress.best_step,
                "val_loss": self.progress.val_loss,
                **self.progress.figures,
                **self.leaky,
                "seconds": seconds,
                "tokens_per_s": (self.progress.tokens - first_tokens) / max(seconds, 1e-9),
            }
        )
        return outcome

    def _train(self) -> str:
        if self.config.train.on_nan == "rollback" and not checkpoint.steps(self.writer.paths):
            self.checkpoint()  # so that there is somewhere to go back to
        while True:
            try:
                return self._loop()
            except DivergedError as error:
                self._roll_back(error)

    def _loop(self) -> str:
        train = self.config.train
        self._heartbeat("running")
        if self.progress.step and self._evaluation_due:  # a signal cut it short
            self.evaluate()
        while not self._leaving and (share := self.share_done()) < 1.0:
            self.training_step(share)
            self._flush_if_due()
            if self._evaluation_due or self._asked_to_evaluate:
                self.evaluate()
            if self.progress.step % train.checkpoint_every == 0:
                self.checkpoint()
            self._attend()
        self._flush()
        if not self._leaving and self.progress.evaluated != self.progress.step:
            self.evaluate()
        if train.minutes:
            self._saved = None  # the last one may be from before the time was up, which a resume has to see
        self.checkpoint()
        return (self.signals.name or "request") if self._leaving else "done"

    def _check(self) -> None:
        """During long work: cut it short where a signal asks to leave or another process has gone; else a heartbeat."""
        self.signals.check()
        self.team.check()
        self._heartbeat("running", unless_recent=True)

    @property
    def _leaving(self) -> bool:
        return self.signals.received is not None or self._asked_to_stop

    @property
    def _evaluation_due(self) -> bool:
        step, every = self.progress.step, self.config.train.eval_every or self.batches.batches_per_epoch
        return step % every == 0 and self.progress.evaluated != step

    def _roll_back(self, error: DivergedError) -> None:
        """Go back to the last good checkpoint with a lower rate, where that was asked for and may still help."""
        good = checkpoint.newest_good(self.writer.paths)
        if self.config.train.on_nan != "rollback" or good is None or self._rollbacks == MOST_ROLLBACKS:
            raise error
        diverged, scale = self.progress.step, self.progress.lr_scale * ROLLBACK_FACTOR
        self._rollbacks += 1
        self.restore(good)
        self.progress.lr_scale = scale
        self.writer.event("rollback", step=diverged, to=good.step, lr_scale=scale)
        self.note(
            f"the loss was not finite at step {diverged:,}; back at step {good.step:,} with {scale:g} times the "
            "learning rate"
        )

    def share_done(self) -> float:
        """How much of the run is over, by whichever limit is nearest; 1 or more means finished."""
        train, progress = self.config.train, self.progress
        shares = [0.0]
        if self.last_step:
            shares.append(progress.step / self.last_step)
        if train.minutes:
            shares.append((time.perf_counter() - self._clock) / (60 * train.minutes))
        if train.patience and progress.evaluations_without_best >= train.patience:
            shares.append(1.0)
        return max(shares)

    def training_step(self, share: float) -> None:
        """One step of all processes, at the rate that belongs to the share of the run that is done."""
        progress = self.progress
        rate = learning_rate(self.config.train, progress.step, share) * progress.lr_scale
        self.team.order(Order.STEP, rate)
        loss, norm, tokens = self.learner.training_step(rate)
        progress.step += 1
        progress.tokens += tokens
        progress.epoch = progress.step / self.batches.batches_per_epoch
        self._pending.append((progress.step, time.time(), rate, loss, norm))

    # ── what is written down ──────────────────────────────────────────────────

    def _flush_if_due(self) -> None:
        if len(self._pending) >= (LOG_EVERY_CUDA if self.device.type == "cuda" else 1):
            self._flush()

    def _flush(self) -> None:
        """Fetch the waiting losses in one go, write them, and stop at the first that is not finite."""
        if not self._pending:
            return
        values = torch.stack([torch.stack((loss.float(), norm.float())) for *_, loss, norm in self._pending]).tolist()
        records = []
        for (step, at, rate, _, _), (loss, norm) in zip(self._pending, values, strict=True):
            records.append(
                {
                    "step": step,
                    "split": "train",
                    "at": round(at, 3),
                    "loss": loss,
                    "grad_norm": norm,
                    "lr": rate,
                }
            )
        self._pending.clear()
        self.writer.append("metrics", *records)
        last = records[-1]
        self.status.train_loss, self.status.grad_norm, self.status.lr = (
            last["loss"],
            last["grad_norm"],
            last["lr"],
        )
        for record in records:
            if not (math.isfinite(record["loss"]) and math.isfinite(record["grad_norm"])):
                raise self._diverged(record)
        self._heartbeat("running", unless_recent=True)
        self.report(
            {
                "event": "step",
                **{k: last[k] for k in ("step", "loss", "grad_norm", "lr")},
                "progress": self.status.progress,
                "tokens_per_s": self.status.tokens_per_s,
                "eta": self.status.eta,
            }
        )

    def _diverged(self, record: dict[str, Any]) -> DivergedError:
        what = "loss" if not math.isfinite(record["loss"]) else "gradient"
        clip = "--clip 1" if not self.config.train.clip else f"--clip {self.config.train.clip / 4:g}"
        return DivergedError(
            f"the {what} is not finite at step {record['step']}; {self._kept()}; try --lr "
            f"{self.config.train.lr / 3:.2g} or {clip}"
        )

    def _kept(self) -> str:
        last = checkpoint.pointed(self.writer.paths, "last")
        return f"the last good checkpoint is {last.name}" if last else "there is no checkpoint yet"

    def _with_less(self) -> str:
        """How to go on where memory was short."""
        train = self.config.train
        less = f"--accumulate {2 * train.accumulate}" + " --memory recompute" * (train.memory == "save")
        return (
            f"{self._kept()}; try 'tuirnn train --resume {self.writer.paths.name} {less}', or a new run with a lower "
            "--batch-size, --seq-len or --hidden"
        )

    def evaluate(self) -> None:
        """Look at the network, and keep it if it is the best so far."""
        self._flush()
        self._asked_to_evaluate = False
        self._measure_rate()
        progress, step = self.progress, self.progress.step
        try:
            with self.team.resting():
                seen = self.evaluator.evaluate(step)
        except Interrupted:  # a resume finds that it is due
            return
        progress.evaluated = step
        keys = {figure.key: figure.status_key for figure in self.config.task.figures}
        progress.val_loss = seen.loss
        progress.figures = {keys[key]: value for key, value in seen.figures.items()}
        best = seen.loss < progress.best_val_loss
        if best:
            progress.best_val_loss, progress.best_step = seen.loss, step
        progress.evaluations_without_best = 0 if best else progress.evaluations_without_best + 1
        figures = {"val_loss": seen.loss, **progress.figures, **self.leaky}
        self.report({"event": "eval", "step": step, **figures, "best": best})
        self.report({"event": "sample", "step": step, "text": seen.text})
        if best:
            self.checkpoint()
        self._rate_from = (time.perf_counter(), progress.tokens)  # the speed is that of training steps
        self._heartbeat("running")

    def checkpoint(self) -> None:
        """Write everything needed to go on, unless this step has been written already."""
        self._flush()
        paths, progress = self.writer.paths, self.progress
        if self._saved != (progress.step, progress.val_loss):
            progress.elapsed = time.perf_counter() - self._clock
            self.team.order(Order.SHOW)
            carried = self.learner.show()
            self.writer.sync()
            values = {
                "progress": vars(progress),
                "cursor": self.batches.cursor(),
                "data": self.data.sha256,
                "lengths": self.writer.lengths(),
                "arithmetic": self.arithmetic,
            }
            files = checkpoints.pack(self.model, self.learner.optimizer, carried, values, self.device)
            files[checkpoint.RECORD] = to_json(self.record.to_json(), indent=1)
            with disk_of(paths, "write a checkpoint"):
                checkpoint.save(paths, progress.step, files)
                checkpoint.point(paths, "last", progress.step)
            self._saved = (progress.step, progress.val_loss)
            self._rollbacks = 0
            self.report({"event": "checkpoint", "step": progress.step})
        with disk_of(paths, "put the checkpoints in order"):
            if progress.best_step == progress.step:
                checkpoint.point(paths, "best", progress.step)
            checkpoint.prune(paths, self.config.train.keep)

    def note(self, message: str) -> None:
        """Say something once, in the history and to whoever watches."""
        self.writer.event("note", message=message)
        self.report({"event": "note", "step": self.progress.step, "message": message})

    def say_changes(self, changes: dict[str, Any]) -> None:
        """Say which settings a resume has changed, and what the data are where they are others."""
        for name, value in changes.items():
            if name == "sources":
                seen = self.data.summary()
                sizes = f"{seen['train']:,} to train on, {seen['val']:,} held out"
                self.note(f"goes on with {self.data.name}: {sizes}; the best loss is sought anew on these")
            else:
                self.note(f"{flag_of(name)} is now {value}")

    # ── requests, signals, heartbeat ──────────────────────────────────────────

    def _attend(self) -> None:
        """Take the requests that wait in the control folder; hold here while paused."""
        if time.perf_counter() < self._next_poll:
            return
        self.team.check()
        paused = self._take_requests(False)
        if paused:
            self._flush()
            self._measure_rate()
            self._heartbeat("paused")
            while paused and self.signals.received is None and not self._asked_to_stop:
                self.team.check()
                began = time.perf_counter()
                time.sleep(CONTROL_POLL)
                self._clock += time.perf_counter() - began  # a pause is not training time
                paused = self._take_requests(True)
                self._heartbeat("paused", unless_recent=True)
            self._rate_from = (time.perf_counter(), self.progress.tokens)
            self._heartbeat("running")
        self._next_poll = time.perf_counter() + CONTROL_POLL

    def _take_requests(self, paused: bool) -> bool:
        for request in control.take(self.writer.paths):
            self.writer.event("request", request=request.kind, value=request.value, step=self.progress.step)
            if request.kind in ("pause", "resume"):
                paused = request.kind == "pause"
            elif request.kind == "lr":
                self.progress.lr_scale *= request.value
            elif request.kind == "evaluate":
                self.evaluate()
            elif request.kind == "checkpoint":
                self.checkpoint()
            elif request.kind == "stop":
                self._asked_to_stop = True
        return paused

    def _heartbeat(self, state: str, *, unless_recent: bool = False, message: str = "") -> None:
        now = time.perf_counter()
        if unless_recent and now < self._next_heartbeat:
            return
        self._next_heartbeat = now + HEARTBEAT
        progress, status = self.progress, self.status
        if state == "running":
            self._measure_rate()
        share = min(1.0, self.share_done())
        elapsed = now - self._clock
        status.state, status.message, status.heartbeat = state, message, time.time()
        status.step, status.epoch, status.elapsed = progress.step, progress.epoch, elapsed
        status.progress = share
        status.eta = elapsed * (1 - share) / share if share > 0 else 0.0
        status.total = round(progress.step / share) if share > 0 else self.last_step
        status.val_loss = progress.val_loss
        status.figures = progress.figures
        status.best_val_loss, status.best_step = progress.best_val_loss, progress.best_step
        status.rss, status.cpu = self.usage.sample()
        self.writer.status(status)

    def _measure_rate(self) -> None:
        """Renew the speed from the steps since the last measurement, if that is long enough ago to mean something."""
        now, (since, tokens) = time.perf_counter(), self._rate_from
        if now - since > 0.5 and self.progress.tokens > tokens:
            self.status.tokens_per_s = (self.progress.tokens - tokens) / (now - since)
            self._rate_from = (now, self.progress.tokens)

    def _end(self, state: str, message: str) -> None:
        self._heartbeat(state, message=message)
        self.writer.event("end", state=state, message=message, step=self.progress.step)


def _overlap_notes(record: RunRecord) -> list[str]:
    if record.leaky:
        return [f"leaky: {100 * record.overlap:.0f} % of what is held out is trained on as well"]
    if record.overlap >= 0.01:
        return [f"{100 * record.overlap:.0f} % of the held-out text stands word for word in the training text"]
    return []
