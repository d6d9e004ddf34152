"""Calls of PyTorch's functions on tensors with names, and the expressions that are turned into them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

Values = dict[str, Tensor]
"""Tensors by the names of their places."""

Times = Callable[[tuple[int, int], Tensor], Tensor]
"""A product with the rows of some gates of weight_hh."""


@dataclass(frozen=True)
class Call:
    """function(*inputs, **options): its result is written over what stands in `into`, or is a new tensor there."""

    function: Callable[..., Tensor]
    inputs: tuple[str, ...]
    into: str
    in_place: bool
    options: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The places that it reads or writes."""
        return (*self.inputs, self.into)


@dataclass(frozen=True)
class Product:
    """values[into] = values[operand] times weight_hh's rows of gates from the first to before the last.

    Attributes:
        rows: counted in gates that have a recurrent product.
    """

    operand: str
    rows: tuple[int, int]
    into: str

    @property
    def names(self) -> tuple[str, ...]:
        """The places that it reads or writes."""
        return (self.operand, self.into)


Program = tuple["Call | Product", ...]


def run(program: Program, values: Values, times: Times | None = None) -> None:
    """Run a program on the tensors of a step, or of a block of steps where it has no product."""
    for call in program:
        if isinstance(call, Product):
            assert times is not None, "a product of a block of steps"
            values[call.into] = times(call.rows, values[call.operand])
        elif call.in_place:
            call.function(*[values[name] for name in call.inputs], out=values[call.into], **call.options)
        else:
            values[call.into] = call.function(*[values[name] for name in call.inputs], **call.options)


PHASES = ("once", "before", "step", "after")
"""When calls are made; a new tensor's place begins with this word."""

WITHOUT_STEPS = ("number", "p", "once")
"""First words of the places that no step changes: they have no dimension of time."""


@dataclass(frozen=True)
class Phases:
    """The calls of a pass. Places: 'gates i j' (columns), 'extra q', 'before h', 'after h' and those of new tensors.

    Attributes:
        once: on vectors alone.
        before: on a block of steps, places [t, B, ·], for all that does not depend on what the steps carry.
        step: on one step, places [B, ·].
        after: on the block again, for what the next step does not need.
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
        """The places of a block that `step` reads, or writes in."""
        names = {name for call in self.step for name in call.names}
        return tuple(sorted(name for name in names if name.split()[0] not in (*WITHOUT_STEPS, "step", "d")))

    def constants(self, like: Tensor) -> Values:
        """The numbers that are used, as tensors: a Python number is made into one in each call."""
        numbers = (name for name in self.names if name.startswith("number "))
        return {name: torch.tensor(float(name.split()[1]), device=like.device, dtype=like.dtype) for name in numbers}


def column(first: int, last: int) -> str:
    """The place of the columns of some gates."""
    return f"gates {first} {last}"
