"""The training loop: what happens in which order. `Recorder` writes it down, `ControlChannel` hears requests."""

import math
import time
from contextlib import suppress
from itertools import chain
from typing import Any

import torch

from tuirnn.errors import DataError, DivergedError, LostError, OutOfMemoryError, RunError, TuirnnError, one_line
from tuirnn.models import count_parameters
from tuirnn.runs import checkpoint
from tuirnn.runs.parent import Weights
from tuirnn.runs.reader import RunRecord
from tuirnn.runs.writer import RunWriter, disk_of
from tuirnn.shortage import shortage
from tuirnn.tasks.task import TaskData
from tuirnn.training import channel, checkpoints
from tuirnn.training.channel import ControlChannel
from tuirnn.training.choosing import use_choice
from tuirnn.training.devices import arithmetic, device_label
from tuirnn.training.events import Report, Sample, Start
from tuirnn.training.following import share_checkpoint
from tuirnn.training.learner import Learner
from tuirnn.training.memory_check import MemoryCheck
from tuirnn.training.optimizers import learning_rate
from tuirnn.training.progress import Progress
from tuirnn.training.recorder import Recorder, memory_advice, overlap_notes, resume_advice
from tuirnn.training.signals import Interrupted
from tuirnn.training.tasks import half_of
from tuirnn.training.team import Alone, Order

