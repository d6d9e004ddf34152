"""The command line as a shell sees it: answers, exit codes, one clear line for every mistake."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, train_small
from waiting import wait

from tuirnn.export.exporter import export_run, write_cell
from tuirnn.runs.layout import RunPaths


@pytest.fixture
def tuirnn(tmp_path: Path, environment: dict[str, str]):  # type: ignore[no-untyped-def]
    """Run `tuirnn` with some arguments in an empty folder."""

    def run(*words: str, stdin: bytes | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "tuirnn", *words], cwd=tmp_path, env={**environment, **extra}, input=stdin,
            capture_output=True, timeout=120,
        )  # fmt: skip
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="module")
def cell_path(small_run: RunPaths, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("cells") / "small.onnx"
    write_cell(export_run(small_run), path)
    return str(path)


SMALL = ("--hidden", "16", "--embed", "8", "--steps", "30", "--eval-every", "15", "--batch-size", "4", "--seq-len",
         "16", "--sample-length", "20")  # fmt: skip


# ── train, export, generate, evaluate ────────────────────────────────────────────


def test_train_export_generate_evaluate(tuirnn, small_text: Path, tmp_path: Path) -> None:
    done = tuirnn("train", str(small_text), "--name", "one", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"validation \d\.\d{4} carried, \d\.\d{4} blocks nats/char", done.stdout)
    assert "next: tuirnn generate one" in done.stdout

    done = tuirnn("export", "one")
    assert done.returncode == 0
    assert sorted(p.name for p in (tmp_path / "export/cells").iterdir()) == ["one.json", "one.onnx"]

    by_run = tuirnn("generate", "one", "--prime", "the ", "--length", "50", "--seed", "3")
    by_file = tuirnn("generate", "export/cells/one.onnx", "--prime", "the ", "--length", "50", "--seed", "3")
    assert by_run.stdout == by_file.stdout
    assert by_run.stdout.startswith("the ")
    assert len(by_run.stdout) == len("the ") + 50 + 1

    done = tuirnn("eval", "one", "--json")
    value = json.loads(done.stdout)
    assert value["bits"] == pytest.approx(value["nats"] / 0.6931471805599453)
    other = tuirnn("eval", "export/cells/one.onnx", "--text", str(small_text), "--json")
    assert json.loads(other.stdout)["tokens"] == len(small_text.read_text()) - 1

    done = tuirnn("inspect", "export/cells/one.onnx")
    assert "ONNX Runtime reproduces the test vector" in done.stdout
    assert json.loads(tuirnn("inspect", "export/cells/one.onnx", "--json").stdout)["opset"] == 13

    assert "one" in tuirnn("runs", "ls").stdout
    assert json.loads(tuirnn("runs", "ls", "--json").stdout)[0]["state"] == "done"
    assert json.loads(tuirnn("runs", "show", "one", "--json").stdout)["settings"]["model"]["hidden"] == 16
    assert tuirnn("train", "--resume", "one", "--steps", "40").returncode == 0
    assert tuirnn("runs", "rm", "one", "--yes").returncode == 0
    assert "no runs" in tuirnn("runs", "ls").stdout


def test_json_events(tuirnn, small_text: Path) -> None:
    done = tuirnn("train", "-", "--json", *SMALL, "--patience", "9", stdin=small_text.read_bytes())
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["step"] for e in events if e["event"] == "step"] == list(range(1, 31))
    assert all({"val_loss", "val_loss_blocks"} <= e.keys() for e in events if e["event"] == "eval")
    assert {"start", "step", "eval", "sample", "checkpoint", "end"} == {e["event"] for e in events}
    assert {"run", "best_val_loss", "seconds", "tokens_per_s"} <= events[-1].keys()
    assert events[-1]["event"] == "end"
    resumed = tuirnn("train", "--resume", events[-1]["run"], "--steps", "35", "--json")  # standard input was kept
    assert resumed.returncode == 0


def test_a_reader_that_leaves_does_not_end_the_training(tuirnn, small_text: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m tuirnn train {small_text} --name one --json {' '.join(SMALL)} | head -c 5"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    wait(lambda: '"done"' in (tmp_path / "checkpoints/one/status.json").read_text())


def test_a_run_is_resumed_from_another_folder(tuirnn, small_text: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(small_text.read_text())
    assert tuirnn("train", "mine.txt", "--name", "one", *SMALL).returncode == 0
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tuirnn", "train", "--runs", "../checkpoints", "--resume", "one", "--steps", "40"],
        cwd=tmp_path / "elsewhere", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--runs ../checkpoints" in done.stdout


def test_unknown_symbols_of_a_prime_are_named(tuirnn, cell_path: str) -> None:
    done = tuirnn("generate", cell_path, "--prime", "the 漢é", "--length", "5")
    assert done.returncode == 0
    assert "'漢', 'é'" in done.stderr
    value = json.loads(tuirnn("generate", cell_path, "--prime", "漢", "--length", "5", "--json").stdout)
    assert value["unknown"] == ["漢"]
    many = tuirnn("generate", cell_path, "--samples", "3", "--length", "5", "--greedy", "--json").stdout.splitlines()
    assert len({json.loads(line)["text"] for line in many}) == 1


def test_a_network_worse_than_guessing_says_so(answer: Callable[..., Answer], tmp_path: Path, small_text: Path) -> None:
    train_small(tmp_path, "poor", small_text, steps=2, eval_every=2, lr=50.0, warmup=0, clip=1e6)
    said = answer("generate", "poor", "--runs", str(tmp_path), "--length", "5").err
    assert re.search(r"^tuirnn: this network is worse than guessing, [\d.e+]+ against 5\.04 bits a token: ", said), said


def test_recipes_and_data_and_doctor(tuirnn) -> None:
    assert "demo" in tuirnn("recipes").stdout
    assert "shakespeare" in tuirnn("data", "ls").stdout
    assert {row["what"] for row in json.loads(tuirnn("doctor", "--json").stdout)} >= {"torch", "onnxruntime", "kernels"}


# ── mistakes ─────────────────────────────────────────────────────────────────────


MISTAKES: dict[str, tuple[list[str], str]] = {
    "missing file": (["train", "no.txt"], "no file"),
    "empty file": (["train", "empty.txt"], "empty"),
    "empty folder": (["train", "empty"], "no file with content"),
    "one character": (["train", "one.txt"], "too few"),
    "short text": (["train", "short.txt"], "--seq-len"),
    "binary": (["train", "binary.bin"], "--tokens byte"),
    "not utf-8": (["train", "torn.txt"], "--encoding utf-8"),
    "unknown command": (["trian"], "train"),
    "unknown option": (["train", "--hiden", "3"], "--hidden"),
    "unknown cell": (["train", "--cell", "lsmt"], "lstm"),
    "option of another cell": (["train", "--cell", "lstm", "--reset", "before"], "only gru, gru-before read it"),
    "cell and option at odds": (
        ["train", "--cell", "rnn-relu", "--nonlinearity", "tanh"],
        "relu is --cell rnn-relu",
    ),
    "option of another cell in a sweep": (
        ["sweep", "--cell", "lstm,gru", "--reset", "before,after"],
        "--reset has no effect on --cell lstm",
    ),
    "unknown recipe": (["train", "--recipe", "dmeo"], "demo"),
    "unknown data set": (["data", "get", "shakespere"], "shakespeare"),
    "unknown device": (["generate", "{cell}", "--device", "gpu"], "cuda"),
    "negative": (["train", "--hidden", "-3"], "at least 1"),
    "not a number": (["train", "--lr", "nan"], "finite"),
    "infinite": (["train", "--minutes", "inf"], "finite"),
    "no number": (["train", "--hidden", "many"], "whole number"),
    "zero batch": (["train", "--batch-size", "0"], "at least 1"),
    "no run": (["generate", "nope"], "no run"),
    "no run to export": (["export", "nope"], "no run"),
    "no run to resume": (["train", "--resume", "nope"], "no run"),
    "resume with a source": (["train", "text.txt", "--resume", "x"], "no run"),
    "torn cell": (["generate", "torn.onnx"], "torn.onnx"),
    "noise for a cell": (["generate", "noise.onnx"], "noise.onnx"),
    "empty cell": (["inspect", "nothing.onnx"], "nothing.onnx"),
    "missing cell": (["generate", "no.onnx"], "no.onnx"),
    "temperature": (["generate", "{cell}", "--temperature", "-1"], "--temperature"),
    "nan temperature": (["generate", "{cell}", "--temperature", "nan"], "--temperature"),
    "top-p": (["generate", "{cell}", "--top-p", "0"], "--top-p"),
    "length": (["generate", "{cell}", "--length", "-1"], "--length"),
    "seed": (["generate", "{cell}", "--seed", "-1"], "--seed"),
    "run name": (["train", "text.txt", "--name", "../x"], "run name"),
    "eval without text": (["eval", "{cell}"], "--text"),
    "bench shape": (["bench", "train", "--shape", "Z"], "--shape"),
    "dashboard in a pipe": ([], "terminal"),
}
"""Arguments that are wrong, and a part of the answer; '{cell}' is a good cell file."""


@pytest.fixture
def mistaken_files(tmp_path: Path, cell_path: str) -> None:
    """Files that are no texts and no cells."""
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "one.txt").write_text("a")
    (tmp_path / "short.txt").write_text("just a few words")
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "torn.txt").write_bytes("né\n".encode() * 999 + b"\xff")
    (tmp_path / "text.txt").write_text("some text to learn from\n" * 200)
    (tmp_path / "empty").mkdir()
    data = Path(cell_path).read_bytes()
    (tmp_path / "torn.onnx").write_bytes(data[: len(data) // 2])
    (tmp_path / "noise.onnx").write_bytes(os.urandom(5000))
    (tmp_path / "nothing.onnx").write_bytes(b"")


@pytest.mark.usefixtures("mistaken_files")
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_get_one_line_and_exit_2(
    name: str, answer: Callable[..., Answer], tmp_path: Path, cell_path: str
) -> None:
    words, expected = MISTAKES[name]
    before = sorted(tmp_path.rglob("*"))
    code, printed, said = answer(*(cell_path if word == "{cell}" else word for word in words))
    assert (code, printed) == (2, "")
    assert said.startswith("tuirnn: ")
    assert said.count("\n") == 1, said
    assert expected in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_mistake_in_a_shell(tuirnn) -> None:
    done = tuirnn("trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tuirnn: no command 'trian'; did you mean 'train'?\n"


def test_no_cuda_when_cuda_is_asked_for(tuirnn, cell_path: str) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for words in (["train", "--device", "cuda"], ["generate", cell_path, "--device", "cuda"]):
        done = tuirnn(*words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "doctor" in done.stderr


def test_folders_that_cannot_be_written(tuirnn, small_text: Path, small_run: RunPaths, tmp_path: Path) -> None:
    """A file stands where a folder should be: refused for every user, root too."""
    (tmp_path / "file").write_text("")
    done = tuirnn("train", str(small_text), "--runs", "file/runs", *SMALL)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = tuirnn("export", str(small_run.root), "-o", "file/cell.onnx")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "file").read_text() == ""


def test_a_log_that_is_a_link_is_not_written_through(tuirnn, small_text: Path, tmp_path: Path) -> None:
    tuirnn("train", str(small_text), "--name", "one", *SMALL)
    (tmp_path / "mine").write_text("kept\n")
    (tmp_path / "checkpoints/one/metrics.jsonl").unlink()
    (tmp_path / "checkpoints/one/metrics.jsonl").symlink_to(tmp_path / "mine")
    done = tuirnn("train", "--resume", "one", "--steps", "60")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot write metrics of run 'one': it is a link" in done.stderr
    assert (tmp_path / "mine").read_text() == "kept\n"


def test_control_characters_never_reach_the_terminal(tuirnn) -> None:
    done = tuirnn("train", "\x1b[31mred", "--recipe", "\x1b]0;x\x07")
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


# ── what is imported; benchmarks/first_impressions.py measures how long it takes ─


NOT_IMPORTED: dict[str, tuple[str, ...]] = {
    "tuirnn.cli": ("torch", "onnx", "numpy", "asyncio"), "tuirnn.vocab": ("torch",), "tuirnn.config": ("torch",),
    "tuirnn.cellfile.guard": ("torch",), "tuirnn.runs.writer": ("torch",), "tuirnn.runs.listing": ("torch",),
    "tuirnn.tasks.lm": ("torch",), "tuirnn.loading.cell": ("torch", "onnx"), "tuirnn.export.exporter": ("torch",),
    "tuirnn.runtime.generate": ("torch", "onnx"), "tuirnn.tui.app": ("torch", "onnxruntime", "matplotlib"),
    "tuirnn.training.trainer": ("textual",), "tuirnn.training.launch": ("textual",),
}  # fmt: skip
"""What must not be loaded once a module is imported: it takes long, or need not be installed."""


@pytest.mark.parametrize("module", NOT_IMPORTED)
def test_modules_that_are_not_imported(module: str) -> None:
    code = f"import sys, {module}; print(*set({NOT_IMPORTED[module]}) & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_generation_works_where_torch_cannot_be_imported(tuirnn, small_run: RunPaths, cell_path: str,
                                                         tmp_path: Path) -> None:  # fmt: skip
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    for words in (["generate", cell_path, "--length", "5"], ["export", str(small_run.root), "-o", "x.onnx"],
                  ["eval", str(small_run.root)], ["runs", "ls"], ["doctor"]):  # fmt: skip
        done = tuirnn(*words, PYTHONPATH=str(tmp_path))
        assert done.returncode == 0, done.stderr
