"""What a training shows on a terminal, or in a pipe."""

import contextlib
import math
import os
import shlex
import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from tuirnn.cli.options import duration, figure, print_json
from tuirnn.config import RunConfig
from tuirnn.errors import one_line
from tuirnn.machine import size
from tuirnn.runs.reader import FIGURES
from tuirnn.training import events

STEADY, WORTH_TELLING = 5.0, 60.0
"""Seconds of training after which its speed is known, and from which a wait is told: for the end, for an evaluation."""

PLAIN_EVERY = 10.0
"""Seconds between two lines about steps in a pipe."""


def pace(event: events.Step, noun: str, between: str) -> str:
    """Speed, time left, and time to the next evaluation where that comes before; nothing before the speed is known.

    Args:
        event: of a step.
        noun: what the speed counts.
        between: stands before each part.
    """
    if not event.tokens_per_s:
        return ""
    wait = f", evaluates in {duration(event.next_eval)}" if 1 <= event.next_eval < event.eta else ""
    return f"{between}{event.tokens_per_s:,.0f} {noun}/s{between}{duration(event.eta)} left{wait}"


def leaky(event: events.Evaluation | events.End) -> str:
    """The word that goes with every figure of a run whose training has seen what is held out."""
    return " (leaky)" * event.leaky


class PlainReport:
    """Lines for a pipe or a log: start, a step line now and then, every evaluation, the end."""

    def __init__(self, config: RunConfig, runs: Path | None = None) -> None:
        self.task = config.task
        self.unit = self.task.figures_of(config.data, config.train)[0].unit
        self.noun = self.task.speed
        self.where = f" --runs {shlex.quote(str(runs))}" if runs else ""
        self._next = self._begun = 0.0
        self._limited = config.train.minutes > 0  # who has limited it knows how long it takes
        self._told = False

    def __enter__(self) -> "PlainReport":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __call__(self, event: events.Event) -> None:
        """Show one event of the trainer; a reader that has gone away, or a full disk, does not end the training."""
        try:
            self.show(event)
        except OSError as error:
            give_up(error)

    def show(self, event: events.Event) -> None:
        """Hand the event to its `on_` method, if there is one."""
        handler = getattr(self, f"on_{event.kind}", None)
        if handler is not None:
            handler(event)

    def say(self, line: str, style: str = "") -> None:
        """Print one line."""
        print(line, flush=True)

    def on_start(self, e: events.Start) -> None:
        """Which run, on what."""
        verb = f"resumes at step {e.step:,}" if e.step else "begins"
        self._begun = time.monotonic()
        self.say(
            f"run {e.run} {verb}: {e.parameters:,} parameters, {self._width(e)}, {e.data}, "
            f"on {e.device}, about {size(e.memory)} of memory",
            "bold",
        )

    def _width(self, e: events.Start) -> str:
        """What a step reads: of a series its columns, and what of the calendar beside them."""
        if not self.task.points:
            return f"{e.vocab} symbols"
        beside = f" and {e.vocab - e.outputs} values of the calendar" * (e.vocab > e.outputs)
        return f"{e.outputs} column{'s' * (e.outputs != 1)}{beside}"

    def _tell_time(self, e: events.Step) -> None:
        """Say once, as soon as the speed is known, how long it takes to the end and to an evaluation."""
        if self._told or not e.eta or time.monotonic() < self._begun + STEADY:
            return
        self._told = True
        if e.eta >= WORTH_TELLING and not self._limited:
            self.say(
                f"about {duration(e.eta)} to go at this speed; --minutes N limits it, Ctrl-C ends it with a checkpoint",
                "dim",
            )
        if e.next_eval >= WORTH_TELLING:
            self.say(
                f"the next evaluation, with its best network and sample, comes in about {duration(e.next_eval)}; "
                "--eval-every N sets how many steps lie between two",
                "dim",
            )

    def on_note(self, e: events.Note) -> None:
        """Something worth saying once."""
        self.say(f"note: {e.message}", "yellow")

    def on_step(self, e: events.Step) -> None:
        """A line now and then."""
        self._tell_time(e)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PLAIN_EVERY
            self.say(f"step {e.step:,}  {100 * e.progress:.0f} %  train {figure(e.loss, 3)}{pace(e, self.noun, '  ')}")

    def on_eval(self, e: events.Evaluation) -> None:
        """Both protocols."""
        mark = "  best so far" if e.best else ""
        self.say(
            f"step {e.step:,}  validation {self.figures(e)}{mark}",
            "green" if e.best else "",
        )

    def figures(self, e: events.Evaluation | events.End) -> str:
        """The held-out loss and what the task knows besides; called leaky where training has seen it."""
        known = {name: e.figures.get(name, math.nan) for name in FIGURES}
        return self.task.told({"val_loss": e.val_loss, **known}, self.unit) + leaky(e)

    def on_sample(self, e: events.Sample) -> None:
        """What it writes, on one line; a table of forecasts has no place there."""
        if e.text and not self.task.points:
            self.say(f"    {one_line(e.text.replace(chr(10), ' ⏎ '), 150)}", "dim")

    def on_end(self, e: events.End) -> None:
        """The result, and what to do next."""
        self.say(
            f"run {e.run} {'is done' if e.outcome == 'done' else 'is stopped'} at step {e.step:,} after "
            f"{duration(e.seconds)}, {e.tokens_per_s:,.0f} {self.noun}/s",
            "bold",
        )
        if math.isfinite(e.best_val_loss):
            bits = f" ({e.best_val_loss / math.log(2):.3f} bits)" if self.unit.startswith("nats") else ""
            self.say(
                f"best validation {figure(e.best_val_loss)} {self.unit}{bits} at step {e.best_step:,}{leaky(e)}; "
                f"last {self.figures(e)}"
            )
            uses = ["generate"] if self.task.writes else ["predict", "eval"]
            given = ' "…"' * (not self.task.writes and not self.task.points)
            commands = [f"tuirnn {use} {e.run}{given * (use == 'predict')}{self.where}" for use in (*uses, "export")]
            self.say(f"next: {'    '.join(commands)}")
        if e.outcome != "done":
            self.say(f"to continue: tuirnn train --resume {e.run}{self.where}")


