"""The network as C source: every kind under the sanitizers, on threads, as C++; what is refused.

What is compiled here must give no warning. The numbers are held to `reference`, the choices to Python's.
"""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_networks import (
    CXX,
    SANITIZERS,
    STRICT,
    VOCABULARIES,
    answer,
    compile_sources,
    logits_after,
    needs_c,
    needs_cxx,
    network,
)

from tuirnn.cells import CELLS
from tuirnn.errors import ConfigError, VerificationError
from tuirnn.export import c_check, c_program, c_source
from tuirnn.runtime.samplers import Sampling, sample
from tuirnn.scaling import Scaling
from tuirnn.tasks import TASKS
from tuirnn.vocab import Vocabulary

KINDS: list[dict[str, Any]] = [cell.settings for cell in CELLS.values()]
FORMS: list[dict[str, Any]] = [
    {}, {"layers": 2, "residual": True}, {"hidden": 37, "projection": 20}, {"embed": 24, "tied": True},
    {"layers": 3, "embed": 0}, {"hidden": 70, "layers": 2, "projection": 8, "tied": True}, {"hidden": 1},
]  # fmt: skip
MATRIX = [
    {**KINDS[i % len(KINDS)], **FORMS[i % len(FORMS)], "tokens": list(VOCABULARIES)[i % len(VOCABULARIES)]}
    for i in range(max(len(KINDS), 2 * len(FORMS)))
]
"""Every kind of cell, every form and every kind of token, the latter at least twice."""


# ── every kind, under the sanitizers ─────────────────────────────────────────────

