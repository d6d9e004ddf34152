"""What the Generate tab, its engine and its widgets say to one another.

How to write, what has changed, how things stand; what a forecaster's roll-out has come to.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

STEPS = 1_000
"""Steps of a forecaster that are rolled out."""

HISTORY = 200
"""Points of the history that are drawn before them."""


@dataclass(frozen=True)
class Settings:
    """How to write; checked when it reaches the samplers."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Change:
    """What happened to what is shown: so many characters taken off its end, then these written there in a style.

    Of all that is shown then, `tail` characters stand after the cursor.
    """

    take_back: int = 0
    text: str = ""
    style: str = "plain"
    tail: int = 0


@dataclass(frozen=True)
class BranchView:
    """A branch as it is listed: how deep it lies in the tree, where it went off, how long it is."""

    name: str
    depth: int
    fork: int
    length: int
    open: bool


@dataclass(frozen=True)
class View:
    """How the engine stands. `noun` is what a token is called; `problem` and `note` one line or nothing.

    `tail` characters of the text stand after the cursor.

    `judges`: it is a classifier, which reads and writes nothing; `top` are its classes.
    """

    ready: bool = False
    judges: bool = False
    running: bool = False
    top: tuple[tuple[str, float], ...] = ()
    hidden: tuple[float, ...] = ()
    unknown: tuple[str, ...] = ()
    per_second: float = 0.0
    provider: str = ""
    described: str = ""
    noun: str = "character"
    problem: str = ""
    note: str = ""
    tail: int = 0
    tokens: int = 0
    branches: tuple[BranchView, ...] = ()


@dataclass(frozen=True)
class RolledOut:
    """A history [n, F] from place `first` on, what came after it as far as that is known [m, F], and what a
    network expects after it [STEPS, F]; a name for each of the F columns."""

    columns: tuple[str, ...]
    described: str
    first: int
    history: Points
    truth: Points
    forecast: Points

    @property
    def start(self) -> int:
        """The place of the first step."""
        return self.first + len(self.history)