def give_up(error: OSError, kept: str = "the training goes on without it, and its run has the figures") -> None:
    """Write nothing to standard output from now on, and say so once unless its reader has gone away.

    Args:
        error: of writing it.
        kept: what goes on, and where what was to be written is.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return
    with contextlib.suppress(OSError):
        print(f"tuirnn: cannot write the output: {error.strerror}; {kept}", file=sys.stderr, flush=True)


class SilentReport(PlainReport):
    """Nothing but notes, on standard error; with `notes` false nothing at all."""

    def __init__(self, config: RunConfig, runs: Path | None = None, *, notes: bool = True) -> None:
        super().__init__(config, runs)
        self.notes = notes

    def show(self, event: events.Event) -> None:
        """Print a note."""
        if self.notes and isinstance(event, events.Note):
            print(f"tuirnn: {one_line(event.message)}", file=sys.stderr)


class JsonReport(PlainReport):
    """Every event as one JSON object a line."""

    def show(self, event: events.Event) -> None:
        """Print the event."""
        print_json(events.to_json(event))


class TerminalReport(PlainReport):
    """The same with colour and a progress bar that stays at the bottom."""

    def __init__(self, config: RunConfig, runs: Path | None = None) -> None:
        super().__init__(config, runs)
        self.console = Console(highlight=False)
        self.bar = Progress(
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            _Numbers(),
            console=self.console,
            transient=True,
            refresh_per_second=5,
        )
        self.line = self.bar.add_task("", total=1.0, visible=False, loss=0.0, pace="", step=0)

    def __enter__(self) -> "TerminalReport":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, line: str, style: str = "") -> None:
        """Print one line above the bar; never as markup."""
        self.console.print(Text(line, style=style))

    def on_step(self, e: events.Step) -> None:
        """Move the bar."""
        self._tell_time(e)
        self.bar.update(
            self.line,
            completed=min(1.0, e.progress),
            visible=True,
            loss=e.loss,
            pace=pace(e, self.noun, " · "),
            step=e.step,
        )

    def on_end(self, e: events.End) -> None:
        """Take the bar away, then the result."""
        self.bar.stop()
        super().on_end(e)


class _Numbers(ProgressColumn):
    def render(self, task: Task) -> Text:
        f = task.fields
        return Text(f"step {f['step']:,} · train {figure(f['loss'], 3)}{f['pace']}", style="dim")
