"""Errors a person reads: what was expected, what came, what to do next.

The command line prints one line of a `TuirnnError` on stderr and exits with its `exit_code`;
anything else that escapes is a defect of ours.
"""

import difflib
from collections.abc import Iterable


class TuirnnError(Exception):
    """An error with one clear line for its reader; `exit_code` 2: theirs to fix, 1: ours."""

    exit_code = 2


class ConfigError(TuirnnError):
    """A setting that no run can have."""


class DataError(TuirnnError):
    """Training or evaluation data that cannot be used as it is."""


class RunError(TuirnnError):
    """A run directory that is missing, damaged, locked or already there."""


class CellFileError(TuirnnError):
    """An ONNX file that is not a trustworthy tuirnn cell."""


class DivergedError(TuirnnError):
    """Training reached a loss or gradient that is not finite."""


class LostError(RunError):
    """A process of a training that several share has ended before its time."""


class VerificationError(TuirnnError):
    """Something of ours disagrees with its independent reference."""

    exit_code = 1


def nearest(given: str, known: Iterable[str]) -> str:
    """The names in `known` closest to `given`, as the end of an error message.

    Returns "did you mean 'lstm'?" where something is close, else "known: a, b, c".
    """
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{name}'" for name in close) + "?"
    return "known: " + ", ".join(names) if names else "there are none yet"


def one_line(text: object, limit: int = 400) -> str:
    """`text` as one printable line: control characters and escapes shown, never sent raw."""
    shown = "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
