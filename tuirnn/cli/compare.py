"""`tuirnn compare`: settings and results of several runs, with a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import Json, RunsFolder, print_json
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import find_run, runs_folder

if TYPE_CHECKING:
    from tuirnn.comparison import Compared, Group, Row, Shared


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn compare lstm-384 gru-384 -o report/")(compare)


def compare(
    run: Annotated[list[str], typer.Argument(metavar="RUN RUN …", help="Two or more runs.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write a report with the curves here.")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="step|tokens|time", help="Horizontal axis of the curves.")
    ] = "step",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Compare runs: settings that differ, results, and a report with their curves."""
    from tuirnn.comparison import (
        COMMON,
        KEY,
        Compared,
        Row,
        check_alignment,
        common,
        differing,
        groups,
        results,
        write_report,
    )  # fmt: skip
    from tuirnn.runlog.feed import held_out, whole
    from tuirnn.runs.listing import summarize

    by = check_alignment(by)
    folder = runs_folder(runs)
    if len(set(run)) < 2:
        raise ConfigError("a comparison needs at least two different runs; 'tuirnn runs ls' lists them")
    compared = []
    for name in dict.fromkeys(run):
        paths = find_run(folder, name)
        compared.append(Compared(summarize(paths), held_out(paths) if output is None else whole(paths)))
    written = write_report(compared, output, by) if output is not None else []
    found, shared = groups(compared), common(groups(compared))
    if as_json:
        print_json(_json(compared, found, shared, written))
        return
    for group in found:
        if len(found) > 1:
            print(f"{group.loss.titled}: {', '.join(group.names)}")
        _print([Row("", group.names), *results(group), *differing(group)])
        print("\n".join(["", *group.notes]))
    if shared is not None:
        print(COMMON)
        _print([Row("", shared[0].names), *shared[1]])
        print("\n".join(["", *shared[0].notes]))
    if len(found) > 1:
        print("Runs with different units are compared separately.")
    print(KEY)
    for path in written:
        print(f"wrote {path}")
    if output is not None and len(written) == 1:
        print("no pictures: they need matplotlib; install it with: pip install 'tuirnn[plots]'")


def _json(
    compared: "Sequence[Compared]", found: "Sequence[Group]", shared: "Shared | None", written: "Sequence[Path]"
) -> dict[str, Any]:
    """The comparison as plain values."""
    from tuirnn.comparison import differing, results

    table: dict[str, dict[str, str]] = {}
    for group in found:
        for row in (*results(group), *differing(group)):
            table.setdefault(row.name, {}).update(zip(group.names, row.values, strict=True))
    kinds = [
        {"loss": group.loss.name, "unit": group.loss.unit, "runs": group.names, "notes": group.notes} for group in found
    ]
    both = {row.name: dict(zip(shared[0].names, row.values, strict=True)) for row in shared[1]} if shared else {}
    names, files = [one.run.name for one in compared], [str(path) for path in written]
    return {"runs": names, "groups": kinds, "table": table, "common": both, "written": files}


def _print(rows: "Sequence[Row]") -> None:
    """Rows of one table, the columns right-aligned."""
    first = max(len(row.name) for row in rows)
    table = [[one_line(cell, 60) for cell in row.cells] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row, shown in zip(rows, table, strict=True):
        cells = "  ".join(cell.rjust(width) for cell, width in zip(shown, widths, strict=True))
        print(f"{row.name:<{first}}  {cells}".rstrip())
