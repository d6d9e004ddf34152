"""A network as C99 source without dependencies: the sources in `c/`, and its sizes and weights as tables."""

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from tuirnn.cellfile.contract import TestVector
from tuirnn.errors import CellFileError, one_line
from tuirnn.export.graph import input_bias, input_table
from tuirnn.export.network import Network
from tuirnn.export.weights import Array
from tuirnn.files import atomic_write
from tuirnn.runtime.generate import opening
from tuirnn.vocab import UNKNOWN

SOURCES = ("cell.h", "cell.c", "example.c", "Makefile")
KINDS = ("rnn_tanh", "rnn_relu", "lstm_", "gru_after", "gru_before")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
WIDE, NARROW = 64, 16
"""Columns of a panel, see cell.c."""

TOLERANCE = 1e-4


def write_c(network: Network, test: TestVector, folder: Path) -> list[Path]:
    """Write the sources of a network into a folder.

    Args:
        network: what to write.
        test: goes into the build, for `cell_verify`.
        folder: made where it is missing.
    Returns:
        The files.
    Raises:
        CellFileError: the folder cannot be written.
    """
    here = resources.files("tuirnn.export").joinpath("c")
    texts = {name: here.joinpath(name).read_text("utf-8") for name in SOURCES}
    texts["cell_sizes.h"] = _sizes(network)
    declared, defined = zip(*_tables(network, test), strict=True)
    texts["cell_weights.h"] = _HEADER + "".join(line + ";\n" for line in declared if line) + "\n#endif\n"
    texts["cell_weights.c"] = '#include "cell_weights.h"\n\n' + "\n".join(defined)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            atomic_write(folder / name, text.encode("utf-8"), durable=False)
    except OSError as error:
        raise CellFileError(
            f"cannot write {one_line(folder)}: {error.strerror}; choose another place with -o"
        ) from None
    return [folder / name for name in texts]


def _sizes(network: Network) -> str:
    config, vocab = network.config, network.vocab
    kind = f"{config.cell}_{network.variant}"
    values = {
        **{"CELL_" + name.upper().rstrip("_"): number for number, name in enumerate(KINDS)},
        "CELL_KIND": "CELL_" + kind.upper().rstrip("_"),
        "CELL_LAYERS": config.layers,
        "CELL_HIDDEN": config.hidden,
        "CELL_GATES": GATES[config.cell],
        "CELL_PROJECTION": config.projection,
        "CELL_RESIDUAL": int(config.residual),
        "CELL_VOCAB": len(vocab),
        "CELL_UNKNOWN": -1 if vocab.unk is None else vocab.unk,
        "CELL_OPENING": opening(vocab),
        "CELL_BYTES": int(vocab.kind == "byte"),
        "CELL_WORDS": int(vocab.kind == "word"),
    }
    lines = [f"#define {name} {f'({value})' if value == -1 else value}" for name, value in values.items()]
    return "\n".join(["#ifndef CELL_SIZES_H", "#define CELL_SIZES_H", "", *lines, "", "#endif", ""])


_HEADER = """#ifndef CELL_WEIGHTS_H
#define CELL_WEIGHTS_H

#include "cell_sizes.h"

#if defined(__GNUC__)
#define CELL_ALIGNED __attribute__((aligned(64)))
#else
#define CELL_ALIGNED
#endif

typedef struct {
    const float *input, *input_bias, *recurrent, *recurrent_bias, *candidate;
} cell_layer;

"""


