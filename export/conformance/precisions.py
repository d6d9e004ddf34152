"""Which precision and form runs in which runtime, and how fast: tables of GRU-256 in the README, by `make conformance`.

Steps a second of a plain host, one thread, the best of three bursts; only as good as the machine is idle.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from conformance import HERE, HOME, PACKAGES, README, ROOT, TIMEOUT, Unavailable, environment

from tuirnn import processor
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.network import Network
from tuirnn.export.options import CellOptions
from tuirnn.export.precision import PRECISIONS
from tuirnn.export.random_network import random_network
from tuirnn.scaling import DIFFERENCE, Scaling
from tuirnn.settings.model import ModelConfig
from tuirnn.tasks import TASKS
from tuirnn.vocab import Vocabulary

HIDDEN = 256
BEGIN, END = "<!-- precisions: written by `make conformance` -->", "<!-- /precisions -->"
SETTINGS = {
    "onnxruntime": "–",
    "onnx.reference": "–",
    "openvino": "`INFERENCE_PRECISION_HINT: f32`: the default is bfloat16 on new processors, and 0.02 off",
    "tract": "`set_input_fact` for each input: sizes are fixed",
    "opencv": "metadata from the JSON file; 5.0 or later",
    "mnn": "`mnnconvert -f ONNX`; `precision: high`, token int32",
}
"""What a runtime needs beside the file."""


def main() -> int:
    """Make the cells, run them in every runtime at hand, write the table; returns an exit status."""
    cells = {name: export_network(text_network(), CellOptions(name)) for name in PRECISIONS} | forms()
    job = make_cells(HOME / "precisions", cells)
    rows = {name: in_runtime(name, job) for name in PACKAGES}
    table = "\n".join(render(rows, list(cells)))
    print(table)
    text = README.read_text("utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(text[:start] + "\n" + table + "\n" + text[end:], "utf-8")
    print(f"the table is in {README.relative_to(ROOT)}")
    wrong = [name for name, row in rows.items() for found in row.values() if found.get("off", 0) > 1]
    return 1 if wrong else 0


def text_network(hidden: int = HIDDEN, cell: str = "gru") -> Network:
    """A language model with random weights."""
    return random_network(ModelConfig(cell=cell, hidden=hidden, embed=64))


def series_network(hidden: int, **scaling: Any) -> Network:
    """A forecaster of two columns with random weights."""
    scale, net = Scaling(("a", "b"), (1.0, -200.0), (0.5, 30.0), **scaling), text_network(hidden)
    first, (weight, bias) = net.weights.layers[0], net.weights.head
    wide = np.random.default_rng(1).normal(size=(len(first.weight_ih), scale.inputs)) / scale.inputs
    weights = replace(net.weights, embedding=None, layers=(replace(first, weight_ih=wide), *net.weights.layers[1:]),
                      head=(weight[:2], bias[:2]))  # fmt: skip
    return replace(net, task=TASKS["forecast"], vocab=Vocabulary("point"), scaling=scale, weights=weights)


def forms(hidden: int = HIDDEN) -> dict[str, TrustedCell]:
    """Cells in fp32 whose inputs, calls or beginning are others than those of a single step of a language model."""
    made = {
        "block 64": (text_network(hidden), CellOptions(block=64)),
        "primed": (text_network(hidden), CellOptions(prime="abc cba")),
        "series": (series_network(hidden), CellOptions()),
        "differences": (series_network(hidden, steps=(0.1, 3.0), reads=DIFFERENCE), CellOptions()),
        "calendar": (series_network(hidden, periods=(86_400.0, 604_800.0)), CellOptions()),
    }
    return {name: export_network(network, options) for name, (network, options) in made.items()}


def make_cells(folder: Path, cells: dict[str, TrustedCell]) -> Path:
    """Write the cells and the job; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, cell in cells.items():
        path = folder / f"{name.replace(' ', '-')}.onnx"
        write_cell(cell, path)
        meta = cell.metadata
        inputs, outputs = meta.interface(1)
        entries.append({"name": name, "path": str(path), "inputs": inputs, "outputs": outputs, "steps": meta.steps,
                        "state_map": meta.state_map, "vector": meta.test.to_json(), "allowed": allowed(meta),
                        "primed": begins(meta)})  # fmt: skip
    job = folder / "job.json"
    job.write_text(json.dumps(entries))
    return job


def allowed(meta: CellMetadata) -> list[float]:
    """What each output of the test vector may be off."""
    test = meta.test
    if meta.scaling:
        return [test.atol * std + 1e-5 * abs(y) for std, y in zip(meta.scaling.std, test.outputs, strict=True)]
    return [test.atol * max(1.0, *map(abs, test.outputs))] * len(test.outputs)


def begins(meta: CellMetadata) -> dict[str, Any] | None:
    """Where a primed cell begins, and the tokens that follow."""
    if meta.primed is None or meta.text is None:
        return None
    tokens = meta.vocab.encode(meta.text.text).tolist()
    return {"state": meta.primed.state, "opening": meta.opening, "unk": meta.vocab.unk, "tokens": tokens}


def in_runtime(name: str, job: Path) -> dict[str, dict]:
    """Name of a cell -> what came of it; 'version' -> the runtime's."""
    try:
        python = environment(HOME / "venv", ["numpy", *PACKAGES[name]])
    except Unavailable as missing:
        return {"version": {"why": str(missing)}}
    command = [str(python), str(HERE / "speeds.py"), name, str(job)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {line.pop("name", "version"): line for line in lines}
    for entry in json.loads(job.read_text()):
        found.setdefault(entry["name"], {"why": f"ends its process ({done.returncode})"})
    return found


def render(rows: dict[str, dict[str, dict]], names: list[str]):
    """A line for each runtime, a column for each precision."""
    precisions, others = names[: len(PRECISIONS)], names[len(PRECISIONS) :]
    yield (
        f"\nGRU-256 with 65 symbols on {processor.label()}, one thread: steps/s\nwhere the test vector is reproduced, "
        f"else what happens. Load of the machine while it was measured: {os.getloadavg()[0]:.1f} of\n{os.cpu_count()} "
        "cores; where that is above the number of cores, the figures are low, and only which cells run can be\n"
        "relied on.\n"
    )
    yield from _table(rows, precisions, SETTINGS)
    yield (
        "\nOther forms in fp32: a block (symbols/s), a primed file, whose text is compared too, and forecasters of two "
        "columns that read\nlevels, differences, or levels and a calendar.\n"
    )
    yield from _table(rows, others)


def _table(rows: dict[str, dict[str, dict]], cells: list[str], settings: dict[str, str] | None = None):
    end = " | needs |" if settings else " |"
    yield f"| runtime | {' | '.join(cells)}{end}"
    yield "|---" * (len(cells) + 1 + bool(settings)) + "|"
    for name, row in rows.items():
        version = row["version"].get("version")
        found = [said(row[cell]) if version else "not here" for cell in cells]
        yield " | ".join([f"| {name} {version or ''}".rstrip(), *found, *([settings[name]] if settings else [])]) + " |"


def said(found: dict) -> str:
    """A cell of the table."""
    if "why" in found:
        return "does not load"
    return f"{found['rate']:,.0f}" if found["off"] <= 1 else f"off by {found['off']:.2g} tolerances"


if __name__ == "__main__":
    sys.exit(main())
