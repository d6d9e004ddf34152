"""The report of `race.py`: a table sorted by held-out loss, what it shows and does not, and a plot."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuirnn.escaping import for_markdown
from tuirnn.files import atomic_write
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail

if TYPE_CHECKING:
    from race import Row

SEARCH, RACE = "search", "race"
DISTURBED = 0.2
"""Cores that something else may keep busy during a run before the report says so."""

TITLES = ("", "cell", "bits per character", "nats", "seeds apart, nats", "steps", "steps/s", "parameters", "hidden",
          "learning rate")  # fmt: skip

CAVEATS = """\
**What this shows.** Which cell reaches the lowest held-out loss on this text within these minutes on this processor,
with our kernels, the same number of parameters and the same recipe. Time counts evaluations. The loss is the best of a
run's evaluations on held-out text, state carried.

**What it does not show.** Equal time favours cells that are cheap to compute here: a cell with fewer or smaller
products makes more steps. On a GPU, or with a parallel scan, which the cells without recurrent product allow and these
kernels do not use, the order may differ. Equal parameters give such cells more hidden units and a larger state. One
layer without the blocks, normalisation and convolutions that some of these cells were published with says little about
those architectures. The learning rates that were tried, in a shorter training than the race, and {seeds} seed{s} are
few: differences of the size of the column *seeds apart* mean nothing. Nothing else was tuned; dropout, schedule and
initial values are the defaults, which were chosen for the LSTM."""


def write_report(rows: "Sequence[Row]", target: Path, runs: Path, smoke: bool = False) -> None:
    """Write the table and, beside it, the plot.

    Args:
        rows: what is done, in any order.
        target: the Markdown file; the plot has its name and ends in .svg.
        runs: the folder of runs, whose curves are drawn.
        smoke: say that the figures mean nothing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    ranked = ranking(rows)
    if ranked:
        draw(ranked, runs, target.with_suffix(".svg"))
    atomic_write(target, "\n".join(lines(rows, ranked, target.with_suffix(".svg").name, smoke)).encode())


def ranking(rows: "Sequence[Row]") -> "list[list[Row]]":
    """The runs of the race by cell, seeds in order; the lowest mean loss first, cells with a failed run last."""
    by_cell: dict[str, list[Row]] = {}
    for row in rows:
        if row.part == RACE:
            by_cell.setdefault(row.cell, []).append(row)
    found = [sorted(each, key=lambda row: row.seed) for each in by_cell.values()]
    return sorted(found, key=lambda each: statistics.fmean(row.loss for row in each))


def lines(rows: "Sequence[Row]", ranked: "list[list[Row]]", plot: str, smoke: bool) -> list[str]:
    """The report."""
    seeds = max((len(each) for each in ranked), default=0)
    found = ["# Race of the cells", ""]
    if smoke:
        found += ["**A smoke test: four steps. The figures mean nothing.**", ""]
    found += [where(rows), "", "| " + " | ".join(TITLES) + " |", "|" + "---|" * len(TITLES)]
    found += [line(place, each, rows) for place, each in enumerate(ranked, 1)]
    found += ["", *notes(rows, ranked), *([f"![held-out loss]({plot})", ""] if ranked else [])]
    return [*found, CAVEATS.format(seeds=seeds, s="s" * (seeds != 1)), ""]


def where(rows: "Sequence[Row]") -> str:
    """On what, for how long, when and by which version."""

    def each(name: str) -> str:
        return ", ".join(for_markdown(str(value)) for value in dict.fromkeys(getattr(row, name) for row in rows))

    if not rows:
        return "No run is done yet."
    raced = [row for row in rows if row.part == RACE] or list(rows)
    minutes = ", ".join(f"{value:g}" for value in dict.fromkeys(row.minutes for row in raced))
    return (
        f"`python benchmarks/race.py` on {each('data') or 'the embedded text'}: {minutes} minutes a seed on "
        f"{each('had')} of {each('cores')} cores of {each('processor')}, torch {each('torch')}; "
        f"commit {each('commit')}; {each('date')}."
    )


