"""Networks as C source: random ones of any shape, the logits expected of them, and the compilers of this machine."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tuirnn import compiling
from tuirnn.cellfile.vectors import TestVector
from tuirnn.export import reference
from tuirnn.export.network import Network
from tuirnn.export.random_network import random_network
from tuirnn.settings.model import ModelConfig
from tuirnn.vocab import Vocabulary

CC, CXX = compiling.compiler("c"), compiling.compiler("c++")
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
needs_c = pytest.mark.skipif(CC is None, reason="no C compiler")
needs_cxx = pytest.mark.skipif(CC is None or CXX is None, reason="no C++ compiler")

VOCABULARIES = {
    "char": Vocabulary("char", tuple("\n !\"'?\\aboké—\N{GRINNING FACE}")),
    "byte": Vocabulary("byte"),
    "word": Vocabulary(
        "word", ("\n", " ", "cell_state", "king", "lord", "naïve", "the", "²", "—", "…", "“", "”", "東京")
    ),
    "bpe": Vocabulary(
        "bpe",
        merges=(
            (116, 104),
            (256, 101),
            (32, 257),
            (107, 105),
            (110, 103),
            (259, 260),
            (195, 169),
            (230, 157),
            (263, 177),
            (32, 32),
            (10, 10),
            (55, 55),
            (32, 55),
            (226, 128),
            (266, 32),
            (97, 97),
            (271, 97),
        ),
    ),
}


def network(tokens: str = "char", **shape: Any) -> Network:
    return random_network(ModelConfig(**{"hidden": 24, "embed": 8, **shape}), VOCABULARIES[tokens])


def answer(net: Network) -> TestVector:
    """A test vector of the whole vocabulary's logits."""
    tokens = tuple((7 * i + 1) % len(net.vocab) for i in range(16))
    return TestVector(tokens, tuple(logits_after(net, tokens)[-1].tolist()))


def logits_after(net: Network, tokens: "tuple[int, ...] | list[int]") -> list[Any]:
    state, every = reference.zero_state(net.config), []
    for token in tokens:
        logits, state = reference.step(net.config, net.weights, token, state)
        every.append(logits)
    return every


def compile_sources(
    folder: Path, sources: list[str], *flags: str, compiler: str | None = CC, out: str = "program", checks: bool = True
) -> Path:
    """Compile and link sources of a folder; fails at a warning."""
    language = ["-std=c99"] if compiler == CC else []
    command = [str(compiler), *language, *(STRICT if checks else []), *flags, *sources, "-lm", "-o", out]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder / out