PROBE = r"""
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cell.h"

/* Reads a text to its end, in memory that ends where the text does. */
static int reads(const char *text) {
    size_t bytes = strlen(text) + 1, at = 0;
    char *copy = malloc(bytes);
    int length, bad = 0;
    memcpy(copy, text, bytes);
    for (; copy[at]; at += (size_t)length) {
        int token = cell_token(copy + at, &length);
        bad |= length < 1 || token >= CELL_VOCAB || (token < 0 && token != CELL_UNKNOWN);
        if (bad) break;
    }
    bad |= at != bytes - 1 || cell_token(copy + at, &length) != CELL_UNKNOWN || length != 0;
    free(copy);
    return !bad;
}

int main(void) {
    static const char *const texts[] = {"", "the king", "\xE2\x82", "\xF0\x9F\x98", "\xC0\x80", "\xED\xA0\x80", "a\xFF",
                                        "\xF4\x90\x80\x80", "na\xC3\xAFve\xC3", "\x80\x80"};
    static const int outside[] = {-1, CELL_VOCAB, INT_MAX, INT_MIN};
    static const double odd[] = {0, -1, 0.5, 2, 1e-300, 1e300, NAN, INFINITY};
    cell_state state, before;
    float logits[CELL_VOCAB], kept[CELL_VOCAB];
    int length;
    if (!cell_verify()) return 1;
    cell_reset(&state);
    for (int i = 0; i < 300; i++) {
        double u = fmod(i * 0.6180339887498949, 1);
        if (cell_step(&state, (7 * i + 1) % CELL_VOCAB, logits) != 1) return 2;
        int chosen[] = {cell_sample(logits, 0, 0, u), cell_sample(logits, 0.8, 0, u), cell_sample(logits, 0.8, 3, u)};
        fwrite(logits, sizeof logits, 1, stdout);
        fwrite(chosen, sizeof chosen, 1, stdout);
        before = state;
        memcpy(kept, logits, sizeof kept);
        for (int k = 0; k < 4; k++)
            if (cell_step(&state, outside[k], logits) || *cell_symbol(outside[k], &length) || length) return 3;
        if (memcmp(&before, &state, sizeof state) || memcmp(kept, logits, sizeof kept)) return 4;
    }
    for (int i = 0; i < (int)(sizeof odd / sizeof *odd); i++)
        for (int j = 0; j < (int)(sizeof odd / sizeof *odd); j++)
            for (int k = -1; k < CELL_VOCAB + 2; k += 1 + CELL_VOCAB / 4) {
                int token = cell_sample(logits, odd[i], k, odd[j]);
                if (token < 0 || token >= CELL_VOCAB || token == CELL_UNKNOWN) return 5;
            }
    for (int i = 0; i < (int)(sizeof texts / sizeof *texts); i++)
        if (!reads(texts[i])) return 6;
    for (int i = 0; i < CELL_VOCAB; i++)
        if ((int)strlen(cell_symbol(i, &length)) > length) return 7;
    for (int i = 0; i < CELL_VOCAB; i++) logits[i] = NAN;
    cell_sample(logits, 0.8, 3, 0.5);
    return 0;
}
"""


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The probe of each network of the matrix, compiled two at a time."""
    folder = tmp_path_factory.mktemp("c")

    def make(number: int) -> Path:
        net, here = network(**MATRIX[number]), folder / str(number)
        c_source.write_c(net, answer(net), here)
        (here / "probe.c").write_text(PROBE)
        return compile_sources(here, ["probe.c", "cell.c", "cell_weights.c"], *SANITIZERS)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(make, range(len(MATRIX))))


@needs_c
@pytest.mark.parametrize("number", range(len(MATRIX)), ids=[" ".join(map(str, shape.values())) for shape in MATRIX])
def test_every_network_under_the_sanitizers(number: int, probes: list[Path]) -> None:
    net = network(**MATRIX[number])
    V, unk = len(net.vocab), net.vocab.unk
    done = subprocess.run([probes[number]], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    steps = np.frombuffer(done.stdout, [("logits", np.float32, V), ("chosen", np.int32, 3)])
    expected = np.array(logits_after(net, [(7 * i + 1) % V for i in range(300)]))
    np.testing.assert_allclose(steps["logits"], expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
    for i, (logits, chosen) in enumerate(steps):
        known = logits.copy()
        if unk is not None:
            known[unk] = -np.inf
        settings = (Sampling(0), Sampling(0.8), Sampling(0.8, 3))
        assert chosen.tolist() == [sample(known, s, i * 0.6180339887498949 % 1) for s in settings], i


@needs_c
@pytest.mark.parametrize("tokens", VOCABULARIES)
def test_the_makefile_builds_the_example_for_any_machine(tokens: str, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    net = network(tokens)
    c_source.write_c(net, answer(net), tmp_path, "poet")
    clean = {key: value for key, value in os.environ.items() if key not in ("CFLAGS", "MAKEFLAGS")}
    made = subprocess.run(["make"], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True, timeout=120)
    assert made.stderr == ""
    assert set(c_source.FLAGS) <= set(made.stdout.split())
    assert not re.search("-m(arch|cpu|tune)=", made.stdout)
    done = subprocess.run([tmp_path / "example", "the lazy dög", "50"], capture_output=True, check=True, timeout=60)
    assert done.stdout.startswith("the lazy dög".encode())
    assert len(done.stdout) > 55


# ── other compilers, C++, threads ────────────────────────────────────────────────


@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++", "clang++"])
def test_no_compiler_warns(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    language = ["-x", "c++", "-std=c++11"] if "++" in compiler else ["-std=c99"]
    for i, shape in enumerate(KINDS):
        tokens = list(VOCABULARIES)[i % len(VOCABULARIES)]
        net = network(tokens, layers=2, projection=8, hidden=8, **shape)
        c_source.write_c(net, answer(net), tmp_path / tokens)
        files = ["cell.c", "cell_weights.c", "example.c"][: 3 if i < len(VOCABULARIES) else 1]
        command = [compiler, *language, *STRICT, "-fsyntax-only", *files]
        done = subprocess.run(command, cwd=tmp_path / tokens, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@needs_cxx
@pytest.mark.parametrize("tokens", VOCABULARIES)
def test_the_sources_are_c_plus_plus_as_well(tokens: str, tmp_path: Path) -> None:
    net = network(tokens, cell="gru", projection=8)
    c_source.write_c(net, answer(net), tmp_path)
    program = compile_sources(
        tmp_path, ["cell.c", "cell_weights.c", "example.c"], "-Wall", "-Wextra", "-O1", "-x", "c++", compiler=CXX,
        checks=False,
    )  # fmt: skip
    done = subprocess.run([program, "", "1"], capture_output=True, timeout=60, check=True)
    assert done.stderr == b""


THREADS = r"""
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "cell.h"

enum { COUNT = 8, STEPS = 10000 };
static char texts[2][COUNT][STEPS];

