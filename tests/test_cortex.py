"""The C source on a Cortex-M4 in an emulator, in eight bits: the greedy text of ONNX Runtime."""

import shutil
import subprocess
from pathlib import Path

import pytest
from c_networks import network

from tuirnn.export import c_source
from tuirnn.export.exporter import export_network
from tuirnn.export.options import CellOptions
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession

COMPILER, EMULATOR = shutil.which("arm-none-eabi-gcc"), shutil.which("qemu-system-arm")
FOLDER = Path(__file__).parent / "cortex"
FLAGS = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-O2", "-std=gnu99", "-Wall", "-Wextra",
         "-nostartfiles", "-specs=nosys.specs", "-T", str(FOLDER / "board.ld")]  # fmt: skip
MACHINE = ["-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"]


@pytest.mark.skipif(not COMPILER or not EMULATOR, reason="no gcc-arm-none-eabi or qemu-system-arm")
def test_a_cortex_m4_writes_the_greedy_text_in_eight_bits(tmp_path: Path) -> None:
    net = network("char", cell="gru", hidden=64)
    made = export_network(net, CellOptions("int8"), proofs=False)
    c_source.write_c(net, made.metadata.test, tmp_path, precision="int8")
    sources = [FOLDER / "main.c", tmp_path / "cell.c", tmp_path / "cell_weights.c"]
    program = tmp_path / "cell.elf"
    command = [str(COMPILER), *FLAGS, f"-I{tmp_path}", *map(str, sources), "-lm", "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert built.returncode == 0, built.stderr
    emulated = [str(EMULATOR), *MACHINE, "-semihosting-config", "enable=on,target=native", "-kernel", str(program)]
    done = subprocess.run(emulated, capture_output=True, timeout=60, check=False)
    writer = TextWriter(CellSession(made, device="cpu"))
    expected = "".join(writer.stream(Sampling(temperature=0), 200))
    assert (done.returncode, (done.stdout + done.stderr).decode()) == (0, expected)
