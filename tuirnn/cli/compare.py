"""`tuirnn compare`: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from tuirnn.cli.options import Json, RunsFolder, print_json
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import find_run, runs_folder


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn compare lstm-384 gru-384 -o report/")(compare)


def compare(
    run: Annotated[list[str], typer.Argument(metavar="RUN RUN …", help="Two or more runs.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write a report with the curves here.")
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="step|tokens|time", help="What aligns the curves.")] = "step",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Compare runs: settings that differ, results, and a report with their curves."""
    from tuirnn.comparison import Compared, check_alignment, differing, results, write_report
    from tuirnn.runs.listing import summarize
    from tuirnn.tui.feed import RunFeed

    by = check_alignment(by)
    folder = runs_folder(runs)
    if len(set(run)) < 2:
        raise ConfigError("a comparison needs two different runs or more; 'tuirnn runs ls' lists them")
    compared = []
    for name in dict.fromkeys(run):
        feed = RunFeed(find_run(folder, name))
        while feed.advance():
            pass
        compared.append(Compared(summarize(feed.paths), feed.snapshot))
    written = write_report(compared, output, by) if output is not None else []
    rows = [*results(compared), *differing(compared)]
    names = [one.run.name for one in compared]
    if as_json:
        table = {name: dict(zip(names, values, strict=True)) for name, values in rows}
        print_json({"runs": names, "table": table, "written": [str(path) for path in written]})
        return
    first = max(len(name) for name, _ in rows)
    widths = [max(len(names[k]), *(len(values[k]) for _, values in rows)) for k in range(len(names))]
    for title, values in [("", tuple(names)), *rows]:
        cells = "  ".join(one_line(value, 60).rjust(width) for value, width in zip(values, widths, strict=True))
        print(f"{title:<{first}}  {cells}")
    for path in written:
        print(f"wrote {path}")
    if output is not None and len(written) == 1:
        print("no pictures: they need matplotlib; install it with: pip install 'tuirnn[plots]'")
