"""The form for a new run, made from the configuration's own fields."""

from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Collapsible, Input, Select, Static

from tuirnn.config import FIELDS, RunConfig, load_recipe, recipe_names
from tuirnn.errors import ConfigError, RunError, TuirnnError
from tuirnn.machine import has_gpu
from tuirnn.runs.detached import default_name
from tuirnn.runs.layout import check_name, free_name
from tuirnn.tasks import DEFAULT, TASKS, reads
from tuirnn.text import visible_line
from tuirnn.tui.background_actions import BackgroundActions
from tuirnn.tui.completion import SourceSuggester
from tuirnn.tui.context import Context
from tuirnn.tui.screens.estimating import Estimating
from tuirnn.tui.screens.run_fields import NO_RECIPE, from_text, label_of, name_after, own_words, recipes_of, to_text
from tuirnn.tui.widgets.on_off import OnOff
from tuirnn.tui.widgets.task_choice import TaskChoice

MAIN = (
    "sources",
    "cell",
    "hidden",
    "layers",
    "embed",
    "dropout",
    "minutes",
    "steps",
    "lr",
    "batch_size",
    "seq_len",
    "device",
    "seed",
)
"""The settings that are visible at first; all others are under 'more'."""

GPU = "cuda"
"""The choice of a device that this machine may lack; it stays possible, as the search for a driver may be wrong."""

FIRST_RECIPE = "demo"
"""The initial settings: a newcomer sees this network learn within a minute."""

HINTS = {
    "name": "Name of the run: letters, digits, '.', '_' and '-'; empty: generated from the cell.",
    "recipe": "Named configurations of this task; one of them fills in all fields below.",
    "sources": "Files, folders or data set names (shakespeare, baby-names); → completes; empty: the embedded text.",
}

SOURCE_OF = {
    name: {"default": "the embedded text"}.get(task.default_source, task.default_source) or "enter a file or a folder"
    for name, task in TASKS.items()
}
"""What is read if no source is entered, by the name of the task."""


def first_config() -> RunConfig:
    """The initial configuration of the form."""
    return load_recipe(FIRST_RECIPE).config if FIRST_RECIPE in recipe_names() else RunConfig()