static void *text(void *into) {
    unsigned seed = (unsigned)((char(*)[STEPS])into - texts[0]) % COUNT;
    cell_state state;
    float logits[CELL_VOCAB];
    int size;
    cell_reset(&state);
    cell_step(&state, CELL_OPENING, logits);
    for (int i = 0; i < STEPS; i++) {
        seed = seed * 1664525u + 1013904223u;
        int token = cell_sample(logits, 0.8, 0, (seed >> 8) / 16777216.0);
        ((char *)into)[i] = *cell_symbol(token, &size);
        cell_step(&state, token, logits);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[COUNT];
    int size;
    const char *first = cell_symbol('A', &size), *second = cell_symbol('B', &size);
    if (*first != 'A' || *second != 'B') return 1;
    for (int i = 0; i < COUNT; i++) pthread_create(&threads[i], NULL, text, texts[0][i]);
    for (int i = 0; i < COUNT; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < COUNT; i++) text(texts[1][i]);
    if (!memcmp(texts[0][0], texts[0][1], STEPS)) return 2; /* different seeds write different texts */
    return memcmp(texts[0], texts[1], sizeof texts[0]) ? 3 : 0;
}
"""


@needs_c
def test_eight_threads_write_the_same_texts_as_one(tmp_path: Path) -> None:
    net = network("byte", cell="gru", hidden=16)
    c_source.write_c(net, answer(net), tmp_path)
    (tmp_path / "threads.c").write_text(THREADS)
    program = compile_sources(tmp_path, ["threads.c", "cell.c", "cell_weights.c"], "-O2", "-pthread")
    assert subprocess.run([program], timeout=60, check=False).returncode == 0


@needs_c
@pytest.mark.parametrize("tokens", VOCABULARIES)
def test_nothing_in_a_network_can_be_written_to(tokens: str, tmp_path: Path) -> None:
    if shutil.which("nm") is None or os.uname().sysname != "Linux":
        pytest.skip("no nm for ELF")
    net = network(tokens, cell="lstm")
    c_source.write_c(net, answer(net), tmp_path)
    for name in ("cell", "cell_weights"):
        compile_sources(tmp_path, [f"{name}.c"], "-O1", "-c", "-fno-pic", out=f"{name}.o")
    listed = subprocess.run(
        ["nm", "cell.o", "cell_weights.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "R cell_symbols" in listed.stdout
    assert re.findall(r" [bBcCdDsS] .*", listed.stdout) == []


# ── what is refused, and what is said ────────────────────────────────────────────

SCALING = Scaling(("x\ud800",), (0.0,), (1.0,))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": TASKS["classify"], "classes": ("a", "\ud800")}, "UTF-8"),
        ({"task": TASKS["forecast"], "scaling": SCALING}, "UTF-8"),
        ({"vocab": Vocabulary("char", ("a", "\ud800"))}, "UTF-8"),
        ({"vocab": Vocabulary("word", ("a", "b" * 5000))}, "5,000"),
        ({"vocab": Vocabulary("word", ("a", ""))}, "has 0"),
    ],
)
def test_what_c_cannot_express_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    net = network()
    with pytest.raises(ConfigError, match=said):
        c_source.write_c(replace(net, **changes), answer(net), tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "prefix", ["", "Cell", "2cell", "cell_", "a__b", "a-b", "../x", "math", "example", "é", "a" * 41]
)
def test_a_prefix_makes_names_and_files_of_its_own(prefix: str) -> None:
    net = network()
    with pytest.raises(ConfigError, match="--c-prefix takes"):
        c_source.c_files(net, answer(net), prefix)


def test_a_prefix_leaves_no_other_name_and_no_symbol_alone() -> None:
    net = network("word")
    files = c_source.c_files(net, answer(net), "poet_2")
    assert sorted(files) == sorted(
        [
            "Makefile",
            "example.c",
            "poet_2.c",
            "poet_2.h",
            "poet_2_codes.h",
            "poet_2_network.h",
            "poet_2_sizes.h",
            "poet_2_subwords.h",
            "poet_2_weights.c",
            "poet_2_weights.h",
        ]
    )
    kept = [line for text in files.values() for line in text.splitlines() if re.search(r"\bcell[_.]|\bCELL_", line)]
    assert kept == ['"cell_state",']


def fake_compiler(folder: Path, script: str) -> str:
    path = folder / "fakecc"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return str(path)


@needs_c
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "no C compiler"),
        ("echo 'cc1: error: no headers' >&2; exit 1", "fakecc does not work here: cc1: error: no headers"),
        ("echo 'fatal error: Killed signal terminated program cc1' >&2; exit 1", "fakecc ran out of memory"),
        ("echo text > program", "fakecc does not work here"),
    ],
)
def test_what_was_not_compiled_is_not_called_checked(
    script: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    monkeypatch.setenv("CC", fake_compiler(tmp_path, script) if script else "no-such-compiler")
    assert c_check.verify(c_source.c_files(net, answer(net))).startswith(said)


@needs_c
def test_wrong_sources_are_not_written() -> None:
    net = network()
    files = c_source.c_files(net, answer(net))
    assert c_check.verify(files) == ""
    wrong = files["cell.c"].replace("clamp(-x, 87.0f)", "clamp(x, 87.0f)")
    for text, said in ((wrong, "does not reproduce"), (files["cell.c"] + "int", "error")):
        with pytest.raises(VerificationError, match=said):
            c_check.verify({**files, "cell.c": text})


def test_panels_hold_every_weight_once() -> None:
    W = np.arange(1, 6 * 83 + 1, dtype=np.float64).reshape(6, 83)
    flat = c_program.panels(W)
    assert len(flat) == 6 * 96
    assert sorted(flat[flat > 0]) == sorted(W.ravel())
    assert flat[:64].tolist() == W[0, :64].tolist()
    assert flat[6 * 64 : 6 * 64 + 16].tolist() == W[0, 64:80].tolist()
