"""The command line. Each command imports what it needs when it runs, so that `--help` is instant."""

import contextlib
import errno
import os
import sys
import traceback
from typing import NoReturn

import typer

from tuirnn.cli import (
    bench,
    cells,
    compare,
    data,
    definitions,
    demo,
    novelty,
    predict,
    proof,
    runs,
    serve,
    sweep,
    train,
)
from tuirnn.cli.dashboard import dashboard
from tuirnn.errors import TuirnnError, one_line

app = typer.Typer(
    name="tuirnn",
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A laboratory for recurrent networks in the terminal. Without a command: the dashboard.",
)
app.callback(invoke_without_command=True)(dashboard)
for group in (demo, train, sweep, cells, predict, novelty, runs, compare, serve, data, definitions, proof, bench):
    group.register(app)

_CLICK_ERROR: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
"""What the option parser raises; typer brings its parser along under changing names."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 our fault, 2 yours to fix, 130 interrupted."""
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started us
        nowhere = open(os.devnull, "w")  # noqa: SIM115 (open as long as the process)
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    share_cores()
    leave(_run())


def leave(code: int) -> NoReturn:
    """End the process; at once where PyTorch is loaded, whose modules take a second or more to be torn down.

    Whoever asked a training to leave counts these seconds, and everything that matters is on the disk by now.
    """
    if "torch" not in sys.modules:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def share_cores() -> None:
    """Let waiting threads spin only briefly, unless the environment says otherwise; read when torch is loaded.

    By default they spin for milliseconds, which on a machine that is busy with anything else (a browser, this
    program's own dashboard) makes a training many times slower; see docs/results.md.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def _run() -> int:
    try:
        code = app(args=_named_run(sys.argv[1:]), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except TuirnnError as error:
        return _complain(str(error), error.exit_code)
    except _CLICK_ERROR as error:
        message: str = error.format_message()  # type: ignore[attr-defined]
        if not message:  # the help has been printed instead
            return 2
        return _complain(f"{message.rstrip('.?')}; see 'tuirnn {_command()}--help'", 2)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except typer.Exit as done:
        return done.exit_code
    except BrokenPipeError:  # the reader of our output has gone, which is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _complain(f"cannot write the output: {error.strerror}", 2)
        return _ours(error)
    except Exception as error:
        return _ours(error)


def _named_run(words: list[str]) -> list[str]:
    """`--screenshot FILE RUN` as the parser wants it: a word of its own would be taken for a command."""
    at = words.index("--screenshot") + 2 if "--screenshot" in words else len(words)
    return [*words[:at], "--run", *words[at:]] if at < len(words) and not words[at].startswith("-") else words


def _ours(error: Exception) -> int:
    if os.environ.get("TUIRNN_DEBUG"):
        traceback.print_exc()
    what = f"{type(error).__name__}: {error}"
    return _complain(f"internal error, please report it: {what} (TUIRNN_DEBUG=1 shows where)", 1)


def _complain(message: str, code: int) -> int:
    print(f"tuirnn: {one_line(message, 1000)}", file=sys.stderr)
    return code


def _command() -> str:
    known = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    return "".join(f"{word} " for word in sys.argv[1:2] if word in known)
