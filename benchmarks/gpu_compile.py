"""Compiles the plans of `kernels.plans` for an H100, without one: registers, spills and shared memory, as a table.

    python benchmarks/gpu_compile.py                                  # every persistent plan of `gpu.py`'s comparison
    python benchmarks/gpu_compile.py --cell CELL --operands bfloat16 --batch 64 --hidden 512 --ptx FOLDER

A plan that spills, or does not fit, is best known before a GPU is at hand. Needs Triton and its tools.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tuirnn.cells import CELLS
from tuirnn.codegen.trace import traced
from tuirnn.kernels import cuda
from tuirnn.kernels.plans import Case, Plan, candidates, constants

PROCESSORS = 132
TYPES = {"float32": "fp32", "tf32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
OF_OPERANDS = {"a", "W", "Wt", "ring", "extras", "precomputed", "dgh", "dgx"}
"""Buffers of the operands' type; the others are float32."""


def compiled(case: Case, plan: Plan) -> Any:
    """The kernel of a plan, for compute capability 9.0."""
    cell = traced(CELLS[case.cell])
    module, why = cuda.kernels(cell)
    assert module is not None, why
    kernel = module.forward if case.forward else module.backward
    given = {"STAGE": 0, **constants(plan, cell, case)}
    launched = ("num_warps", "num_stages", "launch_cooperative_grid")
    options = {name: given.pop(name) for name in launched if name in given}

    def kind(name: str) -> str:
        if name in given:
            return "constexpr"
        if name in ("t0", "t1", "T", "B", "counters"):
            return "*i32" if name == "counters" else "i32"
        return "*" + TYPES[case.operands] if name in OF_OPERANDS else "*fp32"

    names = kernel.arg_names
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if kind(name)[0] == "*" or name == "B"}
    source = ASTSource(
        fn=kernel, signature={name: kind(name) for name in names}, attrs=aligned,
        constexprs={(names.index(name),): value for name, value in given.items()},
    )  # fmt: skip
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def resources(binary: bytes) -> tuple[int, int]:
    """(registers a thread, bytes of its registers kept in memory), by the tool that comes with Triton."""
    tool = next(Path(triton.__file__).parent.glob("backends/nvidia/bin/cuobjdump"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(binary)
        command = [str(tool), "--dump-resource-usage", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", action="append", choices=sorted(CELLS))
    parser.add_argument("--operands", action="append", choices=sorted(TYPES))
    parser.add_argument("--batch", action="append", type=int)
    parser.add_argument("--hidden", action="append", type=int)
    parser.add_argument("--ptx", type=Path, help="also write the kernels' PTX here")
    options = parser.parse_args()
    print(
        "| pass, cell, operands, batch × hidden | tile | W | programs | warps | registers | spilled | shared memory |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for operands in options.operands or ("bfloat16", "tf32", "float32"):
        for name in options.cell or CELLS:
            for H in options.hidden or (256, 512, 1024):
                for B in options.batch or (64, 256):
                    for forward in (True, False):
                        case = Case(forward, name, B, H, operands)
                        for plan in candidates(traced(CELLS[name]), case, PROCESSORS):
                            if plan.persistent:
                                show(case, plan, options.ptx)


def show(case: Case, plan: Plan, folder: Path | None) -> None:
    """One row."""
    made = compiled(case, plan)
    registers, spilled = resources(made.asm["cubin"])
    programs = -(-case.batch // plan.BB) * -(-case.hidden // plan.BU)
    what = f"{'forward' if case.forward else 'backward'} {case.cell} {case.operands} {case.batch}×{case.hidden}"
    W = "–" if not plan.product else "stays" if plan.resident else "read anew"
    print(f"| {what} | {plan.BB}×{plan.BU} | {W} | {programs} | {plan.warps} | "
          f"{registers} | {spilled} B | {made.metadata.shared / 1024:.0f} KiB |", flush=True)  # fmt: skip
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{what.replace(' ', '-')}-{plan.BB}x{plan.BU}.ptx").write_text(made.asm["ptx"])


if __name__ == "__main__":
    main()