def line(place: int, each: "Sequence[Row]", rows: "Sequence[Row]") -> str:
    """A cell's line of the table."""
    first = each[0]
    losses = [row.val_loss for row in each]
    mean = statistics.fmean(losses)
    known = math.isfinite(mean)
    steps, seconds = sum(row.steps for row in each), sum(row.seconds for row in each)
    rate = f"{first.lr:g}" + (" (edge)" if at_edge(first, rows) else "")
    cells = (
        str(place) if known else "–", for_markdown(first.cell), f"{mean / math.log(2):.3f}" if known else "failed",
        f"{mean:.4f}" if known else "–", f"{max(losses) - min(losses):.4f}" if known and len(each) > 1 else "–",
        f"{steps / len(each):,.0f}", f"{steps / seconds:.1f}" if seconds else "–", f"{first.parameters:,}",
        f"{first.hidden:,}", rate,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def at_edge(row: "Row", rows: "Sequence[Row]") -> bool:
    """Whether the chosen rate is the lowest or the highest of those tried: a better one may lie beyond."""
    tried = [other.lr for other in rows if other.part == SEARCH and other.cell == row.cell]
    return len(tried) > 1 and row.lr in (min(tried), max(tried))


def notes(rows: "Sequence[Row]", ranked: "list[list[Row]]") -> list[str]:
    """What a reader has to know of these runs."""
    found = []
    if edges := [each[0].cell for each in ranked if at_edge(each[0], rows)]:
        found.append(
            f"At the edge of the learning rates tried, so that a better one may lie beyond: {', '.join(edges)}."
        )
    if loaded := [row for row in rows if row.others > DISTURBED]:
        worst = max(loaded, key=lambda row: row.others)
        found.append(
            f"Something else was at work during {len(loaded)} of {len(rows)} runs, at most {worst.others:.1f} cores on "
            f"average ({worst.run}): these made fewer steps than an idle machine would. Load averages before runs: up "
            f"to {max(row.load for row in rows):.1f}."
        )
    elif rows and all(math.isfinite(row.others) for row in rows):
        found.append(f"Nothing else kept more than {DISTURBED:g} of a core busy during any run.")
    if rows and not all(math.isfinite(row.others) for row in rows):
        found.append("Whether something else was at work could not be measured on this system.")
    if len({row.commit for row in rows}) > 1 or any(row.commit.endswith("+") for row in rows):
        found.append("Runs are of several commits, or of a changed working tree (+).")
    if failed := [row for row in rows if row.failed]:
        found += [f"{row.run} failed: {for_markdown(row.failed)}" for row in failed]
    searched = dict.fromkeys(row.cell for row in rows if row.part == SEARCH)
    if missing := [cell for cell in searched if cell not in {each[0].cell for each in ranked}]:
        found.append(f"Not raced, or not yet: {', '.join(missing)}.")
    return [f"- {note}" for note in found] + [""] * bool(found)


def draw(ranked: "list[list[Row]]", runs: Path, target: Path) -> None:
    """On the left the losses of the seeds, cell by cell; on the right held-out loss against time, first seeds."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "race", "font.size": 8}):
        figure = Figure(figsize=(9, max(3.0, 0.28 * len(ranked) + 1.2)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 4))
        colours = matplotlib.colormaps["turbo"]
        for place, each in enumerate(ranked):
            colour = colours(place / max(1, len(ranked) - 1))
            bits = [row.val_loss / math.log(2) for row in each if math.isfinite(row.val_loss)]
            left.plot(bits, [place] * len(bits), "o", color=colour)
            times, curve = held_out(runs, each[0])
            right.plot(times, curve, ".-", color=colour, label=each[0].cell)
        left.set_yticks(range(len(ranked)), [each[0].cell for each in ranked])
        left.invert_yaxis()
        left.set_xlabel("bits per held-out character, a dot a seed")
        right.set_xlabel("minutes of training")
        right.set_ylabel("bits per held-out character")
        right.legend(fontsize=6, ncols=2)
        for axes in (left, right):
            axes.grid(alpha=0.2)
        figure.savefig(target, metadata={"Date": None})


def held_out(runs: Path, row: "Row") -> tuple[list[float], list[float]]:
    """Minutes and bits per character of a run's evaluations; nothing where the run is gone."""
    records = LogTail(RunPaths(runs / row.run).metrics).read()
    began = min((float(record["at"]) for record in records), default=0.0)
    found = [(float(record["at"]), float(record["loss"])) for record in records if record["split"] == "val"]
    return [(at - began) / 60 for at, _ in found], [loss / math.log(2) for _, loss in found]
