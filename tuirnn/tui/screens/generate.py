"""The Generate tab: a trained cell writes, reads what is typed, and shows what it expects next."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tuirnn.tui import text
from tuirnn.tui.engine import PACES, Engine, Settings, View
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Choose
from tuirnn.tui.widgets.bars import Bars, Cells
from tuirnn.tui.widgets.prose import LEVELS, Prose

FRAME = 0.05
"""Seconds between two drawings while the network writes."""

NEWLINE = "↵"
"""Stands for a newline in the one-line field."""

FIELDS = (
    ("temperature", "temperature", "0.8", 6),
    ("top-k", "top_k", "0", 6),
    ("top-p", "top_p", "1.0", 6),
    ("seed", "seed", "0", 8),
)

CELLS = Path("export") / "cells"


class Prime(Input):
    """The field that the network reads as one types; ↵ in it is a newline."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+j,shift+enter", "newline", "newline", show=False)]

    def validate_value(self, value: str) -> str:
        """Typed or pasted, nothing in the field may move the terminal's cursor."""
        return text.harmless(value.replace("\n", NEWLINE))

    def action_newline(self) -> None:
        """A newline to read."""
        self.insert_text_at_cursor(NEWLINE)

    def _on_paste(self, event: events.Paste) -> None:
        """Pasted text may have several lines, and anything at all in them."""
        self.insert_text_at_cursor(event.text.replace("\r\n", "\n").replace("\n", NEWLINE))
        event.stop()
        event.prevent_default()


