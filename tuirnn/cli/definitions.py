"""`tuirnn cells`: the cells there are, what they cost, where they run, and their equations."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.importing import is_here
from tuirnn.cli.options import Json, print_json
from tuirnn.errors import ConfigError, nearest, one_line

if TYPE_CHECKING:
    from tuirnn.cells import Cell

WIDTH = 256
"""Width for which sizes are printed by default."""


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn cells --hidden 512    tuirnn cells gru-before")(cells)


def cells(
    name: Annotated[str | None, typer.Argument(metavar="[CELL]", help="Print this cell's equations.")] = None,
    hidden: Annotated[
        int, typer.Option("--hidden", metavar="N", min=1, max=65_536, help="Units, and inputs, of a layer.")
    ] = WIDTH,
    latex: Annotated[bool, typer.Option("--latex", help="Print the equations in LaTeX.")] = False,
    as_json: Json = False,
) -> None:
    """List the recurrent cells, or print the equations of one, forward and backward."""
    from tuirnn.cells import CELLS

    name = name and name.lower()
    if name is not None and name not in CELLS:
        raise ConfigError(f"no cell '{one_line(name, 40)}'; {nearest(name, CELLS)}")
    if latex and name is None:
        raise ConfigError("--latex prints one cell's equations; name a cell, such as tuirnn cells NAME --latex")
    facts = [_facts(cell, hidden) for cell in CELLS.values() if name in (None, cell.name)]
    if name is not None:
        facts[0] |= _equations(CELLS[name])
    if as_json:
        print_json(facts)
    elif name is None:
        _print_list(facts)
    elif latex:
        print(facts[0]["latex"]["forward"], facts[0]["latex"]["backward"], sep="\n\n")
    else:
        _print_cell(facts[0])


def _facts(cell: "Cell", width: int) -> dict[str, Any]:
    """The facts about a cell, for a layer of `width` units on `width` inputs."""
    from tuirnn.codegen.cost import cost
    from tuirnn.codegen.trace import traced

    spent = cost(cell, width, width)
    return {
        "name": cell.name, "family": cell.family, "year": cell.year, "paper": cell.paper,
        "gates": {gate: cell.words[gate] for gate in cell.gates}, "recurrent": list(traced(cell).recurrent),
        "state": list(cell.state), "vectors": list(cell.vectors), "bounds": dict(cell.bounds), "width": width,
        "parameters": spent.parameters, "numbers_of_state": spent.state, "multiplications": spent.multiplications,
        "multiplications_in_loop": spent.in_loop, "elementwise": spent.elementwise, "kernels": _kernels(cell),
    }  # fmt: skip


def _kernels(cell: "Cell") -> dict[str, str]:
    """Name of a native kernel -> reason why it does not run the cell on this machine, else empty."""
    if not is_here("torch"):
        return dict.fromkeys(("C++", "Triton"), "PyTorch is not installed")
    import torch

    from tuirnn.codegen.trace import traced
    from tuirnn.kernels import cuda, native

    made, found = traced(cell), {}
    found["C++"] = "" if native.is_to_be_compiled(made) else native.unavailable_reason(made)
    if not torch.cuda.is_available():
        found["Triton"] = "no GPU"
    elif cuda.runs(made, torch.empty(0, device="cuda"), torch.float32):
        found["Triton"] = ""
    else:
        found["Triton"] = cuda.unavailable_reason() or "not for this cell"
    return found


def _equations(cell: "Cell") -> dict[str, Any]:
    from tuirnn.codegen.equations import equations

    made = equations(cell)
    return {"forward": list(made.forward), "backward": list(made.backward), "latex": vars(made.latex)}


def _print_list(facts: list[dict[str, Any]]) -> None:
    width, name = facts[0]["width"], max(len(row["name"]) for row in facts)
    print(
        f"A layer of {width} units on {width} inputs. mul-adds: multiply-adds of a step; in loop: those of them that"
        "\nneed the state of the step before; others: further operations of a step for each unit.\n"
    )
    print(
        f"{'cell':<{name}}  variant of  year  {'gates':<9}  {'state':<7}  {'parameters':>10}  {'mul-adds':>9}"
        f"  {'in loop':>9}  others  native"
    )
    for row in facts:
        family = row["family"] if row["family"] != row["name"] else ""
        native = ", ".join(kernel for kernel, missing in row["kernels"].items() if not missing) or "none"
        print(
            f"{row['name']:<{name}}  {family:<10}  {row['year']}  {' '.join(row['gates']):<9}"
            f"  {' '.join(row['state']):<7}  {row['parameters']:>10,}  {row['multiplications']:>9,}"
            f"  {row['multiplications_in_loop']:>9,}  {row['elementwise']:>6}  {native}"
        )
    missing = {f"no {kernel} kernels: {why}" for row in facts for kernel, why in row["kernels"].items() if why}
    print("", *sorted(missing), "tuirnn cells NAME prints the equations; tuirnn train --cell NAME trains one", sep="\n")


def _print_cell(facts: dict[str, Any]) -> None:
    from tuirnn.codegen.notation import GREEK

    width, bounds, vectors = facts["width"], facts["bounds"], facts["vectors"]
    print(f"{facts['name']}: {facts['paper']} ({facts['year']})")
    print("gates: " + ", ".join(f"{gate} {word}" for gate, word in facts["gates"].items()))
    state = ", ".join(f"{part} within ±{bounds[part]:g}" if part in bounds else part for part in facts["state"])
    print(f"state: {state}; each part starts at zero")
    if vectors:
        print(f"vectors, a number for each unit: {', '.join(GREEK.get(name, name) for name in vectors)}")
    print(f"a layer of {width} units on {width} inputs has {facts['parameters']:,} parameters; a step takes")
    print(f"{facts['multiplications']:,} multiply-adds, {facts['multiplications_in_loop']:,} of which need the state")
    print("native kernels: " + ", ".join(f"{kernel} {why or 'yes'}" for kernel, why in facts["kernels"].items()))
    print("\nforward, products element by element; g̃ is what gate g's function is applied to:")
    print(*(f"    {line}" for line in facts["forward"]), sep="\n")
    print("\nbackward; δs' is the gradient of a state after the step, δ of a gate that of its function's argument:")
    print(*(f"    {line}" for line in facts["backward"]), sep="\n")
    if vectors:
        print("\nthe gradients of vectors are summed over the batch and over time")
