"""The baseline of a classifier: multinomial logistic regression on the n-grams of a sequence, in NumPy.

Each sequence becomes its n-grams, weighted as in information retrieval: (1 + ln count) · (1 + ln(sequences / sequences
with it)), of length 1 together. The regression is fitted by accelerated gradient descent (Nesterov 1983) from zero
weights, for as many steps as are best for the validation sequences, as a network's checkpoint is chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuirnn.tasks.classify.data import Examples, LabelledData
from tuirnn.tasks.probabilities import Probabilities, softmax
from tuirnn.tasks.task import KINDS
from tuirnn.vocab import Ids

ORDERS = {"word": 2}
LONGEST = 4
"""Length of the longest n-gram, by kind of token; `LONGEST` of others."""

MOST_WORK = 8_000_000
"""Multiplications in a product: the sample of the sequences that is fitted has no more, so that it takes seconds."""

MOST_SYMBOLS, MOST_JUDGED = 1_000_000, 5_000
"""Symbols of that sample, and held-out sequences that are judged."""

STEPS, CHECKED = 200, 10
"""Steps of the descent, and every how many of them the validation sequences are looked at."""

POWERS, MARGIN = 8, 1.2
"""Steps of the power iteration that finds the largest curvature, and by how much it may be too low."""

FACTOR = np.uint64(0x9E3779B97F4A7C15)

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Sparse:
    """A matrix [n, columns] by its entries, sorted by row."""

    rows: Ids
    columns: Ids
    values: Floats
    n: int

    def times(self, dense: Floats) -> Floats:
        """The product with a matrix [columns, C]: [n, C]."""
        total = np.zeros((self.n, dense.shape[1]), np.float32)
        if len(self.rows):
            starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
            total[self.rows[starts]] = np.add.reduceat(self.values[:, None] * dense[self.columns], starts)
        return total

    def transposed(self, columns: int) -> "Sparse":
        """The matrix [columns, n]."""
        order = np.argsort(self.columns, kind="stable")
        return Sparse(self.columns[order], self.rows[order], self.values[order], columns)


def ngrams(sequences: Sequence[Ids], longest: int) -> tuple[Ids, Hashes, Ids]:
    """The n-grams of sequences up to a length; begin and end of a sequence are symbols too.

    Returns:
        number of the sequence, hash of the n-gram, and how often it occurs there; sorted in this order.
    """
    flat = np.concatenate([np.concatenate(([-1], ids, [-1])) for ids in sequences] or [np.empty(0, np.int64)])
    flat = (flat + 2).astype(np.uint64)  # an end is 1
    of = np.repeat(np.arange(len(sequences)), [len(ids) + 2 for ids in sequences])
    inside, code = flat != 1, flat
    rows, hashes = [of[inside]], [flat[inside]]
    for n in range(2, longest + 1):
        code = code[:-1] * FACTOR + flat[n - 1 :]  # modulo 2**64
        whole = of[: len(code)] == of[n - 1 :]
        rows.append(of[: len(code)][whole])
        hashes.append(code[whole])
    row, found = np.concatenate(rows), np.concatenate(hashes)
    order = np.lexsort((found, row))
    row, found = row[order], found[order]
    new = np.ones(len(row), bool)
    new[1:] = (row[1:] != row[:-1]) | (found[1:] != found[:-1])
    first = np.flatnonzero(new)
    return row[first], found[first], np.diff(np.append(first, len(row)))


@dataclass(frozen=True)
class Baseline:
    """How much of some sequences the n-grams tell.

    Attributes:
        accuracy: of the regression.
        majority: of always answering the commonest class of the training sequences.
        told: both in a line, with what was fitted.
    """

    accuracy: float
    majority: float
    told: str


class NGrams:
    """A regression fitted to the training sequences, or to a sample of them.

    Args:
        data: labelled sequences.
        check: called between two pieces of work; it may raise to cut it short.

    Attributes:
        longest: length of the longest n-gram.
        sampled, of: how many training sequences were fitted, and how many there are.
        majority: the commonest class of the training sequences.
    """

    def __init__(self, data: LabelledData, check: Callable[[], None] = lambda: None) -> None:
        self._symbols = KINDS.get(data.vocab.kind, "tokens")
        self.longest = ORDERS.get(data.vocab.kind, LONGEST)
        self.majority = int(np.bincount(data.train.labels).argmax())
        self._most = most = min(MOST_SYMBOLS, MOST_WORK // (self.longest * data.outputs))
        chosen, held = _sample(data.train, most), _sample(data.val, most)[:MOST_JUDGED]
        self.sampled, self.of = len(chosen), len(data.train)
        rows, found, counts = ngrams([data.train.ids[i] for i in chosen], self.longest)
        self._known, spread = np.unique(found, return_counts=True)
        self._rarity = (1 + np.log(len(chosen) / spread)).astype(np.float32)
        self._weights = np.zeros((len(self._known), data.outputs), np.float32)
        self._bias = np.log(np.bincount(data.train.labels, minlength=data.outputs) / len(data.train)).astype(np.float32)
        x = self._weighted(rows, found, counts, len(chosen))
        labels = np.zeros((len(chosen), data.outputs), np.float32)
        labels[np.arange(len(chosen)), data.train.labels[chosen]] = 1
        self._fit(x, labels, self._read([data.val.ids[i] for i in held]), data.val.labels[held], check)

    def probabilities(self, sequences: Sequence[Ids]) -> Probabilities:
        """Of each class [n, C]."""
        size = max(1, self._most // max(1, *map(len, sequences)))
        pieces = [self._read(sequences[at : at + size]) for at in range(0, len(sequences), size)]
        return softmax(np.concatenate([x.times(self._weights) + self._bias for x in pieces]))

    def judge(self, examples: Examples) -> Baseline:
        """How many sequences are answered rightly, of a part of very many."""
        whole, examples = len(examples), examples.spread(MOST_JUDGED)
        right = float((self.probabilities(examples.ids).argmax(1) == examples.labels).mean())
        common = float((examples.labels == self.majority).mean())
        sample = f", fitted to {self.sampled:,} of {self.of:,} sequences" if self.sampled < self.of else ""
        sample += f", judged by {len(examples):,} of {whole:,}" if len(examples) < whole else ""
        what = f"logistic regression on n-grams of up to {self.longest} {self._symbols}{sample}"
        return Baseline(right, common, f"{what}: accuracy {right:.2%}; the commonest class: {common:.2%}")

    def _read(self, sequences: Sequence[Ids]) -> Sparse:
        return self._weighted(*ngrams(sequences, self.longest), len(sequences))

    def _weighted(self, rows: Ids, found: Hashes, counts: Ids, n: int) -> Sparse:
        """The weights of those n-grams that are known, each row of length 1 [n, known]."""
        at = np.minimum(np.searchsorted(self._known, found), len(self._known) - 1)
        known = self._known[at] == found
        rows, at = rows[known], at[known]
        values = (1 + np.log(counts[known])) * self._rarity[at]
        length = np.sqrt(np.bincount(rows, values**2, n))
        return Sparse(rows, at, (values / length[rows]).astype(np.float32), n)

    def _fit(self, x: Sparse, labels: Floats, held: Sparse, held_labels: Ids, check: Callable[[], None]) -> None:
        """Descend, and keep the weights that are best for the held-out sequences."""
        back = x.transposed(len(self._known))
        rate = x.n / (MARGIN * _curvature(x, back))
        weights = ahead = self._weights
        best = np.inf
        for step in range(1, STEPS + 1):
            check()
            error = softmax(x.times(ahead) + self._bias).astype(np.float32) - labels
            last, weights = weights, ahead - rate * back.times(error / np.float32(x.n))
            ahead = weights + (step - 1) / (step + 2) * (weights - last)
            if step % CHECKED == 0:
                p = softmax(held.times(weights) + self._bias)[np.arange(held.n), held_labels]
                nats = float(-np.log(np.maximum(p, 1e-300)).mean())
                if nats >= best:
                    return
                best, self._weights = nats, weights


def _curvature(x: Sparse, back: Sparse) -> float:
    """The largest curvature of the summed loss, at most half the largest eigenvalue of xᵀx (Böhning 1992)."""
    v = np.ones((back.n, 1), np.float32)
    for _ in range(POWERS):
        v /= np.linalg.norm(v)
        v = back.times(x.times(v))
    return float(np.linalg.norm(v)) / 2


def _sample(examples: Examples, symbols: int) -> Ids:
    """Places of sequences, drawn at random until they have so many symbols; at least one."""
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(examples))
    ends = np.cumsum([len(examples.ids[i]) + 2 for i in order])
    return order[: max(1, int(np.searchsorted(ends, symbols, side="right")))]
