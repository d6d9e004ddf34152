"""The figures that held-out data are judged by: name, unit, and which way is better, by task.

Everyone who shows, sorts or draws such a figure asks here: the dashboard, `compare`, `sweep`, reports, CSV and
the lines of a training. Only figures of one unit share an axis or a column.
"""

import dataclasses
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuirnn.config import RunConfig
    from tuirnn.runs.reader import RunRecord

PERCENT = "%"


def number(value: float, places: int = 3) -> str:
    """To so many places, or two digits of what is next to nothing or huge; a dash where there is none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if 0 < abs(value) < 10 ** (1 - places):
        return f"{value:.1e}"
    return f"{value:.{places}f}" if abs(value) < 1000 else f"{value:.2e}"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        key: its name in the records of `metrics.jsonl`.
        name: in words.
        unit: such as 'nats/char'.
        higher: whether more is better; None: it is a baseline, the same for every network.
    """

    key: str
    name: str
    unit: str = ""
    higher: bool | None = False

    @property
    def kind(self) -> str:
        """The name without its protocol: what training and held-out data have in common."""
        return self.name.split(",")[0]

    @property
    def titled(self) -> str:
        """Name and unit, as above an axis."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def directed(self) -> str:
        """Name, unit, and an arrow towards the better end."""
        return self.titled + {False: " ↓", True: " ↑", None: ""}[self.higher]

    def shown(self, value: float, places: int = 3) -> str:
        """A value in words; a share in per cent."""
        if self.unit == PERCENT and math.isfinite(value):
            return f"{100 * value:.{places - 2}f} %"
        return number(value, places)

    def best(self, values: Sequence[float]) -> frozenset[int]:
        """Places of the best of several values; none for a baseline, or where no two different ones are known."""
        known = [value for value in values if math.isfinite(value)]
        if self.higher is None or len(set(known)) < 2:
            return frozenset()
        best = max(known) if self.higher else min(known)
        return frozenset(at for at, value in enumerate(values) if value == best)


@dataclass(frozen=True)
class Judgement:
    """What a run is judged by.

    Attributes:
        figures: all of them, the loss first: it decides which checkpoint is the best.
        scale: what the loss's unit depends on beyond its name; only runs with the same scale can be compared.
    """

    figures: tuple[Figure, ...]
    scale: Hashable = None

    @property
    def loss(self) -> Figure:
        """The figure that decides which checkpoint is the best."""
        return self.figures[0]

    @property
    def kind(self) -> Hashable:
        """Equal for runs whose losses can stand on one axis."""
        return (self.loss, self.scale)

    def figure(self, key: str) -> Figure | None:
        """The figure with this key in the logs."""
        return next((figure for figure in self.figures if figure.key == key), None)


TASKS: dict[str, tuple[Figure, ...]] = {
    "lm": (
        Figure("loss", "loss, carried", "nats/{token}"),
        Figure("loss_blocks", "loss, blocks", "nats/{token}"),
    ),
    "classify": (
        Figure("loss", "loss", "nats/sequence"),
        Figure("accuracy", "accuracy", PERCENT, higher=True),
        Figure("macro_f1", "macro F1", PERCENT, higher=True),
    ),
    "forecast": (
        Figure("loss", "MSE, one step", "σ²"),
        Figure("rollout_rmse", "RMSE, {horizon} steps", "σ"),
        Figure("mae", "MAE, one step", "σ"),
        Figure("naive_loss", "MSE of the last value", "σ²", higher=None),
    ),
}
"""The figures of each task, the loss first. {token} and {horizon} stand for what a run's settings say."""

UNKNOWN = Judgement((Figure("loss", "loss"),))
"""Of a run whose record cannot be read."""


def figures_of(config: "RunConfig") -> tuple[Figure, ...]:
    """The figures of a run with these settings, the loss first."""
    words = {"token": config.data.tokens, "horizon": config.train.horizon}
    return tuple(
        dataclasses.replace(figure, name=figure.name.format(**words), unit=figure.unit.format(**words))
        for figure in TASKS[config.data.task]
    )


def judgement(record: "RunRecord | None") -> Judgement:
    """What a run is judged by.

    Nats per character, byte and word are units of their own: none is computed from another, as an unknown symbol costs
    differently in each. So are nats per word of vocabularies of different sizes, which call different words unknown,
    and errors in the deviations of different series.
    """
    if record is None:
        return UNKNOWN
    data, scale = record.config.data, None
    if data.task == "lm" and data.tokens == "word":
        scale = str(len(record.vocab))
    elif data.task == "forecast":
        scale = repr((record.data.get("columns"), record.data.get("std")))
    return Judgement(figures_of(record.config), scale)
