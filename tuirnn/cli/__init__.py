"""The command line: the command that is asked for is imported, and imports what it needs when it runs."""

import codecs
import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

import typer
from typer.main import get_group

from tuirnn.cli import conventions
from tuirnn.cli.dashboard import dashboard
from tuirnn.cli.importing import LIBRARIES, lacking
from tuirnn.cli.parsing import App, Group, explain, tidied
from tuirnn.errors import TuirnnError, one_line
from tuirnn.machine import share_cores
from tuirnn.shortage import shortage

MODULES = {
    "demo": "demo", "train": "train", "recipes": "train", "sweep": "sweep", "export": "export", "generate": "generate",
    "import": "imports", "eval": "evaluate", "inspect": "evaluate", "resign": "signing", "predict": "predict",
    "novelty": "novelty",
    "compare": "compare", "examples": "examples", "serve": "serve", "cells": "definitions", "verify": "verify",
    "doctor": "verify", "runs": "runs", "data": "data", "config": "preferences", "bench": "bench",
}  # fmt: skip
"""Command -> the module of this package that registers it; in the order of the help."""


class Commands(Group):
    """All of them; the module of a command is imported when the command is asked for."""

    others: Mapping[str, tuple[str, ...]] = {"ls": ("runs", "ls"), "list": ("runs", "ls")}

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """What Typer prints, and what a script may count on."""
        super().format_help(ctx, formatter)
        print(conventions.plain(), end="\n\n")

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; None where there is none."""
        if cmd_name in MODULES and cmd_name not in self.commands:
            registered = App(rich_markup_mode="rich")
            importlib.import_module(f"tuirnn.cli.{MODULES[cmd_name]}").register(registered)
            registered.keep_only(cmd_name)
            self.commands.update(get_group(registered).commands)
        return self.commands.get(cmd_name)


app = App(
    name="tuirnn",
    cls=Commands,
    no_args_is_help=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A laboratory for recurrent networks in the terminal. Without a command: the dashboard.",
)
app.callback(invoke_without_command=True)(dashboard)

OTHER_ADVICE = "end other programs, raise the limit, or use a machine with more memory"
ADVICE = {
    "train": "lower --batch-size, --seq-len or --hidden, or try --memory recompute or a larger --accumulate",
    "generate": "lower --samples or --length",
    "predict": "lower --horizon, or give fewer lines at a time",
    "eval": "measure on a shorter --text, or use a machine with more memory",
    "bench": "choose smaller shapes",
}
"""What to do where memory is short, by command."""

REPLACED = "tuirnn.replaced"
"""Name of the handler of characters that standard output cannot show."""

_SAID: set[str] = set()

_CLICK_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
"""What the option parser raises; typer brings its parser along under changing names."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 our fault, 2 yours to fix, 130 interrupted."""
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started us
        nowhere = open(os.devnull, "w")  # noqa: SIM115 (open as long as the process)
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    codecs.register_error(REPLACED, _replaced)
    for stream, errors in ((sys.stdout, REPLACED), (sys.stderr, "replace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
    share_cores()
    from tuirnn.cells import BROKEN

    for name, why in BROKEN.items():
        _complain(f"tuirnn/cells/{name}.py is left out: {why}", 2)
    leave(_run())


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that the output's encoding lacks; the first time, it is said."""
    assert isinstance(error, UnicodeEncodeError)
    if not error.encoding.startswith("utf") and error.encoding not in _SAID:
        _SAID.add(error.encoding)
        encoding = sys.stdout.encoding if error.encoding == "charmap" else error.encoding  # Python's name for many
        _complain(
            f"the output is {encoding}, and each character that it lacks is written as '?'; set PYTHONUTF8=1, or "
            "a locale such as LANG=C.UTF-8, for all of them", 0,
        )  # fmt: skip
    return "?" * (error.end - error.start), error.end


def leave(code: int) -> NoReturn:
    """End the process; at once where a library is loaded that takes long to be torn down: PyTorch a second or more,
    ONNX Runtime a quarter of the time in which a short text is written.

    Whoever asked a training to leave counts these seconds, and everything that matters is on the disk by now.
    """
    if not sys.modules.keys() & {"torch", "onnxruntime"}:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _run() -> int:
    try:
        code = app(args=tidied(sys.argv[1:]), prog_name="tuirnn", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except TuirnnError as error:
        return _complain(str(error), error.exit_code)
    except _CLICK_ERROR as error:
        message = explain(error)
        return _complain(message, 2) if message else 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except typer.Exit as done:
        return done.exit_code
    except BrokenPipeError:  # the reader of our output has gone, which is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return _complain(f"cannot write the output: {error.strerror}", 2)
        if isinstance(error, ModuleNotFoundError) and error.name in LIBRARIES:
            return _complain(lacking(error.name), 2)
        if short := shortage(error):
            return _complain(f"{short}; {ADVICE.get(sys.argv[1] if sys.argv[1:] else '', OTHER_ADVICE)}", 2)
        return _ours(error)


def _ours(error: Exception) -> int:
    if os.environ.get("TUIRNN_DEBUG"):
        traceback.print_exc()
    what = f"{type(error).__name__}: {error}"
    return _complain(f"internal error, please report it: {what} (TUIRNN_DEBUG=1 shows where)", 1)


def _complain(message: str, code: int) -> int:
    print(f"tuirnn: {one_line(message, 1000)}", file=sys.stderr)
    return code
