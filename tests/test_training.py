"""The trainer: exact resume, requests, limits, divergence, what it writes down."""

import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import train_small

from tuirnn.config import RunConfig
from tuirnn.errors import ConfigError, DataError, DivergedError, RunError
from tuirnn.kernels import native
from tuirnn.runs import checkpoint, control
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import LogTail, present_record, read_record, read_status
from tuirnn.settings.training import TrainConfig
from tuirnn.training import evaluation, events, launch
from tuirnn.training.events import Event, Report
from tuirnn.training.optimizers import learning_rate


def logged_steps(paths: RunPaths) -> list[int]:
    return [r["step"] for r in LogTail(paths.metrics).read() if r["split"] == "train"]


def stop_at(paths: RunPaths, step: int) -> Report:
    """A report that asks the trainer to stop once it has reached `step`."""

    def report(event: Event) -> None:
        if event.kind == "step" and event.step == step:
            control.send(paths, control.Request("stop"))

    return report


@pytest.mark.parametrize(("minutes", "due"), [(0.0, {5, 10}), (60.0, {1, 5, 10})])
def test_the_wait_for_an_evaluation_is_reported(
    minutes: float, due: set[int], tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("recorder.LEAST_MEASURED", "recorder.HEARTBEAT", "trainer.FIRST_LOOK"):
        monkeypatch.setattr(f"tuirnn.training.{name}", 0.0)
    seen: list[events.Step] = []

    def report(event: Event) -> None:
        if isinstance(event, events.Step):
            seen.append(event)

    first = train_small(tmp_path, "first", small_text, steps=1)
    launch.start(read_record(first).config.replace(steps=12, minutes=minutes, eval_every=5), tmp_path, "waits", report)
    assert {event.step for event in seen if event.next_eval == 0} == due | {12}
    assert all(event.next_eval <= event.eta for event in seen)


# ── resume ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("batches", ["stream", "random", "windows"])
def test_resumed_training_gives_the_same_bits(
    cell: str, batches: str, tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuirnn.training.channel.CONTROL_POLL", 0.0)  # 24 steps may take less than a tenth of a second
    settings = {"cell": cell, "batches": batches, "layers": 2, "dropout": 0.3, "steps": 24, "eval_every": 7,
                "checkpoint_every": 5}  # fmt: skip
    whole = train_small(tmp_path, "whole", small_text, **settings)
    parts = RunPaths(tmp_path / "parts")
    config = read_record(whole).config
    launch.start(config, tmp_path, "parts", stop_at(parts, 9))
    stopped = checkpoint.load(parts, "last").step
    assert 9 <= stopped < 24
    launch.resume(parts, {}, lambda event: None)
    for name in (checkpoint.MODEL, checkpoint.OPTIMIZER):
        assert checkpoint.load(parts, "last").files[name] == checkpoint.load(whole, "last").files[name]
    assert logged_steps(parts) == logged_steps(whole) == list(range(1, 25))
    losses = [[r["loss"] for r in LogTail(paths.metrics).read()] for paths in (whole, parts)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_resumes_exactly_after_a_kill(optimizer: str, tmp_path: Path, small_text: Path) -> None:
    """A crash after unsaved steps: the logs go back to the checkpoint, and every step stands in them once."""
    settings = {"optimizer": optimizer, "momentum": 0.5, "steps": 16, "checkpoint_every": 6, "lr": 0.01}
    whole = train_small(tmp_path, "whole", small_text, **settings)
    parts = RunPaths(tmp_path / "parts")

    class Crash(BaseException):
        pass

    def crash(event: Event) -> None:
        if event.kind == "step" and event.step == 9:
            raise Crash

    with pytest.raises(Crash):
        launch.start(read_record(whole).config, tmp_path, "parts", crash)
    assert logged_steps(parts)[-1] == 9
    launch.resume(parts, {}, lambda event: None)
    assert logged_steps(parts) == list(range(1, 17))
    assert (
        checkpoint.load(parts, "last").files[checkpoint.MODEL] == checkpoint.load(whole, "last").files[checkpoint.MODEL]
    )


def test_what_may_change_on_resume(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=10)
    with pytest.raises(RunError, match="complete at step 10"):
        launch.resume(paths, {}, lambda event: None)
    with pytest.raises(RunError, match="--hidden cannot change"):
        launch.resume(paths, {"hidden": 99}, lambda event: None)
    launch.resume(paths, {"steps": 14, "lr": 0.001}, lambda event: None)
    assert checkpoint.load(paths, "last").step == 14
    assert present_record(paths).config.train.lr == 0.001
    events = [e["event"] for e in LogTail(paths.events).read()]
    assert events == ["start", "end", "changes", "note", "note", "resume", "end"]


def test_the_last_evaluation_is_in_the_last_checkpoint(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=12, checkpoint_every=6, eval_every=10)
    (*_, last) = [r for r in LogTail(paths.metrics).read() if r["split"] == "val"]
    kept = checkpoint.load(paths, "last").trainer
    assert (last["step"], last["loss"]) == (12, kept["progress"]["val_loss"])
    assert kept["lengths"]["metrics"] == paths.metrics.stat().st_size


def test_a_run_that_used_its_minutes_is_complete(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=0, minutes=0.01)
    with pytest.raises(RunError, match="complete"):
        launch.resume(paths, {}, lambda event: None)


@pytest.mark.skipif(native.library() is None, reason="needs the native kernels")
def test_a_resume_by_other_kernels_says_so(tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = train_small(tmp_path, "native", small_text, steps=4, eval_every=4)
    launch.resume(paths, {"steps": 6}, lambda event: None)
    monkeypatch.setenv("TUIRNN_KERNELS", "portable")
    native.forget()
    try:
        launch.resume(paths, {"steps": 8}, lambda event: None)
    finally:
        native.forget()
    notes = [event["message"] for event in LogTail(paths.events).read() if event["event"] == "note"]
    said = [note for note in notes if "continues with portable on float32" in note]
    assert len(said) == 1
    assert said[0].startswith("the run was computed with native kernels on float32")


def test_time_that_ran_out_right_after_a_checkpoint_is_seen_by_a_resume(tmp_path: Path, small_text: Path) -> None:
    """Every step evaluates and checkpoints, so the last checkpoint is always from before the time was up."""
    paths = train_small(tmp_path, "one", small_text, steps=0, minutes=0.005, eval_every=1, checkpoint_every=1)
    with pytest.raises(RunError, match="complete"):
        launch.resume(paths, {}, lambda event: None)


def test_a_checkpoint_that_was_about_to_be_replaced_comes_back(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=10, keep=1)
    os.rename(paths.step(10), paths.root / ".step_00000010.replaced")
    (paths.root / ".step_00000010.tmp").mkdir()
    launch.resume(paths, {"steps": 12}, lambda event: None)
    assert not list(paths.root.glob(".step_*"))
    assert logged_steps(paths) == list(range(1, 13))


def test_a_damaged_last_checkpoint_is_got_round_aloud(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "one", small_text, steps=20, checkpoint_every=5)
    model = paths.step(20) / checkpoint.MODEL
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    notes: list[str] = []
    launch.resume(paths, {"steps": 25}, lambda event: notes.append(getattr(event, "message", "")))
    assert any("step_00000020" in note and "newest good checkpoint is step 15" in note for note in notes)
    assert logged_steps(paths) == list(range(1, 26))


def test_a_network_too_large_for_the_machine_is_one_clear_line(tmp_path: Path, small_text: Path) -> None:
    with pytest.raises(ConfigError, match="memory"):
        train_small(tmp_path, "one", small_text, hidden=65_536, layers=256, steps=1)
    assert not (tmp_path / "one").exists()


def test_changed_data_is_noticed(tmp_path: Path, small_text: Path) -> None:
    source = tmp_path / "mine.txt"
    source.write_text(small_text.read_text())
    paths = train_small(tmp_path, "one", source, steps=10)
    source.write_text(small_text.read_text() + "more")
    with pytest.raises(DataError, match="has changed"):
        launch.resume(paths, {"steps": 20}, lambda event: None)


# ── every device ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_whole_road_on_every_device(cell: str, device: str, tmp_path: Path, small_text: Path) -> None:
    """Train, resume, export, and evaluate in ONNX Runtime what the trainer has measured on its device."""
    from tuirnn.loading.cell import load_cell
    from tuirnn.runtime.data import held_out
    from tuirnn.runtime.opened import opened
    from tuirnn.tasks.lm.prediction import evaluate

    paths = train_small(tmp_path, "one", small_text, cell=cell, layers=2, device=device, dropout=0.2)
    launch.resume(paths, {"steps": 30}, lambda event: None)
    assert logged_steps(paths) == list(range(1, 31))
    assert read_status(paths).device.startswith(device)
    cell_file = load_cell("one", tmp_path)
    loss = evaluate(opened(cell_file, "one"), held_out("one", tmp_path, cell_file.metadata))
    assert loss.carried == pytest.approx(read_status(paths).best_val_loss, abs=1e-4)


@pytest.mark.parametrize("processes", [1, 2])
def test_bfloat16_without_its_products_is_float32_and_says_so(
    processes: int, tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every process of a training, which otherwise would learn different things."""
    monkeypatch.setenv("TUIRNN_KERNELS", "plain")
    monkeypatch.setenv("CXX", "none")
    settings = {"steps": 4, "eval_every": 4, "processes": processes}
    native.forget()
    try:
        exact, asked = (train_small(tmp_path, dtype, small_text, dtype=dtype, **settings)
                        for dtype in ("float32", "bfloat16"))  # fmt: skip
    finally:
        native.forget()
    assert (
        checkpoint.load(exact, "last").files[checkpoint.MODEL] == checkpoint.load(asked, "last").files[checkpoint.MODEL]
    )
    notes = [[event["message"] for event in LogTail(run.events).read() if event["event"] == "note"]
             for run in (exact, asked)]  # fmt: skip
    slow = "no native kernels run here (no C++ compiler (install g++)): training takes 1.3 to 2 times as long"
    assert notes == [[slow], [slow, "products of bfloat16 are slow here; going on with float32"]]


# ── limits ───────────────────────────────────────────────────────────────────────


def test_epochs_minutes_and_patience_end_a_run(tmp_path: Path, small_text: Path) -> None:
    paths = train_small(tmp_path, "epochs", small_text, steps=0, epochs=0.5)
    batches = (read_record(paths).data["train"] - 1) // (4 * 16)
    assert checkpoint.load(paths, "last").step == pytest.approx(batches / 2, abs=2)
    began = time.monotonic()
    paths = train_small(tmp_path, "minutes", small_text, steps=0, minutes=0.02, eval_every=10**6)
    assert 1.0 < time.monotonic() - began < 20
    records = LogTail(paths.metrics).read()
    first_look = next(record["step"] for record in records if record["split"] == "val")
    clock = {record["step"]: record["elapsed"] for record in records if record["split"] == "train"}
    before, after = clock.get(first_look - 1, 0.0), clock.get(first_look + 1, math.inf)
    assert before <= 0.12 <= after, "after a tenth of the time"
    paths = train_small(tmp_path, "patience", small_text, steps=0, patience=2, lr=1e-12, eval_every=3)
    assert checkpoint.load(paths, "last").step <= 60


def test_learning_rates() -> None:
    cosine = TrainConfig(lr=1.0, warmup=9, lr_floor=0.1)
    assert learning_rate(cosine, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(cosine, 100, 0.0) == pytest.approx(1.0)
    assert learning_rate(cosine, 100, 0.5) == pytest.approx(0.55)
    assert learning_rate(cosine, 100, 1.0) == pytest.approx(0.1)
    step = TrainConfig(lr=1.0, warmup=0, schedule="step", lr_step=10, lr_factor=0.5)
    assert [learning_rate(step, s, 0.0) for s in (0, 9, 10, 25)] == [1.0, 1.0, 0.5, 0.25]


# ── requests ─────────────────────────────────────────────────────────────────────


def test_requests_are_answered_between_steps(tmp_path: Path, small_text: Path) -> None:
    paths = RunPaths(tmp_path / "one")
    seen: list[str] = []

    def report(event: Event) -> None:
        seen.append(event.kind)
        if event.kind == "step" and event.step == 3:
            for request in (control.Request("lr", 0.5), control.Request("evaluate"), control.Request("checkpoint")):
                control.send(paths, request)
        if event.kind == "step" and event.step == 150:
            control.send(paths, control.Request("pause"))
            control.send(paths, control.Request("stop"))

    config = RunConfig().replace(
        hidden=64, embed=8, steps=100_000, eval_every=10**6, checkpoint_every=10**6, schedule="constant", warmup=0,
        batch_size=16, sources=(str(small_text),), sample_length=5, lr=0.01,
    )  # fmt: skip
    assert launch.start(config, tmp_path, "one", report) == "request"
    rates = [r["lr"] for r in LogTail(paths.metrics).read() if r["split"] == "train"]
    assert rates[0] == 0.01
    assert rates[-1] == 0.005
    assert seen.count("eval") == 1
    assert len(checkpoint.steps(paths)) >= 2
    assert read_status(paths).state == "stopped"


# ── divergence ───────────────────────────────────────────────────────────────────


def test_divergence_keeps_the_last_good_checkpoint(tmp_path: Path, small_text: Path) -> None:
    with pytest.raises(DivergedError, match=r"not finite at step \d+.*step_0000.*--lr"):
        train_small(tmp_path, "one", small_text, steps=400, lr=1e6, clip=0.0, warmup=0, optimizer="sgd",
                    checkpoint_every=1, cell="rnn", nonlinearity="relu")  # fmt: skip
    paths = RunPaths(tmp_path / "one")
    assert read_status(paths).state == "failed"
    assert "not finite" in read_status(paths).message
    last = checkpoint.load(paths, "last")
    steps = logged_steps(paths)
    assert last.step < steps[-1]


# ── what is written down ─────────────────────────────────────────────────────────


def test_a_run_says_all_that_a_viewer_needs(small_run: RunPaths) -> None:
    status = read_status(small_run)
    assert (status.state, status.step, status.total) == ("done", 20, 20)
    assert math.isfinite(status.best_val_loss)
    samples = LogTail(small_run.samples).read()
    assert [s["kind"] for s in samples] == ["sample", "mistakes"] * 2
    assert len(samples[0]["text"]) == 20
    assert len(samples[1]["symbols"]) == len(samples[1]["nats"]) == len(samples[1]["guesses"])
    (probe, _) = LogTail(small_run.probes).read()
    assert len(probe["gradient"][0]) == 16
    assert all(value > 0 for value in probe["gradient"][0])
    for shares in probe["gates"][0].values():
        assert sum(shares) == pytest.approx(1.0, abs=0.01)
    evaluations = [r for r in LogTail(small_run.metrics).read() if r["split"] == "val"]
    assert [r["step"] for r in evaluations] == [10, 20]
    assert all(r["loss_blocks"] > 0 for r in evaluations)


def test_probed_gradients_are_the_true_ones(small_run: RunPaths) -> None:
    """∂(last loss)/∂h_t from the probe equals autograd's, taken at each h_t of a step-by-step run."""
    from safetensors.torch import load

    from tuirnn.runtime.data import run_data
    from tuirnn.training.learner import build_model
    from tuirnn.training.probes import probe

    data = run_data(small_run)
    model = build_model(read_record(small_run).config, data).eval()
    model.load_state_dict(load(checkpoint.load(small_run).files[checkpoint.MODEL]))
    x = torch.from_numpy(data.val[:8].astype(np.int64))[:, None]
    y = torch.from_numpy(data.val[1:9].astype(np.int64))[:, None]
    state, hidden = model.zero_state(1), []
    for token in x:
        logits, state = model(token[None], state)
        hidden.append(state[0][0])
    loss = torch.nn.functional.cross_entropy(logits[-1], y[-1])
    expected = [float(g.norm()) for g in torch.autograd.grad(loss, hidden[:-1])]

    def next_token(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits[-1], targets[-1])

    assert probe(model, next_token, x, y)["gradient"][0][:-1] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("length", [3, 40, 700, 1500, 5000])
def test_carried_loss_in_lanes_equals_the_single_pass(length: int, small_run: RunPaths) -> None:
    from tuirnn.runtime.data import run_data
    from tuirnn.training.learner import build_model

    data = run_data(small_run)
    model = build_model(read_record(small_run).config, data)
    ids = np.resize(data.train, length)
    with evaluation.evaluating(model):
        exact = evaluation.carried_loss(model, ids, torch.device("cpu"), lanes=1)
        lanes = evaluation.carried_loss(model, ids, torch.device("cpu"), warm_up=100)
    assert lanes == pytest.approx(exact, abs=2e-4)


def test_bad_starts_leave_nothing(tmp_path: Path, small_text: Path) -> None:
    folder = tmp_path / "runs"
    with pytest.raises(DataError):
        train_small(folder, "one", small_text, seq_len=100_000)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="cuda"):
            train_small(folder, "one", small_text, device="cuda")
    assert not folder.exists()
