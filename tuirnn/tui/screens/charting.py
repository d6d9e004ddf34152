"""The keys of a tab about one run's curves: cursor, zoom, axes, smoothing, playing through the training."""

from textual.timer import Timer

from tuirnn.errors import ConfigError
from tuirnn.tui.keys import key
from tuirnn.tui.screens.base import Tab
from tuirnn.tui.screens.dialogs import Ask
from tuirnn.tui.widgets.chart import Chart
from tuirnn.tui.widgets.run_chart import RunChart

SMOOTHINGS: tuple[float | None, ...] = (None, 0.8, 0.95, 0.99, 0.0)
"""None selects the smoothing by the number of points."""

PAN = 0.2
"""Share of the chart by which a key moves it."""

PLAY_EVERY, PLAY_SECONDS = 0.1, 12.0
"""Seconds between two moves of the cursor while the training is played, and seconds that it takes from end to end."""

CHART_KEYS = (
    key("left", "left", "cursor", "move the cursor to the left; the sample follows (mouse: click)"),
    key("right", "right", "", "move the cursor to the right"),
    key("0,end", "newest", "all", "remove cursor and zoom: the whole curve, the newest sample"),
    key("+,=", "zoom_in", "zoom", "zoom in at the cursor (mouse: wheel)"),
    key("-", "zoom_out", "", "zoom out"),
    key("shift+left", "pan_left", "", "move the zoomed part to the left (mouse: drag)"),
    key("shift+right", "pan_right", "", "move the zoomed part to the right"),
    key("m", "measure", "measure", "next measure: loss, learning rate, gradient norm, speed, …"),
    key("x", "axis", "axis", "x axis: steps, epochs, time since the start, or wall clock"),
    key("u", "unit", "unit", "unit of the loss: nats, bits, or perplexity"),
    key("y", "range", "range", "range of y: robust (without the first fall and spikes), everything, logarithmic"),
    key("L", "log_x", "", "logarithmic or linear x"),
    key("a", "smooth", "smooth", "next smoothing of the training loss"),
    key("A", "factor", "", "smooth the training loss by a factor of your own, from 0 to below 1"),
    key("P", "play", "play", "play through the training: the cursor moves, texts and charts follow; P stops"),
)


class ChartKeys(Tab):
    """A tab with a `RunChart` and what follows it."""

    _playing: Timer | None = None

    @property
    def chart(self) -> RunChart:
        """The large chart."""
        raise NotImplementedError

    def draw_rest(self) -> None:
        """Draw all that follows the large chart."""
        raise NotImplementedError

    def show_status(self) -> None:
        """Display figures in the unit of the chart."""
        raise NotImplementedError

    def smoothing_changed(self) -> None:
        """Smooth again, and draw."""
        raise NotImplementedError

    def cursor_moved(self) -> None:
        """Show the texts and small charts at the cursor; another key may work now."""
        self.draw_rest()
        self.app.refresh_bindings()

    def action_left(self) -> None:
        """Move the cursor to the left."""
        self.chart.nudge(-1)
        self.cursor_moved()

    def action_right(self) -> None:
        """Move the cursor to the right."""
        self.chart.nudge(1)
        self.cursor_moved()

    def action_newest(self) -> None:
        """Remove cursor and zoom."""
        self.chart.show_all()
        self.cursor_moved()

    def action_zoom_in(self) -> None:
        """Zoom in at the cursor."""
        self.chart.zoom(1)
        self.cursor_moved()

    def action_zoom_out(self) -> None:
        """Zoom out at the cursor."""
        self.chart.zoom(-1)
        self.cursor_moved()

    def action_pan_left(self) -> None:
        """Move the zoomed part to the left."""
        self.chart.pan(-PAN)
        self.draw_rest()

    def action_pan_right(self) -> None:
        """Move the zoomed part to the right."""
        self.chart.pan(PAN)
        self.draw_rest()

    def on_chart_pointed(self, event: Chart.Pointed) -> None:
        """Move the cursor to the mouse."""
        self.chart.point_at(event.x)
        self.cursor_moved()

    def on_chart_turned(self, event: Chart.Turned) -> None:
        """Zoom at the mouse."""
        self.chart.zoom(event.by, event.x)
        self.cursor_moved()

    def on_chart_dragged(self, event: Chart.Dragged) -> None:
        """Move the zoomed part with the mouse."""
        self.chart.pan(-event.share)
        self.draw_rest()

    def action_axis(self) -> None:
        """Draw against the next axis."""
        self.chart.next_axis()
        self.draw_rest()

    def action_measure(self) -> None:
        """Draw the next measure on the large chart."""
        self.chart.next_measure()
        self.draw_rest()

    def action_unit(self) -> None:
        """Draw the loss in the next unit."""
        self.chart.next_unit()
        self.show_status()

    def action_range(self) -> None:
        """Draw the next range of y."""
        self.chart.next_range()

    def action_log_x(self) -> None:
        """Switch between linear and logarithmic x."""
        self.chart.toggle_log_x()
        self.draw_rest()

    def action_smooth(self) -> None:
        """Smooth the training loss differently."""
        now = self.context.folder.smoothing
        at = SMOOTHINGS.index(now) if now in SMOOTHINGS else -1
        self._smooth(SMOOTHINGS[(at + 1) % len(SMOOTHINGS)])

    def action_factor(self) -> None:
        """Ask for a factor, then smooth by it."""

        def answered(typed: str | None) -> None:
            if typed:
                self._smooth(_factor(typed))

        hint = "0 draws every loss as it is; 0.9 averages over about ten, 0.99 over about a hundred steps."
        now = self.context.folder.smoothing
        self.app.push_screen(
            Ask("smooth the training loss by", "" if now is None else f"{now:g}", hint, _factor), answered
        )

    def _smooth(self, factor: float | None) -> None:
        self.context.folder.smoothing = factor
        self.context.remember("smoothing", -1.0 if factor is None else factor)
        self.smoothing_changed()

    # ── playing ───────────────────────────────────────────────────────────────

    def action_play(self) -> None:
        """Play through the training, or stop."""
        if self._playing is not None:
            self._stop_playing()
        else:
            self.chart.move_cursor(None)
            self._playing = self.set_interval(PLAY_EVERY, self._play_on)

    def _play_on(self) -> None:
        if not self.is_open or not self.chart.play(PLAY_EVERY / PLAY_SECONDS):
            self._stop_playing()
        self.cursor_moved()

    def _stop_playing(self) -> None:
        if self._playing is not None:
            self._playing.stop()
            self._playing = None


def _factor(typed: str) -> float:
    """A smoothing factor that was typed; raises ConfigError for anything else."""
    try:
        factor = float(typed.replace(",", "."))
    except ValueError:
        factor = -1.0
    if not 0 <= factor < 1:
        raise ConfigError("a smoothing factor is a number from 0 to below 1, such as 0.9")
    return factor
