"""`tuirnn data`: the named data sets."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.options import Json, print_json, with_settings
from tuirnn.cli.parsing import App, Group

if TYPE_CHECKING:
    from tuirnn.tasks.datasets import Dataset


class Data(Group):
    """Without a command: the list."""

    default = "ls"
    others: Mapping[str, tuple[str, ...]] = {"list": ("ls",), "download": ("get",)}


group = App(help="List, download and find the named data sets.", cls=Data, rich_markup_mode="rich")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set's name.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(group, name="data")


@group.command("ls", epilog="Example: tuirnn data ls")
def ls(as_json: Json = False) -> None:
    """List the data sets and whether they are downloaded."""
    from tuirnn.tasks.datasets import DATASETS, MADE, cache_folder

    rows = [(name, made.state, made.about) for name, made in MADE.items()]
    rows += [
        (name, "here" if (cache_folder() / d.file).exists() else _to_get(d), d.about)
        for name, d in sorted(DATASETS.items())
    ]
    if as_json:
        print_json([dict(zip(("name", "state", "about"), row, strict=True)) for row in rows])
        return
    for name, state, about in rows:
        print(f"{name:<14} {state:<30} {about}")


@group.command("get", epilog="Example: tuirnn data get shakespeare")
def get(name: Name) -> None:
    """Download a data set into the cache and check its sha256."""
    from tuirnn.tasks.datasets import fetch

    print(f"{name}: {sum(len(body) for _, body in fetch(name)):,} bytes, {_where(name)}")


@group.command("path", epilog="Example: wc $(tuirnn data path shakespeare)")
def path(name: Name) -> None:
    """Print the path of a data set's file; download it first if it is missing."""
    from tuirnn.tasks.datasets import fetch

    fetch(name)
    print(_where(name))


def look(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Files, folders or data sets.")],
    as_json: Json = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Print how training would read files: encoding, columns, times, classes, and what it would leave out.

    Of large files only the beginning is read, as the output says; training reads all of them.
    """
    from tuirnn.tasks.look import look_at

    for name in files:
        seen = look_at(name, settings)
        if as_json:
            print_json(seen.to_json())
            continue
        print("\n".join((seen.head, *(f"  {note}" for note in seen.notes))))


group.command("look", epilog="Example: tuirnn data look reviews.csv --task classify")(
    with_settings(look, section="data")
)


def _to_get(dataset: "Dataset") -> str:
    return f"{dataset.bytes:,} bytes to download" if dataset.url else "to be supplied by you"


def _where(name: str) -> str:
    from tuirnn.tasks.datasets import DATASETS, MADE, cache_folder

    return str(cache_folder() / DATASETS[name].file) if name in DATASETS else MADE[name].state
