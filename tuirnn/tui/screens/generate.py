"""The Generate tab: a trained cell writes, reads what the user types, and shows what it predicts next."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from tuirnn import text
from tuirnn.errors import TuirnnError
from tuirnn.tui.background_actions import BackgroundActions
from tuirnn.tui.cell_files import display_name, find_cell_files
from tuirnn.tui.engine import LONGEST, PACES, Engine
from tuirnn.tui.keys import key
from tuirnn.tui.novelty_meter import FEWEST, MOST, NoveltyMeter
from tuirnn.tui.screens.dialogs import Choose
from tuirnn.tui.screens.rollout import roll_out
from tuirnn.tui.screens.writing import Writing, state_of
from tuirnn.tui.views import STEPS, RolledOut, Settings, View
from tuirnn.tui.widgets.bars import Bars, UnitColumns
from tuirnn.tui.widgets.branches import Branches
from tuirnn.tui.widgets.message_line import MessageLine
from tuirnn.tui.widgets.prompt_input import NEWLINE, PromptInput
from tuirnn.tui.widgets.rollout import RollOut
from tuirnn.tui.widgets.sampling import Sampling
from tuirnn.tui.widgets.styled_text import StyledText
from tuirnn.tui.widgets.titles import entitle, fit

FRAME = 0.05
"""Seconds between two drawings while the network writes."""

MEASURE_EVERY = 1.0
"""Seconds between two measurements of the novelty."""

FOR_SERIES = {
    "toggle", "step", "back", "forward", "back_all", "reset", "choose", "slower", "faster", "scroll_up", "scroll_down",
    "export",
}  # fmt: skip
"""Actions on the roll-out of a forecaster."""

FOR_WRITERS = {"toggle", "step", "settings", "slower", "faster"}
"""Actions that need a network that writes, not a classifier."""


class GenerateTab(Writing):
    """A text, what comes next, and the settings; for a forecaster its roll-out."""

    NAME = "generate"
    KEYS = (
        key("space,p", "send('toggle')", "run/pause", "start or pause generation"),
        key(".", "send('step')", "step", "write a single token"),
        key("left,backspace", "send('back', 1)", "move", "move the cursor back by a token; the text after it stays"),
        key(
            "right",
            "send('forward', 1)",
            "",
            "move the cursor forward by a token (mouse: click); at the end, write",
        ),
        key("shift+left", "send('back_line')", "", "move the cursor back by a line"),
        key("shift+right", "send('forward_line')", "", "move the cursor forward by a line"),
        key("home", "send('back_all')", "", "move the cursor to the beginning"),
        key("end", "send('forward_all')", "to the end", "move the cursor to the end"),
        key(
            "i",
            "type",
            "type",
            "type text for the network to read; in the middle, leaving the field begins a branch",
        ),
        key("t", "settings", "settings", "change temperature, top-k, top-p or seed"),
        key("b", "branch", "branch", "continue from here in a new branch (writing in the middle does so by itself)"),
        key("ctrl+z", "send('undo')", "undo", "return to where the text was last changed; what came after stays"),
        key("ctrl+y", "send('redo')", "redo", "return to where you pressed ctrl+z"),
        key("k", "keep", "keep", "keep this state under a name, and continue"),
        key("B", "switch", "branches", "switch to another branch or kept state; nothing is lost"),
        key("o", "choose", "open", "open another run or cell file"),
        key("e", "export", "export", "write the network as a cell file into export/cells"),
        key("w", "save", "save", "save the text to a file"),
        key("W", "save_state", "save state", "save the state at the cursor to a file"),
        key("O", "open_state", "open state", "start a text from a state that was saved to a file"),
        key("<", "slower", "", "write more slowly"),
        key(">", "faster", "", "write faster"),
        key("Z", "send('reset')", "reset", "start an empty text from the zero state; the present one stays a branch"),
        key("up,pageup", "scroll_up", "", "scroll the text up; previous column of a series"),
        key("down,pagedown", "scroll_down", "", "scroll the text down; next column of a series"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*KEYS]

    def compose(self) -> ComposeResult:
        """The text and the bars above, the fields below."""
        with Horizontal(id="generate-top"):
            yield StyledText(limit=LONGEST, id="generate-text")
            yield RollOut(id="generate-rollout")
            with Vertical(id="generate-side"):
                bars = Bars(id="generate-bars")
                bars.border_title = "next"
                yield bars
                units = UnitColumns(id="generate-hidden")
                units.border_title = "hidden state"
                yield units
                yield Branches(id="generate-branches")
        placeholder = "i: type here; the network reads as you type · ctrl+j newline"
        yield PromptInput(
            placeholder=placeholder, id="prompt", max_length=2_000, compact=True, select_on_focus=False
        )  # fmt: skip
        yield Sampling(id="generate-settings")
        yield MessageLine(id="generate-line")

    def setup(self) -> None:
        """No cell is open yet."""
        self._series = ""  # the run whose roll-out is shown, in place of a text
        self._settings = Settings()
        self._pace = PACES.index(250)
        self._meter = NoveltyMeter(self.context.folder.path)
        self._measured: tuple[str, str] | None = None  # cell and text of the last measurement
        self._clocks = (
            self.set_interval(FRAME, self._draw, pause=True),
            self.set_interval(MEASURE_EVERY, self._measure, pause=True),
        )
        self.query_one(Sampling).show_pace(PACES[self._pace])

    def on_unmount(self) -> None:
        """End the engine."""
        self._end_engine()

    def closed(self) -> None:
        """Stop drawing; the network continues."""
        for timer in self._clocks:
            timer.pause()

    def opened(self) -> None:
        """Draw; the first time, open the current run."""
        for timer in self._clocks:
            timer.resume()
        if self.engine is None and not self._series:
            name = self.context.current or next(iter(map(str, find_cell_files())), "")
            if name:
                self.open_cell(name)
            else:
                self._say("no cell yet: press n on the Runs tab to train a network")

    # ── which cell ────────────────────────────────────────────────────────────

    def open_cell(self, name: str) -> None:
        """Open a run or cell file instead of the present one."""
        forecaster = self._is_forecaster(name)
        self.set_class(forecaster, "-series")
        self.remove_class("-judging")
        if forecaster:
            self._open_series(name)
            return
        self._series = ""
        if self.engine is not None and self.engine.cell == name and self.engine.is_alive():
            return
        self._end_engine()
        self.engine = Engine(name, self.context.folder.path, self._settings, PACES[self._pace])
        self.engine.start()
        self.view = View()
        self._text.clear()
        self._clear_prompt()
        self._say(f"opening {display_name(name)} …")
        self._draw_titles()
        self.app.refresh_bindings()

    def _is_forecaster(self, name: str) -> bool:
        return any(run.name == name and run.task and run.task.points for run in self.context.folder.runs)

    def _end_engine(self) -> None:
        if self.engine is not None:
            self.engine.send("end")
            self.engine = None

    def action_choose(self) -> None:
        """Choose among the runs that have a checkpoint, and the cell files."""
        from tuirnn.runs.checkpoint import pointed

        runs = [run for run in self.context.folder.runs if pointed(run.paths, "best") or pointed(run.paths, "last")]
        options = [
            (
                run.name,
                f"{run.name}   {run.cell}   {text.held_out(run.status.best_val_loss, run.leaky)} "
                f"{run.judgement.loss.unit}",
            )
            for run in runs
        ]
        options += [(str(path), f"{path.stem}   (cell file)") for path in find_cell_files()]
        if not options:
            self._say("no run has a checkpoint yet, and there is no cell file in export/cells")
            return

        def chosen(name: str | None) -> None:
            if name:
                self._series = ""
                self._end_engine()  # the same run again: its newest checkpoint
                self.open_cell(name)

        self.app.push_screen(Choose("generate with", options, self._opened_name()), chosen)

    def _opened_name(self) -> str:
        """Name of the open run or cell file; '' for none."""
        return self._series or (self.engine.cell if self.engine else "")

    # ── the roll-out of a forecaster ──────────────────────────────────────────

    @property
    def _rollout(self) -> RollOut:
        return self.query_one(RollOut)

    def _open_series(self, name: str) -> None:
        """Roll a forecaster out from the start of its held-out part."""
        if self._series == name:
            return
        self._end_engine()
        self._series, self.view = name, View()
        self._say(f"opening {name} …")
        self._rollout.await_run(name)
        folder = self.context.folder.path

        def rolled_out(found: RolledOut) -> None:
            if name == self._series:  # no other run was opened meanwhile
                self._rollout.begin(found)
                self._say("")

        def failed(error: TuirnnError) -> None:
            if name == self._series:
                self._say(str(error), error=True)

        self.context.in_background("rollout", lambda: roll_out(name, folder), rolled_out, failed)
        self.app.refresh_bindings()

    # ── drawing ───────────────────────────────────────────────────────────────

    @property
    def _text(self) -> StyledText:
        return self.query_one("#generate-text", StyledText)

    def _draw(self) -> None:
        """Show what the engine has done since the last frame."""
        if self._series:
            pace = PACES[self._pace]
            self._rollout.roll(max(round(pace * FRAME), 1) if pace else STEPS)
        if self.engine is None:
            return
        changes, view = self.engine.drain(), self.engine.view
        self._text.apply(changes)
        if view is not self.view:
            self._show(view)

    def _show(self, view: View) -> None:
        before, self.view = self.view, view
        self.query_one(Bars).show(view.top)
        self.query_one(UnitColumns).show(view.hidden)
        self.set_class(view.classifies, "-judging")
        if view.branches != before.branches:
            self.query_one(Branches).show(view.branches)
        if (view.running, view.ready, view.tail > 0) != (before.running, before.ready, before.tail > 0):
            self._text.caret = view.ready
            self._text.relayout()
            self.app.refresh_bindings()
        unknown = ", ".join(text.token_label(symbol) for symbol in view.unknown[:12])
        if view.problem:
            self._say(view.problem, error=True)
        elif view.note:
            self._say(view.note)
        elif unknown:
            self._say(f"not in the vocabulary, read as unknown: {unknown}")
        elif view.ready:
            waiting = view.classifies and not view.top
            self._say("a classifier: press i and type; the classes are updated after each symbol" if waiting else "")
        self._draw_titles()

    def _draw_titles(self) -> None:
        view, name = self.view, text.visible_line(display_name(self.engine.cell)) if self.engine else "no cell"
        panel = self._text
        width = panel.outer_size.width
        entitle(panel, fit([name, view.described, view.provider], width), fit(state_of(view), width))
        entitle(self.query_one(Bars), "class" if view.classifies else f"next {view.noun}")

    def on_resize(self, event: events.Resize) -> None:
        """Write the titles that fit the new width."""
        if self.is_set_up:
            self.call_after_refresh(self._draw_titles)

    def _say(self, line: str, error: bool = False) -> None:
        self.query_one(MessageLine).show_message(line, error)

    # ── novelty ───────────────────────────────────────────────────────────────

    def _measure(self) -> None:
        """Compare what has been written with the training text, if there is more of it."""
        if self.engine is None or not self.is_open or not self.view.ready:
            return
        cell, written = now = (self.engine.cell, self.engine.written()[-MOST:])
        if len(written) < FEWEST:
            self._measured = None
            self.query_one(MessageLine).show_remark("")
        elif now != self._measured and self._meter.rested:
            self._measured = now

            def measured(line: str) -> None:
                if self.engine is not None and self.engine.cell == cell:
                    self.query_one(MessageLine).show_remark(line)

            self.context.in_background("novelty", lambda: self._meter.line(cell, written), measured)

    # ── fields ────────────────────────────────────────────────────────────────

    def on_input_changed(self, event: Input.Changed) -> None:
        """Let the network read what is typed."""
        event.stop()
        if self.engine:
            self.engine.send("typed", event.value.replace(NEWLINE, "\n"))

    def on_sampling_changed(self, event: Sampling.Changed) -> None:
        """Sample by these settings from now on."""
        self._settings = event.settings
        if self.engine:
            self.engine.send("set", self._settings)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Leave the field; after a prompt, write."""
        event.stop()
        if isinstance(event.input, PromptInput) and self.can("toggle"):
            self.send("toggle")
        self.context.leave_field()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Keep what was typed in the middle of the text, in its branch, when the field is left."""
        if isinstance(event.widget, PromptInput) and self.engine and self.engine.view.inside:
            self.send("settle")

    def _clear_prompt(self) -> None:
        prompt = self.query_one(PromptInput)
        with prompt.prevent(Input.Changed):
            prompt.value = ""

    # ── keys ──────────────────────────────────────────────────────────────────

    def can(self, action: str) -> bool:
        """A series and a classifier allow fewer actions than a text; without a cell, one can be opened."""
        if self._series:
            return action in FOR_SERIES
        if self.view.classifies and action in FOR_WRITERS:
            return False
        if action == "forward_all":
            return self.view.tail > 0
        return action in ("choose", "type", "settings", "slower", "faster") or self.view.ready

    def send(self, command: str, value: object = None) -> None:
        """Send a command to the engine, or to the roll-out of a series."""
        if self._series:
            self._rollout.send(command)
        elif self.engine:
            self._clear_prompt()
            self.engine.send(command, value)

    def action_export(self) -> None:
        """Write the cell file."""
        if name := self._opened_name():
            BackgroundActions(self.context).export(name)

    def action_type(self) -> None:
        """Move the focus to the prompt."""
        self.query_one(PromptInput).focus()

    def action_settings(self) -> None:
        """Move the focus to the settings."""
        self.query_one("#temperature", Input).focus()

    def action_slower(self) -> None:
        """Write at the next lower speed."""
        self._set_pace(-1)

    def action_faster(self) -> None:
        """Write at the next higher speed."""
        self._set_pace(1)

    def _set_pace(self, by: int) -> None:
        self._pace = min(max(self._pace + by, 0), len(PACES) - 1)
        if self.engine:
            self.engine.pace = PACES[self._pace]
        self.query_one(Sampling).show_pace(PACES[self._pace])

    def action_scroll_up(self) -> None:
        """Scroll the text up; show the previous column of a series."""
        if self._series:
            self._rollout.turn(-1)
        self._text.scroll_page_up(animate=False)

    def action_scroll_down(self) -> None:
        """Scroll the text down; show the next column of a series."""
        if self._series:
            self._rollout.turn(1)
        self._text.scroll_page_down(animate=False)
