"""What the shell offers after TAB: names of runs, recipes, cells, data sets, and the choices of an option.

The metavar of a parameter says what it takes, so the metavar says what is offered: a new option that takes a RUN offers
runs. Imported only when the shell asks.
"""

import os
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuirnn import shipped
from tuirnn.runs.layout import run_names, runs_folder

SOURCES = ("", ".txt", ".md", ".csv", ".tsv", ".conll", ".conllu", ".parquet")
"""Endings of the files that a training is offered; folders are offered in any case."""


@dataclass(frozen=True)
class Offer:
    """One completion, with what the option parser asks of it; the help is shown by zsh and fish."""

    value: str
    help: str | None = None
    type: str = "plain"


def prepare(command: str, parameter: Any) -> None:
    """Have the parameter of a command offer what its metavar, or its name, says that it takes."""
    kind = parameter.metavar or ""
    names = OF_METAVAR.get(kind) or OF_PARAMETER.get((command, parameter.name)) or OF_OPTION.get(parameter.name)
    if names is None and (file := re.search(r"\b(FILE|DIR)\b(\.\w+)?", kind)):
        endings = (file[2],) if file[2] else () if file[1] == "DIR" else None
        parameter.shell_complete = lambda context, word: paths(word, endings)
    elif names is None and "|" in kind:
        choices = [choice for choice in kind.split("|") if re.fullmatch("[a-z0-9-]+", choice)]
        parameter.shell_complete = lambda context, word: _offers(choices, word)
    elif names is not None and "--name" not in parameter.opts:  # the name of a run that is not there yet
        parameter.shell_complete = lambda context, word: names(context, word)


def runs(context: Any, word: str) -> list[Offer]:
    """The runs of the folder that the words before name."""
    return _offers(run_names(runs_folder(_runs_folder(context))), word)


def models(context: Any, word: str) -> list[Offer]:
    """Runs, and cell files."""
    return runs(context, word) + _offers([shipped.CELL], word) + paths(word, (".onnx",))


def recipes(context: Any, word: str) -> list[Offer]:
    """The recipes with a line about each, and files of one's own."""
    from tuirnn.config import load_recipe, recipe_names

    named = [Offer(name, _short(load_recipe(name).about)) for name in recipe_names() if name.startswith(word)]
    return named + paths(word, (".toml",))


def datasets(context: Any, word: str) -> list[Offer]:
    """The data sets that have a name."""
    from tuirnn.tasks.datasets import dataset_names

    return _offers(dataset_names(), word)


def sources(context: Any, word: str) -> list[Offer]:
    """Data sets, files and folders."""
    return datasets(context, word) + paths(word, SOURCES)


def cells(context: Any, word: str) -> list[Offer]:
    """The cells, with the paper of each."""
    from tuirnn.cells import CELLS

    return [Offer(name, _short(cell.paper)) for name, cell in CELLS.items() if name.startswith(word)]


def examples(context: Any, word: str) -> list[Offer]:
    """The programs that run cells."""
    return _offers(shipped.example_names(), word)


def themes(context: Any, word: str) -> list[Offer]:
    """The colours of the dashboard."""
    from tuirnn.tui.theme import THEMES

    return _offers(THEMES, word)


def paths(word: str, endings: tuple[str, ...] | None) -> list[Offer]:
    """The files with these endings (None: all), and the folders, whose path begins with a word."""
    folder, beginning = os.path.split(word)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    found = []
    for entry in entries:
        if entry.name.startswith(beginning) and entry.name.startswith(".") <= beginning.startswith("."):
            path = os.path.join(folder, entry.name)
            if entry.is_dir():
                found.append(Offer(path + os.sep))
            elif endings is None or Path(entry.name).suffix.lower() in endings:
                found.append(Offer(path))
    return found


def _offers(names: Iterable[str], word: str) -> list[Offer]:
    return [Offer(name) for name in names if name.lower().startswith(word.lower())]


def _short(text: str) -> str:
    """What fits beside a name: a shell takes a second line for another offer."""
    return textwrap.shorten(text, 60, placeholder=" …")


def _runs_folder(context: Any) -> Path | None:
    """The folder of --runs, before the command or behind it; None where neither is given."""
    while context is not None:
        if given := context.params.get("runs"):
            return Path(given) if isinstance(given, (str, Path)) else None
        context = context.parent
    return None


Names = Callable[[Any, str], list[Offer]]

OF_METAVAR: dict[str, Names] = {
    "RUN": runs, "RUN RUN …": runs, "RUN|FILE.onnx": models, "NAME|FILE.toml": recipes, "SOURCE": sources,
    "FILE.onnx": lambda context, word: _offers([shipped.CELL], word) + paths(word, (".onnx",)), "CELL": cells,
    "[CELL]": cells,
}  # fmt: skip
"""Metavar -> what is offered."""

OF_PARAMETER: dict[tuple[str, str], Names] = {
    ("recipes", "name"): recipes, ("get", "name"): datasets, ("path", "name"): datasets,
    ("verify", "cell"): cells, ("examples", "name"): examples,
}  # fmt: skip
"""(command, parameter) -> what is offered, of those whose metavar is NAME."""

OF_OPTION: dict[str, Names] = {"theme": themes}
"""Parameter of any command -> what is offered."""