class GenerateTab(Tab):
    """Text, what comes next, and the settings."""

    def compose(self) -> ComposeResult:
        """The text and the bars above, the fields below."""
        with Horizontal(id="generate-top"):
            yield Prose(id="generate-text")
            with Vertical(id="generate-side"):
                bars = Bars(id="generate-bars")
                bars.border_title = "next"
                yield bars
                yield Static(self._legend(), id="generate-legend")
                cells = Cells(id="generate-hidden")
                cells.border_title = "hidden state"
                yield cells
        yield Prime(
            placeholder="i: type here; the network reads along · ctrl+j newline",
            id="prime",
            max_length=2_000,
            compact=True,
            select_on_focus=False,
        )
        with Horizontal(id="generate-settings"):
            for label, name, value, width in FIELDS:
                yield Static(f" {label} ", classes="field-label")
                field = Input(value, id=name, compact=True, classes="setting")
                field.styles.width = width
                yield field
            yield Static("", id="generate-pace")
        yield Static("", id="generate-line", markup=False)

    @staticmethod
    def _legend() -> Content:
        shades = [(f" {level} ", f"$surprise-{level} reverse") for level in range(LEVELS)]
        return Content.assemble(("surprise, nats\n", "$text-muted"), *shades, "+")

    def on_mount(self) -> None:
        """No cell is open yet."""
        self.engine: Engine | None = None
        self._view = View()
        self._settings = Settings()
        self._pace = PACES.index(250)
        self._line = ""
        self.set_interval(FRAME, self._drain)
        self._show_pace()

    def on_unmount(self) -> None:
        """Let the engine go."""
        if self.engine:
            self.engine.send("end")

    # ── which cell ────────────────────────────────────────────────────────────

    def opened(self) -> None:
        """The first time, open what was last looked at."""
        if self.engine is None:
            name = self.dashboard.current
            if name:
                self.open_cell(name)
            else:
                self._say("nothing to write with yet: train a run first, or press o for a cell file")

    def open_cell(self, name: str) -> None:
        """Open a run or cell file, in place of any other."""
        if self.engine is not None:
            if self.engine.cell == name and self.engine.is_alive():
                return
            self.engine.send("end")
        self.engine = Engine(name, self.dashboard.folder, self._settings, PACES[self._pace])
        self.engine.start()
        self._view = View()
        self._text.clear()
        self._clear_prime()
        self._say(f"opening {name} …")
        self._title()
        self.app.refresh_bindings()

    def do_choose(self) -> None:
        """Runs that have a checkpoint, and cell files."""
        runs = [
            run
            for run in self.dashboard.runs
            if (run.paths.root / "best").is_file() or (run.paths.root / "last").is_file()
        ]
        options = [(run.name, f"{run.name}   {run.cell}   {text.loss(run.status.best_val_loss)}") for run in runs]
        options += [(str(path), str(path)) for path in sorted(CELLS.glob("*.onnx"))]
        if not options:
            self._say("no run has a checkpoint yet, and there is no cell file in export/cells")
            return

        def chosen(name: str | None) -> None:
            if name:
                if self.engine is not None:
                    self.engine.send("end")
                    self.engine = None  # the same run again: its newest checkpoint
                self.open_cell(name)

        self.app.push_screen(Choose("write with", options, self.engine.cell if self.engine else ""), chosen)

    # ── drawing ───────────────────────────────────────────────────────────────

    @property
    def _text(self) -> Prose:
        return self.query_one("#generate-text", Prose)

    def _drain(self) -> None:
        """Show what the engine has done since the last frame."""
        if self.engine is None:
            return
        changes, view = self.engine.drain(), self.engine.view
        batch: list[tuple[str, str]] = []
        for change in changes:
            if change.clear or change.take_back:
                self._text.append(batch)
                batch = []
                self._text.take_back(change.take_back)
                if change.clear:
                    self._text.clear()
            batch.append((change.text, change.style))
        if batch:
            self._text.append(batch)
        if view is not self._view:
            self._show(view)

    def _show(self, view: View) -> None:
        before, self._view = self._view, view
        self.query_one(Bars).show(view.top)
        self.query_one(Cells).show(view.hidden)
        if (view.running, view.ready) != (before.running, before.ready):
            self._text.caret = view.ready
            self._text.relayout()
            self.app.refresh_bindings()
        unknown = ", ".join(text.token_label(symbol) for symbol in view.unknown[:12])
        if view.problem:
            self._say(view.problem, error=True)
        elif unknown:
            self._say(f"not in its vocabulary, read as unknown: {unknown}")
        elif view.ready:
            self._say("")
        self._title()

    def _title(self) -> None:
        view, name = self._view, text.visible_line(self.engine.cell) if self.engine else "no cell"
        panel = self._text
        panel.border_title = Content(f"{name}{' · ' + view.described if view.described else ''}")
        speed = f"able to {text.short(view.per_second)} {view.noun}s/s · " if view.per_second else ""
        panel.border_subtitle = Content(
            f"{'▶ writing' if view.running else '‖ paused'} · {speed}{view.provider}" if view.ready else ""
        )
        self.query_one(Bars).border_title = Content(f"next {view.noun}")

    def _say(self, line: str, error: bool = False) -> None:
        if line != self._line:
            self._line = line
            self.query_one("#generate-line", Static).update(
                Content.styled(text.visible_line(line), "$text-error" if error else "$text-warning")
            )

    def _show_pace(self) -> None:
        pace = PACES[self._pace]
        shown = f"{pace:,}/s" if pace else "as fast as it goes"
        self.query_one("#generate-pace", Static).update(Content(f"  pace < {shown} >"))

    # ── fields ────────────────────────────────────────────────────────────────

    def on_input_changed(self, event: Input.Changed) -> None:
        """The prime is read as it is typed; a setting counts as soon as it is a number."""
        event.stop()
        if isinstance(event.input, Prime):
            if self.engine:
                self.engine.send("typed", event.value.replace(NEWLINE, "\n"))
            return
        values: dict[str, float] = {}
        for field in self._fields():
            try:
                values[str(field.id)] = float(field.value) if field.id in ("temperature", "top_p") else int(field.value)
                field.remove_class("-invalid")
            except ValueError:
                field.add_class("-invalid")
                return
        self._settings = Settings(values["temperature"], int(values["top_k"]), values["top_p"], int(values["seed"]))
        if self.engine:
            self.engine.send("set", self._settings)

    def _fields(self) -> Iterator[Input]:
        yield from self.query("#generate-settings Input").results(Input)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter lets the network go on."""
        event.stop()
        if not isinstance(event.input, Prime):
            self.app.set_focus(None)
        elif self.can("toggle"):
            self.do_toggle()

    def _clear_prime(self) -> None:
        prime = self.query_one(Prime)
        with prime.prevent(Input.Changed):
            prime.value = ""

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """Without an open cell there is only one to choose."""
        return action in ("choose", "type", "temperature", "slower", "faster") or self._view.ready

    def _command(self, command: str) -> None:
        if self.engine:
            self._clear_prime()
            self.engine.send(command)

    def do_toggle(self) -> None:
        """Write, or hold."""
        self._command("toggle")

    def do_step(self) -> None:
        """One token."""
        self._command("step")

    def do_back(self) -> None:
        """One token back."""
        self._command("back")

    def do_reset(self) -> None:
        """Back to the zero state."""
        self._command("reset")

    def do_type(self) -> None:
        """To the field."""
        self.query_one(Prime).focus()

    def do_temperature(self) -> None:
        """To the settings."""
        self.query_one("#temperature", Input).focus()

    def do_slower(self) -> None:
        """The next lower pace."""
        self._set_pace(-1)

    def do_faster(self) -> None:
        """The next higher pace."""
        self._set_pace(1)

    def _set_pace(self, by: int) -> None:
        self._pace = min(max(self._pace + by, 0), len(PACES) - 1)
        if self.engine:
            self.engine.pace = PACES[self._pace]
        self._show_pace()

    def do_scroll_up(self) -> None:
        """Back through the text."""
        self._text.scroll_page_up(animate=False)

    def do_scroll_down(self) -> None:
        """Towards its end."""
        self._text.scroll_page_down(animate=False)
