"""Primed cells: where a text begins is kept in the file, and every host begins there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from c_networks import compile_sources, needs_c, network
from test_webpage import needs_node, with_classes

from tuirnn.cellfile import guard
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import CellFileError, ConfigError
from tuirnn.export import c_source, webpage
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.runtime.generate import TextWriter, write_side_by_side
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.verify import verify

PRIME = "ok? aboké"
GREEDY = Sampling(temperature=0)


def primed(**form: Any) -> tuple[Network, TrustedCell]:
    net = network("char", cell="lstm", layers=2)
    return net, export_network(net, CellOptions(prime=PRIME, **form))


def greedy(cell: TrustedCell, read: str = "", length: int = 30) -> str:
    writer = TextWriter(CellSession(cell, device="cpu"))
    writer.feed(read)
    return "".join(writer.stream(GREEDY, length))


@pytest.mark.parametrize("form", [{}, {"precision": "int8"}, {"unroll": 4}, {"static_batch": 2}], ids=str)
def test_a_primed_cell_goes_on_as_one_that_has_read_the_prime(form: dict[str, Any]) -> None:
    net, made = primed(**form)
    verify(made, device="cpu")
    assert guard.inspect(made.data, "it").metadata.primed == made.metadata.primed
    assert made.metadata.opening == net.vocab.encode(PRIME)[-1]
    if not form:
        assert greedy(made) == greedy(export_network(net), PRIME)
        pair = CellSession(made, device="cpu", batch=2)
        assert write_side_by_side(pair, "", GREEDY, 30, (0, 1)) == [greedy(made)] * 2


@pytest.mark.parametrize("kind", ["char", "word"])
def test_a_state_that_was_changed_is_noticed_by_the_text(kind: str) -> None:
    made = export_network(network(kind, cell="gru"), CellOptions(prime="the king"))
    verify(made, device="cpu")
    assert made.metadata.primed
    made.metadata.primed.state["h_in"][0][:] = [0.0] * 24
    with pytest.raises(CellFileError, match="after its own prime"):
        verify(made, device="cpu")


def test_what_is_no_start_of_a_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="--prime is for networks that write"):
        export_network(with_classes("classify"), CellOptions(prime="a"))
    for wrong in ("", "x" * 100_001):
        with pytest.raises(ConfigError, match="--prime takes a text of 1 to"):
            CellOptions(prime=wrong)
    _, made = primed()
    for key, value in {
        "state_init": '{"h_in": [[0, 1]], "c_in": [[0, 1]]}', "opening": "99", "prime": None, "task": "classify"
    }.items():  # fmt: skip
        model = onnx.ModelProto.FromString(made.data)
        props = {prop.key: prop.value for prop in model.metadata_props if prop.key != f"tuirnn.{key}" or value}
        props |= {f"tuirnn.{key}": value} if value else {}
        with pytest.raises(CellFileError):
            made.metadata.from_strings(props)


# ── hosts ────────────────────────────────────────────────────────────────────────


@needs_c
def test_the_c_source_begins_after_the_prime(tmp_path: Path) -> None:
    net, made = primed()
    for name, text in c_source.c_files(net, made.metadata.test, primed=made.metadata.primed).items():
        (tmp_path / name).write_text(text)
    program = compile_sources(tmp_path, ["example.c", "cell.c", "cell_weights.c"])
    done = subprocess.run([program, "", "30", "0"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == greedy(made) + "\n"


@needs_node
def test_the_modules_begin_after_the_prime(tmp_path: Path) -> None:
    net, made = primed()
    for name, data in webpage.module_files(net, made, "network").items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "go.mjs").write_text(
        'import { open } from "./network.mjs"; const cell = await open(); let text = "";'
        "cell.step(cell.vocab.opening); for (let i = 0; i < 30; i++) {"
        "const token = cell.choose(0); text += cell.vocab.decode([token]); cell.step(token); }"
        "if (!cell.verify()) text = 'wrong'; cell.reset(); cell.step(cell.vocab.opening);"
        "console.log(JSON.stringify([text, cell.vocab.decode([cell.choose(0)])]));"
    )
    node = shutil.which("node") or ""
    done = subprocess.run([node, "go.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [greedy(made), greedy(made)[0]]


@pytest.mark.parametrize("host", ["python-onnxruntime", "python-numpy"])
def test_the_examples_begin_after_the_prime(host: str, tmp_path: Path) -> None:
    _, made = primed()
    write_cell(made, tmp_path / "cell.onnx")
    example = Path(__file__).parent.parent / "export" / "examples" / host / "write.py"
    command = [sys.executable, str(example), str(tmp_path / "cell.onnx"), "", "30", "1e-6"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True)
    assert done.stdout == greedy(made) + "\n"
    assert np.isfinite(made.metadata.val_bpc) or not done.stderr


def test_the_host_of_the_readme_begins_after_the_prime(tmp_path: Path) -> None:
    _, made = primed()
    write_cell(made, tmp_path / "demo.onnx")
    readme = (Path(__file__).parent.parent / "export" / "README.md").read_text("utf-8")
    part = readme.partition("## A complete host in Python")[2].partition("\n## ")[0]
    code = "\n".join(line[4:] for line in part.splitlines() if line.startswith("    ") or not line)
    code = code.replace('"The "', '""').replace("/ 0.7", "/ 1e-6").replace("range(200)", "range(30)")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=60,
        check=True,
    )  # fmt: skip
    assert done.stdout == greedy(made)
