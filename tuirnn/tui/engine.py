"""A trained cell at work in a thread of its own: it reads what is typed and writes what is asked.

The screen sends commands and drains changes; neither ever waits for the other. ONNX Runtime is imported in
the thread, when the first cell is opened, so that the dashboard itself starts without it.
"""

import dataclasses
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuirnn.errors import ConfigError, TuirnnError, one_line
from tuirnn.tui.text import token_label
from tuirnn.tui.widgets.prose import surprise_style

if TYPE_CHECKING:
    from tuirnn.runtime.generate import Moment
    from tuirnn.runtime.samplers import Sampling

PACES = (20, 60, 250, 1_000, 0)
"""Tokens a second that are aimed at; 0: as fast as it goes."""

TOP = 8
SHOWN_UNITS = 4_096
SLICE = 0.015
"""Seconds of writing between two looks at the commands."""

HISTORY_BYTES = 32 * 2**20
HISTORY_MOST = 2_000


@dataclass(frozen=True)
class Settings:
    """How to write; checked when it reaches the samplers."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Change:
    """What happened to the text: so many characters taken back, then these written in a style."""

    take_back: int = 0
    text: str = ""
    style: str = "plain"
    clear: bool = False


@dataclass(frozen=True)
class View:
    """How the engine stands. `nouns` is what a token is called; `problem` one line or nothing."""

    ready: bool = False
    running: bool = False
    top: tuple[tuple[str, float], ...] = ()
    hidden: tuple[float, ...] = ()
    unknown: tuple[str, ...] = ()
    per_second: float = 0.0
    provider: str = ""
    described: str = ""
    noun: str = "character"
    problem: str = ""
    tokens: int = 0


class Engine(threading.Thread):
    """Opens a run or cell file and obeys.

    Args:
        name: a run of `folder`, or a path ending in .onnx.
        folder: of runs.
        settings: to begin with.
        pace: one of `PACES`.
    """

    def __init__(self, name: str, folder: Path, settings: Settings, pace: int) -> None:
        super().__init__(name="tuirnn-engine", daemon=True)
        self.cell = name
        self.view = View()
        self.changes: deque[Change] = deque()
        self.pace = pace
        self._folder = folder
        self._settings = settings
        self._commands: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._history: deque[tuple[Moment, int]] = deque(maxlen=HISTORY_MOST)
        self._typed: tuple[str, list[int], list[Moment]] = ("", [], [])
        self._running = False
        self._began, self._written = 0.0, 0
        self._busy, self._stepped = 0.0, 0

    # ── from the screen ───────────────────────────────────────────────────────

    def send(self, command: str, value: object = None) -> None:
        """Ask for 'toggle', 'step', 'back', 'reset', 'typed' (str), 'set' (Settings) or 'end'."""
        self._commands.put((command, value))

    def drain(self) -> list[Change]:
        """The changes since the last call."""
        taken = []
        while self.changes:
            taken.append(self.changes.popleft())
        return taken

    # ── in the thread ─────────────────────────────────────────────────────────

    def run(self) -> None:
        """Open the cell, then obey until 'end'."""
        try:
            self._open()
            while self._obey():
                if self._running:
                    self._write_slice()
        except TuirnnError as error:
            self._fail(str(error))
        except Exception as error:  # the thread's last word: shown on the screen instead of lost
            self._fail(f"{type(error).__name__}: {one_line(error)}")

    def _fail(self, problem: str) -> None:
        self._running = False
        self.view = dataclasses.replace(self.view, ready=False, running=False, problem=problem)

    def _open(self) -> None:
        from tuirnn.runtime.generate import TextWriter
        from tuirnn.runtime.opening import open_cell
        from tuirnn.runtime.session import CellSession

        session = CellSession(open_cell(self.cell, self._folder))

        def make(seed: int) -> TextWriter:
            return TextWriter(session, seed)

        self._make = make
        self._writer = make(self._settings.seed)
        self._sampling: Sampling = self._check(self._settings)
        moment = self._writer.moment()
        each = sum(part.nbytes for part in moment.state) + moment.logits.nbytes
        self._history = deque(maxlen=min(max(HISTORY_BYTES // max(each, 1), 16), HISTORY_MOST))
        meta, kind = session.metadata, self._writer.vocab.kind
        layers = f"×{meta.layers}" if meta.layers > 1 else ""
        self.view = View(
            ready=True,
            provider=session.provider,
            noun={"char": "character"}.get(kind, kind),
            described=f"{meta.cell.upper()} {meta.hidden}{layers} · {len(meta.vocab):,} symbols",
        )
        self._look()

    def _check(self, settings: Settings) -> "Sampling":
        from tuirnn.runtime.samplers import Sampling

        if settings.seed < 0:
            raise ConfigError(f"--seed must be at least 0, not {settings.seed}")
        return Sampling(settings.temperature, settings.top_k, settings.top_p)

    def _obey(self) -> bool:
        """Carry out the waiting commands; waits for one where there is nothing to write."""
        try:
            command, value = self._commands.get(block=not self._running)
        except queue.Empty:
            return True
        if command == "end":
            return False
        if command == "toggle":
            self._commit()
            self._running = not self._running
            self._began, self._written = time.perf_counter(), 0
        elif command == "typed":
            self._running = False
            self._read(str(value))
        elif command == "set" and isinstance(value, Settings):
            self._set(value)
        elif command in ("step", "back", "reset"):
            self._running = False
            getattr(self, f"_{command}")()
        self._look()
        return True

    def _look(self) -> None:
        """Renew the view."""
        p = self._writer.distribution(self._sampling)
        order = p.argsort()[::-1][:TOP]
        vocab = self._writer.vocab
        names = [f"0x{i:02x}" if vocab.kind == "byte" and i > 127 else token_label(vocab.symbol(int(i))) for i in order]
        state = self._writer.session.snapshot()[0][-1, 0]  # h of the last layer
        speed = self._stepped / self._busy if self._busy else 0.0
        self.view = dataclasses.replace(
            self.view,
            hidden=tuple(map(float, state[:SHOWN_UNITS])),
            running=self._running,
            per_second=speed,
            tokens=self._stepped,
            top=tuple((name, float(p[i])) for name, i in zip(names, order, strict=True) if p[i] > 0),
        )

    def _step(self) -> None:
        """Write one token."""
        self._commit()
        self._write_one()

    def _write_one(self) -> None:
        before = self._writer.moment()
        began = time.perf_counter()
        written = self._writer.write(self._sampling)
        self._busy += time.perf_counter() - began
        self._stepped += 1
        self._history.append((before, len(written.text)))
        self.changes.append(Change(text=written.text, style=surprise_style(written.nats)))

    def _write_slice(self) -> None:
        """Write what the pace has come to owe, for a moment at most; then rest until more is due."""
        end = time.perf_counter() + SLICE
        while (now := time.perf_counter()) < end:
            if self.pace and self._written >= (now - self._began) * self.pace:
                break
            self._write_one()
            self._written += 1
        if self.pace and now - self._began > 1.0:  # a new second of account: a slow cell never owes for long
            self._began, self._written = now, 0
        self._look()
        time.sleep(0.001 if not self.pace else min(0.02, 1 / self.pace))

    def _read(self, text: str) -> None:
        """Make the typed text `text`: go back to where it parts from what was read, and read on from there."""
        old, ids, moments = self._typed
        new = self._writer.vocab.encode(text).tolist()
        same = next((k for k, (a, b) in enumerate(zip(ids, new, strict=False)) if a != b), min(len(ids), len(new)))
        if same < len(ids):
            self._writer.go_to(moments[same])
        del moments[same:]
        for token in new[same:]:
            moments.append(self._writer.moment())
            self._writer.feed_token(token)
        self._typed = (text, new, moments)
        self.changes.append(Change(take_back=len(old), text=text, style="prime"))
        self.view = dataclasses.replace(self.view, unknown=tuple(self._writer.vocab.unknown(text)))

    def _commit(self) -> None:
        """What was typed is read for good; further typing goes on from here."""
        text, _, moments = self._typed
        if text:
            self._history.append((moments[0], len(text)))
            self._typed = ("", [], [])

    def _back(self) -> None:
        """Take the last token, or all that was typed at once, back."""
        self._commit()
        if self._history:
            moment, characters = self._history.pop()
            self._writer.go_to(moment)
            self.changes.append(Change(take_back=characters))

    def _reset(self) -> None:
        """The zero state and the first of the seed's numbers."""
        self._typed = ("", [], [])
        self._history.clear()
        self._writer = self._make(self._settings.seed)
        self.view = dataclasses.replace(self.view, unknown=())
        self.changes.append(Change(clear=True))

    def _set(self, settings: Settings) -> None:
        """Write differently from here on; a new seed leaves the state alone."""
        try:
            self._sampling = self._check(settings)
        except ConfigError as error:
            self.view = dataclasses.replace(self.view, problem=str(error))
            return
        if settings.seed != self._settings.seed:
            moment = self._writer.moment()
            self._writer = self._make(settings.seed)
            self._writer.go_to(dataclasses.replace(moment, rng=self._writer.moment().rng))
        self._settings = settings
        self.view = dataclasses.replace(self.view, problem="")
