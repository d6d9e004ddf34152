"""`tuirnn examples`: the programs that run cells, and copies of them."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from tuirnn import shipped
from tuirnn.cli.options import Json, print_json
from tuirnn.errors import ConfigError, chosen, one_line


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    epilog = "Examples: tuirnn examples    tuirnn examples web --cell export/cells/demo.onnx -o page"
    app.command(epilog=epilog)(examples)


def examples(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of an example; without it, list them.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="A new folder for it \\[default: ./NAME].")
    ] = None,
    cell: Annotated[
        Path | None,
        typer.Option(metavar="FILE.onnx", help="Put this cell beside it \\[default: the one that comes with tuirnn]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a program that runs cells without tuirnn (web page, Node, C, Python …) into a new folder, with a cell."""
    names = shipped.example_names()
    if name is None:
        if output or cell:
            raise ConfigError(f"-o and --cell copy an example; name one: {', '.join(names)}")
        titles = {each: _title(shipped.EXAMPLES / each) for each in names}
        print_json(titles) if as_json else print(*(f"{key:<20} {said}" for key, said in titles.items()), sep="\n")
        return
    source = shipped.EXAMPLES / chosen("NAME", name, names)
    target, model = output or Path(name), shipped.cell_path(str(cell or shipped.CELL))
    if target.exists():
        raise ConfigError(f"{one_line(target)} exists already; name a new folder with -o")
    if model.suffix != ".onnx" or not model.is_file():
        raise ConfigError(f"--cell takes an existing cell file (.onnx), not '{one_line(model)}'")
    _copy(source, target, model)
    if as_json:
        print_json({"example": name, "folder": str(target), "cell": str(target / "cell.onnx")})
    else:
        print(f"{target} has the example and {model.name} as cell.onnx; {target / 'README.md'} says how to run it")


def _copy(source: Path, target: Path, model: Path) -> None:
    """Copy an example with a cell and the JSON beside it; nothing is left where that fails."""
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules", "cell.*", "__pycache__"))
        shutil.copyfile(model, target / "cell.onnx")
        if (beside := model.with_suffix(".json")).is_file():
            shutil.copyfile(beside, target / "cell.json")
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise ConfigError(f"cannot write {one_line(target)}: {error.strerror or one_line(error)}") from None


def _title(folder: Path) -> str:
    """The heading of an example's README."""
    return (folder / "README.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
