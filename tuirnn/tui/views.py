"""What the Generate tab, its engine and its widgets exchange: settings, changes to the text, states, roll-outs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

STEPS = 1_000
"""Steps that a forecaster is rolled out."""

HISTORY = 200
"""Points of the history that are drawn before them."""


@dataclass(frozen=True)
class Settings:
    """How tokens are sampled; checked by the samplers."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Change:
    """A change to the end of the text on the screen.

    Attributes:
        take_back: characters to remove from the end, before anything is added.
        text: to add.
        style: of the added text.
        tail: characters after the cursor once the change has been made.
    """

    take_back: int = 0
    text: str = ""
    style: str = "plain"
    tail: int = 0


@dataclass(frozen=True)
class BranchView:
    """A branch as it is listed.

    Attributes:
        name: of the branch.
        depth: in the tree of branches.
        fork: position in the text where it leaves its parent, in tokens.
        length: in tokens.
        open: whether it is the branch on the screen.
        temperature: at which it was last written; None if nothing was.
    """

    name: str
    depth: int
    fork: int
    length: int
    open: bool
    temperature: float | None = None


@dataclass(frozen=True)
class View:
    """The state of the engine.

    Attributes:
        ready: whether a cell is open.
        classifies: whether it is a classifier, which reads but does not write.
        running: whether it is writing.
        top: the likeliest next tokens, or the classes, with their probabilities.
        hidden: h of the last layer.
        unknown: typed symbols that are not in the vocabulary.
        per_second: tokens per second that the cell computes.
        provider: of ONNX Runtime.
        described: the cell in words.
        noun: for a token.
        problem, note: one line, or ''.
        tail: characters of the text after the cursor.
        inside: whether text is being typed in the middle of another.
        tokens: that have been written.
        branches: of the text, each below its parent.
    """

    ready: bool = False
    classifies: bool = False
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
    inside: bool = False
    tokens: int = 0
    branches: tuple[BranchView, ...] = ()


@dataclass(frozen=True)
class RolledOut:
    """A closed-loop forecast with the series before and after its start.

    Attributes:
        columns: names of the F columns.
        described: network and series in words.
        first: index of the first point of `history` in the series.
        history: points before the start [n, F].
        truth: points after the start, as far as they are known [m, F].
        forecast: of the network [STEPS, F].
        low, high: of its intervals [STEPS, F]; None if the network has none.
        times: of the points of `history` and of `forecast`, for people; empty where they are not known.
    """

    columns: tuple[str, ...]
    described: str
    first: int
    history: Points
    truth: Points
    forecast: Points
    low: Points | None = None
    high: Points | None = None
    times: tuple[str, ...] = ()

    @property
    def start(self) -> int:
        """Index of the first forecast point in the series."""
        return self.first + len(self.history)
