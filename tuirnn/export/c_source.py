"""A network as C99 source without dependencies: the sources in `c/`, its step, and its sizes and weights as tables."""

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from tuirnn.cellfile.start import Primed
from tuirnn.cellfile.vectors import RELATIVE_TOLERANCE, TestVector
from tuirnn.errors import ConfigError, one_line
from tuirnn.export.c_program import Table, network_function, number, sizes, state_members, tables
from tuirnn.export.lowering import program_of
from tuirnn.export.network import Network
from tuirnn.export.program import Program
from tuirnn.vocab import UNKNOWN, opening, word_ranges

PREFIX = "cell"
"""What the sources in `c/` call everything, functions in lower case and macros in upper case."""

SOURCES = ("cell.h", "cell.c", "cell_codes.h", "cell_subwords.h", "example.c", "Makefile")
FLAGS = ("-O3", "-std=c99", "-ffp-contract=fast")
"""What the Makefile compiles with."""

WRITTEN = ("fp32", "int8")
"""Precisions of the tables."""

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
    """Refuse what the sources in `c/` do not compute: another precision, prefix, or symbols.

    Raises:
        ConfigError: with the reason.
    """
    if precision not in WRITTEN:
        raise ConfigError(
            f"--c writes {' or '.join(WRITTEN)}, not {precision}; leave --c out, or take another --precision"
        )
    if len(prefix) > LARGEST_PREFIX or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", prefix) or prefix in TAKEN:
        raise ConfigError(
            f"--c-prefix takes lower-case letters, digits and single underscores that begin with a letter, at most "
            f"{LARGEST_PREFIX}, and no name of a C header or 'example'; not '{one_line(prefix, 60)}'"
        )
    for symbol in (*network.vocab.symbols, *network.classes, *(network.scaling.columns if network.scaling else ())):
        try:
            size = len(symbol.encode("utf-8"))
        except UnicodeEncodeError:
            raise ConfigError(
                f"--c writes symbols as UTF-8, which has none for {symbol!r}; leave --c out and embed the ONNX file"
            ) from None
        if not (size > 0 or symbol not in network.vocab.symbols) or size > LONGEST_SYMBOL:
            raise ConfigError(
                f"--c writes symbols of 1 to {LONGEST_SYMBOL:,} bytes; {one_line(symbol, 20)!r} has {size:,}: "
                "leave --c out and embed the ONNX file"
            )


def c_files(
    network: Network, test: TestVector, prefix: str = PREFIX, precision: str = "fp32", primed: Primed | None = None
) -> dict[str, str]:
    """The sources of a network.

    Args:
        network: what is written.
        test: goes into the build, for `cell_verify`; of this precision.
        prefix: of the names of files, functions, types and macros: networks with different ones fit into one program.
        precision: fp32 or int8.
        primed: what it has read where a text begins.
    Returns:
        The text of each file by its name.
    Raises:
        ConfigError: see `need_writable`.
    """
    need_writable(network, precision, prefix)
    here = resources.files("tuirnn.export").joinpath("c")
    texts = {name: here.joinpath(name).read_text("utf-8") for name in SOURCES}
    program = program_of(network, precision)
    found = [*tables(program), *_names(network), *_test(network, test), *_initial(program, primed)]
    texts["cell_sizes.h"] = _sizes(network, program, sum(table.size for table in found), primed)
    texts["cell_network.h"] = "/* Included by cell.c: this network's step. */\n\n" + network_function(program)
    declared = "".join(f"extern {table.declared};\n" for table in found)
    counts = f"#define CELL_TEST_STEPS {len(test.inputs)}\n#define CELL_TEST_OUTPUTS {len(test.outputs)}\n\n"
    texts["cell_weights.h"] = _HEADER.replace("@", counts + declared)
    named = {_renamed(name, prefix): _renamed(text, prefix) for name, text in texts.items()}
    defined = "\n".join(f"{_renamed(table.declared, prefix)} = {{\n{table.elements}\n}};\n" for table in found)
    return named | {f"{prefix}_weights.c": f'#include "{prefix}_weights.h"\n\n{defined}'}


def write_c(network: Network, test: TestVector, folder: Path, prefix: str = PREFIX, precision: str = "fp32") -> None:
    """Write `c_files` into a folder, which is made where it is missing; nothing is compiled."""
    files = c_files(network, test, prefix, precision)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())


def _renamed(text: str, prefix: str) -> str:
    """`text` with another prefix than `PREFIX`."""
    return re.sub(r"\bcell(?=[_.])", prefix, re.sub(r"\bCELL(?=_)", prefix.upper(), text))


def _initial(program: Program, primed: Primed | None) -> Iterator[Table]:
    """The state where a text begins, in the order of the members of `cell_state`."""
    if primed:
        values = [number for name in program.states for row in primed.state[name] for number in row]
        yield Table(f"const float cell_initial[{len(values)}]", _floats(values), 4 * len(values))


