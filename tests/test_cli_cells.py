"""Commands on cell files: forms, C source, import, bench."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer
from safetensors.numpy import save_file

from tuirnn import compiling
from tuirnn.runs.layout import RunPaths

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tuirnn(small_run: RunPaths, answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`tuirnn` in this process, with the small run and further variables of the environment."""

    def run(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        with monkeypatch.context() as context:
            for name, value in {"TUIRNN_RUNS": str(small_run.root.parent), **more}.items():
                context.setenv(name, value)
            code, printed, said = answer(*words)
        return subprocess.CompletedProcess(words, code, printed, said)

    return run


def test_forms_and_c_source(tuirnn: Run, tmp_path: Path) -> None:
    done = tuirnn("export", "small", "--precision", "int8", "--max-loss-increase", "0.1", "-o", "a.onnx", "--json")
    value = json.loads(done.stdout)
    assert value["precision"] == "int8"
    assert abs(value["loss"]["nats"] - value["loss"]["nats_fp32"]) < 0.1
    said = tuirnn("inspect", "a.onnx").stdout
    assert "in fp32, on" in said
    assert "MatMulInteger" in said
    assert tuirnn("export", "small", "--with-sampler", "--unroll", "4", "-o", "b.onnx").returncode == 0
    assert json.loads(tuirnn("inspect", "b.onnx", "--json").stdout)["tuirnn.unroll"] == 4
    refused = tuirnn("generate", "b.onnx")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "without --unroll" in refused.stderr
    assert tuirnn("export", "small", "--block", "16", "-o", "k.onnx").stdout.count("16 steps in a call") == 1
    assert json.loads(tuirnn("inspect", "k.onnx", "--json").stdout)["tuirnn.block"] == 16
    assert "without --block" in tuirnn("generate", "k.onnx").stderr
    assert tuirnn("export", "small", "--c", "-o", "c.onnx").returncode == 0
    written = {"Makefile", "example.c", *(f"cell{name}" for name in (".c", ".h", "_weights.c"))}
    assert set(os.listdir(tmp_path / "c-c")) == written | {
        f"cell_{name}.h" for name in ("codes", "network", "sizes", "subwords", "weights")
    }


def test_pages_modules_and_saved_states(tuirnn: Run, tmp_path: Path) -> None:
    made = json.loads(
        tuirnn("export", "small", "--html", "--wasm", "--precision", "fp16", "-o", "a.onnx", "--json").stdout
    )
    assert (made["html"], made["wasm"], made["c"]) == ("a.html", "a.wasm", None)
    assert {"a.html", "a.mjs", "a.wasm"} <= set(os.listdir(tmp_path))
    whole = tuirnn("generate", "a.onnx", "--prime", "the ", "--greedy", "-n", "30").stdout
    first = tuirnn(
        "generate", "a.onnx", "--prime", "the ", "--greedy", "-n", "10", "--save-state", "s.safetensors"
    ).stdout
    assert first[:-1] + tuirnn("generate", "a.onnx", "--greedy", "-n", "20", "--state", "s.safetensors").stdout == whole
    refused = tuirnn("generate", "a.onnx", "--samples", "2", "--state", "s.safetensors")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "leave --samples out" in refused.stderr


@pytest.mark.skipif(compiling.compiler("c") is None, reason="no C compiler")
def test_c_source_is_checked_or_said_not_to_be(tuirnn: Run, tmp_path: Path) -> None:
    forms = ("--c-prefix", "poet", "--unroll", "3", "--static-batch", "2", "--opset", "17")
    made = tuirnn("export", "small", "--c", *forms, "-o", "a.onnx", "--json")
    assert json.loads(made.stdout)["c_checked"] is True, made.stderr
    assert (tmp_path / "a-c" / "poet.h").exists()
    said = tuirnn("export", "small", "--c", "-o", "b.onnx", CC="no-such-compiler").stdout
    assert "not checked: no C compiler" in said
    assert "checked: compiled" not in said
    liar = tmp_path / "cc"
    liar.write_text("#!/bin/sh\nprintf '#!/bin/sh\\ntest $# = 0\\n' > program; chmod +x program\n")
    liar.chmod(0o755)
    refused = tuirnn("export", "small", "--c", "-o", "c.onnx", CC=str(liar))
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert sorted(os.listdir(tmp_path)) == ["a-c", "a.json", "a.onnx", "b-c", "b.json", "b.onnx", "cc"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--precision", "int9"), "did you mean 'int4' or 'int8'?"),
        (("--precision", "int4", "--opset", "13"), "needs --opset 21"),
        (("--c", "--precision", "fp16"), "--c writes fp32 or int8"),
        (("--c-prefix", "poet"), "give --c as well"),
        (("--c", "--c-prefix", "Poet"), "--c-prefix takes lower-case letters"),
        (("--unroll", "0"), "--unroll must be from 1"),
        (("--ir", "3"), "--ir must be from 7"),
        (("--max-loss-increase", "-1"), "--max-loss-increase must be at least 0"),
    ],
)
def test_mistakes_get_one_line(tuirnn: Run, words: tuple[str, ...], said: str) -> None:
    done = tuirnn("export", "small", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_samples_are_written_side_by_side(tuirnn: Run) -> None:
    done = tuirnn("generate", "small", "--samples", "3", "--length", "20", "--seed", "1", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["seed"] for row in rows] == [1, 2, 3]
    assert all(len(row["text"]) == 20 for row in rows)
    alone = json.loads(tuirnn("generate", "small", "--length", "20", "--seed", "2", "--json").stdout)
    assert alone["text"] == rows[1]["text"]


def test_import_export_generate(tuirnn: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"embedding.weight": (3, 4), "rnn.weight_ih_l0": (15, 4), "rnn.weight_hh_l0": (15, 5),
              "rnn.bias_ih_l0": (15,), "rnn.bias_hh_l0": (15,), "head.weight": (3, 5), "head.bias": (3,)}  # fmt: skip
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "mine.safetensors")
    (tmp_path / "v.json").write_text('["a", "b", "\\n"]')
    runs = ("--runs", "runs")
    missing = tuirnn("import", "mine.safetensors", *runs)
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)
    done = tuirnn("import", "mine.safetensors", "--vocab", "v.json", *runs)
    assert "GRU with 1 × 5 units" in done.stdout
    assert tuirnn("export", "mine", *runs).returncode == 0
    assert set(tuirnn("generate", "mine", "--length", "30", *runs).stdout) <= set("ab\n")
    assert "mine" in tuirnn("runs", "ls", *runs).stdout


def test_bench_cell_names_its_limit(tuirnn: Run) -> None:
    done = tuirnn("bench", "cell", "small", "--rounds", "1", "--seconds", "0.05", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert {"small: steps", "small: characters", "naive session.run and numpy: characters"} <= {r["what"] for r in rows}
    measured = next(row for row in rows if row["what"] == "small: steps")
    assert measured["share"] == pytest.approx(measured["per_s"] / measured["limit_per_s"])
    assert tuirnn("bench", "cell").returncode == 2
