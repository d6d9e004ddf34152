"""A trained cell at work in a thread of its own: it reads what is typed and writes what is asked.

The screen sends commands and drains changes; neither ever waits for the other. ONNX Runtime is imported in
the thread, when the first cell is opened, so that the dashboard itself starts without it.
"""

import dataclasses
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuirnn.errors import ConfigError, TuirnnError, one_line
from tuirnn.text import token_label
from tuirnn.tui.views import BranchView, Change, Settings, View
from tuirnn.tui.widgets.prose import surprise_style

if TYPE_CHECKING:
    from tuirnn.runtime.samplers import Sampling
    from tuirnn.runtime.timeline import Branch, Token

PACES = (20, 60, 250, 1_000, 0)
"""Tokens a second that are aimed at; 0: as fast as it goes."""

TOP = 8
SHOWN_UNITS = 4_096
SLICE = 0.015
"""Seconds of writing between two looks at the commands."""

LONGEST = 200_000
"""Tokens after which a text stops growing by itself: its way back is kept in memory."""


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
        self._typed = ""
        self._shown: list[Token] = []  # of the text on the screen; after them what is being typed
        self._drafted = ""
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
        """All that was read and written on the open branch, before and after the cursor."""
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
        from tuirnn.loading.cell import load_cell
        from tuirnn.runtime.generate import TextWriter
        from tuirnn.runtime.judge import TextJudge
        from tuirnn.runtime.session import CellSession
        from tuirnn.runtime.timeline import Timeline

        session = CellSession(load_cell(self.cell, self._folder))

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
        if command != "set" and self.view.note:
            self.view = dataclasses.replace(self.view, note="")
        if command == "set" and isinstance(value, Settings):
            self._set(value)
        elif command == "toggle":
            self._settle()
            self._running = not self._running
            self._began, self._written = time.perf_counter(), 0
        elif command == "typed":
            self._running = False
            self._read(str(value))
        elif command in COMMANDS:
            self._running = False
            self._settle()
            COMMANDS[command](self, value)
            self._show()
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
                    own = branch is self._timeline.home
                    rows.append(BranchView(branch.name, depth, branch.fork, len(branch.tokens), own))
                    add(branch.name, depth + 1)

        add("", 0)
        return tuple(rows)

    # ── writing and reading ───────────────────────────────────────────────────

    def _step(self, _: object = None) -> None:
        """Write one token."""
        began, line = time.perf_counter(), self._timeline
        grows, branch = line.at == len(line), line.branch
        token = line.write(self._sampling)
        self._busy += time.perf_counter() - began
        self._stepped += 1
        if grows:
            self._shown.append(token)
            self.changes.append(_written(token))
        else:
            self._tell(branch)
            self._show()

    def _write_slice(self) -> None:
        """Write what the pace has come to owe, for a moment at most; then rest until more is due."""
        end = time.perf_counter() + SLICE
        while (now := time.perf_counter()) < end:
            if self.pace and self._written >= (now - self._began) * self.pace:
                break
            if self._timeline.at >= LONGEST:
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
        self._typed = text
        self._timeline.draft(self._writer.vocab.encode(text).tolist())
        self._show()
        self.view = dataclasses.replace(self.view, unknown=tuple(self._writer.vocab.unknown(text)))

    def _settle(self) -> None:
        """What was typed is read for good; further typing goes on from here.

        What stands on the screen becomes what the tokens say, where that is not the same: an unknown symbol reads as
        such, and a word vocabulary drops what is no word.
        """
        self._typed, home = "", self._timeline.home
        self._timeline.settle()
        self._tell(home)
        self._show()

    def _tell(self, before: "Branch") -> None:
        """Say so where a branch has begun in the middle of another."""
        now = self._timeline.home
        if now is not before:
            note = f"'{now.name}' begins here; what came next is kept in '{before.name}': B goes there"
            self.view = dataclasses.replace(self.view, note=note)

    def _show(self) -> None:
        """Change what is on the screen into what the text is now, from where the two part."""
        line, typed = self._timeline, self._typed
        tokens = line.home.tokens[: line.begun] if typed else line.home.tokens
        same = _alike(self._shown, tokens)
        gone = self._shown[same:]
        anew = bool(gone) or typed != self._drafted
        if anew:
            self.changes.append(Change(take_back=sum(len(token.text) for token in gone) + len(self._drafted)))
        self.changes.extend(map(_written, tokens[same:]))
        if anew and typed:
            self.changes.append(Change(text=typed, style="prime"))
        tail = 0 if typed else line.home.start(len(tokens)) - line.characters
        self.changes.append(Change(tail=tail))
        self.view = dataclasses.replace(self.view, tail=tail)
        self._shown[same:], self._drafted = tokens[same:], typed

    def _back(self, characters: object) -> None:
        """The cursor back, by so many characters at least."""
        self._timeline.go_to(self._timeline.before(self._timeline.characters - _number(characters)))

    def _forward(self, characters: object) -> None:
        """The cursor on through what is there, by so many characters at least; at its end a token is written."""
        line = self._timeline
        if line.at < len(line):
            line.go_to(line.after(line.characters + _number(characters)))
        elif not self.view.judges:
            self._step()

    def _at(self, characters: object) -> None:
        """The cursor to the token that begins after so many characters, or has that place in it."""
        self._timeline.go_to(self._timeline.before(_number(characters)))

    def _back_line(self, _: object) -> None:
        """The cursor to the beginning of this line, or of the one before."""
        text = self._timeline.branch.text
        self._at(text.rfind("\n", 0, max(self._timeline.characters - 1, 0)) + 1)

    def _forward_line(self, _: object) -> None:
        """The cursor to the beginning of the next line, or to the end."""
        end = self._timeline.branch.text.find("\n", self._timeline.characters) + 1
        self._timeline.go_to(self._timeline.after(end) if end else len(self._timeline))

    def _back_all(self, _: object) -> None:
        """The cursor to the beginning."""
        self._timeline.go_to(0)

    def _forward_all(self, _: object) -> None:
        """The cursor to the end."""
        self._timeline.go_to(len(self._timeline))

    # ── branches ──────────────────────────────────────────────────────────────

    def _branch(self, name: object) -> None:
        self._timeline.fork(str(name))

    def _keep(self, name: object) -> None:
        self._timeline.keep(str(name))

    def _switch(self, name: object) -> None:
        if str(name) in self._timeline.branches:
            self._timeline.switch(str(name))

    def _reset(self, _: object = None) -> None:
        """The zero state and the first of the seed's numbers, in an empty text; what was written stays a branch."""
        self._timeline.begin_anew(self._settings.seed)
        self.view = dataclasses.replace(self.view, unknown=())

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


def _number(value: object) -> int:
    return value if isinstance(value, int) else 1


def _alike(some: "Sequence[Token]", others: "Sequence[Token]") -> int:
    """How many tokens two texts have in common at their beginnings."""
    low, high = 0, min(len(some), len(others))
    if some[:high] == others[:high]:
        return high
    while low < high:  # the first difference lies in [low, high)
        middle = (low + high) // 2
        low, high = (low, middle) if some[low : middle + 1] != others[low : middle + 1] else (middle + 1, high)
    return low


COMMANDS: dict[str, Callable[[Engine, object], None]] = {
    "step": Engine._step,
    "back": Engine._back,
    "forward": Engine._forward,
    "at": Engine._at,
    "back_line": Engine._back_line,
    "forward_line": Engine._forward_line,
    "back_all": Engine._back_all,
    "forward_all": Engine._forward_all,
    "branch": Engine._branch,
    "keep": Engine._keep,
    "switch": Engine._switch,
    "reset": Engine._reset,
}
"""What the screen may ask for: 'back', 'forward' and 'at' with a number of characters, branches with a name."""
