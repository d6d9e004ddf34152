"""Plans: ways to run a pass on a GPU, and the candidates for a cell and its size.

    one launch for all steps        no launch between steps; at most one program for each multiprocessor
    one launch for each product     any size; in a captured graph, where a launch costs microseconds less
    cuBLAS and the phases           two launches for each product; for sizes at which arithmetic limits the product
    elementwise                     of a cell without products: one launch, whose programs do not synchronise

docs/cuda.md has the reasons and the figures.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tuirnn.codegen.schedule import backward_schedule, forward_schedule
from tuirnn.codegen.trace import Traced
from tuirnn.codegen.triton_forward import width

TILES = ((16, 32, 64, 128), (16, 32, 64))
"""Sequences and units that a program may compute."""

SHARED_MEMORY = 208 * 1024
"""Bytes that a program may use for W and h; an H100 has 227 KiB. Where a device has less, the plan fails."""

SHARED_MEMORY_SPEEDUP = 6
"""How many times faster a program reads shared memory than results of other programs."""


class Case(NamedTuple):
    """The key of the choice of a plan.

    Attributes:
        forward: whether it is a forward pass.
        cell: name.
        batch, hidden: B and H.
        operands: dtype of the products' operands: float32, tf32, bfloat16, float16.
    """

    forward: bool
    cell: str
    batch: int
    hidden: int
    operands: str


@dataclass(frozen=True)
class Plan:
    """One way to run a pass.

    Attributes:
        product: whether the kernel computes the products; otherwise cuBLAS does.
        persistent: whether one launch runs all steps.
        resident: whether a program keeps its rows of W in shared memory for all steps.
        BB, BU: sequences and units of a program.
        BK: terms of a product's sum that are loaded together; if W is resident, all terms of the longest sum.
        slices: parts of a long sum with few outputs, one for each warp.
        warps: of a program.
        stages: of loads in flight.
    """

    product: bool
    persistent: bool
    resident: bool
    BB: int
    BU: int
    BK: int = 64
    slices: int = 1
    warps: int = 4
    stages: int = 3

    def grid(self, B: int, H: int) -> tuple[int, int]:
        """Return the numbers of programs along units and along sequences."""
        return -(-H // self.BU), -(-B // self.BB)


CUBLAS = Plan(product=False, persistent=False, resident=False, BB=16, BU=16)

ELEMENTWISE = tuple(
    Plan(product=False, persistent=True, resident=False, BB=BB, BU=BU, warps=warps, stages=4)
    for BB, BU, warps in ((1, 64, 1), (2, 64, 2), (4, 128, 4))
)
"""Small programs, so that many memory accesses are in flight."""


class Sizes(NamedTuple):
    """The size of a program's product, in gates: columns of its tile, terms of its sum."""

    columns: int
    terms: int


def sizes(cell: Traced, forward: bool) -> list[Sizes]:
    """Return the size of each product of a step."""
    if forward:
        return [Sizes(width(each.rows), 1) for each in forward_schedule(cell).products]
    return [Sizes(1, each.rows) for each in backward_schedule(cell).products]


def candidates(cell: Traced, case: Case, processors: int) -> list[Plan]:
    """List the plans to try, the most promising first.

    A step takes as long as a program needs to read its rows of h (or dgh) and of W. The best tile reads the least and
    needs no more programs than the device has multiprocessors; among equals, fewer programs synchronise faster.
    """
    if not forward_schedule(cell).products:
        return list(ELEMENTWISE)
    schedule = forward_schedule(cell) if case.forward else backward_schedule(cell)

    def programs(plan: Plan) -> int:
        return -(-case.batch // plan.BB) * -(-case.hidden // plan.BU)

    def reads(plan: Plan) -> tuple[int, int]:
        x, W = plan.BB * SHARED_MEMORY_SPEEDUP, plan.BU * (1 if plan.resident else SHARED_MEMORY_SPEEDUP)
        of_products = (x + each.rows * W if case.forward else each.rows * (x + W) for each in schedule.products)
        return sum(of_products), programs(plan)

    batches = [BB for BB in TILES[0] if max(16, 2 * case.batch - 1) >= BB]
    tiles = [(BB, BU) for BB in batches for BU in TILES[1] if BB * BU <= 4096]
    products = sizes(cell, case.forward)
    plans = [plan for tile in tiles if (plan := _resident(case, products, *tile))]
    streaming = [_streaming(case, products, *tile) for tile in tiles]
    fitting = [plan for plan in sorted(plans + streaming, key=reads) if programs(plan) <= processors]
    streaming.sort(key=reads)
    stepwise = next((plan for plan in streaming if programs(plan) <= 4 * processors), streaming[-1])
    return [*fitting[:2], CUBLAS, replace(stepwise, persistent=False)]


def _streaming(case: Case, products: list[Sizes], BB: int, BU: int) -> Plan:
    """Return a plan that reads W at each step; `benchmarks/gpu_compile.py` shows that these do not spill registers."""
    plan = Plan(product=True, persistent=True, resident=False, BB=BB, BU=BU)
    wide = _size(case) // 2
    if not case.forward and BB * BU <= 512:
        return replace(plan, BK=16_384 // (BB * BU) // wide, slices=4)
    sums = BB * BU * max(each.columns for each in products)
    warps = 4 if case.forward and sums <= 2048 else 8
    return replace(plan, BK=(128 if sums <= 4096 else 64) // wide, warps=warps)


def _resident(case: Case, products: list[Sizes], BB: int, BU: int) -> Plan | None:
    """Return a plan that keeps W's rows in shared memory; None if they do not fit with h or dgh of a step."""
    slices = 1 if case.forward or BB * BU > 1024 else 8
    lengths = [_whole_sum(each.terms * case.hidden, slices) for each in products]
    held = BB * max(lengths) + BU * sum(each.columns * BK for each, BK in zip(products, lengths, strict=True))
    if case.operands == "float32" or held * slices * _size(case) > SHARED_MEMORY:
        return None  # float32's three products of a sum this long exceed the registers
    warps = 4 if case.forward and BB * max(lengths) <= 8192 else 8
    return Plan(True, True, True, BB, BU, max(lengths), slices, warps, stages=1)


def _whole_sum(terms: int, slices: int) -> int:
    """Return the terms of each slice, rounded up to a power of 2."""
    return max(16, 1 << (-(-terms // slices) - 1).bit_length())


def _size(case: Case) -> int:
    return 2 if case.operands in ("bfloat16", "float16") else 4


def constants(plan: Plan, cell: Traced, case: Case) -> dict[str, Any]:
    """Return the compile-time constants and launch options of a plan's kernel, except STAGE."""
    products = sizes(cell, case.forward)
    lengths = [_whole_sum(each.terms * case.hidden, plan.slices) if plan.resident else plan.BK for each in products]
    options: dict[str, Any] = {
        "H": case.hidden, "BB": plan.BB, "BU": plan.BU, "SLICES": plan.slices, "LOADS": plan.stages,
        "PRODUCT": plan.product, "PERSISTENT": plan.persistent, "RESIDENT": plan.resident,
        "PRECISION": "tf32x3" if case.operands == "float32" else "tf32",
        **{f"BK{k}": BK for k, BK in enumerate(lengths, 1)},
        "num_warps": plan.warps, "num_stages": plan.stages,
    }  # fmt: skip
    if plan.persistent and products:
        options["launch_cooperative_grid"] = True  # the driver refuses it unless all programs fit at once
    return options
