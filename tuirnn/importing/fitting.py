"""Whether an imported model fits the text it is said to have learned, measured; and if not, which reading of it does.

A model whose symbols, activation or gates are read in another order than they were trained in computes something, and
no shape tells it. Its loss on its own text does: it is above that of the symbols' frequencies alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from tuirnn.cells import CELLS
from tuirnn.codegen.trace import traced
from tuirnn.errors import DataError
from tuirnn.export.reference import step, zero_state
from tuirnn.export.weights import weights_of
from tuirnn.importing import numbering
from tuirnn.importing.models import Given, Imported, assemble
from tuirnn.vocab import Ids

LENGTH = 256
"""Tokens of a sequence from the zero state, as in the blocks protocol."""

MULTIPLICATIONS = 2e10
"""Of a measurement, which decides its number of sequences."""

MOST_LANES = 32

CLEARLY = 0.1
"""Nats by which another reading must be better to be the right one."""

MOST_GATES = 4
"""Gates whose orders are tried."""


@dataclass(frozen=True)
class Fit:
    """A measurement.

    Attributes:
        nats: mean loss per token.
        tokens: that it is a mean over.
        uniform: the loss of equal probabilities, ln V.
        unigram: the loss of the symbols' frequencies in the measured text.
    """

    nats: float
    tokens: int
    uniform: float
    unigram: float

    @property
    def bits(self) -> float:
        """The loss in bits per token."""
        return self.nats / math.log(2)


def measure(imported: Imported, ids: Ids, lanes: int = MOST_LANES, length: int = LENGTH) -> Fit:
    """Measure a model on the beginning of a text, in independent sequences from the zero state.

    Args:
        imported: the model.
        ids: tokens [n] of its vocabulary, at least 2.
        lanes, length: most sequences, and most tokens of each.
    """
    length = min(length, len(ids) - 1)
    size = sum(tensor.size for tensor in imported.tensors.values())
    B = max(1, min(lanes, (len(ids) - 1) // length, int(MULTIPLICATIONS / (length * size))))
    windows = ids[(np.arange(B) * length)[None, :] + np.arange(length + 1)[:, None]]  # [T + 1, B]
    config = imported.config
    weights = weights_of(
        {name: tensor.astype(np.float64) for name, tensor in imported.tensors.items()}, config, "the model"
    )
    state, total = zero_state(config), 0.0
    with np.errstate(all="ignore"):  # a wrong reading may overflow: its loss is infinite
        for now, after in pairwise(windows):
            logits, state = step(config, weights, now, state)  # [B, V]
            peak = logits.max(-1, keepdims=True)
            log_sum = peak[:, 0] + np.log(np.exp(logits - peak).sum(-1))
            total += float((log_sum - logits[np.arange(B), after]).sum())
    counted = windows[1:].ravel()
    share = np.bincount(counted) / len(counted)
    share = share[share > 0]
    nats = total / len(counted)
    return Fit(
        nats if math.isfinite(nats) else math.inf,
        len(counted),
        math.log(imported.numbering.tokens),
        float(-(share * np.log(share)).sum()),
    )


def check(given: Given, imported: Imported, text: str) -> Fit:
    """Measure a model on its text, and refuse it where it does not fit.

    Args:
        given: what it was read from.
        imported: the model as it was read.
        text: that it is said to have learned.
    Raises:
        DataError: it does not fit; the message says which reading does, or the usual causes.
    """
    ids = imported.vocab.encode(text)
    if len(ids) < 2:
        raise DataError("the text has fewer than two tokens; the model cannot be measured on it")
    fit = measure(imported, ids)
    best, reading = fit.nats, None
    for other in _readings(given, imported, text, everything=fit.nats > fit.unigram):
        candidate = assemble(other)
        tried = measure(candidate, candidate.vocab.encode(text), lanes=8)
        if tried.nats < best - CLEARLY and tried.nats < tried.unigram:
            best, reading = tried.nats, other
    if reading is not None:
        raise DataError(
            f"{given.where} has {fit.nats:.2f} nats per token on this text, but {best:.2f} with {reading.told}: import "
            f"it with {reading.advice}"
        )
    if fit.nats > fit.uniform:
        raise DataError(
            f"{given.where} has {fit.nats:.2f} nats per token on this text, more than the {fit.uniform:.2f} of equal "
            "probabilities: it is read otherwise than it was trained. Usual causes: another order of symbols (give its "
            "own with --vocab FILE.json), a token such as <pad> before them, another activation or order of gates, "
            "another text (without --text it is not measured)"
        )
    return fit


def _readings(given: Given, imported: Imported, text: str, *, everything: bool) -> Iterator[Given]:
    """Other readings of the same tensors: of cells with their shapes; with `everything`, of symbols and gates too."""
    numberings = [given.numbering]
    if everything and imported.vocab.kind == "char":
        numberings += [
            found
            for found in numbering.possible(text, imported.numbering.tokens, given.where)
            if found.order != imported.numbering.order or found.vocab != imported.vocab
        ]
    cell = imported.config.recurrent
    for name in dict.fromkeys((cell.name, *(other for other in CELLS if _alike(cell.name, other)))):
        for numbered in numberings:
            if name != cell.name or numbered is not given.numbering:
                yield given.read_as(cell=name, numbering=numbered)
    if everything and 1 < len(cell.gates) <= MOST_GATES:
        for gates in permutations(cell.gates):
            if gates != cell.gates:
                yield given.read_as(cell=cell.name, gates=gates)


def _alike(name: str, other: str) -> bool:
    """Whether two cells have the same gates and tensors."""
    one, two = traced(CELLS[name]), traced(CELLS[other])
    return (one.gates, one.recurrent, one.cell.vectors) == (two.gates, two.recurrent, two.cell.vectors)
