"""A trained cell at work in a thread of its own: it reads what is typed and writes what is asked.

The screen sends commands and drains changes; neither ever waits for the other. ONNX Runtime is imported in
the thread, when the first cell is opened, so that the dashboard itself starts without it.
"""

import dataclasses
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuirnn.errors import ConfigError, TuirnnError, one_line
from tuirnn.tui.text import token_label
from tuirnn.tui.widgets.prose import surprise_style

if TYPE_CHECKING:
    from tuirnn.runtime.samplers import Sampling
    from tuirnn.runtime.timeline import Token

PACES = (20, 60, 250, 1_000, 0)
"""Tokens a second that are aimed at; 0: as fast as it goes."""

TOP = 8
SHOWN_UNITS = 4_096
SLICE = 0.015
"""Seconds of writing between two looks at the commands."""

LONGEST = 200_000
"""Tokens after which a text stops growing by itself: its way back is kept in memory."""


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
class BranchView:
    """A branch as it is listed: how deep it lies in the tree, where it went off, how long it is."""

    name: str
    depth: int
    fork: int
    length: int
    open: bool


@dataclass(frozen=True)
class View:
    """How the engine stands. `noun` is what a token is called; `problem` one line or nothing.

    `judges`: it is a classifier, which reads and writes nothing; `top` are its classes.
    """

    ready: bool = False
    judges: bool = False
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
    branches: tuple[BranchView, ...] = ()


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
        self._typed: tuple[str, list[int]] = ("", [])
        self._running = False
        self._began, self._written = 0.0, 0
        self._busy, self._stepped = 0.0, 0

    # ── from the screen ───────────────────────────────────────────────────────

    def send(self, command: str, value: object = None) -> None:
        """Ask for one of `COMMANDS`, for 'typed' (str), 'set' (Settings) or 'end'."""
        self._commands.put((command, value))

    def drain(self) -> list[Change]:
        """The changes since the last call."""
        taken = []
        while self.changes:
            taken.append(self.changes.popleft())
        return taken

    def text(self) -> str:
        """All that was read and written on the open branch."""
        return "".join(token.text for token in self._tokens())

    def written(self) -> str:
        """What the network has written since it last read something."""
        tail: list[str] = []
        for token in reversed(self._tokens()):
            if not token.chosen:
                break
            tail.append(token.text)
        return "".join(reversed(tail))

    def _tokens(self) -> "list[Token]":
        """A copy that the thread does not change; empty before a cell is open."""
        return list(self._timeline.branch.tokens) if self.view.ready else []

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
            from tuirnn.shortage import shortage

            self._fail(shortage(error) or f"{type(error).__name__}: {one_line(error)}")

    def _fail(self, problem: str) -> None:
        self._running = False
        self.view = dataclasses.replace(self.view, ready=False, running=False, problem=problem)

    def _open(self) -> None:
        from tuirnn.runtime.classify import TextJudge
        from tuirnn.runtime.generate import TextWriter
        from tuirnn.runtime.opening import open_cell
        from tuirnn.runtime.session import CellSession
        from tuirnn.runtime.timeline import Timeline

        session = CellSession(open_cell(self.cell, self._folder))

        self._writer: TextWriter | TextJudge
        self._writer = TextJudge(session) if session.metadata.classes else TextWriter(session)
        self._timeline: Timeline = Timeline(self._writer, self._settings.seed)
        self._sampling: Sampling = self._check(self._settings)
        meta, kind = session.metadata, self._writer.vocab.kind
        layers = f"×{meta.layers}" if meta.layers > 1 else ""
        many = f"{len(meta.classes)} classes" if meta.classes else f"{len(meta.vocab):,} symbols"
        self.view = View(
            ready=True,
            judges=bool(meta.classes),
            provider=session.provider,
            noun={"char": "character"}.get(kind, kind),
            described=f"{meta.cell.upper()} {meta.hidden}{layers} · {many}",
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
        if command == "set" and isinstance(value, Settings):
            self._set(value)
        elif command == "toggle":
            self._commit()
            self._running = not self._running
            self._began, self._written = time.perf_counter(), 0
        elif command == "typed":
            self._running = False
            self._read(str(value))
        elif command in COMMANDS:
            self._running = False
            self._commit()
            COMMANDS[command](self, value)
        self._look()
        return True

    def _look(self) -> None:
        """Renew the view."""
        p = self._writer.distribution(self._sampling)
        order = p.argsort()[::-1][:TOP]
        if self.view.judges and len(p) <= TOP:
            order.sort()  # few classes keep their places: the bars move, not their names
        names = [self._named(int(i)) for i in order]
        state = self._writer.session.snapshot()[0][-1, 0]  # h of the last layer
        speed = self._stepped / self._busy if self._busy else 0.0
        self.view = dataclasses.replace(
            self.view,
            hidden=tuple(map(float, state[:SHOWN_UNITS])),
            running=self._running,
            per_second=speed,
            tokens=self._stepped,
            top=tuple((name, float(p[i])) for name, i in zip(names, order, strict=True) if p[i] > 0),
            branches=self._list_branches(),
        )

    def _named(self, number: int) -> str:
        """What output `number` is called: a class, or a token."""
        vocab = self._writer.vocab
        if self.view.judges:
            return token_label(self._writer.session.metadata.classes[number])
        return f"0x{number:02x}" if vocab.kind == "byte" and number > 127 else token_label(vocab.symbol(number))

    def _list_branches(self) -> tuple[BranchView, ...]:
        """The tree of branches, each right under the one that it went off from."""
        known = self._timeline.branches
        rows: list[BranchView] = []

        def add(parent: str, depth: int) -> None:
            for branch in known.values():
                if branch.parent == parent:
                    own = branch is self._timeline.branch
                    rows.append(BranchView(branch.name, depth, branch.fork, len(branch.tokens), own))
                    add(branch.name, depth + 1)

        add("", 0)
        return tuple(rows)

    # ── writing and reading ───────────────────────────────────────────────────

    def _step(self, _: object = None) -> None:
        """Write one token."""
        began = time.perf_counter()
        token = self._timeline.write(self._sampling)
        self._busy += time.perf_counter() - began
        self._stepped += 1
        self.changes.append(Change(text=token.text, style=surprise_style(token.nats)))

    def _write_slice(self) -> None:
        """Write what the pace has come to owe, for a moment at most; then rest until more is due."""
        end = time.perf_counter() + SLICE
        while (now := time.perf_counter()) < end:
            if self.pace and self._written >= (now - self._began) * self.pace:
                break
            if len(self._timeline) >= LONGEST:
                self._running = False
                self.view = dataclasses.replace(
                    self.view, problem=f"{LONGEST:,} tokens are as long as a text gets here; r begins anew"
                )
                break
            self._step()
            self._written += 1
        if self.pace and now - self._began > 1.0:  # a new second of account: a slow cell never owes for long
            self._began, self._written = now, 0
        self._look()
        time.sleep(0.001 if not self.pace else min(0.02, 1 / self.pace))

    def _read(self, text: str) -> None:
        """Make the typed text `text`: go back to where it parts from what was read, and read on from there."""
        old, ids = self._typed
        new = self._writer.vocab.encode(text).tolist()
        same = next((k for k, (a, b) in enumerate(zip(ids, new, strict=False)) if a != b), min(len(ids), len(new)))
        self._timeline.rewind(len(self._timeline) - len(ids) + same)
        for token in new[same:]:
            self._timeline.read(token)
        self._typed = (text, new)
        self.changes.append(Change(take_back=len(old), text=text, style="prime"))
        self.view = dataclasses.replace(self.view, unknown=tuple(self._writer.vocab.unknown(text)))

    def _commit(self) -> None:
        """What was typed is read for good; further typing goes on from here.

        What stands on the screen becomes what the tokens say, where that is not the same: an unknown symbol reads as
        such, and a word vocabulary drops what is no word.
        """
        text, ids = self._typed
        self._typed = ("", [])
        if ids:
            read = self._timeline.branch.tokens[-len(ids) :]
            if "".join(token.text for token in read) != text:
                self.changes.append(Change(take_back=len(text)))
                self.changes.extend(map(_written, read))
        elif text:
            self.changes.append(Change(take_back=len(text)))

    def _back(self, characters: object) -> None:
        """Take back what was read or written last, by so many characters at least."""
        self._taken_back(self._timeline.rewind_characters(int(characters or 1)))  # type: ignore[call-overload]

    def _back_to(self, characters: object) -> None:
        """Go back to where the text had so many characters."""
        length = sum(len(token.text) for token in self._timeline.branch.tokens)
        self._taken_back(self._timeline.rewind_characters(length - int(characters or 0)))  # type: ignore[call-overload]

    def _back_line(self, _: object) -> None:
        """Go back to the beginning of this line, or of the one before."""
        text = self._timeline.branch.text
        self._back_to(text.rfind("\n", 0, max(len(text) - 1, 0)) + 1)

    def _back_all(self, _: object) -> None:
        """Go back to the beginning."""
        self._taken_back(self._timeline.rewind(0))

    def _taken_back(self, characters: int) -> None:
        if characters:
            self.changes.append(Change(take_back=characters))

    # ── branches ──────────────────────────────────────────────────────────────

    def _branch(self, name: object) -> None:
        self._timeline.fork(str(name))

    def _keep(self, name: object) -> None:
        self._timeline.keep(str(name))

    def _switch(self, name: object) -> None:
        if str(name) in self._timeline.branches:
            self._show_all(self._timeline.switch(str(name)).tokens)

    def _show_all(self, tokens: "Iterable[Token]") -> None:
        self.changes.append(Change(clear=True))
        self.changes.extend(map(_written, tokens))

    def _reset(self, _: object = None) -> None:
        """The zero state and the first of the seed's numbers, in an empty text; kept branches stay."""
        self._timeline.begin_anew(self._settings.seed)
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
            self._timeline.reseed(settings.seed)
        self._settings = settings
        self.view = dataclasses.replace(self.view, problem="")


def _written(token: "Token") -> Change:
    return Change(text=token.text, style=surprise_style(token.nats) if token.chosen else "prime")


COMMANDS: dict[str, Callable[[Engine, object], None]] = {
    "step": Engine._step,
    "back": Engine._back,
    "back_to": Engine._back_to,
    "back_line": Engine._back_line,
    "back_all": Engine._back_all,
    "branch": Engine._branch,
    "keep": Engine._keep,
    "switch": Engine._switch,
    "reset": Engine._reset,
}
"""What the screen may ask for: 'back' and 'back_to' with a number of characters, branches with a name."""
