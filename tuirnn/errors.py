"""Errors a person reads: what was expected, what came, what to do next.

The command line prints one line of a `TuirnnError` on stderr and exits with its `exit_code`;
anything else that escapes is a defect of ours.
"""

from collections.abc import Iterable


class TuirnnError(Exception):
    """An error with one clear line for its reader; `exit_code` 2: theirs to fix, 1: ours."""

    exit_code = 2


class ConfigError(TuirnnError):
    """A setting that no run can have."""


class CellError(TuirnnError, ValueError):
    """A cell's definition that contradicts itself, or asks for what the language lacks."""


class DataError(TuirnnError):
    """Training or evaluation data that cannot be used as it is."""


class RunError(TuirnnError):
    """A run directory that is missing, damaged, locked or already there."""


class CellFileError(TuirnnError):
    """An ONNX file that is not a trustworthy tuirnn cell."""


class OutOfMemoryError(TuirnnError):
    """Memory that was needed and could not be had."""


class DivergedError(TuirnnError):
    """Training reached a loss or gradient that is not finite."""


class LostError(RunError):
    """A process of a training that several share has ended before its time."""


class VerificationError(TuirnnError):
    """Something of ours disagrees with its independent reference."""

    exit_code = 1


LIKE, AS_NEAR = 0.5, 0.1
"""How much two names must have in common to be taken for one another, and how much less than the best is still told."""


FEW = 3
"""Words of a choice that are told whole: 'gpu' is near to 'cpu', and means 'cuda'."""


def nearest(given: str, known: Iterable[str], otherwise: str = "") -> str:
    """The names in `known` closest to `given`, in any case, as the end of an error message.

    Returns "did you mean 'lstm'?" where something is close, else `otherwise`, else "known: a, b, c".
    """
    import difflib  # only a name that is not known needs it

    names, word = sorted(known), given[:100].casefold()
    likeness = {name: difflib.SequenceMatcher(None, name.casefold(), word).ratio() for name in names}
    enough = max(LIKE, max(likeness.values(), default=0.0) - AS_NEAR)
    close = sorted((name for name in names if likeness[name] >= enough), key=lambda name: -likeness[name])[:3]
    if close:
        return "did you mean " + " or ".join(f"'{name}'" for name in close) + "?"
    return otherwise or ("known: " + ", ".join(names) if names else "there are none yet")


def chosen(what: str, given: str, known: Iterable[str]) -> str:
    """The one of the lower-case words `known` that `given` is, in any case.

    Args:
        what: is chosen, such as '--cell', for the error.
        given: a person's word.
        known: the words there are.
    Raises:
        ConfigError: it is none of them; the message offers the nearest, or the few there are.
    """
    words = list(known)
    if given.lower() not in words:
        meant = nearest("" if len(words) <= FEW else given, words)
        raise ConfigError(f"{what} '{one_line(given, 60)}' is unknown; {meant}")
    return given.lower()


def one_line(text: object, limit: int = 400) -> str:
    """`text` as one printable line: control characters and escapes shown, never sent raw."""
    text = str(text)
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
