"""Hostile cell files are refused quickly, in little memory, with one line; so are randomly damaged ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile_forms
import numpy as np
import onnx
import pytest
from hostile import ATTACKS

from tuirnn.cells import CELLS
from tuirnn.codegen.onnx import operators
from tuirnn.export.exporter import export_network, export_run
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.runs.layout import RunPaths
from tuirnn.settings.model import ModelConfig

LOADER = """
import json, resource, sys, time
from pathlib import Path
from tuirnn.errors import CellFileError
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.admission import open_file

def peak(own):  # MB since the last call, of this process; of all children ever
    if not own:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    lines = Path("/proc/self/status").read_text().splitlines()
    Path("/proc/self/clear_refs").write_text("5")
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

peak(True)
for name in sys.argv[2:]:
    began, worked, said = time.perf_counter(), time.process_time(), "accepted"
    try:
        CellSession(open_file(Path(sys.argv[1]) / name), device="cpu")
    except CellFileError as error:
        said = str(error)
    took = time.perf_counter() - began, time.process_time() - worked
    print(json.dumps([name, *took, peak(True) + peak(False), said]), flush=True)
"""
"""Loads files as every command does; prints seconds by the clock and of the processor, the highest memory of the
process and its children in MB, and the answer for each."""


def load_all(folder: Path, names: list[str]) -> list[tuple[str, float, float, float, str]]:
    """What the loader says to each file, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(folder), *names], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def good_cells() -> dict[str, bytes]:
    """A cell of each kind that attacks change."""
    dividing = next(name for name, cell in CELLS.items() if {"Div", "Max", "Atanh"} <= operators(cell))
    shapes = {"plain": ("lstm", 1, CellOptions()), "sampler": ("gru", 2, CellOptions(sampler=True)),
              "int8": ("gru", 1, CellOptions("int8")), "dividing": (dividing, 1, CellOptions())}  # fmt: skip
    return {
        kind: export_network(random_network(ModelConfig(cell=cell, layers=layers, hidden=24, embed=8)), options).data
        for kind, (cell, layers, options) in shapes.items()
    }


def write_all(folder: Path, good: bytes) -> list[str]:
    """Every attack as a file, and files that are no cells at all."""
    for name, attack in ATTACKS.items():
        model = onnx.ModelProto.FromString(good)
        attack(model)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    kinds = good_cells()
    for name, form in hostile_forms.attacks().items():
        (folder / f"{name}.onnx").write_bytes(hostile_forms.made(form, kinds))
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "text.onnx").write_text("I am a network, trust me.")
    (folder / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(1_000_000))
    (folder / "cut.onnx").write_bytes(good[: len(good) // 2])
    (folder / "nested.onnx").write_bytes(nested_message(20_000))
    (folder / "folder.onnx").mkdir()
    (folder / "device.onnx").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.onnx")
    for name, size in (("sparse", 1 << 40), ("gigabyte", 1 << 30)):
        with open(folder / f"{name}.onnx", "wb") as file:
            file.truncate(size)
    return sorted(path.name for path in folder.iterdir())


def nested_message(depth: int) -> bytes:
    """A graph in an attribute in a node in a graph …"""
    data = b""
    for _ in range(depth // 100):  # as deep as lengths stay small
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            size, length = len(data), b""
            while True:
                length += bytes([size & 127 | (128 if size > 127 else 0)])
                size >>= 7
                if not size:
                    break
            data = tag + length + data
    return b"\x08\x07\x3a" + bytes([len(data) & 127 | 128, len(data) >> 7 & 127]) + data


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_hostile_files_are_refused_quickly_and_in_little_memory(small_run: RunPaths, tmp_path: Path) -> None:
    names = write_all(tmp_path, export_run(small_run).data)
    assert len(names) >= 150
    found = load_all(tmp_path, names)
    assert [row[0] for row in found] == names
    print(f"{len(found)} files, slowest {max(row[1] for row in found):.3f} s, {max(row[3] for row in found):.0f} MB")
    for name, seconds, processor, megabytes, said in found:
        assert said != "accepted", name
        assert len(said.splitlines()) == 1, said
        assert "internal" not in said, said
        assert processor <= 0.5, (name, processor)
        assert seconds <= 60, (name, seconds)  # it does not hang; the processor's time is the bar
        assert megabytes <= 300, (name, megabytes)


def mutate(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to six random changes: bytes set, cut out, repeated, or pieces moved."""
    data = bytearray(raw)
    for _ in range(rng.integers(1, 7)):
        at, size = int(rng.integers(len(data))), int(rng.integers(1, 65))
        match int(rng.integers(4)):
            case 0:
                data[at] = int(rng.integers(256))
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case _:
                other = int(rng.integers(len(data)))
                data[at : at + size] = data[other : other + size]
    return bytes(data)


SOAK = int(os.environ.get("TUIRNN_SOAK", "300"))
"""Mutations to try; 10,000 in the long form, `TUIRNN_SOAK=10000 pytest tests/test_hostile.py`."""


def test_randomly_damaged_files_get_one_line_or_run(small_run: RunPaths, tmp_path: Path) -> None:
    """No traceback, no signal, no hang: every damaged file is refused with one line, or is as good as before."""
    good, rng = export_run(small_run).data, np.random.default_rng(0)
    for start in range(0, SOAK, 500):
        names = [f"{number}.onnx" for number in range(start, min(start + 500, SOAK))]
        for name in names:
            (tmp_path / name).write_bytes(mutate(good, rng))
        found = load_all(tmp_path, names)
        assert len(found) == len(names)
        assert max(row[1] for row in found) < 60
        assert all(len(row[4].splitlines()) == 1 for row in found)
        for name in names:
            (tmp_path / name).unlink()
