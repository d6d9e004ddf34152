"""The words of a command line: other names for the commands, and one plain line for words that mean nothing.

Whatever of the option parser is asked for here (the attributes of its errors and of its parameters) is the same in
Click and in the copy of Click that newer versions of Typer bring along.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_name

from tuirnn.errors import ConfigError, nearest, one_line
from tuirnn.shortage import need_room

F = TypeVar("F", bound=Callable[..., Any])

COMPLETE = "_TUIRNN_COMPLETE"
"""The environment variable by which a shell asks for completions."""

DASHBOARD = ("dashboard", "ui")
"""Words that mean `tuirnn` alone."""

VALUED = ("--runs", "--run", "--screenshot", "--theme")
"""Options of `tuirnn` itself that a value follows."""


_WHOLE, _NUMBER = re.compile(r"-?[0-9]{1,15}"), re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


class _Plain:
    """A command whose help shows no types: a flag has no value, and an argument's own name says more."""

    def get_params(self, context: Any) -> list[Any]:
        """The parameters, the help option among them."""
        parameters: list[Any] = super().get_params(context)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            elif parameter.param_type_name == "argument":
                parameter.display_type_rich = _nothing
            if hasattr(parameter, "get_runtime_param") and "get_runtime_param" not in vars(parameter):
                conversion = _Conversion(parameter.type_descriptor, parameter.get_runtime_param)
                parameter.get_runtime_param = lambda conversion=conversion: conversion
        if COMPLETE in os.environ:
            from tuirnn.cli.completion import prepare

            for parameter in parameters:
                prepare(self.name, parameter)  # type: ignore[attr-defined]
        return parameters


def _nothing(ctx: Any) -> str:
    return ""


class _Conversion:
    """Converts the plain values of an option, and leaves all others to Typer.

    Newer versions of Typer convert each value with Pydantic, which takes longer to import than all else here.

    Args:
        descriptor: of the option's type.
        typer_conversion: returns Typer's own conversion.
    """

    def __init__(self, descriptor: Any, typer_conversion: Callable[[], Any]) -> None:
        self._descriptor, self._typer_conversion = descriptor, typer_conversion

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of an option from the words, or the default, that stand for it."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        info = self._descriptor.parameter_info
        if info.min is info.max is info.parser is None:
            converted = plain_value(self._descriptor.annotation, value)
            if converted is not None:
                return converted
        return self._typer_conversion().coerce(value, param=param, ctx=ctx)


def plain_value(kind: Any, value: object) -> object:
    """A value of a kind that options have, from a value or a word that leaves no doubt.

    Args:
        kind: str, int, float, Path or list[str]; of any other nothing is converted.
        value: a word, several words, or a default.
    Returns:
        The value; None where it is left to the option parser, errors included.
    """
    if kind == list[str]:
        return list(value) if isinstance(value, (list, tuple)) and all(type(word) is str for word in value) else None
    if kind not in (str, int, float, Path):
        return None
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    if kind is Path:
        return Path(value) if os.access(value, os.R_OK) else None
    return kind(value) if (_WHOLE if kind is int else _NUMBER).fullmatch(value) else None


class Command(_Plain, TyperCommand):
    """A command of this program."""

    def invoke(self, ctx: Any) -> Any:
        """Run it, where its libraries find room."""
        need_room()
        return super().invoke(ctx)


