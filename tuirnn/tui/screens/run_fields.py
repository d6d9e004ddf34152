"""Settings as fields of the form: labels, values as they are typed, errors in the form's own words."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any, cast

from tuirnn.config import FIELDS, load_recipe, recipe_names
from tuirnn.errors import ConfigError
from tuirnn.tasks.sources import STDIN
from tuirnn.text import visible_line

NO_RECIPE = "–"

NAMES, ABOUT = 20, 32
"""Cells of a recipe's name and of the beginning of its description in the list of recipes."""

_FLAG = re.compile(r"--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")


def to_text(value: Any) -> str:
    """A setting as it is typed."""
    if isinstance(value, tuple):
        return shlex.join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def from_text(name: str, typed: str) -> Any:
    """A typed setting as a value of the field's type.

    Raises:
        ConfigError: it is not a value of that type.
    """
    kind = FIELDS[name][1].type
    wanted = {int: "a whole number", float: "a number"}.get(cast(Any, kind), "names, quotes closed")
    if kind in (int, float) and not typed.strip():
        raise ConfigError(f"{label_of(name)} is empty; enter {wanted}")
    try:
        if kind is int:
            return int(typed.replace("_", "").replace(",", ""))
        if kind is float:
            return float(typed)
        if kind is str:
            return typed
        words = tuple(shlex.split(typed))
    except ValueError:
        raise ConfigError(f"{label_of(name)} takes {wanted}, not '{visible_line(typed)[:60]}'") from None
    if STDIN in words:
        raise ConfigError("the dashboard cannot read standard input; enter a file or a folder")
    return words


def label_of(name: str) -> str:
    """The label of a field."""
    return {"sources": "source", "lr": "learning rate", "task": "what"}.get(name, name.replace("_", " "))


def name_after(sources: tuple[str, ...]) -> str:
    """A name for a run after what it is trained on, in the characters that a name may have; '' if none is left."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(sources[0]).stem).strip("._-")[:40] if sources else ""


def own_words(message: str) -> str:
    """A message about options of the command line with the labels of the form in place of them."""

    def labelled(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        plain = name.removeprefix("no_")
        if plain in FIELDS:
            return f"‘{label_of(plain)}’" + (" off" if plain != name else "")
        return "‘source’" if name == "text" else found[0]

    return _FLAG.sub(labelled, message)


def recipes_of(task: str) -> list[tuple[str, str]]:
    """Label and name of each recipe for a task; the label explains it."""
    found = [(f"{NO_RECIPE:<{NAMES}}the defaults", NO_RECIPE)]
    for name in recipe_names():
        recipe = load_recipe(name)
        if recipe.config.task.name == task:
            about = textwrap.shorten(recipe.about.replace("\n", " "), ABOUT, placeholder=" …")
            found.append((f"{name:<{NAMES}}{about}", name))
    return found
