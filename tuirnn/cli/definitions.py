"""`tuirnn cells`: the cells there are, and their equations."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import Json, print_json
from tuirnn.errors import ConfigError, nearest, one_line

if TYPE_CHECKING:
    from tuirnn.cells import Cell

WIDTH = 256
"""For which the list gives parameters and multiplications."""


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn cells    tuirnn cells gru-before")(cells)


def cells(
    name: Annotated[str | None, typer.Argument(metavar="[CELL]", help="Print this cell's equations.")] = None,
    as_json: Json = False,
) -> None:
    """List the recurrent cells, or print the equations of one, forward and backward, as its definition has them."""
    from tuirnn.cells import CELLS

    name = name and name.lower()
    if name is not None and name not in CELLS:
        raise ConfigError(f"no cell '{one_line(name, 40)}'; {nearest(name, CELLS)}")
    facts = [_facts(cell, whole=name is not None) for cell in CELLS.values() if name in (None, cell.name)]
    if as_json:
        print_json(facts)
    elif name is None:
        _print_list(facts)
    else:
        _print_equations(CELLS[name], facts[0])


def _facts(cell: "Cell", *, whole: bool) -> dict[str, Any]:
    from tuirnn.codegen.equations import equations

    rows = len(cell.gates) * WIDTH
    facts = {
        "name": cell.name, "family": cell.family, "year": cell.year, "paper": cell.paper,
        "gates": {gate: cell.words[gate] for gate in cell.gates}, "state": list(cell.state), "width": WIDTH,
        "parameters": rows * (2 * WIDTH + 2), "multiplications": 2 * rows * WIDTH,
    }  # fmt: skip
    if whole:
        made = equations(cell)
        facts |= {"forward": list(made.forward), "backward": list(made.backward)}
    return facts


def _print_list(facts: list[dict[str, Any]]) -> None:
    titles = f"{'cell':<12} {'year':<5} {'gates':<8} {'state':<6} {'parameters':>10}"
    print(f"{titles}  of a layer of {WIDTH} units on {WIDTH} inputs")
    for row in facts:
        gates, state = " ".join(row["gates"]), " ".join(row["state"])
        print(f"{row['name']:<12} {row['year']:<5} {gates:<8} {state:<6} {row['parameters']:>10,}")
    print("\ntuirnn cells NAME prints the equations; tuirnn train --cell NAME trains one")


def _print_equations(cell: "Cell", facts: dict[str, Any]) -> None:
    print(f"{cell.name}: {cell.paper} ({cell.year})")
    print("gates: " + ", ".join(f"{gate} {word}" for gate, word in facts["gates"].items()))
    print("\nforward, products element by element:")
    print(*(f"    {line}" for line in facts["forward"]), sep="\n")
    print("\nbackward; δs' is the gradient of a state after the step, δ of a gate that of its function's argument:")
    print(*(f"    {line}" for line in facts["backward"]), sep="\n")