def _sizes(network: Network, program: Program, flash: int, primed: Primed | None) -> str:
    config, vocab = network.config, network.vocab
    state = 4 * sum(int(np.prod(shape)) for shape in program.states.values())
    scratch = 4 * program.work + program.codes
    values: dict[str, int | str] = {
        "CELL_LAYERS": config.layers,
        "CELL_HIDDEN": config.hidden,
        "CELL_STATE": state_members(program),
        "CELL_OUTPUTS": next(iter(program.results.values())).size,
        "CELL_POINTS": int(network.task.points),
        "CELL_INPUTS": program.columns,
        "CELL_COLUMNS": len(network.scaling) if network.scaling else 0,
        "CELL_PERIODS": len(network.scaling.periods) if network.scaling else 0,
        "CELL_LOOK_BACK": network.look_back,
        "CELL_CLASSES": len(network.classes),
        "CELL_VOCAB": len(vocab),
        "CELL_UNKNOWN": -1 if vocab.unk is None else vocab.unk,
        "CELL_OPENING": primed.token if primed else opening(vocab),
        "CELL_PRIMED": int(primed is not None),
        "CELL_BYTES": int(vocab.of_bytes),
        "CELL_WORDS": int(vocab.kind == "word"),
        "CELL_MERGES": len(vocab.merges),
        **sizes(program),
    }
    lines = [f"#define {name} {f'({value})' if value == -1 else value}" for name, value in values.items()]
    told = (
        f"/* Flash: {flash:,} bytes of tables, and the code.\n"
        f" * RAM: {state:,} bytes for each state; in a step {scratch:,} bytes of stack beside the caller's outputs. */"
    )
    return "\n".join([told, "", "#ifndef CELL_SIZES_H", "#define CELL_SIZES_H", "", *lines, "", "#endif", ""])


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

@
#ifdef __cplusplus
}
#endif

#endif
"""


def _test(network: Network, test: TestVector) -> Iterator[Table]:
    """The test vector, and what each output may be off."""
    if network.scaling:
        rows = ",\n".join("{" + _floats(point) + "}" for point in test.inputs if isinstance(point, tuple))
        allowed = [
            test.atol * std + RELATIVE_TOLERANCE * abs(y)
            for std, y in zip(network.scaling.std, test.outputs, strict=True)
        ]
        yield Table(
            "const float cell_test_inputs[CELL_TEST_STEPS][CELL_INPUTS]",
            rows,
            4 * len(test.inputs) * network.scaling.inputs,
        )
    else:
        allowed = [test.atol * max(1.0, *map(abs, test.outputs))] * len(test.outputs)
        yield Table(
            "const int cell_test_inputs[CELL_TEST_STEPS]", ", ".join(map(str, test.inputs)), 4 * len(test.inputs)
        )
    for name, values in (("outputs", test.outputs), ("tolerances", allowed)):
        yield Table(f"const float cell_test_{name}[CELL_TEST_OUTPUTS]", _floats(values), 4 * len(values))


def _names(network: Network) -> Iterator[Table]:
    """What tokens, classes or columns are called, and which characters make words."""
    vocab, scaling = network.vocab, network.scaling
    if scaling:
        yield _strings("const char *const cell_columns[CELL_COLUMNS]", [name.encode() for name in scaling.columns])
        if periods := scaling.periods:
            yield Table("const double cell_periods[CELL_PERIODS]", ", ".join(map(repr, periods)), 8 * len(periods))
        return
    if network.classes:
        yield _strings("const char *const cell_classes[CELL_CLASSES]", [name.encode() for name in network.classes])
    if vocab.of_bytes:
        symbols = [vocab.token_bytes(token) for token in range(len(vocab))]
    else:
        symbols = [symbol.encode() for symbol in (*vocab.symbols, UNKNOWN)]
    yield _strings("const char *const cell_symbols[CELL_VOCAB]", symbols)
    lengths = ", ".join(str(len(symbol)) for symbol in symbols)
    yield Table("const int cell_symbol_lengths[CELL_VOCAB]", lengths, 4 * len(symbols))
    if vocab.merges:
        rows = sorted((one, two, 256 + rank) for rank, (one, two) in enumerate(vocab.merges))
        lines = ",\n".join(f"{{{one}, {two}, {token}}}" for one, two, token in rows)
        yield Table("const int32_t cell_merges[CELL_MERGES][3]", lines, 12 * len(rows))
    if vocab.kind == "word":
        ranges = word_ranges(vocab.marked)
        pairs = [f"{{{first}, {last}}}" for first, last in ranges]
        lines = ",\n".join(", ".join(pairs[at : at + 6]) for at in range(0, len(pairs), 6))
        yield Table(f"const int32_t cell_word_ranges[{len(ranges)}][2]", lines, 8 * len(ranges))


def _strings(declared: str, values: Sequence[bytes]) -> Table:
    """Strings and pointers to them, of four bytes on a small machine."""
    return Table(declared, ",\n".join(map(_quoted, values)), sum(len(value) + 5 for value in values))


def _floats(values: Sequence[float]) -> str:
    return ", ".join(map(number, np.asarray(values, np.float32).tolist()))


def _quoted(symbol: bytes) -> str:
    """A C string; octal escapes have three digits, so that no next character can join them."""
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in symbol)
    return f'"{plain}"'
