"""Fixtures shared by all tests: the devices present, a small text, a small trained run of each cell."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from tuirnn.config import RunConfig
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, Status
from tuirnn.runs.writer import RunWriter
from tuirnn.vocab import Vocabulary

# `make test` tries the same examples each time: it fails for a change and not by chance. `make soak` draws others.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("drawn", print_blob=True, deadline=None)
settings.load_profile("drawn" if os.environ.get("TUIRNN_LONG") else "same")

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many workers as cores: threads would only wait for one another

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it starts in the background ignore SIGINT, and the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LINE = "the quick brown fox jumps over the lazy dog; 'tis a mile, said he.\n"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`device` runs a test once on every device of this machine."""
    if "device" in metafunc.fixturenames:
        import torch

        metafunc.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the user's runs, or cells that were tried or kept before this session."""
    monkeypatch.setenv("TUIRNN_RUNS", "")  # so that it is unset after the test too, where a command sets it
    monkeypatch.delenv("TUIRNN_RUNS")
    monkeypatch.setenv("TUIRNN_KNOWN_CELLS", str(tmp_path_factory.getbasetemp() / "known-cells.txt"))
    monkeypatch.setenv("TUIRNN_CONFIG", str(tmp_path_factory.mktemp("settings") / "config.toml"))


@pytest.fixture(scope="session")
def small_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file of about 8,000 characters."""
    path = tmp_path_factory.mktemp("text") / "fox.txt"
    path.write_text(LINE * 120)
    return path


def train_small(folder: Path, name: str, source: Path, **changes: Any) -> RunPaths:
    """Train a few steps of a small network; in several processes by the command, which starts them."""
    from tuirnn.runs import detached
    from tuirnn.training import launch

    settings = {
        "hidden": 24, "embed": 8, "steps": 20, "eval_every": 10, "checkpoint_every": 10, "batch_size": 4,
        "seq_len": 16, "sample_length": 20, "sources": (str(source),), "device": "cpu",
    }  # fmt: skip
    config = RunConfig().replace(**{**settings, **changes})
    if config.train.processes == 1:
        launch.start(config, folder, name, lambda event: None)
    else:
        words = ["train", "--runs", str(folder), "--name", name, *detached.arguments(config)]
        done = subprocess.run([sys.executable, "-m", "tuirnn", *words], capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
    return RunPaths(folder / name)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: small networks are no work to share; on a busy machine threads wait for one another."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs that several tests read and none changes."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def trained(runs: Path, small_text: Path) -> Callable[..., RunPaths]:
    """`trained(cell=…, layers=…)`: a small run, made once a session for each set of settings."""
    made: dict[str, RunPaths] = {}

    def make(**changes: Any) -> RunPaths:
        name = "-".join(["small", *(f"{key}.{value}" for key, value in sorted(changes.items()))]).replace("_", ".")
        if name not in made:
            made[name] = train_small(runs, name, small_text, **changes)
        return made[name]

    return make


@pytest.fixture(scope="session")
def small_run(trained: Callable[..., RunPaths]) -> RunPaths:
    """A small trained LSTM."""
    return trained()


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> RunPaths:
    """200 steps in one process, for trainings of several to be held against."""
    from started import train

    return train(tmp_path_factory.mktemp("single"), "single", small_text)


@pytest.fixture
def run(small_run: RunPaths, tmp_path: Path) -> RunPaths:
    """A copy of the small trained run, for a test that changes it."""
    shutil.copytree(small_run.root, tmp_path / "one")
    return RunPaths(tmp_path / "one")


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., Path]:
    """`alone(run, …)`: a folder of runs with copies of these and no others."""

    def copy(*runs: RunPaths) -> Path:
        for run in runs:
            shutil.copytree(run.root, tmp_path / "runs" / run.name)
        return tmp_path / "runs"

    return copy


UNLIKE: dict[str, tuple[dict[str, Any], dict[str, list[float]]]] = {
    "text-lstm": ({"cell": "lstm"}, {"loss": [2.5, 1.564], "loss_blocks": [2.6, 1.578]}),
    "text-gru": ({"cell": "gru"}, {"loss": [2.4, 1.297], "loss_blocks": [2.5, 1.308]}),
    "kinds-lstm": (
        {"cell": "lstm", "task": "classify"},
        {"loss": [0.65, 0.105], "accuracy": [0.6, 0.972], "macro_f1": [0.5, 0.951]},
    ),
    "kinds-gru": (
        {"cell": "gru", "task": "classify"},
        {"loss": [1.7, 1.351], "accuracy": [0.5, 0.931], "macro_f1": [0.4, 0.911]},
    ),
    "waves-lstm": (
        {"cell": "lstm", "task": "forecast", "horizon": 10},
        {"loss": [1.2, 5.2e-08], "mae": [1.0, 2e-4], "rollout_rmse": [1.1, 0.031], "naive_loss": [0.01, 0.01]},
    ),
    "waves-gru": (
        {"cell": "gru", "task": "forecast", "horizon": 20},
        {"loss": [1.3, 0.004], "mae": [1.0, 0.05], "rollout_rmse": [1.1, 0.021], "naive_loss": [0.01, 0.01]},
    ),
    "bytes": ({"tokens": "byte"}, {"loss": [3.0, 1.1], "loss_blocks": [3.1, 1.2]}),
}
"""Runs of every task: the settings of each, and the figures of its two evaluations."""


def write_unlike(folder: Path, name: str, changes: dict[str, Any], found: dict[str, list[float]]) -> RunPaths:
    """A finished run with these figures, as a trainer leaves it."""
    config = RunConfig().replace(**changes)
    task, tokens = config.data.task, config.data.tokens
    series = {"columns": ["x"], "mean": [0.0], "std": [2.0]} if config.task.points else {}
    record = RunRecord(
        config,
        Vocabulary("point") if config.task.points else Vocabulary.build("abc ", tokens),
        {"name": task, "sha256": "0" * 64, "train": 900, "val": 100, "test": 0, **series},
        {}, 1e9, 12_345,
    )  # fmt: skip
    with RunWriter.create(folder, name, record) as writer:
        for step in range(1, 21):
            writer.append("metrics", {"step": step, "split": "train", "at": 1e9 + step, "loss": 3.0 / step, "lr": 0.1})
        for at, step in enumerate((10, 20)):
            figures = {key: values[at] for key, values in found.items()}
            writer.append("metrics", {"step": step, "split": "val", "at": 1e9 + step, **figures})
        best = {"best_val_loss": found["loss"][1], "val_loss": found["loss"][1], "best_step": 20}
        writer.status(Status(state="done", step=20, total=20, progress=1.0, elapsed=20.0, device="cpu", **best))
    return RunPaths(folder / name)


@pytest.fixture(scope="session")
def unlike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of `UNLIKE`: figures in four units. Tests only read it."""
    folder = tmp_path_factory.mktemp("unlike")
    for name, (changes, found) in UNLIKE.items():
        write_unlike(folder, name, changes, found)
    return folder


class Answer(NamedTuple):
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """`answer("train", …)`: what `tuirnn` answers in an empty folder, run in this process."""
    from tuirnn import cli

    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["tuirnn", *words])
        capsys.readouterr()
        code = cli._run()
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a child process, as a user's shell would have it, but for the cache of known cells."""
    cache = "TUIRNN_KNOWN_CELLS"
    return {key: value for key, value in os.environ.items() if not key.startswith("TUIRNN_") or key == cache}
