"""A list of lines in no order."""

import codecs

import numpy as np

from tuirnn.errors import DataError


def shuffled_lines(data: bytes, seed: int) -> bytes:
    """The different lines of a list in random order, a newline before each and after the last.

    Raises:
        DataError: fewer than two lines.
    """
    stripped = (line.strip() for line in data.removeprefix(codecs.BOM_UTF8).splitlines())
    lines = list(dict.fromkeys(line for line in stripped if line))
    if len(lines) < 2:
        raise DataError(f"--lines needs a list with one item per line; this text has {len(lines)} different lines")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(lines))
    return b"\n" + b"\n".join(lines[i] for i in order) + b"\n"
