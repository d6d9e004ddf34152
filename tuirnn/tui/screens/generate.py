"""The Generate tab: a trained cell writes, reads what is typed, and shows what it expects next."""

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tuirnn import text
from tuirnn.errors import RunError, TuirnnError
from tuirnn.tui.cells import called, cell_files
from tuirnn.tui.engine import LONGEST, PACES, Engine
from tuirnn.tui.meter import FEWEST, MOST, Meter
from tuirnn.tui.rolling import roll_out
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Ask, Choose
from tuirnn.tui.views import STEPS, RolledOut, Settings, View
from tuirnn.tui.widgets.bars import Bars, Cells
from tuirnn.tui.widgets.branches import Branches
from tuirnn.tui.widgets.prime import NEWLINE, Prime
from tuirnn.tui.widgets.prose import Prose, surprise_legend
from tuirnn.tui.widgets.rollout import RollOut
from tuirnn.tui.widgets.sampling import Sampling

FRAME = 0.05
"""Seconds between two drawings while the network writes."""

ROLLING = {
    "toggle", "step", "back", "forward", "back_all", "reset", "choose", "slower", "faster", "scroll_up", "scroll_down",
    "export",
}  # fmt: skip
"""What can be done with a series."""

WRITING = {"toggle", "step", "temperature", "slower", "faster"}
"""What a classifier cannot do."""

METER = 1.0
"""Seconds between two looks of the novelty meter."""


