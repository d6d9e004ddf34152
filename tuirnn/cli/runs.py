"""`tuirnn runs`: list, show, export, repair and remove runs."""

import math
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import Json, RunsFolder, date, duration, figure, plain, print_json, print_json_pretty
from tuirnn.cli.parsing import App, Group
from tuirnn.errors import ConfigError, RunError, one_line
from tuirnn.figures import PERCENT
from tuirnn.runs.layout import find_folder, find_run, runs_folder

if TYPE_CHECKING:
    from tuirnn.config import RunConfig
    from tuirnn.runs.listing import RunSummary
    from tuirnn.runs.reader import RunRecord, Status


class Runs(Group):
    """Without a command: the list."""

    default = "ls"
    others: Mapping[str, tuple[str, ...]] = {"list": ("ls",), "delete": ("rm",), "remove": ("rm",)}


KNOWN_BY = ("cell", "hidden", "layers", "task", "batch_size", "seq_len", "lr", "seed")
"""Settings that `runs show` shows of every run."""

group = App(help="List, show, export, repair and remove runs.", cls=Runs, rich_markup_mode="rich")

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")]

MARKS = {
    "running": "▶",
    "starting": "▶",
    "paused": "‖",
    "silent": "~",
    "done": "✓",
    "stopped": "■",
    "failed": "✕",
    "stale": "?",
}


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(group, name="runs")


@group.command("ls", epilog="Example: tuirnn runs ls --json")
def ls(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD", help="Only runs that match: parts of names, #tags, conditions such as 'lr>0.001'."
        ),
    ] = None,
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""
    from tuirnn.runs.filtering import matches
    from tuirnn.runs.listing import list_runs

    folder = runs_folder(runs)
    there = list_runs(folder)
    found = [run for run in there if matches(run, " ".join(words or []))]
    if as_json:
        print_json([_brief(run) for run in found])
        return
    if there and not found:
        print(f"none of the {len(there)} runs in {folder} has all of these: {one_line(' '.join(words or []), 200)}")
        return
    if not found:
        print(f"no runs in {folder} yet; begin with: tuirnn train --recipe demo")
        return
    width = max(len(run.name) for run in found)
    for run in found:
        status = run.status
        data = one_line(run.record.data.get("name", ""), 20) if run.record else "?"
        print(
            f"{MARKS.get(status.state, '✕')} {run.name:<{width}}  {run.cell:<12} {data:<20} {status.state:<8} "
            f"step {status.step:>7,}  best {_best(run):<22}  {_age(run)}"
            f"{''.join(f' #{tag}' for tag in run.notes.tags)}{_remark(status)}"
        )


@group.command("show", epilog="Example: tuirnn runs show lstm-384")
def show(run: Run, runs: RunsFolder = None, as_json: Json = False) -> None:
    """Show one run: settings, status, checkpoints, and what its logs say about how it learns."""
    from tuirnn.diagnosis import findings_of
    from tuirnn.runs import checkpoint
    from tuirnn.runs.listing import summarize
    from tuirnn.runs.reader import present_record

    paths = find_run(runs_folder(runs), run)
    summary = summarize(paths)
    if summary.record is None:
        raise RunError(summary.problem)
    record = present_record(paths)
    values: dict[str, Any] = {
        **_brief(summary),
        "parameters": record.parameters,
        "parent": record.parent,
        "checkpoints": checkpoint.steps(paths),
        "settings": record.config.to_json(),
        "text": record.data,
        "environment": record.environment,
    }
    findings = findings_of(summary)
    values["findings"] = [asdict(found) for found in findings]
    if as_json:
        print_json_pretty(values)
        return
    for line in _sheet(summary, record, values["checkpoints"]):
        print(line)
    print("findings" if findings else "findings      none: its curves show no fault")
    for found in findings:
        told = {found.what: f"{found.evidence}; {found.advice}"}
        for line in _section(told, "  ", 2 + max(len(one.what) for one in findings) + 2):
            print(line)