class Group(_Plain, TyperGroup):
    """A group of commands; subclasses may name the one that is meant where none is given, and other names."""

    default = ""
    others: Mapping[str, tuple[str, ...]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without a command, or with options alone: the default command."""
        if (
            self.default
            and not ctx.resilient_parsing
            and (not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names))
        ):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant, and the words after it.

        Raises:
            ConfigError: there is none of that name; the message offers the nearest.
        """
        words = [*self.others.get(args[0], args[:1]), *args[1:]]
        if words[0] not in self.list_commands(ctx):
            raise ConfigError(f"no command '{one_line(args[0], 40)}'; {self._meant(args[0], ctx)}")
        return super().resolve_command(ctx, words)

    def _meant(self, word: str, ctx: Any) -> str:
        """What could be meant: a command of one of the groups inside, or one whose name is near."""
        names = self.list_commands(ctx)
        for name, group in ((name, self.get_command(ctx, name)) for name in names):
            if isinstance(group, Group):
                inner = group.others.get(word, (word,))
                if inner[0] in group.list_commands(ctx):
                    return f"did you mean '{' '.join((name, *inner))}'?"
        return nearest(word, names, f"see '{ctx.command_path} --help'")


class App(typer.Typer):
    """Typer, with these commands."""

    def command(self, *arguments: Any, **options: Any) -> Callable[[F], F]:
        """As Typer's."""
        return super().command(*arguments, **{"cls": Command, **options})

    def keep_only(self, name: str) -> None:
        """Forget the commands of other names, whose parameters then need not be read."""
        self.registered_commands = [
            command
            for command in self.registered_commands
            if name == (command.name or get_command_name(getattr(command.callback, "__name__", "")))
        ]


def tidied(words: list[str]) -> list[str]:
    """The words after `tuirnn` as the parser wants them.

    `tuirnn dashboard` is `tuirnn`, `tuirnn help train` is `tuirnn train --help`, and the RUN of `--screenshot FILE RUN`
    is given its option: a word of its own would be taken for a command.
    """
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in VALUED else 1
    before, word, rest = words[:at], words[at : at + 1], words[at + 1 :]
    if "--screenshot" in before and word and "--run" not in before:
        return [*before, "--run", *word, *rest]
    if word and word[0] in DASHBOARD:
        return [*before, *rest]
    return [*before, *rest, "--help"] if word == ["help"] else words


def explain(error: Any) -> str:
    """What the option parser could not read, as one line of ours; nothing where it has printed a help instead."""
    context = getattr(error, "ctx", None)
    message: str = error.format_message().rstrip(".?")
    if not message:
        return ""
    see = f"see '{context.command_path} --help'" if context else "see --help"
    if hasattr(error, "possibilities"):
        return _no_option(error.option_name, context, see)
    if hasattr(error, "param_type"):
        return f"{_name(error)} is missing; {see}"
    if wrong := _wrong_value(error):
        return f"{_name(error)} takes {wrong[0]}, not '{one_line(wrong[1], 60)}'"
    if hasattr(error, "option_name") and "requires" in message:
        return f"{error.option_name} needs a value; {see}"
    if extra := re.search(r"unexpected extra argument[^ ]* \((.*)\)", message, re.DOTALL):
        return f"more words than the command takes: '{one_line(extra[1], 60)}'; {see}"
    return f"{message[:1].lower()}{message[1:]}; {see}"


def _no_option(given: str, context: Any, see: str) -> str:
    """A short option is near to every other one; of these none is offered."""
    options = context.command.get_params(context) if context else []
    known = [name for option in options for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
    meant = nearest(given, known, see) if given.startswith("--") else see
    return f"no option '{one_line(given, 40)}'; {meant}"


def _name(error: Any) -> str:
    """Of the parameter that an error is about: an option as it is written, an argument as the help calls it."""
    parameter = error.param
    names = [*(getattr(parameter, "opts", ()) or ())]
    flags = [name for name in names if name.startswith("-")]
    return flags[0] if flags else str(getattr(parameter, "metavar", None) or "a value")


def _wrong_value(error: Any) -> tuple[str, str] | None:
    """What kind of value was wanted and what came, where a value is of another kind."""
    from tuirnn.settings.section import KINDS

    cause, kinds = error.__cause__, {"int": int, "integer": int, "float": float, "bool": bool, "boolean": bool}
    if hasattr(cause, "errors"):  # Typer's own conversion
        first = cause.errors()[0]
        kind, value = str(first["type"]).partition("_")[0], str(first["input"])
    elif found := re.fullmatch(r"'(.*)' is not a valid (\w+)\.?", getattr(error, "message", ""), re.DOTALL):
        value, kind = found[1], found[2]
    else:
        return None
    return (KINDS[kinds[kind]], value) if kind in kinds else None
