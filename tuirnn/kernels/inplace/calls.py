"""Programs: lists of calls of PyTorch's functions on named tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor

Values = dict[str, Tensor]
"""Place -> tensor."""

Times = Callable[[tuple[int, int], Tensor], Tensor]
"""(first and end row, in gates; operand [B, H]) -> the product with these rows of weight_hh."""

Action = Callable[[Values, Times | None], object]
"""Runs a call."""


@dataclass(frozen=True)
class Call:
    """function(*inputs, **options): the result overwrites the tensor in `into`, or becomes a new tensor there."""

    function: Callable[..., Tensor]
    inputs: tuple[str, ...]
    into: str
    in_place: bool
    options: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The places that it reads or writes."""
        return (*self.inputs, self.into)

    @cached_property
    def act(self) -> Action:
        """The call as a closure for its number of inputs: a step consists of a dozen calls of a few microseconds."""
        f = partial(self.function, **self.options) if self.options else self.function
        into, (a, b, c) = self.into, (*self.inputs, "", "")[:3]
        assert 1 <= len(self.inputs) <= 3, "functions of PyTorch with up to three tensors"
        if self.in_place:
            return (
                lambda values, times: f(values[a], out=values[into]),
                lambda values, times: f(values[a], values[b], out=values[into]),
                lambda values, times: f(values[a], values[b], values[c], out=values[into]),
            )[len(self.inputs) - 1]
        return (
            lambda values, times: values.__setitem__(into, f(values[a])),
            lambda values, times: values.__setitem__(into, f(values[a], values[b])),
            lambda values, times: values.__setitem__(into, f(values[a], values[b], values[c])),
        )[len(self.inputs) - 1]


@dataclass(frozen=True)
class Product:
    """values[into] = values[operand] times some rows of weight_hh.

    Attributes:
        rows: first and end row, in gates that have a recurrent product.
    """

    operand: str
    rows: tuple[int, int]
    into: str

    @property
    def names(self) -> tuple[str, ...]:
        """The places that it reads or writes."""
        return (self.operand, self.into)

    def act(self, values: Values, times: Times | None) -> None:
        """Compute the product."""
        assert times is not None, "a product of a block of steps"
        values[self.into] = times(self.rows, values[self.operand])


Program = tuple["Call | Product", ...]


def run(program: Program, values: Values, times: Times | None = None) -> None:
    """Run a program.

    Args:
        program: the calls.
        values: the tensors of a step [B, ·], or of a block of steps [t, B, ·]; receives the results.
        times: computes products; None for a program without products.
    """
    for call in program:
        call.act(values, times)


PHASES = ("once", "before", "step", "after")
"""The parts of a pass; a new tensor's place begins with this word."""

WITHOUT_STEPS = ("number", "p", "once")
"""First words of the places that have no time dimension."""


@dataclass(frozen=True)
class Phases:
    """The calls of a pass. Places: 'gates i j' (columns), 'extra q', 'before h', 'after h' and those of new tensors.

    Attributes:
        once: values of vectors alone.
        before: on a block of steps, places [t, B, ·]: values that do not depend on the state.
        step: on one step, places [B, ·].
        after: on the block again: values that the next step does not need.
    """

    once: Program
    before: Program
    step: Program
    after: Program

    @cached_property
    def names(self) -> frozenset[str]:
        """All places."""
        return frozenset(name for part in (self.once, self.before, self.step, self.after)
                         for call in part for name in call.names)  # fmt: skip

    @cached_property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """The runs of gates whose places are used."""
        found = (name.split() for name in self.names if name.startswith("gates "))
        return tuple(sorted((int(first), int(last)) for _, first, last in found))

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The places of a block that `step` reads or writes."""
        names = {name for call in self.step for name in call.names}
        return tuple(sorted(name for name in names if name.split()[0] not in (*WITHOUT_STEPS, "step", "d")))

    def constants(self, like: Tensor) -> Values:
        """Return the constants as tensors: PyTorch would convert a number in each call."""
        numbers = (name for name in self.names if name.startswith("number "))
        return {name: torch.tensor(float(name.split()[1]), device=like.device, dtype=like.dtype) for name in numbers}


def column(first: int, last: int) -> str:
    """Return the place of the columns of gates `first` to `last` − 1."""
    return f"gates {first} {last}"