def _tables(network: Network, test: TestVector) -> Iterator[tuple[str, str]]:
    """Pairs of a declaration for the header ('' for what only the source needs) and its definition."""
    config, weights, V = network.config, network.weights, len(network.vocab)
    H, rows = config.hidden, GATES[config.cell] * config.hidden
    table = input_table(config.recurrent, weights)
    yield _array("cell_table", f"[CELL_VOCAB][{rows}]", (_floats(row) for row in table), nested=True)
    layers = []
    for i, layer in enumerate(weights.layers):
        used = dict.fromkeys(("input", "input_bias", "recurrent", "recurrent_bias", "candidate"), "0")
        parts: dict[str, Array] = {"recurrent": layer.weight_hh}
        if i:
            parts |= {"input": layer.weight_ih, "input_bias": input_bias(config.recurrent, layer)}
        if config.cell == "gru" and config.reset == "after":
            parts["recurrent_bias"] = layer.bias_hh[2 * H :]
        if config.cell == "gru" and config.reset == "before":
            parts |= {"recurrent": layer.weight_hh[: 2 * H], "candidate": layer.weight_hh[2 * H :]}
        for part, value in parts.items():
            used[part] = f"layer{i}_{part}"
            yield "", _vector(used[part], value, static=True)[1]
        layers.append("{" + ", ".join(used.values()) + "}")
    body = ",\n    ".join(layers)
    yield (
        "extern const cell_layer cell_layers[CELL_LAYERS]",
        f"const cell_layer cell_layers[CELL_LAYERS] = {{\n    {body}\n}};\n",
    )
    if weights.projection:
        yield _vector("cell_projection", weights.projection[0])
        yield _vector("cell_projection_bias", weights.projection[1])
    yield _vector("cell_head", weights.head[0])
    yield _vector("cell_head_bias", weights.head[1])
    if network.vocab.kind != "byte":
        symbols = [symbol.encode("utf-8", "replace") for symbol in (*network.vocab.symbols, UNKNOWN)]
        quoted = ",\n    ".join(map(_quoted, symbols))
        declared = "const char *const cell_symbols[CELL_VOCAB]"
        yield f"extern {declared}", f"{declared} = {{\n    {quoted}\n}};\n"
        declared = "const int cell_symbol_lengths[CELL_VOCAB]"
        yield f"extern {declared}", f"{declared} = {{{', '.join(str(len(symbol)) for symbol in symbols)}}};\n"
    largest = max(1.0, max(map(abs, test.outputs)))
    yield (
        f"#define CELL_TEST_TOKENS {len(test.inputs)}\n#define CELL_TEST_LOGITS {min(V, len(test.outputs))}\n"
        f"#define CELL_TEST_TOLERANCE {TOLERANCE * largest:.6g}f\nextern const int cell_test_tokens[]",
        f"const int cell_test_tokens[] = {{{', '.join(map(str, test.inputs))}}};\n",
    )
    yield _array("cell_test_logits", "[]", [_floats(test.outputs)])


def _vector(name: str, value: Array, *, static: bool = False) -> tuple[str, str]:
    """A bias as it is, or a weight matrix [N, K] in panels."""
    flat = value if value.ndim == 1 else panels(value.T)
    return _array(name, f"[{len(flat)}]", [_floats(flat)], static=static)


def panels(W: Array) -> Array:
    """W [K, N] as cell.c reads it: N padded to 16, cut into panels of 64 columns and then of 16; flat."""
    K, N = W.shape
    padded = np.zeros((K, -(-N // NARROW) * NARROW))
    padded[:, :N] = W
    wide = padded.shape[1] // WIDE * WIDE
    starts = [(n, n + WIDE) for n in range(0, wide, WIDE)]
    starts += [(n, n + NARROW) for n in range(wide, padded.shape[1], NARROW)]
    return np.concatenate([padded[:, first:last].ravel() for first, last in starts])


def _array(
    name: str, shape: str, rows: Iterable[str], *, nested: bool = False, static: bool = False
) -> tuple[str, str]:
    declared = f"const float {name}{shape} CELL_ALIGNED"
    body = ",\n".join("{" + row + "}" for row in rows) if nested else ",\n".join(rows)
    return f"extern {declared}", f"{'static ' if static else ''}{declared} = {{\n{body}\n}};\n"


def _floats(values: "Sequence[float] | Array") -> str:
    """float32 numbers that read back as themselves, some on a line."""
    texts = [f"{x:.9g}" for x in np.asarray(values, np.float32).tolist()]
    texts = [text + ("f" if "." in text or "e" in text else ".0f") for text in texts]
    return ",\n".join(", ".join(texts[at : at + 10]) for at in range(0, len(texts), 10))


def _quoted(symbol: bytes) -> str:
    """A C string; octal escapes have three digits, so that no next character can join them."""
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in symbol)
    return f'"{plain}"'
