"""The captured step, on a GPU or by its replay twin on the CPU; every part of the GPU's benchmark."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import train_small
from tuirnn import tasks
from tuirnn.cells import CELLS
from tuirnn.codegen.trace import traced
from tuirnn.models import RecurrentLayer
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, read_record
from tuirnn.settings.training import TrainConfig
from tuirnn.training import graphed
from tuirnn.training.learner import Learner
from tuirnn.training.optimizers import make_optimizer, set_rate
from tuirnn.training.team import Alone

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROOT = Path(__file__).parent.parent
SPLIT = next(name for name, cell in CELLS.items() if traced(cell).split)
"""A cell whose halves have different gradients."""


def losses(paths: RunPaths) -> list[float]:
    return [record["loss"] for record in LogTail(paths.metrics).read() if record["split"] == "train"]


@pytest.mark.parametrize(
    "settings", [{**CELLS[SPLIT].settings, "layers": 2}, {"token_dropout": 0.2, "summed": True, "clip": 0.0}]
)
def test_captured_training_is_the_same(
    settings: dict[str, Any], tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit on the CPU's twin, carried state, dropout and a changing learning rate included."""
    runs = []
    for mode in ("off", "on" if DEVICE == "cuda" else "twin"):
        monkeypatch.setenv("TUIRNN_GRAPH", mode)
        runs.append(train_small(tmp_path, mode, small_text, device=DEVICE, warmup=3, **settings))
    plain, captured = map(losses, runs)
    assert len(plain) == 20
    assert plain[0] != plain[-1]
    torch.testing.assert_close(torch.tensor(captured), torch.tensor(plain), rtol=0, atol=0 if DEVICE == "cpu" else 1e-5)


def test_a_step_that_cannot_be_captured_is_taken_plainly() -> None:
    notes: list[str] = []

    def refuse(step: Any) -> graphed.Recorded:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    step = graphed.Graphed(lambda inputs: [inputs[0] + 1], refuse, notes.append)
    for i in range(6):
        assert step([torch.tensor(float(i))])[0] == i + 1
    assert len(notes) == 1
    assert "not permitted when stream is capturing" in notes[0]
    assert "\n" not in notes[0]


def test_a_batch_of_another_shape_is_taken_plainly() -> None:
    step = graphed.Graphed(lambda inputs: [inputs[0].sum()], graphed.rerun, pytest.fail)
    results = [step([torch.ones(n)])[0] for n in (4, 4, 4, 4, 4, 3, 4)]
    assert [float(r) for r in results] == [4, 4, 4, 4, 4, 3, 4]  # and none is overwritten by a later one


@pytest.mark.parametrize(("accumulate", "records"), [(1, 2), (2, 0)])
def test_a_learner_records_anew_after_a_restore_and_nothing_in_parts(
    accumulate: int, records: int, small_run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored optimizer has other tensors, and between the parts of a batch the random state is set back."""
    recorded: list[graphed.Recorded] = []

    def capture(step: Any) -> graphed.Recorded:
        recorded.append(graphed.rerun(step))
        return recorded[-1]

    monkeypatch.setattr("tuirnn.training.learner.capture_on", lambda device: capture)
    record, saved = read_record(small_run), checkpoint.load(small_run, "last")
    data = tasks.load(record.config.data, vocab=record.vocab, known=record.data)
    ours = Learner(record.config.replace(accumulate=accumulate), data, Alone(), torch.device("cpu"), pytest.fail)
    rounds = []
    for _ in range(2):
        ours.restore(saved)
        rounds.append([float(ours.training_step(0.01)[0]) for _ in range(graphed.WARM_UP + 2)])
    assert rounds[0] == rounds[1]
    assert len(recorded) == records


def test_the_rate_reaches_the_optimizer_wherever_it_is() -> None:
    layer = RecurrentLayer.__new__(RecurrentLayer)
    torch.nn.Module.__init__(layer)
    layer.weight = torch.nn.Parameter(torch.zeros(1, 1))
    for name in ("sgd", "adam", "adamw", "rmsprop"):
        optimizer = make_optimizer(layer, TrainConfig(optimizer=name))
        optimizer.param_groups[0]["lr"] = torch.tensor(1.0)  # as it is on CUDA
        set_rate(optimizer, 0.25)
        assert [float(group["lr"]) for group in optimizer.param_groups] == [0.25, 0.25]
        assert isinstance(optimizer.param_groups[0]["lr"], Tensor)


# ── the benchmark ─────────────────────────────────────────────────────────────


def test_every_part_of_the_benchmark_runs_without_a_gpu(
    tmp_path: Path, small_text: Path, environment: dict[str, str]
) -> None:
    """So that the minutes on a GPU are not spent on its mistakes."""
    out = tmp_path / "gpu.json"
    environment = {**environment, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": ""}
    command = [
        sys.executable,
        "benchmarks/gpu.py",
        "--device",
        "cpu",
        "--smoke",
        "--out",
        str(out),
        "--data",
        str(small_text),
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    parts = json.loads(out.read_text())["parts"]
    assert set(parts) == {"correctness", "layer_gradients", "graphed", "step", "shakespeare", "layers"}
    for name in ("correctness", "layer_gradients", "graphed"):
        assert parts[name]["rows"]
        assert all(row["ok"] for row in parts[name]["rows"]), parts[name]
    assert not any("failure" in row for part in parts.values() for row in part["rows"])
