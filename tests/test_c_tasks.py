"""The C source of every task, in fp32 and int8: the numbers of ONNX Runtime, on every path of the integer product."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_networks import SANITIZERS, compile_sources, needs_c
from test_webpage import NETWORKS

from tuirnn.export import c_source
from tuirnn.export.exporter import export_network
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.runtime.session import CellSession

PROBE = r"""
#include <stdio.h>
#include <string.h>
#include "cell.h"

/* Reads tokens or points, binary; writes the outputs after each. */
int main(void) {
    cell_state state;
    float outputs[CELL_OUTPUTS];
    if (!cell_verify()) return 1;
    cell_reset(&state);
#if CELL_POINTS
    float fed[CELL_INPUTS];
    if (!*cell_column(0) || *cell_column(-1) || *cell_column(CELL_COLUMNS)) return 2;
#else
    int fed[1];
#endif
#if CELL_CLASSES
    if (!*cell_class(0) || *cell_class(-1) || *cell_class(CELL_CLASSES)) return 2;
#endif
    while (fread(fed, sizeof fed, 1, stdin) == 1) {
#if CELL_POINTS
        if (!cell_step(&state, fed, outputs)) return 3;
#else
        if (!cell_step(&state, fed[0], outputs)) return 3;
#endif
        fwrite(outputs, sizeof outputs, 1, stdout);
    }
    return 0;
}
"""
STEPS = 60


def fed_to(net: Network) -> Any:
    """What is read: tokens int32 [T], or points float32 [T, F] with their calendar."""
    if net.scaling is None:
        return np.array([(7 * i + 1) % len(net.vocab) for i in range(STEPS)], np.int32)
    points = net.scaling.restore(np.random.default_rng(0).normal(size=(STEPS, len(net.scaling))))
    return np.concatenate([points, net.scaling.calendar(times(STEPS))], 1).astype(np.float32)


def times(steps: int) -> Any:
    """Those of the points after so many, an hour from each to the next, in seconds since 1970."""
    return 1_800_000_000 + 3600.0 * np.arange(steps)


def in_c(net: Network, folder: Path, fed: Any, precision: str, *flags: str) -> Any:
    """The outputs [T, N] of the C source."""
    cell = export_network(net, CellOptions(precision=precision), proofs=False)
    c_source.write_c(net, cell.metadata.test, folder, precision=precision)
    (folder / "probe.c").write_text(PROBE)
    program = compile_sources(folder, ["probe.c", "cell.c", "cell_weights.c"], *flags)
    done = subprocess.run([program], input=fed.tobytes(), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return np.frombuffer(done.stdout, np.float32).reshape(len(fed), -1)


@needs_c
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_task_computes_what_onnx_runtime_does(precision: str, kind: str, tmp_path: Path) -> None:
    net = NETWORKS[kind]()
    fed = fed_to(net)
    session = CellSession(export_network(net, CellOptions(precision=precision), proofs=False), device="cpu")
    expected = np.array([session.step(one)[0].copy() for one in fed])
    found = in_c(net, tmp_path, fed, precision, *SANITIZERS)
    spread = np.array(net.scaling.std) if net.scaling else 1.0
    most = 2e-5 if precision == "fp32" else 0.05  # in 8 bits an activation may round to the other side
    assert np.abs((found - expected) / spread).max() <= most * max(1.0, np.abs(expected / spread).max())


@needs_c
def test_the_integer_products_of_all_processors_are_the_same(tmp_path: Path) -> None:
    """With the instructions of this processor, with those of any x86-64, and without any."""
    net = NETWORKS["text"]()
    fed = fed_to(net)
    ways = {"plain": ["-U__SSE2__", "-U__AVX512VNNI__"], "any": ["-U__AVX512VNNI__"], "here": ["-march=native"]}
    found = {}
    for name, flags in ways.items():
        (tmp_path / name).mkdir()
        found[name] = in_c(net, tmp_path / name, fed, "int8", "-O2", "-ffp-contract=off", *flags)
    np.testing.assert_allclose(found["any"], found["plain"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["here"], found["plain"], rtol=0, atol=1e-4)


@needs_c
def test_tables_in_8_bits_are_a_quarter() -> None:
    from tuirnn.export.random_network import random_network
    from tuirnn.settings.model import ModelConfig

    net, flash = random_network(ModelConfig(cell="gru", hidden=128, embed=64)), {}
    for precision in ("fp32", "int8"):
        cell = export_network(net, CellOptions(precision=precision), proofs=False)
        told = c_source.c_files(net, cell.metadata.test, precision=precision)["cell_sizes.h"].splitlines()[0]
        flash[precision] = int(told.split()[2].replace(",", ""))
    assert flash["int8"] <= 0.27 * flash["fp32"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_cortex_m_takes_the_source(precision: str, tmp_path: Path) -> None:
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        pytest.skip("no arm-none-eabi-gcc")
    net = NETWORKS["text"]()
    cell = export_network(net, CellOptions(precision=precision), proofs=False)
    c_source.write_c(net, cell.metadata.test, tmp_path, precision=precision)
    target = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-Os"]
    for name in ("cell", "cell_weights"):
        compile_sources(tmp_path, [f"{name}.c"], *target, "-c", compiler=compiler, out=f"{name}.o", checks=False)
    size = shutil.which("arm-none-eabi-size")
    assert size is not None
    listed = subprocess.run([size, "cell_weights.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
    text, data, bss = map(int, listed.stdout.splitlines()[1].split()[:3])
    told = (tmp_path / "cell_sizes.h").read_text().splitlines()[0]
    assert (data, bss) == (0, 0)
    assert abs(text - int(told.split()[2].replace(",", ""))) < 512


@needs_c
@pytest.mark.parametrize("look_back", [0, 3])
@pytest.mark.parametrize("kind", ["series", "differences", "calendar"])
def test_the_example_goes_on_with_a_series_at_its_times(kind: str, look_back: int, tmp_path: Path) -> None:
    net = replace(NETWORKS[kind](), look_back=look_back)
    assert net.scaling is not None
    cell = export_network(net, proofs=False)
    c_source.write_c(net, cell.metadata.test, tmp_path)
    program = compile_sources(tmp_path, ["example.c", "cell.c", "cell_weights.c"], *SANITIZERS)
    points, session = fed_to(net)[:5, : len(net.scaling)], CellSession(cell, device="cpu")
    table = "\n".join(",".join(map(repr, row)) for row in points.tolist())
    command = [program, "4", "1800000000", "3600"]
    done = subprocess.run(command, input=table, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")

    calendar = net.scaling.calendar(times(10)[1:]).astype(np.float32)
    history = [np.concatenate(row) for row in zip(points, calendar, strict=False)]
    for at in range(4):
        session.reset()
        for row in history[-look_back:]:
            y = session.step(row)[0]
        assert np.allclose(np.array(done.stdout.splitlines()[at].split(","), float), y, rtol=1e-4, atol=1e-6)
        history.append(np.concatenate([y, calendar[5 + at]]))


@needs_c
def test_the_example_of_a_calendar_asks_for_the_times(tmp_path: Path) -> None:
    net = NETWORKS["calendar"]()
    c_source.write_c(net, export_network(net, proofs=False).metadata.test, tmp_path)
    program = compile_sources(tmp_path, ["example.c", "cell.c", "cell_weights.c"], "-O1")
    done = subprocess.run([program, "4"], input="1 2 3", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "./example steps time seconds: see example.c\n")