class NewRun(Estimating):
    """A form for the settings of a run: checks them as they are typed, and starts the training.

    Args:
        context: the dashboard around the form.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close"),
        Binding("ctrl+s", "start", "start"),
    ]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._base = first_config()  # for the settings that have no control yet
        self._starting = self._check_due = False
        self._refused = ""  # why the training did not start; until something is changed

    # ── the form ──────────────────────────────────────────────────────────────

    def compose(self) -> ComposeResult:
        """Task and recipe, name, the main settings, the others folded; hint, error and buttons at the bottom."""
        flat, task = self._base.flat(), self._base.task.name
        chosen = FIRST_RECIPE if FIRST_RECIPE in recipe_names() else NO_RECIPE
        with Vertical(classes="dialog form") as dialog:
            dialog.border_title = "new run"
            dialog.border_subtitle = "tab next field · ctrl+s start · esc close"
            with VerticalScroll(id="form-fields", can_focus=False):
                yield self._row("task", TaskChoice(task))
                yield self._row("recipe", Select(recipes_of(task), value=chosen, allow_blank=False, compact=True))
                yield self._row("name", Input("", placeholder=self._default_name(), compact=True, max_length=64))
                for name in MAIN:
                    yield self._row(name, self._control(name, flat[name]))
                with Collapsible(title="more", collapsed=True):
                    yield Vertical(id="form-more")
            yield Static("", id="form-preview", markup=False)
            yield Static("", id="form-hint", markup=False)
            yield Static("", id="form-error", markup=False)
            with Horizontal(classes="dialog-buttons"):
                yield Button("start (ctrl+s)", id="start", variant="primary", compact=True)
                yield Button("close (esc)", id="close", compact=True)

    @staticmethod
    def _control(name: str, value: Any) -> Widget:
        spec = FIELDS[name][1]
        if spec.type is bool:
            return OnOff("", value, compact=True)
        if choices := spec.metadata["choices"]:
            labels = [
                (f"{word} (no GPU found here)" if word == GPU and not has_gpu() else word, word) for word in choices
            ]
            return Select(labels, value=value, allow_blank=False, compact=True)
        if name == "sources":
            hint = SOURCE_OF[DEFAULT]
            return Input(to_text(value), compact=True, placeholder=hint, suggester=SourceSuggester())
        return Input(to_text(value), compact=True)

    def _row(self, name: str, control: Widget) -> Horizontal:
        control.id = f"field-{name}"
        hint = Static(Content(self._hint_of(name)), classes="form-row-hint", id=f"hint-{name}")
        return Horizontal(Static(Content(label_of(name)), classes="form-label"), control, hint, classes="form-row")

    def on_mount(self) -> None:
        """Focus the task."""
        self._show_read()
        self._changed()
        self.query_one(TaskChoice).focus()

    def _recipe(self) -> str:
        """Name of the chosen recipe; `NO_RECIPE` for none."""
        chosen = self.query("#field-recipe").results(Select)
        return next((str(select.value) for select in chosen), FIRST_RECIPE)

    def _default_name(self, config: RunConfig | None = None) -> str:
        """A free name of the run: after the user's own data, its recipe, or its cell."""
        folder, recipe = self.context.folder.path, self._recipe()
        if config and config.data.sources != self._base.data.sources and (own := name_after(config.data.sources)):
            return free_name(folder, own)
        return default_name(config or self._base, folder) if recipe == NO_RECIPE else free_name(folder, recipe)

    def _hint_of(self, name: str) -> str:
        if name == "recipe" and (recipe := self._recipe()) != NO_RECIPE:
            return load_recipe(recipe).about
        if name == "task":
            return f"A {self._base.task.noun} learns {self._base.task.learns}."
        return HINTS.get(name) or (str(FIELDS[name][1].metadata["help"]) if name in FIELDS else "")

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Explain the focused field."""
        self._explain((event.widget.id or "").removeprefix("field-"))

    def _explain(self, name: str) -> None:
        self.query_one("#form-hint", Static).update(Content(self._hint_of(name)))
        for changing in ("recipe", "task"):
            self.query_one(f"#hint-{changing}", Static).update(Content(self._hint_of(changing)))

    # ── values ────────────────────────────────────────────────────────────────

    def _controls(self) -> dict[str, Widget]:
        """The controls by the names of their settings; those under 'more' do not exist before it is opened."""
        rows = self.query(".form-row > *").results(Widget)
        named = {(control.id or "").removeprefix("field-"): control for control in rows}
        return {name: control for name, control in named.items() if name in FIELDS}

    def _show_read(self) -> None:
        """Show the settings that the task reads, and no others."""
        for name, control in self._controls().items():
            assert control.parent is not None
            cast(Widget, control.parent).display = reads(self._base.task, name)

    def _check(self) -> RunConfig | None:
        """The configuration in the form; None if it is invalid, and the first problem is displayed."""
        values, problem = {}, ""
        for name, control in self._controls().items():
            if not reads(self._base.task, name):
                continue  # what was typed for another task is kept for it, out of sight
            try:
                value = cast(Any, control).value
                values[name] = from_text(name, value) if isinstance(control, Input) else value
                control.remove_class("-invalid")
            except ConfigError as error:
                control.add_class("-invalid")
                problem = problem or str(error)
        try:
            if run := self.query_one("#field-name", Input).value.strip():
                check_name(run)
            config = self._base.replace(**values)
            config.check_given(self._chosen(values))
        except (ConfigError, RunError) as error:
            problem = problem or str(error)
            self._mark(values)
        self._problem(problem)
        return None if problem else config

    def _chosen(self, values: dict[str, Any]) -> dict[str, Any]:
        """The settings that differ from the initial ones."""
        began = self._base.flat()
        return {name: value for name, value in values.items() if value != began[name]}

    def _mark(self, values: dict[str, Any]) -> None:
        """Mark the settings that are invalid in every configuration."""
        for name, control in self._controls().items():
            if name in values and name not in ("tied", "embed"):  # these two only make sense together
                try:
                    RunConfig().replace(**{name: values[name]})
                except ConfigError:
                    control.add_class("-invalid")

    def _problem(self, problem: str, style: str = "$text-error", warning: str = "") -> None:
        lines = [(warning, "$text-warning"), *((line, style) for line in problem.split("\n"))]
        shown = [Content.styled(visible_line(own_words(line)), colour) for line, colour in lines if line]
        self.query_one("#form-error", Static).update(Content("\n").join(shown))

    def _changed(self) -> None:
        """Check soon, once for all changes made together."""
        if not self._check_due:
            self._check_due = True
            self.call_after_refresh(self._check_now)

    def _check_now(self) -> None:
        self._check_due = False
        config = self._check()
        if config is not None:
            self.query_one("#field-name", Input).placeholder = self._default_name(config)
            if self._refused:
                self._problem(self._refused)
            elif not self._starting:
                self._problem(self._estimate(config), "$text-muted", self._warning(config))

    # ── changes ───────────────────────────────────────────────────────────────

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check the form."""
        event.stop()
        self._refused = ""
        self._changed()

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        """Check the form."""
        event.stop()
        self._refused = ""
        self._changed()

    def on_select_changed(self, event: Select.Changed) -> None:
        """Fill in a recipe, or check any other choice."""
        self._refused = ""
        event.stop()
        if event.select.id == "field-recipe":
            self._fill(str(event.value))
            self._explain("recipe")
        else:
            self._changed()

    def on_task_choice_changed(self, event: TaskChoice.Changed) -> None:
        """Offer the recipes of the task, and fill in its defaults."""
        event.stop()
        if event.task != self._base.data.task:
            self._fill_defaults(event.task)

    def _fill(self, recipe: str) -> None:
        """Fill in the settings of a recipe."""
        if recipe == FIRST_RECIPE:
            self._base = first_config()
        else:
            self._base = RunConfig() if recipe == NO_RECIPE else load_recipe(recipe).config
        flat = self._base.flat()
        for name, control in self._controls().items():
            with control.prevent(Input.Changed, Select.Changed, Checkbox.Changed, TaskChoice.Changed):
                cast(Any, control).value = to_text(flat[name]) if isinstance(control, Input) else flat[name]
        self._show_read()
        self._changed()

    def _fill_defaults(self, task: str) -> None:
        """Fill in the defaults of a task, in place of what the form began with; what the user has changed stays."""
        before, self._base = self._base.flat(), RunConfig.of(task)
        flat = self._base.flat()
        for name, control in self._controls().items():
            value: Any = cast(Any, control).value
            began = to_text(before[name]) if isinstance(control, Input) else before[name]
            if name not in ("task", "sources") and value == began:
                with control.prevent(Input.Changed, Select.Changed, Checkbox.Changed, TaskChoice.Changed):
                    cast(Any, control).value = to_text(flat[name]) if isinstance(control, Input) else flat[name]
        chosen = self.query_one("#field-recipe", Select)
        with chosen.prevent(Select.Changed):
            chosen.set_options(recipes_of(task))
            chosen.value = NO_RECIPE
        self.query_one("#field-sources", Input).placeholder = SOURCE_OF[task]
        self._explain("task")
        self._show_read()
        self._changed()

    async def on_collapsible_expanded(self, event: Collapsible.Expanded) -> None:
        """Create the settings under 'more' when they are first opened: there are many."""
        rows = self.query_one("#form-more", Vertical)
        if not rows.children:
            flat = self._base.flat()
            rest = [name for name in FIELDS if name not in (*MAIN, "task")]
            await rows.mount_all(self._row(name, self._control(name, flat[name])) for name in rest)
            self._show_read()
        self.call_after_refresh(lambda: event.collapsible.scroll_visible(top=True, animate=False))

    # ── start ─────────────────────────────────────────────────────────────────

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Move to the next field."""
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Start the training, or close the form."""
        if event.button.id == "start":
            self.action_start()
        else:
            self.action_close()

    def action_close(self) -> None:
        """Close the form; a training that is being started starts in any case."""
        self.dismiss(None)

    def action_start(self) -> None:
        """Start the training."""
        config = self._check()
        if config is None or self._starting:
            return
        self._starting = True
        name = self.query_one("#field-name", Input).value.strip() or self._default_name(config)
        self._problem("starting the training; this takes some seconds the first time …", "$text-warning")
        self.query_one("#start", Button).disabled = True
        BackgroundActions(self.context).start(config, name, self.failed)

    def failed(self, error: TuirnnError) -> None:
        """Display why the training did not start."""
        self._starting, self._refused = False, str(error)
        if self.is_attached:
            self.query_one("#start", Button).disabled = False
            self._problem(self._refused)
