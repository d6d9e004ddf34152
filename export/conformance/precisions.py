"""Which precision runs in which runtime, and how fast: a table of GRU-256 in the README, by `make conformance`.

Steps a second of a plain host, one thread, the best of three bursts; only as good as the machine is idle.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from conformance import HERE, HOME, PACKAGES, README, ROOT, TIMEOUT, Unavailable, environment

from tuirnn import processor
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.options import CellOptions
from tuirnn.export.precision import PRECISIONS
from tuirnn.export.random_network import random_network
from tuirnn.settings.model import ModelConfig

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
    job, names = make_cells(HOME / "precisions")
    rows = {name: in_runtime(name, job) for name in PACKAGES}
    table = "\n".join(render(rows, names))
    print(table)
    text = README.read_text("utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(text[:start] + "\n" + table + "\n" + text[end:], "utf-8")
    print(f"the table is in {README.relative_to(ROOT)}")
    wrong = [name for name, row in rows.items() for found in row.values() if found.get("off", 0) > 1]
    return 1 if wrong else 0


def make_cells(folder: Path, cell_name: str = "gru") -> tuple[Path, list[str]]:
    """Write the cells and the job; returns its path and the names of the cells."""
    folder.mkdir(parents=True, exist_ok=True)
    network, entries = random_network(ModelConfig(cell=cell_name, hidden=256, embed=64)), []
    for name in PRECISIONS:
        cell = export_network(network, CellOptions(name))
        path = folder / f"{name}.onnx"
        write_cell(cell, path)
        meta = cell.metadata
        entries.append({"name": name, "path": str(path), "state_map": meta.state_map, "vector": meta.test.to_json(),
                        "shape": [meta.layers, 1, meta.hidden]})  # fmt: skip
    job = folder / "job.json"
    job.write_text(json.dumps(entries))
    return job, [entry["name"] for entry in entries]


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
    yield (
        f"\nGRU-256 with 65 symbols on {processor.label()}, one thread: steps/s\nwhere the test vector is reproduced, "
        f"else what happens. Load of the machine while it was measured: {os.getloadavg()[0]:.1f} of\n{os.cpu_count()} "
        "cores; where that is above the number of cores, the figures are low, and only which cells run can be\n"
        "relied on.\n"
    )
    yield f"| runtime | {' | '.join(names)} | needs |"
    yield "|---" * (len(names) + 2) + "|"
    for name, row in rows.items():
        version = row["version"].get("version")
        if version is None:
            yield f"| {name} | " + " | ".join("not here" for _ in names) + f" | {SETTINGS[name]} |"
            continue
        yield f"| {name} {version} | " + " | ".join(said(row[cell]) for cell in names) + f" | {SETTINGS[name]} |"


def said(found: dict) -> str:
    """A cell of the table."""
    if "why" in found:
        return "does not load"
    return f"{found['rate']:,.0f}" if found["off"] <= 1 else f"off by {found['off']:.2g} tolerances"


if __name__ == "__main__":
    sys.exit(main())
