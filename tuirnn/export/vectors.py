"""The test vectors that an exported cell brings along, and the independent answers in them.

In float32 the answers are those of the float64 reference, else those of ONNX's own evaluator on the graph, which holds
the rounded weights.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuirnn.cellfile.start import Primed, State
from tuirnn.cellfile.vectors import Fed, TestText, TestVector
from tuirnn.export import reference
from tuirnn.export.graph import build
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.export.weights import Array
from tuirnn.scaling import Scaling
from tuirnn.vocab import UNKNOWN, Vocabulary, opening

TEST_TOKENS = 16
TEST_LOGITS = 256

TOLERANCE = {"fp32": 1e-4, "fp16": 1e-4, "int8": 0.1, "int4": 0.1}
"""Of the test vectors, by precision: a product in 8 bits that rounds to the other side moves a logit by hundredths."""

MARGIN = {"fp32": 0.005, "fp16": 0.005, "int8": 0.2, "int4": 0.2}
"""By which a token of the test text must be likelier than the next, in logits, so that every host takes it."""

LONGEST_LANE = 256
WEIGHINGS = 4 * 10**8
"""Multiplications that the two lanes may take; larger networks have shorter ones."""

TEXT_LENGTH = 50


def test_vector(network: Network, options: CellOptions) -> TestVector:
    """Tokens spread over the vocabulary, or points that swing about the mean, and what comes out after them."""
    count = _whole(TEST_TOKENS, options)
    spread = ((7 * i + 1) % len(network.vocab) for i in range(count))
    inputs = points(network.scaling, count, 0) if network.scaling else tuple(spread)
    return _answered(network, options, [inputs], trace=False)[0]


def test_lanes(network: Network, options: CellOptions) -> tuple[TestVector, ...]:
    """Two sequences that differ everywhere and between them read every token of a vocabulary of up to 512."""
    weights = sum(layer.weight_ih.size + layer.weight_hh.size for layer in network.weights.layers)
    wanted = 2 * TEST_TOKENS if network.scaling else max(TEST_TOKENS, -(-len(network.vocab) // 2))
    count = _whole(min(wanted, LONGEST_LANE, max(TEST_TOKENS, WEIGHINGS // (2 * weights))), options)
    if network.scaling:
        return _answered(network, options, [points(network.scaling, count, lane) for lane in range(2)], trace=False)
    order = np.random.default_rng(0).permutation(len(network.vocab))
    tokens = [int(token) for token in np.resize(order, 2 * count)]
    return _answered(network, options, [tuple(tokens[:count]), tuple(tokens[count:])], trace=True)


def test_text(network: Network, options: CellOptions, primed: Primed | None) -> TestText | None:
    """What follows a prime; None where not even the first token is certain, and of other networks.

    Args:
        network: that writes.
        options: of the file.
        primed: what has been read before; its text follows at once.
    """
    if not network.task.writes:
        return None
    vocab, oracle = network.vocab, _oracle(network, options.precision, 1)
    prime = "" if primed else _prime(vocab)  # what is read between would make a wrong state forgotten
    if primed:
        oracle.restore(primed.state)
    logits = oracle.step([primed.token if primed else opening(vocab)])[0]
    for token in vocab.encode(prime).tolist():
        logits = oracle.step([token])[0]
    tokens: list[int] = []
    while len(tokens) < TEXT_LENGTH:
        if vocab.unk is not None:
            logits[vocab.unk] = -np.inf
        second, best = np.argsort(logits)[-2:].tolist()
        if not logits[best] - logits[second] >= MARGIN[options.precision]:
            break
        tokens.append(best)
        logits = oracle.step([best])[0]
    while vocab.of_bytes and UNKNOWN in vocab.decode(tokens):
        tokens.pop()  # whole characters alone
    return TestText(prime, vocab.decode(tokens), len(tokens)) if tokens else None


def _prime(vocab: Vocabulary) -> str:
    """Symbols from all over the vocabulary and one that is not in it; words with no space between them."""
    if vocab.of_bytes:
        return "A é—"
    spread = [vocab.symbols[i * len(vocab.symbols) // 5] for i in range(5)] if vocab.symbols else []
    return f"{UNKNOWN}{'—'.join(spread)} " if vocab.kind == "word" else UNKNOWN + "".join(spread)


def _whole(count: int, options: CellOptions) -> int:
    """At least so many steps, in whole calls."""
    return -(-count // options.steps) * options.steps


def _answered(
    network: Network, options: CellOptions, lanes: Sequence[Sequence[Fed]], *, trace: bool
) -> tuple[TestVector, ...]:
    oracle = _oracle(network, options.precision, len(lanes))
    seen = [oracle.step(fed) for fed in zip(*lanes, strict=True)]  # [B, ·] each

    def shown(values: Any) -> tuple[float, ...]:
        return tuple(float(f"{x:.7g}") for x in values)

    most = None if network.scaling else TEST_LOGITS
    return tuple(
        TestVector(
            tuple(lane),
            shown(seen[-1][i][:most]),
            TOLERANCE[options.precision],
            shown([outputs[i].max() for outputs in seen]) if trace else (),
        )
        for i, lane in enumerate(lanes)
    )


def _oracle(network: Network, precision: str, lanes: int) -> "_Float64 | _Evaluated":
    return _Float64(network, lanes) if precision == "fp32" else _Evaluated(network, precision, lanes)


class _Float64:
    """The reference, lane by lane."""

    def __init__(self, network: Network, lanes: int) -> None:
        self._network = network
        self._states = [reference.zero_state(network.config) for _ in range(lanes)]
        self._before: Sequence[Fed] = ()

    def restore(self, state: State) -> None:
        """Go to a state."""
        rows = [np.array(part) for part in state.values()]  # [L, H] each
        self._states = [[tuple(part[i] for part in rows) for i in range(len(rows[0]))] for _ in self._states]

    def step(self, fed: Sequence[Fed]) -> Array:
        """Feed one token or point to each lane; returns the outputs [B, ·]."""
        network, rows = self._network, []
        for i, one in enumerate(fed):
            scaling = network.scaling
            before = np.array(self._before[i] if self._before else one)
            x = one if isinstance(one, int) else scaling.fed(np.array(one), before) if scaling else np.array(one)
            outputs, self._states[i] = reference.step(network.config, network.weights, x, self._states[i])
            rows.append(scaling.answered(outputs, np.array(one)) if scaling else outputs)
        self._before = fed
        return np.array(rows)


class _Evaluated:
    """ONNX's reference evaluator on the plain cell of a precision."""

    def __init__(self, network: Network, precision: str, lanes: int) -> None:
        from onnx.reference import ReferenceEvaluator

        metadata, options = network.metadata, CellOptions(precision=precision)
        self._evaluator = ReferenceEvaluator(build(network.config, network.weights, metadata, options))
        self._read, self._out = metadata.names
        self._state_map = metadata.state_map
        self._dtype = np.float32 if network.scaling else np.int64
        sizes = {name: tuple(map(int, shape)) for name, (_, shape) in metadata.interface(lanes)[0].items()}
        self._state = {name: np.zeros(sizes[name], np.float32) for name in self._state_map.values()}

    def restore(self, state: State) -> None:
        """Go to a state."""
        for name, rows in state.items():
            self._state[name] = self._state[name] * 0 + np.array(rows, np.float32)[:, None]

    def step(self, fed: Sequence[Fed]) -> Array:
        """Feed one token or point to each lane; returns the outputs [B, ·]."""
        feeds = {self._read: np.array(fed, self._dtype), **self._state}
        outputs = dict(zip(self._evaluator.output_names, self._evaluator.run(None, feeds), strict=True))
        self._state = {into: outputs[name] for name, into in self._state_map.items()}
        return np.array(outputs[self._out], np.float64)


def points(scaling: Scaling, count: int, lane: int) -> tuple[tuple[float, ...], ...]:
    """Points that swing about the mean, in the data's units, different ones for each lane."""
    swings = np.sin(0.7 * np.arange(count)[:, None] + np.arange(len(scaling)) + 2 * lane)
    times = 3600.0 * (1 + np.arange(count) + 100 * lane)
    calendar = scaling.calendar(times) if scaling.periods else np.empty((count, 0))
    points = np.concatenate([scaling.restore(swings), calendar], 1)
    return tuple(tuple(point) for point in points.astype(np.float32).tolist())
