"""The status of a run: tall beside the chart, or flat above it."""

import math

import numpy as np
from textual.content import Content
from textual.widget import Widget

from tuirnn import text
from tuirnn.charts.plot import LOSS_UNITS, UNITS
from tuirnn.figures import PERCENT
from tuirnn.machine import size
from tuirnn.runs.reader import Status
from tuirnn.tasks.task import Task
from tuirnn.tui.widgets.bars import bar

FLAT_BELOW = 8
"""Height in rows below which the flat form is drawn."""

_COLOURS = {"muted": "$text-muted"}


def state_content(status: Status) -> Content:
    """The state as symbol and word, coloured."""
    name = text.STATE_STYLES.get(status.state, "muted")
    return Content.styled(text.state_label(status.state), f"bold {_COLOURS.get(name, f'$text-{name}')}")


class StatusPanel(Widget):
    """Displays a `Status`."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._status: Status | None = None
        self._learned: Task | None = None
        self._unit = "nats"

    def show(self, status: Status | None, task: Task | None = None, unit: str = "nats") -> None:
        """Display the status of a run; None displays nothing.

        Args:
            status: of the run.
            task: what it learns.
            unit: of its losses, one of `plot.UNITS`.
        """
        self._status, self._learned, self._unit = status, task, unit
        self.refresh()

    def _loss(self, value: float, leaky: bool = False) -> str:
        """A loss in the unit that is displayed; a held-out one may be leaky."""
        return text.held_out(float(UNITS[self._unit](np.array([value]))[0]), leaky)

    def _best(self, status: Status) -> str:
        if not status.best_step:
            return "–"
        return f"★ {self._loss(status.best_val_loss, status.leaky)} @ {text.short(status.best_step)}"

    def render(self) -> Content:
        """The tall form, or the flat one if the panel is low."""
        if self._status is None:
            return Content("")
        return self._flat(self._status) if self.content_size.height < FLAT_BELOW else self._tall(self._status)

    @property
    def _speed_in(self) -> str:
        return self._learned.speed if self._learned else "tokens"

    def _share(self, status: Status) -> list[tuple[str, str]]:
        """The task's first figure that is a share, with its value; none where there is none yet."""
        figures = self._learned.figures if self._learned else ()
        known = (figure for figure in figures if figure.unit == PERCENT)
        found = [(figure.name, status.figure(figure.status_key)) for figure in known]
        return [(name, f"{100 * value:.1f} %") for name, value in found if math.isfinite(value)][:1]

    def _tall(self, status: Status) -> Content:
        width, live = self.content_size.width, status.live
        progress = [_progress(status, width)] if live or status.progress < 1 else []
        here = [
            _pair("pid", str(status.pid or "–"), width),
            _pair("cpu, memory", f"{status.cpu:.0f} %, {size(status.rss)}", width),
        ]
        lines = [
            state_content(status),
            _pair("step", _steps(status), width),
            *progress,
            *([_pair("left", text.duration(status.eta) if status.eta else "–", width)] if live else []),
            *([_pair("evaluates in", text.duration(status.next_eval), width)] if live and status.next_eval else []),
            _pair("spent", text.duration(status.elapsed), width),
            _pair("speed", text.speed(status.tokens_per_s, self._speed_in), width),
            Content(""),
            *([_pair("unit", self._unit, width)] if self._unit in LOSS_UNITS[1:] else []),
            _pair("train", self._loss(status.train_loss), width),
            _pair("val", self._loss(status.val_loss, status.leaky), width),
            _pair("best", self._best(status), width, "bold $text-success"),
            *(_pair(name, value, width) for name, value in self._share(status)),
            Content(""),
            _pair("lr", text.rate(status.lr), width),
            _pair("‖g‖", text.loss(status.grad_norm), width),
            _pair("epoch", f"{status.epoch:.2f}", width),
            Content(""),
            _pair("device", text.visible_line(status.device) or "–", width),
            *(here if live else []),
        ]
        if status.message:
            lines[1:1] = [Content.styled(text.visible_line(status.message), "$text-warning")]
        spare = len(lines) - self.content_size.height
        for blank in [at for at in range(len(lines) - 1, 0, -1) if not lines[at].plain][: max(spare, 0)]:
            del lines[blank]
        return Content("\n").join(lines)

    def _flat(self, status: Status) -> Content:
        width = self.content_size.width
        head = Content.assemble(
            state_content(status),
            "  step ",
            (_steps(status), "bold"),
            "  ",
            f"{text.duration(status.eta)} left · " if status.live and status.eta else "",
            text.speed(status.tokens_per_s, self._speed_in),
        )
        share, waits = self._share(status), status.live and status.next_eval and not math.isfinite(status.val_loss)
        figures = Content.assemble(
            ("train ", "$text-muted"),
            self._loss(status.train_loss),
            ("  val ", "$text-muted"),
            f"in {text.duration(status.next_eval)}" if waits else self._loss(status.val_loss, status.leaky),
            ("  best ", "$text-muted"),
            (self._best(status), "bold $text-success"),
            ("  lr ", "$text-muted"),
            text.rate(status.lr),
            (f"  {share[0][0]} " if share else "  ‖g‖ ", "$text-muted"),
            share[0][1] if share else text.loss(status.grad_norm),
        )
        machine = Content.assemble(
            ("pid ", "$text-muted"),
            str(status.pid or "–"),
            ("  cpu ", "$text-muted"),
            f"{status.cpu:.0f} %",
            ("  memory ", "$text-muted"),
            size(status.rss),
        )
        message = Content.styled(text.visible_line(status.message), "$text-warning")
        spent = Content.assemble(("spent ", "$text-muted"), text.duration(status.elapsed))
        last = message if status.message else machine if status.live else spent
        progress = [_progress(status, width)] if status.live or status.progress < 1 else []
        return Content("\n").join([head, *progress, figures, last])


def _pair(name: str, value: str, width: int, style: str = "bold") -> Content:
    """A name at the left and its value at the right."""
    room = max(1, width - len(name) - len(value))
    return Content.assemble((name, "$text-muted"), " " * room, (value, style))


def _steps(status: Status) -> str:
    return text.count(status.step) + (f" / {text.count(status.total)}" if status.total else "")


def _progress(status: Status, width: int) -> Content:
    share = status.progress if 0 <= status.progress <= 1 else 0.0
    figure = f"{share * 100:4.0f} %"
    cells = max(1, width - len(figure))
    filled = bar(share, cells).rstrip()
    return Content.assemble((filled, "$accent"), ("─" * (cells - len(filled)), "$text-muted 30%"), (figure, "bold"))
