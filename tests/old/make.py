"""Made the files in this folder, with the version of commit 8f281a2: before a cell was written once.

In a checkout of that commit, on one thread, with portable kernels:

    TUIRNN_KERNELS=portable OMP_NUM_THREADS=1 PYTHONPATH=CHECKOUT python make.py

`runs/` are finished runs of six steps, `cells/` what was exported of them, `resumed/` the weights that the same version
reached by five more steps, `expected.json` what it evaluated and generated. Nothing here is to be made anew: the files
stand for those that users have.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tuirnn.config import RunConfig
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.network import read_network
from tuirnn.runs.layout import RunPaths
from tuirnn.training import launch

HERE = Path(__file__).parent
CHARS = {"tokens": "char", "fraction": 0.05}
WORDS = {"tokens": "word", "vocab_size": 40, "fraction": 0.1}
NETWORKS = {
    "rnn": {"cell": "rnn", **CHARS},
    "rnn-relu": {"cell": "rnn", "nonlinearity": "relu", **CHARS},
    "lstm": {"cell": "lstm", **WORDS},
    "gru": {"cell": "gru", **WORDS},
    "gru-before": {"cell": "gru", "reset": "before", **WORDS},
}
SETTINGS = {
    "hidden": 8, "embed": 8, "tied": True, "layers": 2, "residual": True, "batch_size": 4, "seq_len": 8, "steps": 6,
    "eval_every": 6, "checkpoint_every": 6, "keep": 1, "sample_length": 20, "device": "cpu", "lr": 0.01,
    "schedule": "constant", "warmup": 0,
}  # fmt: skip


def asked(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run([sys.executable, "-m", "tuirnn", *words], check=True, capture_output=True, text=True)
    return done.stdout


def main() -> None:
    """Train, export, resume a copy, evaluate and generate."""
    torch.set_num_threads(1)
    expected = {}
    for name, changes in NETWORKS.items():
        launch.start(RunConfig().replace(**{**SETTINGS, **changes}), HERE / "runs", name, lambda event: None)
        paths, file = RunPaths(HERE / "runs" / name), HERE / "cells" / f"{name}.onnx"
        file.parent.mkdir(exist_ok=True)
        write_cell(export_network(read_network(paths, "last")), file)
        with tempfile.TemporaryDirectory() as folder:
            copy = RunPaths(Path(shutil.copytree(paths.root, Path(folder) / name)))
            launch.resume(copy, {"steps": 11}, lambda event: None)
            (HERE / "resumed").mkdir(exist_ok=True)
            shutil.copy(copy.root / "step_00000011" / "model.safetensors", HERE / "resumed" / f"{name}.safetensors")
        figures = json.loads(asked("eval", "--runs", str(HERE / "runs"), name, "--json"))
        written = asked("generate", str(file), "--length", "60", "--temperature", "1", "--seed", "3", "--device", "cpu")
        expected[name] = {"nats": figures["nats"], "text": written}
        status = json.loads((paths.root / "status.json").read_text())
        (paths.root / "status.json").write_text(json.dumps({**status, "host": "elsewhere"}))
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
