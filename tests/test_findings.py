"""Further cases of earlier findings: unknown symbols, files of weights, runs that share no axis, a full disk."""

import json
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import UNLIKE, Answer, train_small, write_unlike
from safetensors.torch import save_file
from started import long
from torch import nn

from tuirnn.errors import DataError
from tuirnn.importing import state_dict
from tuirnn.runs.judgement import judgement
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import read_record, read_status
from tuirnn.training import pickled

# ── symbols that a vocabulary lacks (C2) ─────────────────────────────────────────

OTHER = {
    # text, share of unknown characters and of unknown words in percent
    "another script": ("Карл у Клары украл кораллы.\n" * 40, 78.6, 45.5),
    "capitals": ("THE QUICK BROWN FOX JUMPS\n" * 40, 81, 50),
    "ends of lines of Windows": ("the quick brown fox\r\n" * 40, 4.8, 11),
    "emoji": ("the quick 😀 brown 👍🏽 fox\n" * 40, 12, 23.1),
}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory, small_text: Path) -> Path:
    """A folder with a run of characters and one of words."""
    folder = tmp_path_factory.mktemp("readers")
    for tokens in ("char", "word"):
        train_small(folder, tokens, small_text, tokens=tokens, hidden=8, steps=2, eval_every=2)
    return folder


@pytest.mark.parametrize("kind", OTHER)
def test_eval_tells_how_much_of_a_text_is_unknown(kind: str, readers: Path, answer: Callable[..., Answer]) -> None:
    text, *shares = OTHER[kind]
    Path("t.txt").write_bytes(text.encode())
    for run, share in zip(("char", "word"), shares, strict=True):
        done = answer("eval", run, "--text", "t.txt", "--runs", str(readers), "--json")
        assert done.code == 0, done.err
        told = json.loads(done.out)
        assert 100 * told["unknown_share"] == pytest.approx(share, rel=0.06)
        if run == "char":
            assert told["bits_per_character"] > told["nats"] / np.log(2)  # the unknown are charged with their spelling
    said = answer("eval", "word", "--text", "t.txt", "--runs", str(readers))
    assert "tokens are not in this network's vocabulary, read as unknown" in said.err
    assert "in bits per character each of their bytes counts 8 bits" in said.out


# ── files of weights (D2) ────────────────────────────────────────────────────────


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.fc = nn.Embedding(5, 8), nn.LSTM(8, 12), nn.Linear(12, 5)


def written(kind: str, path: Path, own: dict[str, torch.Tensor]) -> None:
    """A file as programs write it."""
    match kind:
        case "lightning.ckpt":
            wrapped = OrderedDict((f"model.{name}", value) for name, value in own.items())
            torch.save({"state_dict": wrapped, "hyper_parameters": {"lr": 0.1}, "callbacks": {}}, path)
        case "pytorch_model.bin":
            torch.save(OrderedDict(own), path)
        case "old.pt":
            torch.save(own, path, _use_new_zipfile_serialization=False)
        case "nested.pth":
            torch.save({"net": {f"module.{name}": value for name, value in own.items()}, "epoch": 3}, path)
        case "wide.safetensors":
            save_file({f"transformer.{name}": value.double() for name, value in own.items()}, path)


@pytest.mark.parametrize("kind", ["lightning.ckpt", "pytorch_model.bin", "old.pt", "nested.pth", "wide.safetensors"])
def test_weights_as_programs_save_them_are_read(kind: str, tmp_path: Path) -> None:
    own = Model().state_dict()
    written(kind, tmp_path / kind, own)
    found = pickled.read(tmp_path / kind)[0] if state_dict.is_pickled(tmp_path / kind) else None
    read = state_dict.expected(found or state_dict.read(tmp_path / kind)).tensors
    assert set(read) == {"embedding.weight", "head.weight", "head.bias", *(n for n in read if n.startswith("rnn."))}
    np.testing.assert_array_equal(read["rnn.weight_hh_l0"], own["lstm.weight_hh_l0"].numpy())
    np.testing.assert_array_equal(read["head.weight"], own["fc.weight"].numpy())


