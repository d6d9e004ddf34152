"""Where a text of a language model begins: from zeros after the opening token, or after a prime that the file keeps."""

from dataclasses import dataclass

from tuirnn.cellfile.vectors import is_point
from tuirnn.errors import CellFileError
from tuirnn.files import parse_json

MAX_PRIME = 100_000
"""Characters of a prime."""

State = dict[str, list[list[float]]]
"""Name of a state's input -> its rows, [layers, hidden]; the same for every sequence of a batch."""


@dataclass(frozen=True)
class Primed:
    """A prime that has been read, but for its last token.

    Attributes:
        text: the prime.
        token: its last token: passing it in gives the scores of what follows the prime.
        state: before that token.
    """

    text: str
    token: int
    state: State


def read_primed(values: dict[str, str], names: list[str], shape: tuple[int, int], vocab: int) -> Primed | None:
    """Read the keys `state_init`, `opening` and `prime`.

    Args:
        values: by their keys; a file may lack the last two.
        names: of the state's inputs.
        shape: layers, hidden.
        vocab: number of tokens.
    Returns:
        The prime; None where the state begins with zeros.
    Raises:
        CellFileError: they are damaged.
    """
    state_init, token, text = values["state_init"], values.get("opening"), values.get("prime")
    known = token is None or (token.isascii() and token.isdecimal() and len(token) < 9 and int(token) < vocab)
    if not known:
        raise CellFileError("its opening is not one of its tokens")
    if state_init == "zeros":
        return None
    value = parse_json(state_init.encode(), "state_init", CellFileError)
    layers, hidden = shape
    fits = isinstance(value, dict) and list(value) == names and all(
        isinstance(rows, list) and len(rows) == layers and all(is_point(row, hidden) for row in rows)
        for rows in value.values()
    )  # fmt: skip
    if not fits or token is None or text is None or len(text) > MAX_PRIME:
        raise CellFileError("its state_init, opening or prime is damaged")
    state = {name: [[float(number) for number in row] for row in rows] for name, rows in value.items()}
    return Primed(text, int(token), state)
