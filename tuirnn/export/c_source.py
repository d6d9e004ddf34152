"""A network as C99 source without dependencies: the sources in `c/`, and its sizes and weights as tables."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from tuirnn.cellfile.vectors import TestVector
from tuirnn.codegen import c99
from tuirnn.codegen.fixed import fixed_values
from tuirnn.codegen.trace import traced
from tuirnn.errors import CellFileError, ConfigError, one_line
from tuirnn.export.graph import input_bias, input_table
from tuirnn.export.network import Network
from tuirnn.export.weights import Array
from tuirnn.files import atomic_write_all
from tuirnn.vocab import UNKNOWN, opening, word_ranges

PREFIX = "cell"
"""What the sources in `c/` call everything, functions in lower case and macros in upper case."""

SOURCES = ("cell.h", "cell.c", "example.c", "Makefile")
FLAGS = ("-O3", "-std=c99", "-ffp-contract=fast")
"""What the Makefile compiles with."""

WIDE, NARROW = 64, 16
"""Columns of a panel, see cell.c."""

TOLERANCE = 1e-4
LONGEST_SYMBOL = 4095
"""Bytes of a string literal that every C99 compiler takes."""

LARGEST_PREFIX = 40
TAKEN = (
    "assert", "complex", "ctype", "errno", "example", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math",
    "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time", "wchar",
    "wctype",
)  # fmt: skip
"""Prefixes whose files would stand in for others: those of the C library's headers, and the example."""


def need_writable(network: Network, precision: str = "fp32", prefix: str = PREFIX) -> None:
    """Refuse what the sources in `c/` do not compute.

    Args:
        network: what is to be written; every architecture of a language model can be.
        precision: of the weights.
        prefix: of all names.
    Raises:
        ConfigError: with the reason.
    """
    if not network.task.writes:
        raise ConfigError(
            f"--c writes language models; {network.name} {network.task.does}: leave --c out and embed its ONNX file"
        )
    if network.vocab.kind == "bpe":
        raise ConfigError("--c splits no text into subwords; leave --c out and embed the ONNX file")
    if precision != "fp32":
        raise ConfigError(f"--c writes fp32, not {precision}; leave --precision out")
    if len(prefix) > LARGEST_PREFIX or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", prefix) or prefix in TAKEN:
        raise ConfigError(
            f"--c-prefix takes lower-case letters, digits and single underscores that begin with a letter, at most "
            f"{LARGEST_PREFIX}, and no name of a C header or 'example'; not '{one_line(prefix, 60)}'"
        )
    for symbol in network.vocab.symbols:
        try:
            size = len(symbol.encode("utf-8"))
        except UnicodeEncodeError:
            raise ConfigError(
                f"--c writes symbols as UTF-8, which has none for {symbol!r}; leave --c out and embed the ONNX file"
            ) from None
        if not 0 < size <= LONGEST_SYMBOL:
            raise ConfigError(
                f"--c writes symbols of 1 to {LONGEST_SYMBOL:,} bytes; {one_line(symbol, 20)!r} has {size:,}: "
                "leave --c out and embed the ONNX file"
            )


def c_files(network: Network, test: TestVector, prefix: str = PREFIX) -> dict[str, str]:
    """The sources of a network.

    Args:
        network: what is written.
        test: goes into the build, for `cell_verify`.
        prefix: of the names of files, functions, types and macros: networks with different ones fit into one program.
    Returns:
        The text of each file by its name.
    Raises:
        ConfigError: see `need_writable`.
    """
    need_writable(network, prefix=prefix)
    here = resources.files("tuirnn.export").joinpath("c")
    texts = {name: here.joinpath(name).read_text("utf-8") for name in SOURCES}
    texts["cell_sizes.h"] = _sizes(network)
    texts["cell_layer.h"] = _LAYER.replace("@", c99.layer_function(network.config.recurrent))
    tables = list(_tables(network, test))
    declared = "".join(f"extern {table.declared};\n" for table in tables if not table.static)
    texts["cell_weights.h"] = _HEADER.replace("@", _test_sizes(test) + declared)
    named = {_renamed(name, prefix): _renamed(text, prefix) for name, text in texts.items()}
    defined = "\n".join(table.defined(prefix) for table in tables)
    return named | {f"{prefix}_weights.c": f'#include "{prefix}_weights.h"\n\n{defined}'}