def test_weights_of_another_kind_are_told_by_what_they_are(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.jit.script(nn.LSTM(3, 4)).save(str(tmp_path / "script.pt"))
    recwarn.clear()
    with pytest.raises(DataError, match=r"script\.pt is a TorchScript archive.*state_dict"):
        pickled.read(tmp_path / "script.pt")
    assert not recwarn.list
    torch.save(Model().state_dict(), tmp_path / "zip.safetensors")
    torch.save(Model().state_dict(), tmp_path / "old.safetensors", _use_new_zipfile_serialization=False)
    (tmp_path / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    (tmp_path / "pointer.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")
    (tmp_path / "cut.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    for name, said in (
        ("zip.safetensors", r"torch\.save.* end with \.pt"),
        ("old.safetensors", r"a pickle.* end with \.pt"),
        ("keras.h5", "HDF5 file"),
        ("pointer.safetensors", "git lfs pull"),
        ("cut.safetensors", "not a safetensors file"),
    ):
        with pytest.raises(DataError, match=said) as caught:
            state_dict.read(tmp_path / name)
        assert "\n" not in str(caught.value)


# ── runs that share no axis (E1) ─────────────────────────────────────────────────


def kind_of(folder: Path, name: str, like: str, changes: dict[str, Any], data: dict[str, Any]) -> object:
    settings, found = UNLIKE[like]
    paths = write_unlike(folder, name, {**settings, **changes}, found)
    record = json.loads(paths.record.read_text())
    record["data"].update(data)
    paths.record.write_text(json.dumps(record))
    return judgement(read_record(paths)).kind


APART: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # what a run is like, other settings, other data
    "characters and words": ("text-lstm", {"tokens": "word"}, {}),
    "all of a held-out part and passages of it": ("text-lstm", {}, {"evaluated": 50}),
    "other columns of a table": ("waves-lstm", {}, {"columns": ["y"]}),
    "deviations of differences": ("waves-lstm", {}, {"steps": [0.5]}),
    "classes and tags": ("kinds-lstm", {"task": "tag"}, {}),
}


@pytest.mark.parametrize("kind", APART)
def test_losses_of_different_units_are_kept_apart(kind: str, tmp_path: Path) -> None:
    like, changes, data = APART[kind]
    one = kind_of(tmp_path, "one", like, {}, {})
    assert one == kind_of(tmp_path, "again", like, {"hidden": 77, "lr": 0.5, "steps": 3}, {})
    assert one != kind_of(tmp_path, "two", like, changes, data)


# ── output that cannot be written (F1) ───────────────────────────────────────────


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("output", ["> /dev/full", "2> /dev/full > /dev/full", "| head -1"])
def test_lines_that_cannot_be_written_are_told_of_once(output: str, environment: dict[str, str]) -> None:
    code = "from tuirnn.cli.sweep import _say; [_say('line ' * 2000) for _ in range(200)]"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'{sys.executable} -c "{code}" {output}'],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the sweep goes on without it, and its runs have the figures") == (output == "> /dev/full")


@long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("output", ["> /dev/full", "2> /dev/full > /dev/full", "| head -1"])
def test_output_that_cannot_be_written_ends_no_sweep(
    output: str, tmp_path: Path, environment: dict[str, str], small_text: Path
) -> None:
    words = "--hidden 4 --steps 2 --batch-size 2 --seq-len 4 --lr 1e-3,1e-2 --name s --jobs 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m tuirnn sweep {small_text} {words} {output}"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the sweep goes on without it, and its runs have the figures") == (output == "> /dev/full")
    for name in ("s-lr0.001", "s-lr0.01"):
        assert read_status(RunPaths(tmp_path / "checkpoints" / name)).state == "done"