@group.command("note", epilog="Example: tuirnn runs note lstm-384 '#night ran on the old data'")
def note(
    run: Run,
    words: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="#tags and a note; '' removes both; without TEXT, they are shown."),
    ] = None,
    runs: RunsFolder = None,
) -> None:
    """Give a run tags and a note, or show them."""
    from tuirnn.runs.notes import as_line, parse_notes, read_notes, write_notes

    paths = find_run(runs_folder(runs), run)
    if words is not None:
        write_notes(paths, parse_notes(words))
    print(f"{paths.name}: {as_line(read_notes(paths)) or 'no tags, no note'}")


@group.command("export", epilog="Example: tuirnn runs export lstm-384 -o losses.csv")
def export(
    run: Run,
    runs: RunsFolder = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.csv", help="Where to write \\[default: standard output]."),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", metavar="DIR", help="Write TensorBoard's files into this folder instead."),
    ] = None,
) -> None:
    """Write a run's metrics as CSV, or for TensorBoard."""
    from tuirnn.runs.export import to_csv, to_tensorboard

    paths = find_run(runs_folder(runs), run)
    if tensorboard is not None:
        count = to_tensorboard(paths, tensorboard)
        print(f"{count:,} scalars in {one_line(tensorboard)}; see them with: tensorboard --logdir {tensorboard}")
    elif output is not None:
        print(f"{to_csv(paths, output):,} records in {one_line(output)}")
    else:
        to_csv(paths, sys.stdout)


@group.command("repair", epilog="Example: tuirnn runs repair lstm-384")
def repair(run: Run, runs: RunsFolder = None) -> None:
    """Rebuild the damaged files of a run where possible and report the others; nothing is deleted."""
    from tuirnn.runs import housekeeping

    paths = find_folder(runs_folder(runs), run)
    found = 0
    for line in housekeeping.repair(paths):
        print(one_line(line))
        found += 1
    print(f"{paths.name}: " + ("nothing to repair" if not found else "repaired as far as possible"))


