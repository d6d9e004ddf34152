"""A phase of a cell as Triton source: loads, computations and stores on a program's block [BB, BU]."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from tuirnn.codegen.expression import CONSTANT, SIGNS, Expr, is_steady, walk
from tuirnn.codegen.schedule import Phase, Place
from tuirnn.codegen.trace import Traced

OF_TRITON = {name: f"tl.{name}" for name in ("sigmoid", "exp", "sqrt")}
"""The functions of cells that Triton has; `kernels.triton_blocks` defines the others under the same names."""


@dataclass(frozen=True)
class Moment:
    """A time step of a program, as source.

    Attributes:
        shift: relative to step t of the program.
        mask: the elements of the block to load and store.
        ahead: whether it is for loads ahead of the barrier.
    """

    shift: int = 0
    mask: str = "inside"
    ahead: bool = False

    def time(self, later: int = 0) -> str:
        """Return the number of the step, or of one `later` steps after it."""
        shift = self.shift + later
        return f"(t {'-' if shift < 0 else '+'} {abs(shift)})" if shift else "t"

    def rows(self, width: str, later: int = 0) -> str:
        """Return the offset of the step, or of one `later` steps after it, in a buffer [T, B, width].

        Both forms have the same value; ptxas spills the fewest registers with each in its place.
        """
        if self.ahead:
            return f"{self.time(later)}.to(tl.int64) * (B * {width})"
        row = f"{self.time()}.to(tl.int64) * B"
        return f"({row} + {later} * B) * ({width})" if later else f"{row} * ({width})"


@dataclass(frozen=True)
class Buffers:
    """The pointers of places to a program's block, as source.

    Attributes:
        cell: the traced cell.
        ring: the operands of products in the order of their buffers; a state among them is stored there too.
    """

    cell: Traced
    ring: tuple[Place, ...]

    def at(self, place: Place, moment: Moment) -> str:
        """Return the pointers of a place at a moment."""
        i, gates = place.index, moment.rows(f"{self.cell.G} * H")
        match place.of:
            case "gate":
                return f"a + {gates} + own_gates + {i} * H"
            case "dgate" | "dx":
                return f"{'dgh' if place.of == 'dgate' else 'dgx'} + {gates} + own_gates + {i} * H"
            case "extra":
                return f"extras + {moment.rows(f'{len(self.cell.extra)} * H')} + own_extras + {i} * H"
            case "before" | "after":
                return f"s{i} + {moment.rows('H', later=int(place.of == 'after'))} + own"
            case "d":
                return f"d{i} + own"
            case "carry":
                return f"carries + {i} * (B * H) + own"
        raise AssertionError(place)

    def operand(self, place: Place, time: str) -> str:
        """Return the pointer to the operand [B, H] of a product at a step."""
        return f"ring + ({2 * self.ring.index(place)} + {time} % 2) * (B * H)"


@dataclass
class Body:
    """One phase at one moment.

    Attributes:
        phase: its reads, values and writes.
        buffers: the pointers of places.
        moment: the step.
        names: value -> the variable that holds it.
        prefix: of new variables.
    """

    phase: Phase
    buffers: Buffers
    moment: Moment
    names: dict[Expr, str]
    prefix: str

    def loaded(self) -> dict[Expr, Place]:
        """Return the values to load from memory and their places."""
        return {
            node: self.phase.reads[node]
            for node in self.phase.needed
            if node in self.phase.reads and node not in self.phase.arrives and node not in self.names
        }

    def load(self, node: Expr) -> str:
        """Return the source of a load, with the element type in memory."""
        return f"tl.load({self.buffers.at(self.phase.reads[node], self.moment)}, {self.moment.mask}, 0.0)"

    def loads(self, early: Mapping[Expr, str] | None = None) -> list[str]:
        """Return the loads of all values that are not in variables; `early` maps values loaded before to variables."""
        return [
            f"{self._name(node)} = {early[node]}.to(tl.float32)"
            if early and node in early
            else f"{self._name(node)} = {self.load(node)}.to(tl.float32)"
            for node in self.loaded()
        ]

    def values(self) -> list[str]:
        """Return the computations of all values that are not in variables."""
        return [
            f"{self._name(node)} = {self._made(node)}"
            for node in self.phase.needed
            if node not in self.names and node.op != CONSTANT
        ]

    def stores(self, mask_of_d: str | None = None) -> list[str]:
        """Return the stores of the results; gradients of vectors are added to their sums.

        Args:
            mask_of_d: another mask for the state's gradients; '': they are not stored.
        """
        lines = ["tl.debug_barrier()"] if self._overtakes() else []
        for place, node in self.phase.writes:
            value, mask = self.text(node), self.moment.mask
            if place.of == "d" and mask_of_d is not None:
                mask = mask_of_d
            if not mask:
                continue
            if place.of == "dvector":
                lines.append(f"dvector{place.index} += tl.where({mask}, {value}, 0.0)")
                continue
            source = Place("before", place.index) if place.of == "after" else place
            if source in self.buffers.ring:  # first, since others wait for it
                time = self.moment.time(later=int(place.of == "after"))
                lines.append(f"tl.store({self.buffers.operand(source, time)} + own, {value}, {mask})")
            if place.of != "operand":
                lines.append(f"tl.store({self.buffers.at(place, self.moment)}, {value}, {mask})")
        return lines

    def text(self, node: Expr) -> str:
        """Return a value as source."""
        if node.op == CONSTANT:
            return f"{node.value!r}" if isfinite(node.value) else f'float("{node.value}")'
        return self.names[node]

    def whole(self, node: Expr) -> str:
        """Return a value as the source of a whole block, even if it is the same for all sequences."""
        return f"tl.zeros((BB, BU), tl.float32) + {self.text(node)}" if is_steady(node) else self.text(node)

    def _name(self, node: Expr) -> str:
        return self.names.setdefault(node, f"{self.prefix}{len(self.names)}")

    def _made(self, node: Expr) -> str:
        operands = [self.text(operand) for operand in node.args]
        if node.op in SIGNS:
            return f" {SIGNS[node.op]} ".join(f"({each})" if each.startswith("-") else each for each in operands)
        if node.op == "neg":
            return f"-{operands[0]}"
        return f"{OF_TRITON.get(node.op, node.op)}({', '.join(operands)})"

    def _overtakes(self) -> bool:
        """Return whether a gate is overwritten with a value that does not depend on what other threads read there."""
        for place, value in self.phase.writes:
            read = [n for n in self.phase.needed if self.phase.reads.get(n) == place and place.of == "gate"]
            if any(node not in walk(value) for node in read):
                return True
        return False


def indented(lines: Iterable[str]) -> list[str]:
    """Return lines indented by one level."""
    return [f"    {line}" if line else line for line in lines]


def when(condition: str, lines: Sequence[str]) -> list[str]:
    """Return lines under a condition; none if there are no lines."""
    return [f"if {condition}:", *indented(lines)] if lines else []