class GenerateTab(Tab):
    """Text, what comes next, and the settings."""

    engine: Engine | None = None

    def compose(self) -> ComposeResult:
        """The text and the bars above, the fields below."""
        with Horizontal(id="generate-top"):
            yield Prose(limit=LONGEST, id="generate-text")
            yield RollOut(id="generate-rollout")
            with Vertical(id="generate-side"):
                bars = Bars(id="generate-bars")
                bars.border_title = "next"
                yield bars
                yield Static(surprise_legend("surprise"), id="generate-legend")
                cells = Cells(id="generate-hidden")
                cells.border_title = "hidden state"
                yield cells
                yield Branches(id="generate-branches")
        yield Prime(
            placeholder="i: type here; the network reads along · ctrl+j newline",
            id="prime",
            max_length=2_000,
            compact=True,
            select_on_focus=False,
        )
        yield Sampling(id="generate-settings")
        yield Static("", id="generate-line", markup=False)

    def furnish(self) -> None:
        """No cell is open yet."""
        self._series = ""  # the run whose roll-out is drawn, in place of a text
        self._view = View()
        self._settings = Settings()
        self._pace = PACES.index(250)
        self._line: tuple[str, str] = ("", "")
        self._meter, self._novelty = Meter(self.dashboard.folder), ""  # and what it shows
        self._measured: tuple[str, str] | None = None  # cell and text that it was held to
        self._clocks = (
            self.set_interval(FRAME, self._drain, pause=True),
            self.set_interval(METER, self._measure, pause=True),
        )
        self.query_one(Sampling).show_pace(PACES[self._pace])

    def on_unmount(self) -> None:
        """Let the engine go."""
        if self.engine:
            self.engine.send("end")

    # ── which cell ────────────────────────────────────────────────────────────

    def closed(self) -> None:
        """Nothing is drawn; the network goes on."""
        for timer in self._clocks:
            timer.pause()

    def opened(self) -> None:
        """The first time, open what was last looked at."""
        for timer in self._clocks:
            timer.resume()
        if self.engine is None and not self._series:
            name = self.dashboard.current or next(iter(map(str, cell_files())), "")
            if name:
                self.open_cell(name)
            else:
                self._say("nothing to write with yet: press n on the Runs tab to train a network")

    def open_cell(self, name: str) -> None:
        """Open a run or cell file, in place of any other."""
        forecaster = any(run.name == name and run.task and run.task.points for run in self.dashboard.runs)
        self.set_class(forecaster, "-series")
        if forecaster:
            self._open_series(name)
            return
        self._series = ""
        if self.engine is not None:
            if self.engine.cell == name and self.engine.is_alive():
                return
            self.engine.send("end")
        self.engine = Engine(name, self.dashboard.folder, self._settings, PACES[self._pace])
        self.engine.start()
        self._view = View()
        self._text.clear()
        self._clear_prime()
        self._say(f"opening {called(name)} …")
        self._title()
        self.app.refresh_bindings()

    def _open_series(self, name: str) -> None:
        """Roll a forecaster out over its own history."""
        if self._series == name:
            return
        if self.engine is not None:
            self.engine.send("end")
            self.engine = None
        self._series, self._view = name, View()
        self._say(f"opening {name} …")
        self._rollout.await_run(name)
        self.run_worker(lambda: self._read_series(name), thread=True, exclusive=True, group="rollout")
        self.app.refresh_bindings()

    def _read_series(self, name: str) -> None:
        """In a thread: the roll-out, or why it cannot be had."""
        problem, found = "", None
        try:
            found = roll_out(name, self.dashboard.folder)
        except TuirnnError as error:
            problem = str(error)
        self.app.call_from_thread(self._rolled_out, name, found, problem)

    def _rolled_out(self, name: str, found: RolledOut | None, problem: str) -> None:
        """Draw it, unless another has been asked for since."""
        if name != self._series:
            return
        if found is not None:
            self._rollout.begin(found)
        self._say(problem, error=True)

    @property
    def _rollout(self) -> RollOut:
        return self.query_one(RollOut)

    def do_choose(self) -> None:
        """Runs that have a checkpoint, and cell files."""
        runs = [
            run
            for run in self.dashboard.runs
            if (run.paths.root / "best").is_file() or (run.paths.root / "last").is_file()
        ]
        options = [
            (
                run.name,
                f"{run.name}   {run.cell}   {text.held_out(run.status.best_val_loss, run.leaky)} "
                f"{run.judgement.loss.unit}",
            )
            for run in runs
        ]
        options += [(str(path), f"{path.stem}   (cell file)") for path in cell_files()]
        if not options:
            self._say("no run has a checkpoint yet, and there is no cell file in export/cells")
            return

        def chosen(name: str | None) -> None:
            if name:
                self._series = ""
                if self.engine is not None:
                    self.engine.send("end")
                    self.engine = None  # the same run again: its newest checkpoint
                self.open_cell(name)

        self.app.push_screen(Choose("write with", options, self.engine.cell if self.engine else self._series), chosen)

    # ── drawing ───────────────────────────────────────────────────────────────

    @property
    def _text(self) -> Prose:
        return self.query_one("#generate-text", Prose)

    def _drain(self) -> None:
        """Show what the engine has done since the last frame."""
        if self._series:
            pace = PACES[self._pace]
            self._rollout.roll(max(round(pace * FRAME), 1) if pace else STEPS)
        if self.engine is None:
            return
        changes, view = self.engine.drain(), self.engine.view
        batch: list[tuple[str, str]] = []
        for change in changes:
            if change.take_back:
                self._text.append(batch)
                batch = []
                self._text.take_back(change.take_back)
            if change.text:
                batch.append((change.text, change.style))
        if batch:
            self._text.append(batch)
        if changes:
            self._text.put_cursor(changes[-1].tail)
        if view is not self._view:
            self._show(view)

    def _show(self, view: View) -> None:
        before, self._view = self._view, view
        self.query_one(Bars).show(view.top)
        self.query_one(Cells).show(view.hidden)
        self.set_class(view.judges, "-judging")
        if view.branches != before.branches:
            self.query_one(Branches).show(view.branches)
        if (view.running, view.ready, view.tail > 0) != (before.running, before.ready, before.tail > 0):
            self._text.caret = view.ready
            self._text.relayout()
            self.app.refresh_bindings()
        empty = view.judges and not view.top
        unknown = ", ".join(text.token_label(symbol) for symbol in view.unknown[:12])
        if view.problem:
            self._say(view.problem, error=True)
        elif view.note:
            self._say(view.note)
        elif unknown:
            self._say(f"not in its vocabulary, read as unknown: {unknown}")
        elif view.ready:
            self._say("a classifier: press i and type; it says after each symbol what it thinks" if empty else "")
        self._title()

    # ── the meter ─────────────────────────────────────────────────────────────

    def _measure(self) -> None:
        """Hold what has been written against the training text, in a thread, where there is more of it."""
        if self.engine is None or not self.is_open or not self._view.ready:
            return
        now = (self.engine.cell, self.engine.written()[-MOST:])
        if now != self._measured and len(now[1]) >= FEWEST:
            self._measured = now
            self.run_worker(lambda: self._hold_against(*now), thread=True, exclusive=True, group="meter")
        elif len(now[1]) < FEWEST and self._novelty:
            self._novelty, self._measured = "", None
            self._show_line()

    def _hold_against(self, cell: str, written: str) -> None:
        self.app.call_from_thread(self._metered, cell, self._meter.line(cell, written))

    def _metered(self, cell: str, line: str) -> None:
        if self.engine is not None and self.engine.cell == cell:
            self._novelty = line
            self._show_line()

    def _title(self) -> None:
        view, name = self._view, text.visible_line(called(self.engine.cell)) if self.engine else "no cell"
        panel = self._text
        panel.border_title = Content(f"{name}{' · ' + view.described if view.described else ''}")
        if view.judges:
            panel.border_subtitle = Content(f"reading · {view.provider}")
            self.query_one(Bars).border_title = Content("which class is it?")
            return
        speed = f"able to {text.short(view.per_second)} {view.noun}s/s · " if view.per_second else ""
        panel.border_subtitle = Content(
            f"{'▶ writing' if view.running else '‖ paused'} · {speed}{view.provider}" if view.ready else ""
        )
        self.query_one(Bars).border_title = Content(f"next {view.noun}")

    def _say(self, line: str, error: bool = False) -> None:
        if (line, "$text-error" if error else "$text-warning") != self._line:
            self._line = (line, "$text-error" if error else "$text-warning")
            self._show_line()

    def _show_line(self) -> None:
        """What there is to say; else what the meter shows."""
        line, style = self._line if self._line[0] else (self._novelty, "$text-muted")
        self.query_one("#generate-line", Static).update(Content.styled(text.visible_line(line), style))

    # ── fields ────────────────────────────────────────────────────────────────

    def on_input_changed(self, event: Input.Changed) -> None:
        """The prime is read as it is typed."""
        event.stop()
        if self.engine:
            self.engine.send("typed", event.value.replace(NEWLINE, "\n"))

    def on_sampling_changed(self, event: Sampling.Changed) -> None:
        """The next token is drawn by these."""
        self._settings = event.settings
        if self.engine:
            self.engine.send("set", self._settings)

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
        """Without an open cell there is only one to choose; a classifier only reads, a forecaster only rolls on."""
        if self._series:
            return action in ROLLING
        if self._view.judges and action in WRITING:
            return False
        if action == "forward_all":
            return self._view.tail > 0
        return action in ("choose", "type", "temperature", "slower", "faster") or self._view.ready

    def _command(self, command: str, value: object = None) -> None:
        if self._series:
            self._rollout.send(command)
        elif self.engine:
            self._clear_prime()
            self.engine.send(command, value)

    def do_toggle(self) -> None:
        """Write, or hold."""
        self._command("toggle")

    def do_step(self) -> None:
        """One token."""
        self._command("step")

    def do_back(self) -> None:
        """The cursor back by a token."""
        self._command("back", 1)

    def do_forward(self) -> None:
        """The cursor on by a token; at the end one is written."""
        self._command("forward", 1)

    def do_back_line(self) -> None:
        """The cursor back by a line."""
        self._command("back_line")

    def do_forward_line(self) -> None:
        """The cursor on by a line."""
        self._command("forward_line")

    def do_back_all(self) -> None:
        """The cursor to the beginning."""
        self._command("back_all")

    def do_forward_all(self) -> None:
        """The cursor to the end."""
        self._command("forward_all")

    def on_prose_pointed(self, event: Prose.Pointed) -> None:
        """A click on a character puts the cursor there."""
        if self._view.ready:
            self._command("at", event.characters)

    def do_reset(self) -> None:
        """Back to the zero state."""
        self._command("reset")

    def do_branch(self) -> None:
        """Ask for a name, then go on in a branch."""
        self._ask_name(
            "branch off here", "branch", "What you write from here on; the text as it is stays under its name."
        )

    def do_keep(self) -> None:
        """Ask for a name, and keep the state under it."""
        self._ask_name("keep this state", "keep", "B comes back to it at any time.")

    def _ask_name(self, title: str, command: str, hint: str) -> None:
        stem = "kept" if command == "keep" else "branch"
        taken = {branch.name for branch in self._view.branches}
        name = next(name for n in range(1, len(taken) + 2) if (name := f"{stem} {n}") not in taken)

        def answered(chosen: str | None) -> None:
            if chosen:
                self._command(command, chosen)

        self.app.push_screen(Ask(title, name, hint), answered)

    def do_switch(self) -> None:
        """Choose a branch."""
        branches = self._view.branches
        if len(branches) < 2:
            self.dashboard.say("there is one branch only; b begins another, m keeps this state under a name")
            return
        options = [
            (branch.name, f"{'  ' * branch.depth}{branch.name}   {text.count(branch.length)} {self._view.noun}s")
            for branch in branches
        ]
        now = next(branch.name for branch in branches if branch.open)

        def chosen(name: str | None) -> None:
            if name:
                self._command("switch", name)

        self.app.push_screen(Choose("branches", options, now), chosen)

    def do_save(self) -> None:
        """Ask for a file, and write the text to it."""
        if self.engine is None:
            return
        engine = self.engine

        def check(name: str) -> None:
            if not name or Path(name).exists():
                raise RunError(f"'{name}' is already there; choose another name" if name else "a file needs a name")

        def answered(name: str | None) -> None:
            if name:
                try:
                    Path(name).write_text(engine.text(), encoding="utf-8", errors="replace")
                except OSError as error:
                    self.dashboard.say(f"cannot write {name}: {error.strerror}", error=True)
                else:
                    self.dashboard.say(f"saved as {name}")

        stem = Path(engine.cell).stem
        self.app.push_screen(
            Ask("save the text as", f"{stem}.txt", f"A file in {Path.cwd()}, or a path.", check), answered
        )

    def do_copy(self) -> None:
        """Ask the terminal to put the text on the clipboard."""
        if self.engine is not None:
            written = self.engine.text()
            self.app.copy_to_clipboard(written)
            self.dashboard.say(f"{text.count(len(written))} characters copied, if your terminal allows it (OSC 52)")

    def do_export(self) -> None:
        """Write the cell file."""
        if name := self._series or (self.engine.cell if self.engine else ""):
            self.dashboard.errands.export(name)

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
        self.query_one(Sampling).show_pace(PACES[self._pace])

    def do_scroll_up(self) -> None:
        """Back through the text; the column before."""
        if self._series:
            self._rollout.turn(-1)
        self._text.scroll_page_up(animate=False)

    def do_scroll_down(self) -> None:
        """Towards its end; the column after."""
        if self._series:
            self._rollout.turn(1)
        self._text.scroll_page_down(animate=False)
