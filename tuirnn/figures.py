"""A figure that held-out data are judged by: name, unit, and which way is better.

A task declares its own. Only figures of one unit share an axis or a column.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

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
        common: it means the same whatever the vocabulary or scale, so that runs of other units can be compared by it.
    """

    key: str
    name: str
    unit: str = ""
    higher: bool | None = False
    common: bool = False

    @property
    def kind(self) -> str:
        """The name without its protocol: what training and held-out data have in common."""
        return self.name.split(",")[0]

    @property
    def status_key(self) -> str:
        """Its name in `status.json` and in the events of a training, which also hold the loss on training data."""
        return f"val_{self.key}" if self.key.startswith("loss") else self.key

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


UNKNOWN = Judgement((Figure("loss", "loss"),))
"""Of a run whose record cannot be read."""