FIRST_LOOK = 15.0
"""Seconds after which a run that is limited by time shows what its network writes, at the latest."""

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
        self.record, self.data, self.paths, self.device, self.team = record, data, writer.paths, device, team
        self.config = config = record.config
        processes = f", {team.member.size} processes" if team.member.size > 1 else ""
        self.recorder = Recorder(
            record, writer, report, device_label(device) + processes, LOG_EVERY_CUDA if device.type == "cuda" else 1
        )
        use_choice(record)
        self.learner = Learner(record.computed, data, team, device, self.recorder.note)
        self.model, self.batches = self.learner.model, self.learner.batches
        self.arithmetic = arithmetic(self.model, self.batches.B, device)
        self.last_step = config.train.last_step(self.batches.batches_per_epoch)
        self.recorder.total, self.recorder.share = self.last_step, self.share_done
        self.recorder.next_evaluation = self.next_evaluation
        self.channel = ControlChannel(writer.paths)
        self.evaluator = half_of(config).evaluator(config, self.model, data, writer, device, self._check)
        team.on_silence(self._abandon)
        self._rollbacks = 0  # since the last checkpoint
        notes = data.notes, overlap_notes(record), self.evaluator.notes()
        for note in chain(filter(None, [writer.unlocked]), *notes):
            self.recorder.note(note)
        if config.train.batch_size > self.batches.B:
            self.recorder.note(
                f"the data fill {self.batches.B} sequences side by side, not {config.train.batch_size}; going on with "
                "these"
            )

    @property
    def progress(self) -> Progress:
        """Where the training stands."""
        return self.recorder.progress

    # ── where it begins ───────────────────────────────────────────────────────

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Go on exactly where `saved` was taken; cuts the logs back to it.

        With other data than it was taken on, the text is read from its beginning and the best loss is sought anew.

        Raises:
            RunError: the checkpoint does not fit this run.
        """
        try:
            values = self.learner.restore(saved)
            progress = Progress.from_json(values["progress"])
            if values["data"] != self.data.sha256:
                progress.best_val_loss, progress.best_step = math.inf, 0
                progress.evaluations_without_best = 0
            lengths = {log: int(length) for log, length in values["lengths"].items()}
            arithmetic = str(values.get("arithmetic", self.arithmetic))  # checkpoints before 0.2 do not say
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, DataError) as error:
            raise RunError(f"{saved.path.name}/{checkpoint.TRAINER} is damaged: {one_line(error)}") from None
        share_checkpoint(self.team, saved)
        self.recorder.rewind(progress, lengths)
        if arithmetic != self.arithmetic:
            self.recorder.note(
                f"the run was computed with {one_line(arithmetic, 200)} and continues with {self.arithmetic}: its "
                "numbers will differ in the last digits from those of a run that was never stopped"
            )
        with disk_of(self.paths, "put the checkpoints in order"):
            if progress.best_step in checkpoint.steps(self.paths):  # a kill may have come before the pointer was moved
                checkpoint.point(self.paths, "best", progress.best_step)

    def weights(self) -> Weights:
        """The network's parameters as they stand, by the names of a checkpoint."""
        return {name: parameter.detach().cpu().numpy() for name, parameter in self.model.named_parameters()}

    def begin_with(self, weights: Weights) -> None:
        """Begin with these weights instead of drawn ones, in all processes."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name]))
        values = {"cursor": self.batches.cursor(), "data": self.data.sha256}
        files = checkpoints.pack(self.model, self.learner.optimizer, [], values, self.device)
        share_checkpoint(self.team, checkpoint.Checkpoint(self.paths.step(0), files))

    def restart(self) -> None:
        """Begin again from nothing; cuts the logs to nothing."""
        self.recorder.rewind(Progress(), {})

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: a limit is reached and the network has been evaluated there."""
        return self.share_done() >= 1.0 and self.progress.evaluated == self.progress.step

    def share_done(self) -> float:
        """How much of the run is over, by whichever limit is nearest; 1 or more means finished."""
        train, progress = self.config.train, self.progress
        shares = [0.0]
        if self.last_step:
            shares.append(progress.step / self.last_step)
        if train.minutes:
            shares.append(self.recorder.clock.elapsed / (60 * train.minutes))
        if train.patience and progress.evaluations_without_best >= train.patience:
            shares.append(1.0)
        return max(shares)

    # ── the loop ──────────────────────────────────────────────────────────────

    def run(self) -> str:
        """Train until a limit, a request or a signal.

        Returns:
            'done', 'request', or the name of the signal that ended it.
        Raises:
            DivergedError: the loss or the gradient is not finite; the last checkpoint is from before.
            LostError: another process of the training has ended.
        """
        member = self.team.member
        fitting = MemoryCheck(self.config, self.data, self.batches, self.device, member.local_size)
        self.recorder.start(
            Start(
                step=self.progress.step,
                run=self.paths.name,
                total=self.last_step,
                parameters=count_parameters(self.model),
                device=self.recorder.status.device,
                processes=member.size,
                data=self.data.name,
                vocab=self.data.inputs,
                memory=round(fitting.takes),
                outputs=self.data.outputs,
            )
        )
        with self.channel:  # until the end is written: a signal before that would leave a run that claims to live
            try:
                outcome = self._train()
            except Exception as error:
                raise self._failed(error) from None
            if self.finished:  # a signal or a request that came with the last step
                outcome = "done"
            self.recorder.end(outcome)
        return outcome

    def _train(self) -> str:
        wanted = self.config.train.on_nan == "rollback" or self.record.parent is not None
        if wanted and not checkpoint.steps(self.paths):
            self.checkpoint()  # so that there is somewhere to go back to
        while True:
            try:
                return self._loop()
            except DivergedError as error:
                self._roll_back(error)

    def _loop(self) -> str:
        train, recorder = self.config.train, self.recorder
        recorder.heartbeat("running")
        if self.progress.step and self._evaluation_due:  # a signal cut it short
            self.evaluate()
        while not self.channel.leaving and (share := self.share_done()) < 1.0:
            self.training_step(share)
            recorder.flush_if_due()
            if self._evaluation_due:
                self.evaluate()
            elif self._first_look <= 0:
                self.look()
            if self.progress.step % train.checkpoint_every == 0:
                self.checkpoint()
            if self.channel.due():
                self._answer_requests()
        recorder.flush()
        if not self.channel.leaving and self.progress.evaluated != self.progress.step:
            self.evaluate()
        if not self.channel.leaving:
            self._finish()
        if train.minutes:
            recorder.forget_saved()  # the last one may be from before the time was up, which a resume has to see
        self.checkpoint()
        return self.channel.reason if self.channel.leaving else "done"

    def _finish(self) -> None:
        """Measure what evaluations on the way had no time for."""
        try:
            with self.team.resting():
                said = self.evaluator.finish(self.progress.step, self.recorder.clock.elapsed)
        except Interrupted:
            return
        if said:
            self.recorder.note(said)

    def training_step(self, share: float) -> None:
        """One step of all processes, at the rate that belongs to the share of the run that is done."""
        progress = self.progress
        rate = learning_rate(self.config.train, progress.step, share) * progress.lr_scale
        self.team.order(Order.STEP, progress.step + 1, rate)
        loss, norm, tokens = self.learner.training_step(rate)
        progress.step += 1
        progress.tokens += tokens
        progress.epoch = progress.step / self.batches.batches_per_epoch
        self.recorder.step(rate, loss, norm)

    @property
    def _eval_every(self) -> int:
        return self.config.train.eval_every or self.batches.batches_per_epoch

    @property
    def _first_look(self) -> float:
        """Seconds until `look`; infinite where there is none.

        A run that is limited by time shows its first sample early, however slow the machine is.
        """
        if not self.config.train.minutes or self.progress.evaluated or self.progress.looked:
            return math.inf
        return min(FIRST_LOOK, 60 * self.config.train.minutes / 10) - self.recorder.clock.elapsed

    @property
    def _evaluation_due(self) -> bool:
        step = self.progress.step
        return step % self._eval_every == 0 and self.progress.evaluated != step

    def next_evaluation(self) -> float:
        """Estimated seconds to the next evaluation, at most to the end; 0: it is due, or the speed is not known."""
        progress, status = self.progress, self.recorder.status
        if not progress.step or not status.tokens_per_s or self._evaluation_due or self.share_done() >= 1.0:
            return 0.0
        pace = progress.tokens / progress.step / status.tokens_per_s
        by_steps = (self._eval_every - progress.step % self._eval_every) * pace
        return max(0.0, min(by_steps, self._first_look, status.eta or math.inf))

    def look(self) -> None:
        """Show what the network writes before an evaluation is due; evaluate, where that takes little longer."""
        progress = self.progress
        with self.recorder.aside(), suppress(Interrupted):  # a resume finds that it is due
            with self.team.resting():
                text = self.evaluator.look(progress.step, progress.tokens)
            progress.looked = progress.step
            if text is None:
                self.evaluate()
            else:
                self.recorder.report(Sample(progress.step, text))
                self.checkpoint()

    def evaluate(self) -> None:
        """Evaluate the network on held-out data, and keep it if it is the best so far."""
        recorder, progress, step = self.recorder, self.progress, self.progress.step
        recorder.flush()
        recorder.measure_rate()
        try:
            with self.team.resting():
                found = self.evaluator.evaluate(step, recorder.clock.elapsed)
        except Interrupted:  # a resume finds that it is due
            return
        progress.evaluated = step
        for note in found.notes:
            recorder.note(note)
        keys = {figure.key: figure.status_key for figure in self.config.task.figures}
        progress.val_loss = found.loss
        progress.figures = {keys[key]: value for key, value in found.figures.items()}
        progress.kept = found.kept
        best = found.loss < progress.best_val_loss
        if best:
            progress.best_val_loss, progress.best_step = found.loss, step
        progress.evaluations_without_best = 0 if best else progress.evaluations_without_best + 1
        recorder.evaluation(found.text, best=best)
        if best:
            self.checkpoint()
        recorder.restart_rate()
        recorder.heartbeat("running")

    def checkpoint(self) -> None:
        """Write everything needed to go on, unless this step has been written already."""
        if self.recorder.checkpoint(self._pack):
            self._rollbacks = 0

    def _pack(self, values: dict[str, Any]) -> dict[str, bytes]:
        self.team.order(Order.GATHER_STATE, self.progress.step)
        carried = self.learner.show()
        values |= {"cursor": self.batches.cursor(), "data": self.data.sha256, "arithmetic": self.arithmetic}
        return checkpoints.pack(self.model, self.learner.optimizer, carried, values, self.device)

    # ── requests ──────────────────────────────────────────────────────────────

    def _answer_requests(self) -> None:
        """Do what was asked; hold here while paused."""
        if not self._answer(paused=False):
            return
        recorder = self.recorder
        recorder.flush()
        recorder.measure_rate()
        recorder.heartbeat("paused")
        paused = True
        while paused and not self.channel.leaving:
            began = time.perf_counter()
            time.sleep(channel.CONTROL_POLL)
            recorder.clock.exclude(time.perf_counter() - began)
            paused = self._answer(paused=True)
            recorder.heartbeat("paused", unless_recent=True)
        recorder.restart_rate()
        recorder.heartbeat("running")

    def _answer(self, *, paused: bool) -> bool:
        for request in self.channel.requests():
            self.recorder.writer.event("request", request=request.kind, value=request.value, step=self.progress.step)
            if request.kind in ("pause", "resume"):
                paused = request.kind == "pause"
            elif request.kind == "lr":
                self.progress.lr_scale *= request.value
            elif request.kind == "evaluate":
                self.evaluate()
            elif request.kind == "checkpoint":
                self.checkpoint()
        return paused

    def _check(self) -> None:
        """During long work: cut it short where a signal asks to leave; else a heartbeat."""
        self.channel.check()
        self.recorder.heartbeat("running", unless_recent=True)

    # ── failures ──────────────────────────────────────────────────────────────

    def _roll_back(self, error: DivergedError) -> None:
        """Go back to the last good checkpoint with a lower rate, where that was asked for and may still help."""
        good = checkpoint.newest_good(self.paths)
        if self.config.train.on_nan != "rollback" or good is None or self._rollbacks == MOST_ROLLBACKS:
            raise error
        diverged, scale = self.progress.step, self.progress.lr_scale * ROLLBACK_FACTOR
        self._rollbacks += 1
        self.restore(good)
        self.progress.lr_scale = scale
        self.recorder.writer.event("rollback", step=diverged, to=good.step, lr_scale=scale)
        self.recorder.note(
            f"the loss was not finite at step {diverged:,}; back at step {good.step:,} with {scale:g} times the "
            "learning rate"
        )

    def _failed(self, error: Exception) -> Exception:
        """Write why the training ends; returns the error to raise."""
        if lost := self.team.lost_error(error):
            if not self.team.under_command:
                self.recorder.close("failed", str(lost))
            return LostError(f"{lost}; {resume_advice(self.paths)}")
        if short := shortage(error):
            error = OutOfMemoryError(f"{short}; {memory_advice(self.paths, self.config)}")
        said = str(error) if isinstance(error, TuirnnError) else f"{type(error).__name__}: {error}"
        self.recorder.close("failed", said)
        return error

    def _abandon(self, lost: str) -> str:
        """Write that another process was lost while this one may hang for it; returns the line to say."""
        self.recorder.close("failed", lost)
        return f"{lost}; {resume_advice(self.paths)}"
