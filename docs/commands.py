"""What is written from the program itself: `python docs/commands.py` renews it.

The reference of the command line, `docs/commands.md`, from its commands; the settings as arguments of the Python
interface, `tuirnn/api/settings.py`, from the fields of the configuration.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tuirnn.cli import app
from tuirnn.cli.conventions import tables
from tuirnn.config import FIELDS

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Commands

Generated from the program by `python docs/commands.py`; a test compares the two. Each command's `--help` says the same.
"""
WIDTH = 120

MODULE = PAGE.parent.parent / "tuirnn" / "api" / "settings.py"
BEGIN = '''"""The settings of a run as arguments of `tuirnn.train`; written by `python docs/commands.py`."""

from typing import TypedDict


class Settings(TypedDict, total=False):
    """The settings of `tuirnn train` under the same names; those that are not given have their defaults."""
'''


def commands(command: Any = None, name: str = "tuirnn") -> Iterator[tuple[str, Any]]:
    """(name, command) of the program itself and of each command that runs something."""
    command = command or typer.main.get_command(app)
    inner = {word: command.get_command(None, word) for word in getattr(command, "list_commands", lambda _: ())(None)}
    if not inner or command.callback is not None:
        yield name, command
    for word, each in inner.items():
        yield from commands(each, f"{name} {word}")


def parameters(command: Any) -> list[Any]:
    """Its arguments and options, without --help."""
    return [each for each in command.params if each.name != "help" and not getattr(each, "hidden", False)]


def names(parameter: Any) -> list[str]:
    """All spellings of an option, those that negate it too; none of an argument."""
    return [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, tables(), *(section(name, command) for name, command in commands())])


def section(name: str, command: Any) -> str:
    """A command: what it does, its arguments and options, an example."""
    sweeps = name == "tuirnn sweep"
    listed = [each for each in parameters(command) if not (sweeps and each.name in FIELDS and each.name != "sources")]
    entries = [entry(each) for each in listed]
    if sweeps:
        entries.append(
            wrapped(
                "each setting of `tuirnn train`, with one value, several with commas between, or a range of numbers",
                "- ",
            )
        )
    about = "\n\n".join(wrapped(" ".join(part.split())) for part in (command.help or "").split("\n\n"))
    said = command.epilog or ""
    examples = re.sub("^Examples?:", "", said).split("    ") if said.startswith("Example") else []
    parts = [f"## {name}", about, "\n".join(entries), "\n".join(f"    {each.strip()}" for each in examples if each)]
    return "\n\n".join(part for part in parts if part) + "\n"


def entry(parameter: Any) -> str:
    """A line or more for an argument or an option."""
    said = (parameter.help or "").replace("\\[", "[").removesuffix(" [default: ]")
    default = parameter.default
    is_flag = getattr(parameter, "is_flag", False)
    title = f"{', '.join(names(parameter))} {'' if is_flag else parameter.metavar or ''}".strip()
    if "[default" not in said and default not in (None, "") and not is_flag:
        said += f" [default: {default}]"
    return wrapped(f"`{title}`: {said}", "- ")


def wrapped(text: str, bullet: str = "") -> str:
    """A paragraph in lines; with a bullet, those after the first are indented."""
    return textwrap.fill(
        text, WIDTH, initial_indent=bullet, subsequent_indent=" " * len(bullet), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def settings() -> str:
    """The module of the settings."""
    lines = [BEGIN]
    for name, (_, spec) in FIELDS.items():
        if name != "sources":
            about = textwrap.indent(textwrap.fill(f'"""{spec.metadata["help"]}"""', WIDTH - 4), " " * 4)
            lines += [f"    {name}: {getattr(spec.type, '__name__', spec.type)}", about]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    MODULE.write_text(settings(), encoding="utf-8")
    PAGE.write_text(reference(), encoding="utf-8")
