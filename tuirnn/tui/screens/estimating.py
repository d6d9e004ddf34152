"""What a new run takes, while its form is filled in: the data are read, and some steps are tried, in the background."""

import contextlib
import threading

from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Static

from tuirnn import trial
from tuirnn.config import RunConfig
from tuirnn.errors import TuirnnError
from tuirnn.estimate import Estimate, earlier_run, estimate, pace_of
from tuirnn.machine import room
from tuirnn.survey import Survey, preview, suiting, survey
from tuirnn.text import visible_line
from tuirnn.trial import Trial
from tuirnn.tui.context import Context
from tuirnn.tui.outlook import UNKNOWN, outlook, warning

PREVIEWED = 6
"""Lines about a file that are shown."""

READING = "reading the data …"
TYPED = 0.25
"""Seconds without a key press after which the data are read."""

STILL = 1.0
"""Seconds without a change after which some steps are tried."""

MEASURING = "being measured …"


def data_key(config: RunConfig) -> tuple[object, ...]:
    """The settings that the result of `survey` depends on."""
    train = config.train
    return config.data, train.batches, train.batch_size, train.seq_len, train.every_step


class Surveyed(Message):
    """The data with this `data_key` have been read; `found` is a line of text if that failed.

    `told` is what was understood of a file, a line each.
    """

    def __init__(self, key: tuple[object, ...], found: Survey | str, told: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.key, self.found, self.told = key, found, told


class Tried(Message):
    """Some steps of these settings have been tried; None: they failed."""

    def __init__(self, key: str, found: Trial | None) -> None:
        super().__init__()
        self.key, self.found = key, found


class Estimating(ModalScreen[None]):
    """A screen that says what a run takes.

    Args:
        context: the dashboard around it.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._surveyed: Surveyed | None = None
        self._reading: tuple[object, ...] = ()  # key of the data that are being read, or are about to be
        self._pause: Timer | None = None
        self._trials: dict[str, Trial | None] = {}
        self._trying = ""  # key of the settings that are being tried, or are about to be
        self._still: Timer | None = None
        self._given_up = threading.Event()

    def _changed(self) -> None:
        """Check soon, once for all changes made together."""
        raise NotImplementedError

    def on_unmount(self) -> None:
        """Try no more steps."""
        self._given_up.set()

    # ── estimate ──────────────────────────────────────────────────────────────

    def _estimate(self, config: RunConfig) -> str:
        """Estimated size and duration of the run, or a note that its data are still being read."""
        known, key = self._surveyed, data_key(config)
        if known is None or known.key != key:
            self._read_soon(config, key)
            return READING
        if isinstance(known.found, str):
            return known.found
        config, chosen = suiting(config, known.found.suits, config.changed)
        if like := earlier_run(config, known.found.sha256, self.context.folder.runs):
            found = estimate(config, known.found, pace_of(like))
            return "\n".join([outlook(config.train, found, f"at the speed of run {like.name}"), *chosen])
        return "\n".join([self._tried(config, known.found), *chosen])

    def _warning(self, config: RunConfig) -> str:
        """What is hopeless about the run; '' if nothing is known to be."""
        known = self._surveyed
        if known is None or known.key != data_key(config) or isinstance(known.found, str):
            return ""
        return warning(estimate(known.found.suited(config), known.found), known.found)

    def _tried(self, config: RunConfig, data: Survey) -> str:
        """The estimate by a trial, or without one while it is under way."""
        key = trial.key_of(config, data)
        if key not in self._trials:
            if (before := trial.kept(key)) is None:
                found = estimate(config, data)
                missing = MEASURING if self._try_soon(config, data, found) else UNKNOWN
                return outlook(config.train, found, missing=missing)
            self._trials[key] = before
        measured = self._trials[key]
        pace = measured.pace(config, data) if measured else 0.0
        return outlook(config.train, estimate(config, data, pace), "by a trial on this machine")

    def _try_soon(self, config: RunConfig, data: Survey, needs: Estimate) -> bool:
        """Try some steps when nothing has changed for a while; returns whether that is possible."""
        there = room()
        if config.train.processes > 1 or (there and needs.memory > there.free):
            return False
        key = trial.key_of(config, data)
        if key != self._trying:
            self._trying = key
            self._given_up.set()
            given_up = self._given_up = threading.Event()
            if self._still:
                self._still.stop()
            self._still = self.set_timer(
                STILL, lambda: self.run_worker(lambda: self._try(config, data, given_up), thread=True, group="trial")
            )
        return True

    def _try(self, config: RunConfig, data: Survey, given_up: threading.Event) -> None:
        """Try some steps, in a thread."""
        found = None
        with contextlib.suppress(TuirnnError, OSError):  # the training reports the error again
            found = trial.measure(config, data, given_up)
        if not given_up.is_set():
            self.post_message(Tried(trial.key_of(config, data), found))

    def on_tried(self, message: Tried) -> None:
        """Display the estimate."""
        self._trials[message.key] = message.found
        self._changed()

    # ── reading the data ──────────────────────────────────────────────────────

    def _read_soon(self, config: RunConfig, key: tuple[object, ...]) -> None:
        """Read the data after a pause in typing."""
        if key != self._reading:
            self._reading = key
            if self._pause:
                self._pause.stop()
            self._pause = self.set_timer(
                TYPED, lambda: self.run_worker(lambda: self._read(config, key), thread=True, group="survey")
            )

    def _read(self, config: RunConfig, key: tuple[object, ...]) -> None:
        """Survey the data of a configuration, in a thread."""
        found: Survey | str
        try:
            found = survey(config)
        except TuirnnError as error:
            found = str(error)
        except Exception as error:  # no file may end the dashboard; the training reports the error again
            found = f"the data cannot be read: {type(error).__name__}: {error}"
        told: tuple[str, ...] = ()
        with contextlib.suppress(Exception):  # what is wrong has been found above
            told = preview(config.data)
        self.post_message(Surveyed(key, found, told))

    def on_surveyed(self, message: Surveyed) -> None:
        """Display the estimate, unless other data were entered meanwhile."""
        if message.key == self._reading:
            self._surveyed, self._reading = message, ()
            lines = [visible_line(line) for line in message.told[:PREVIEWED]]
            more = len(message.told) - len(lines)
            lines += [f"… {more} more: tuirnn data look"] * (more > 0)
            self.query_one("#form-preview", Static).update(Content("\n".join(lines)))
            self.query_one("#form-preview").display = bool(lines)
            self._changed()
