"""A trained cell in a thread of its own: it reads what is typed and writes as requested.

The screen sends commands and takes changes; neither waits for the other. ONNX Runtime is imported in the thread,
when the first cell is opened, so that the dashboard starts without it.
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tuirnn.errors import ConfigError, TuirnnError, one_line
from tuirnn.text import token_label
from tuirnn.tui.moves import MOVES
from tuirnn.tui.places import History, Place, list_branches, place_of
from tuirnn.tui.shown_text import ShownText
from tuirnn.tui.views import Change, Settings, View

if TYPE_CHECKING:
    from tuirnn.runtime.generate import TextWriter
    from tuirnn.runtime.samplers import Sampling
    from tuirnn.runtime.timeline import Branch, Token

PACES = (20, 60, 250, 1_000, 0)
"""Tokens per second; 0 for no limit."""

TOP = 8
"""Number of predicted tokens in the view."""

SHOWN_UNITS = 4_096
"""Number of hidden values in the view."""

SLICE = 0.015
"""Seconds of writing after which waiting commands are handled."""

LONGEST = 200_000
"""Tokens after which generation pauses: the state at each position is kept in memory."""


class Engine(threading.Thread):
    """Opens a run or cell file and handles commands.

    Args:
        name: a run of `folder`, or a path ending in .onnx.
        folder: of runs.
        settings: initial ones.
        pace: one of `PACES`.

    Attributes:
        cell: the name.
        view: the current state, replaced whenever it changes.
    """

    def __init__(self, name: str, folder: Path, settings: Settings, pace: int) -> None:
        super().__init__(name="tuirnn-engine", daemon=True)
        self.cell = name
        self.view = View()
        self.pace = pace
        self._folder = folder
        self._settings = settings
        self._commands: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._shown = ShownText()
        self._history = History()
        self._temperatures: dict[str, float] = {}  # of branches, by name
        self._running = False
        self._began, self._written = 0.0, 0  # of the account that the pace is kept by
        self._busy, self._stepped = 0.0, 0  # seconds and tokens, for the speed

    # ── from the screen ───────────────────────────────────────────────────────

    def send(self, command: str, value: object = None) -> None:
        """Send one of `COMMANDS` or `MOVES`, 'toggle', 'typed' (str), 'set' (Settings) or 'end'."""
        self._commands.put((command, value))

    def drain(self) -> list[Change]:
        """Take the changes to the text since the last call."""
        taken = []
        while self._shown.changes:
            taken.append(self._shown.changes.popleft())
        return taken

    def text(self) -> str:
        """The text of the open branch, before and after the cursor."""
        return "".join(token.text for token in self._tokens())

    def written(self) -> str:
        """What the network has written since it last read a token."""
        tail: list[str] = []
        for token in reversed(self._tokens()):
            if not token.chosen:
                break
            tail.append(token.text)
        return "".join(reversed(tail))

    def _tokens(self) -> "list[Token]":
        """A copy of the open branch's tokens; empty if no cell is open."""
        return list(self._timeline.branch.tokens) if self.view.ready else []

    # ── in the thread ─────────────────────────────────────────────────────────

    def run(self) -> None:
        """Open the cell, then handle commands until 'end'."""
        try:
            self._open()
            while self._handle_next():
                if self._running:
                    self._write_slice()
        except TuirnnError as error:
            self._fail(str(error))
        except Exception as error:  # shown on the screen, as the thread ends
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

        self._trusted = load_cell(self.cell, self._folder)
        session = CellSession(self._trusted)

        self._writer: TextWriter | TextJudge
        self._writer = TextJudge(session) if session.metadata.classes else TextWriter(session)
        self._timeline: Timeline = Timeline(self._writer, self._settings.seed)
        self._sampling: Sampling = self._check(self._settings)
        meta, kind = session.metadata, self._writer.vocab.kind
        layers = f"×{meta.layers}" if meta.layers > 1 else ""
        many = f"{len(meta.classes)} classes" if meta.classes else f"{len(meta.vocab):,} symbols"
        self.view = View(
            ready=True,
            classifies=bool(meta.classes),
            provider=session.provider,
            noun={"char": "character", "bpe": "subword"}.get(kind, kind),
            described=f"{meta.cell.upper()} {meta.hidden}{layers} · {many}",
        )
        self._update_view()

    def _check(self, settings: Settings) -> "Sampling":
        from tuirnn.runtime.samplers import Sampling

        if settings.seed < 0:
            raise ConfigError(f"--seed must be at least 0, not {settings.seed}")
        return Sampling(settings.temperature, settings.top_k, settings.top_p)

    def _handle_next(self) -> bool:
        """Handle the next command, if there is one; waits for it unless writing. Returns False after 'end'."""
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
            self._accept_draft()
            self._changing("write")
            self._running = not self._running
            self._began, self._written = time.perf_counter(), 0
        elif command == "typed":
            self._running = False
            if not self._shown.typed:
                self._changing("type")
            self._read(str(value))
        elif command in COMMANDS or command in MOVES:
            self._running = False
            self._accept_draft()
            if command in CHANGES:
                self._changing(command if command == "step" else "")
            if command in MOVES:
                self._move(command, value)
            else:
                COMMANDS[command](self, value)
            self._show()
        self._update_view()
        return True

    def _update_view(self) -> None:
        """Replace the view by the current state."""
        p = self._writer.distribution(self._sampling)
        order = p.argsort()[::-1][:TOP]
        if self.view.classifies and len(p) <= TOP:
            order.sort()  # a few classes keep their order, so that only the bars move
        names = [self._output_name(int(i)) for i in order]
        state = self._writer.session.snapshot()[0][-1, 0]  # h of the last layer
        speed = self._stepped / self._busy if self._busy else 0.0
        self.view = dataclasses.replace(
            self.view,
            hidden=tuple(map(float, state[:SHOWN_UNITS])),
            running=self._running,
            per_second=speed,
            tokens=self._stepped,
            top=tuple((name, float(p[i])) for name, i in zip(names, order, strict=True) if p[i] > 0),
            branches=list_branches(self._timeline, self._temperatures),
        )

    def _output_name(self, number: int) -> str:
        """Label of an output: of a class, or of a token."""
        vocab = self._writer.vocab
        if self.view.classifies:
            return token_label(self._writer.session.metadata.classes[number])
        return f"0x{number:02x}" if vocab.kind == "byte" and number > 127 else token_label(vocab.symbol(number))

    # ── writing and reading ───────────────────────────────────────────────────

    def _step(self, _: object = None) -> None:
        """Write one token."""
        began, line = time.perf_counter(), self._timeline
        grows, branch = line.at == len(line), line.branch
        token = line.write(self._sampling)
        self._busy += time.perf_counter() - began
        self._stepped += 1
        self._temperatures[line.branch.name] = self._settings.temperature
        if grows:
            self._shown.append(token)
        else:
            self._note_branch(branch)
            self._show()

    def _write_slice(self) -> None:
        """Write as many tokens as are due at the pace, for `SLICE` seconds at most; then sleep until more are due."""
        end = time.perf_counter() + SLICE
        while (now := time.perf_counter()) < end:
            if self.pace and self._written >= (now - self._began) * self.pace:
                break
            if self._timeline.at >= LONGEST:
                self._running = False
                self.view = dataclasses.replace(
                    self.view, problem=f"limit of {LONGEST:,} tokens reached; press Z to start a new text"
                )
                break
            self._step()
            self._written += 1
        if self.pace and now - self._began > 1.0:  # start a new second: a slow cell does not catch up for long
            self._began, self._written = now, 0
        self._update_view()
        time.sleep(0.001 if not self.pace else min(0.02, 1 / self.pace))

    def _read(self, text: str) -> None:
        """Replace the draft by `text`: return to the first difference and read from there."""
        self._shown.typed = text
        self._timeline.draft(self._writer.vocab.encode(text).tolist())
        self._show()
        self.view = dataclasses.replace(self.view, unknown=tuple(self._writer.vocab.unknown(text)))

    def _accept_draft(self) -> None:
        """Make the draft a part of the text; a new draft starts after it.

        The text on the screen becomes that of the tokens, which can differ: an unknown symbol is shown as such, and a
        word vocabulary drops characters that are not part of a word.
        """
        self._shown.typed, home = "", self._timeline.home
        self._timeline.settle()
        self._note_branch(home)
        self._show()

    def _note_branch(self, before: "Branch") -> None:
        """Say so if a new branch has started in the middle of `before`."""
        now = self._timeline.home
        if now is not before:
            note = f"new branch '{now.name}'; what came next is kept in '{before.name}' (B switches)"
            self.view = dataclasses.replace(self.view, note=note)

    def _show(self) -> None:
        """Bring the text on the screen up to date."""
        inside = bool(self._shown.typed) and self._timeline.begun < len(self._timeline.home.tokens)
        self.view = dataclasses.replace(self.view, tail=self._shown.update(self._timeline), inside=inside)

    def _move(self, command: str, value: object) -> None:
        """Move the cursor; 'forward' at the end of the text writes a token."""
        line = self._timeline
        if command != "forward" or line.at < len(line):
            self._history.moved()
            MOVES[command](line, value)
        elif not self.view.classifies:
            self._changing("step")
            self._step()

    # ── branches ──────────────────────────────────────────────────────────────

    def _branch(self, name: object) -> None:
        self._timeline.fork(str(name))

    def _keep(self, name: object) -> None:
        self._timeline.keep(str(name))

    def _switch(self, name: object) -> None:
        if str(name) in self._timeline.branches:
            self._timeline.switch(str(name))

    def _changing(self, kind: str) -> None:
        self._history.changing(kind, place_of(self._timeline))

    def _undo(self, _: object) -> None:
        """Return to where the last change was made; what it wrote stays after the cursor, or in its branch."""
        self._return_to(self._history.undo(place_of(self._timeline)), "nothing to undo")

    def _redo(self, _: object) -> None:
        """Return to where the last `undo` was made."""
        self._return_to(self._history.redo(place_of(self._timeline)), "nothing to redo")

    def _return_to(self, place: Place | None, otherwise: str) -> None:
        if place is None:
            self.view = dataclasses.replace(self.view, note=otherwise)
        else:
            self._timeline.switch(*place)

    def _save_state(self, path: object) -> None:
        """Write the state at the cursor to a file."""
        from tuirnn.runtime.states import save_state

        self._try(lambda writer: save_state(Path(str(path)), writer, self._trusted), f"state saved as {path}")

    def _open_state(self, path: object) -> None:
        """Start an empty text from the state in a file; the present text stays a branch."""
        from tuirnn.runtime.states import load_state

        def load(writer: "TextWriter") -> None:
            load_state(Path(str(path)), writer, self._trusted)
            self._timeline.begin_here(Path(str(path)).name.split(".")[0])

        self._try(load, f"goes on from the state in {path}; B returns to the other branches")

    def _try(self, action: "Callable[[TextWriter], None]", note: str) -> None:
        """Do something with the writer; say that it was done, or why not."""
        from tuirnn.runtime.generate import TextWriter

        if not isinstance(self._writer, TextWriter):
            note = "a classifier has no state to keep"
        else:
            try:
                action(self._writer)
            except TuirnnError as error:
                note = str(error)
        self.view = dataclasses.replace(self.view, note=note)

    def _reset(self, _: object = None) -> None:
        """Start an empty text from the zero state and the seed; the present text stays a branch."""
        self._timeline.begin_anew(self._settings.seed)
        self.view = dataclasses.replace(self.view, unknown=())

    def _set(self, settings: Settings) -> None:
        """Sample by other settings from here on; a new seed does not change the state."""
        try:
            self._sampling = self._check(settings)
        except ConfigError as error:
            self.view = dataclasses.replace(self.view, problem=str(error))
            return
        if settings.seed != self._settings.seed:
            self._timeline.reseed(settings.seed)
        self._settings = settings
        self.view = dataclasses.replace(self.view, problem="")


COMMANDS: dict[str, Callable[[Engine, object], None]] = {
    "settle": lambda _engine, _: None,  # every command keeps what was typed
    "step": Engine._step,
    "branch": Engine._branch,
    "keep": Engine._keep,
    "switch": Engine._switch,
    "reset": Engine._reset,
    "undo": Engine._undo,
    "redo": Engine._redo,
    "save_state": Engine._save_state,
    "open_state": Engine._open_state,
}
"""Commands by name, besides `MOVES`; those on branches take a name, those on states a path."""

CHANGES = {"step", "branch", "switch", "reset", "open_state"}
"""Those that `undo` takes back; moving the cursor is no change."""