def write_c(network: Network, test: TestVector, folder: Path, prefix: str = PREFIX) -> list[Path]:
    """Write `c_files` into a folder, which is made where it is missing; nothing is compiled.

    Returns:
        The files.
    Raises:
        ConfigError: see `need_writable`.
        CellFileError: the folder cannot be written.
    """
    files = {folder / name: text.encode() for name, text in c_files(network, test, prefix).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write_all(files, durable=False)
    except OSError as error:
        raise CellFileError(
            f"cannot write {one_line(folder)}: {error.strerror}; choose another place with -o"
        ) from None
    return list(files)


def _renamed(text: str, prefix: str) -> str:
    """`text` with another prefix than `PREFIX`."""
    return re.sub(r"\bcell(?=[_.])", prefix, re.sub(r"\bCELL(?=_)", prefix.upper(), text))


def _sizes(network: Network) -> str:
    config, vocab, cell = network.config, network.vocab, network.config.recurrent
    values: dict[str, int | str] = {
        "CELL_LAYERS": config.layers,
        "CELL_HIDDEN": config.hidden,
        "CELL_GATES": len(cell.gates),
        "CELL_PRODUCTS": max(1, len(traced(cell).stages)),
        "CELL_STATE": c99.state_declaration(cell),
        **{f"CELL_USES_{name.upper()}": int(name in c99.uses(cell)) for name in c99.DEFINED},
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


_LAYER = """/* Included by cell.c: the step of this network's cell, made from its definition. */

@"""

_HEADER = """#ifndef CELL_WEIGHTS_H
#define CELL_WEIGHTS_H

#include <stdint.h>

#include "cell_sizes.h"

#if defined(__GNUC__)
#define CELL_ALIGNED __attribute__((aligned(64)))
#else
#define CELL_ALIGNED
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const float *input, *input_bias, *recurrent[CELL_PRODUCTS], *recurrent_bias, *fixed;
} cell_layer;

@
#ifdef __cplusplus
}
#endif

#endif
"""


def _test_sizes(test: TestVector) -> str:
    largest = max(1.0, max(map(abs, test.outputs)))
    return (
        f"#define CELL_TEST_TOKENS {len(test.inputs)}\n#define CELL_TEST_LOGITS {len(test.outputs)}\n"
        f"#define CELL_TEST_TOLERANCE {TOLERANCE * largest:.6g}f\n"
    )


@dataclass(frozen=True)
class _Table:
    """A constant array: what declares it, with the default prefix, and its elements as C writes them."""

    declared: str
    elements: str
    static: bool = False

    def defined(self, prefix: str) -> str:
        """The definition; symbols among the elements are not renamed."""
        return f"{'static ' if self.static else ''}{_renamed(self.declared, prefix)} = {{\n{self.elements}\n}};\n"


def _tables(network: Network, test: TestVector) -> Iterator[_Table]:
    config, weights = network.config, network.weights
    rows = ",\n".join("{" + _floats(row) + "}" for row in input_table(config.recurrent, weights))
    yield _Table(
        f"const float cell_table[CELL_VOCAB][{len(config.recurrent.gates) * config.hidden}] CELL_ALIGNED", rows
    )
    yield from _layers(network)
    if weights.projection:
        yield _vector("cell_projection", weights.projection[0])
        yield _vector("cell_projection_bias", weights.projection[1])
    yield _vector("cell_head", weights.head[0])
    yield _vector("cell_head_bias", weights.head[1])
    yield from _symbols(network)
    yield _Table("const int cell_test_tokens[CELL_TEST_TOKENS]", ", ".join(map(str, test.inputs)))
    yield _Table("const float cell_test_logits[CELL_TEST_LOGITS]", _floats(test.outputs))


def _layers(network: Network) -> Iterator[_Table]:
    """The matrices of each layer, seen by no other file, and the table of them."""
    cell, H, layers = traced(network.config.recurrent), network.config.hidden, []
    for i, layer in enumerate(network.weights.layers):
        parts: dict[str, Array] = {}
        if i:
            parts |= {"input": layer.weight_ih, "input_bias": input_bias(cell.cell, layer)}
        products = {}
        for number, stage in enumerate(cell.stages):
            rows = slice(cell.recurrent.index(stage.gates[0]) * H, (cell.recurrent.index(stage.gates[-1]) + 1) * H)
            products[f"recurrent{number}"] = layer.weight_hh[rows]
        if cell.non_additive:
            parts["recurrent_bias"] = layer.bias_hh
        if fixed := fixed_values(cell, layer.vectors):
            parts["fixed"] = np.concatenate(fixed)
        names = {part: f"layer{i}_{part}" for part in (*parts, *products)}
        for part, value in (parts | products).items():
            yield _vector(names[part], value, static=True)
        one, two, *more = (names.get(part, "0") for part in ("input", "input_bias", "recurrent_bias", "fixed"))
        matrices = ", ".join(names[part] for part in products) or "0"
        layers.append("    {" + ", ".join([one, two, f"{{{matrices}}}", *more]) + "}")
    yield _Table("const cell_layer cell_layers[CELL_LAYERS]", ",\n".join(layers))


def _symbols(network: Network) -> Iterator[_Table]:
    """What the tokens stand for, and which characters make words."""
    vocab = network.vocab
    symbols = [bytes([value]) for value in range(256)]
    if vocab.kind != "byte":
        symbols = [symbol.encode() for symbol in (*vocab.symbols, UNKNOWN)]
    yield _Table("const char *const cell_symbols[CELL_VOCAB]", ",\n".join(map(_quoted, symbols)))
    yield _Table("const int cell_symbol_lengths[CELL_VOCAB]", ", ".join(str(len(symbol)) for symbol in symbols))
    if vocab.kind == "word":
        ranges = word_ranges(vocab.marked)
        pairs = [f"{{{first}, {last}}}" for first, last in ranges]
        lines = ",\n".join(", ".join(pairs[at : at + 6]) for at in range(0, len(pairs), 6))
        yield _Table(f"const int32_t cell_word_ranges[{len(ranges)}][2]", lines)


def _vector(name: str, value: Array, *, static: bool = False) -> _Table:
    """A bias as it is, or a weight matrix [N, K] in panels."""
    flat = value if value.ndim == 1 else panels(value.T)
    return _Table(f"const float {name}[{len(flat)}] CELL_ALIGNED", _floats(flat), static)


def panels(W: Array) -> Array:
    """W [K, N] as cell.c reads it: N padded to 16, cut into panels of 64 columns and then of 16; flat."""
    K, N = W.shape
    padded = np.zeros((K, -(-N // NARROW) * NARROW))
    padded[:, :N] = W
    wide = padded.shape[1] // WIDE * WIDE
    starts = [(n, n + WIDE) for n in range(0, wide, WIDE)]
    starts += [(n, n + NARROW) for n in range(wide, padded.shape[1], NARROW)]
    return np.concatenate([padded[:, first:last].ravel() for first, last in starts])


def _floats(values: "Sequence[float] | Array") -> str:
    """float32 numbers that read back as themselves, some on a line."""
    texts = [f"{x:.9g}" for x in np.asarray(values, np.float32).tolist()]
    texts = [text + ("f" if "." in text or "e" in text else ".0f") for text in texts]
    return ",\n".join(", ".join(texts[at : at + 10]) for at in range(0, len(texts), 10))


def _quoted(symbol: bytes) -> str:
    """A C string; octal escapes have three digits, so that no next character can join them."""
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in symbol)
    return f'"{plain}"'