@group.command("rm", epilog="Example: tuirnn runs rm first-try --yes")
def rm(
    run: Run,
    runs: RunsFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a run and all its files."""
    from tuirnn.runs import checkpoint
    from tuirnn.runs.housekeeping import remove

    paths = find_run(runs_folder(runs), run)
    if not yes and not sys.stdin.isatty():
        raise ConfigError(f"refusing to remove run '{paths.name}' without confirmation; pass --yes")
    if not yes and not typer.confirm(f"remove {paths.root} with {len(checkpoint.steps(paths))} checkpoints?"):
        raise typer.Exit(0)
    remove(paths)
    print(f"removed {paths.name}")


def _sheet(run: "RunSummary", record: "RunRecord", steps: list[int]) -> Iterator[str]:
    """A run on a page: results, settings that are not the default, data, environment; nothing that is empty."""
    status = run.status
    total = f" of {status.total:,}" if status.total else ""
    yield from _section(
        {
            "name": run.name,
            "network": f"{run.cell}, {record.parameters:,} parameters",
            "state": f"{status.state}: {status.message}" if status.message else status.state,
            "step": f"{status.step:,}{total}",
            "best": f"{_best(run)} ({run.judgement.loss.name}) at step {status.best_step:,}" * bool(status.best_step),
            "last": ", ".join(_last(run)),
            "speed": f"{status.tokens_per_s:,.0f} {run.speed_in}/s" if status.tokens_per_s > 0 else "",
            "took": duration(status.elapsed) if status.elapsed > 0 else "",
            "created": date(record.created),
            "begun from": _parent(record),
            "tags": " ".join(f"#{tag}" for tag in run.notes.tags),
            "note": run.notes.note,
            "checkpoints": ", ".join(f"{step:,}" for step in steps),
        },
        "",
    )
    yield "settings (the others have their defaults; --json lists all)"
    yield from _section({name: "  ".join(_pairs(values)) for name, values in _changed(record.config).items()}, "  ")
    yield "data"
    yield from _section(_data(record.data), "  ")
    yield "environment"
    yield from _section(record.environment, "  ")


def _changed(config: "RunConfig") -> dict[str, dict[str, Any]]:
    """The settings of each section that are not the default, and those that every run is known by."""
    usual = type(config)().to_json()
    return {
        section: {name: value for name, value in values.items() if name in KNOWN_BY or value != usual[section][name]}
        for section, values in config.to_json().items()
    }


def _data(data: dict[str, Any]) -> dict[str, Any]:
    """What a run keeps of its data, for people: what was understood of a table or text as it was told at first."""
    values = {name: f"{value:,}" if type(value) is int else value for name, value in data.items()}
    values.pop("val_spelling", None)  # counts behind bits per character
    if isinstance(share := data.get("overlap"), float):
        told = f"{100 * share:.2g} % of the held-out part stands in the training part too"
        values["overlap"] = (told + ", a leak" * bool(data.get("leaky"))) if share else ""
        values.pop("leaky", None)
    if isinstance(read := values.pop("read", None), dict):
        notes = read.get("notes")
        for number, note in enumerate(notes if isinstance(notes, list) else []):
            values["read" if not number else " " * number] = note
        if not notes:
            files = read.get("files")
            names = (
                {str(file.get("encoding")) for file in files if isinstance(file, dict)}
                if isinstance(files, list)
                else {}
            )
            values["encoding"] = read.get("encoding") or ", ".join(sorted(names))
    return values


def _parent(record: "RunRecord") -> str:
    """The run whose weights it began with; '' where they were drawn."""
    if record.parent is None:
        return ""
    step = record.parent.get("step")
    return (
        f"run {record.parent.get('run')}, step {step:,}" if isinstance(step, int) else f"run {record.parent.get('run')}"
    )


def _section(values: dict[str, Any], margin: str, wide: int = 14) -> Iterator[str]:
    """A line or more for each value that is not empty; `wide` is the column in which the values begin."""
    width = max(80, min(shutil.get_terminal_size((120, 24)).columns, 120))
    indent = " " * wide
    for name, value in values.items():
        if shown := one_line(plain(value), 4_000):
            head = f"{margin}{one_line(name, 40):<{wide - len(margin)}}"
            yield textwrap.fill(shown, width, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{name}={shown}" for name, value in values.items() if (shown := one_line(plain(value), 60))]


def _best(run: "RunSummary") -> str:
    """The best held-out loss in its unit, marked as leaky if it is."""
    loss, value = run.judgement.loss, run.status.best_val_loss
    return f"{figure(value)} {loss.unit}" + " leaky" * run.leaky if math.isfinite(value) else "–"


def _last(run: "RunSummary") -> Iterator[str]:
    """The figures of the last evaluation, the loss first."""
    loss, *others = run.judgement.figures
    values = [(loss, run.status.val_loss), *((one, run.status.figure(one.status_key)) for one in others)]
    for one, value in values:
        if math.isfinite(value):
            unit = "" if one.unit == PERCENT or one.common else one.unit  # a common figure's name says it
            yield f"{one.name} {one.shown(value)} {unit}".strip()


def _brief(run: "RunSummary") -> dict[str, Any]:
    status = run.status
    return {
        "name": run.name,
        "cell": run.cell,
        "data": run.record.data.get("name") if run.record else None,
        "state": status.state,
        "message": status.message,
        "step": status.step,
        "total": status.total,
        "best_val_loss": status.best_val_loss,
        "best_step": status.best_step,
        "leaky": run.leaky,
        "tags": list(run.notes.tags),
        "note": run.notes.note,
        "tokens_per_s": status.tokens_per_s,
        "problem": run.problem,
        "created": run.record.created if run.record else 0,
    }


def _remark(status: "Status") -> str:
    """The status message of a run whose trainer is live or stale."""
    return f"  {status.message}" if status.message and (status.live or status.state == "stale") else ""


def _age(run: "RunSummary") -> str:
    if run.record is None:
        return one_line(run.problem, 60)
    seconds = max(0.0, time.time() - run.record.created)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "now"
