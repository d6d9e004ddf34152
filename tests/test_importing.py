"""Models trained elsewhere: a torch.nn language model in safetensors becomes a run that computes the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from safetensors.torch import save_file
from torch import nn

from tuirnn.cells import CELLS
from tuirnn.errors import DataError
from tuirnn.export.exporter import export_run
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.export.weights import read_weights
from tuirnn.importing import models, state_dict
from tuirnn.loading.cell import load_cell
from tuirnn.runtime.data import held_out
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.opened import opened
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.settings.model import ModelConfig
from tuirnn.tasks.lm.prediction import evaluate
from tuirnn.vocab import UNKNOWN, Vocabulary

VOCAB = Vocabulary("char", tuple("abc"))


class Model(nn.Module):
    """What people write: embedding, rnn, head."""

    def __init__(self, kind: str, vocab: int, embed: int, hidden: int, **settings: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.rnn = getattr(nn, kind)(embed, hidden, **settings)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embedding(tokens))[0])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {"num_layers": 2}), ("LSTM", {"num_layers": 3}),
     ("LSTM", {"bias": False})],
)  # fmt: skip
def test_an_imported_model_gives_torchs_logits(
    kind: str, settings: dict[str, Any], small_text: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    vocab = Vocabulary.build(small_text.read_text(), "char")
    model = Model(kind, len(vocab.symbols), 12, 20, **settings)
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    nonlinearity = settings.get("nonlinearity", "tanh")
    found = state_dict.read(tmp_path / "m.safetensors")
    imported = models.from_tensors(found, vocab, "m", nonlinearity=nonlinearity)
    paths = models.write_run(imported, tmp_path / "runs", "mine", str(small_text))
    session = CellSession(export_run(paths), device="cpu")
    tokens = np.random.default_rng(0).integers(0, len(vocab.symbols), 50)
    expected = model(torch.from_numpy(tokens)).detach().numpy()
    for token, logits in zip(tokens, expected, strict=True):
        np.testing.assert_allclose(session.step(int(token))[0, : len(logits)], logits, rtol=0, atol=1e-5)
    text = "".join(TextWriter(session).stream(Sampling(3.0), 300))
    assert UNKNOWN not in text
    cell = load_cell("mine", tmp_path / "runs")
    loss = evaluate(opened(cell, "mine", "cpu"), held_out("mine", tmp_path / "runs", cell.metadata))
    assert 0 < loss.carried < 10
    assert export_run(paths, options=CellOptions("int8")).metadata.loss is not None


def test_bytes_and_one_hot_need_no_vocabulary_and_no_embedding(tmp_path: Path) -> None:
    rnn, head = nn.GRU(256, 8), nn.Linear(8, 256)
    tensors = {**{f"rnn.{k}": v for k, v in rnn.state_dict().items()},
               **{f"head.{k}": v for k, v in head.state_dict().items()}}  # fmt: skip
    save_file(tensors, tmp_path / "m.safetensors")
    imported = models.from_tensors(state_dict.read(tmp_path / "m.safetensors"), Vocabulary("byte"), "m")
    assert (imported.config.cell, imported.config.embed) == ("gru", 0)
    paths = models.write_run(imported, tmp_path / "runs", "bytes", None)
    session = CellSession(export_run(paths), device="cpu")
    tokens = torch.tensor([65, 200, 10])
    expected = head(rnn(torch.eye(256)[tokens])[0])[-1].detach().numpy()
    for token in tokens.tolist():
        logits = session.step(token)[0]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    with pytest.raises(DataError, match="--text"):
        held_out("bytes", tmp_path / "runs", load_cell("bytes", tmp_path / "runs").metadata)


def test_what_does_not_fit_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    vocab = Vocabulary("char", tuple("abc"))
    good = {name: value.numpy() for name, value in Model("GRU", 3, 4, 5).state_dict().items()}
    assert models.from_tensors(good, vocab, "m").config.hidden == 5
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"rnn.weight_ih_l0_reverse": good["rnn.weight_ih_l0"]}, "one direction"),
        (
            {"rnn.weight_hh_l0": good["rnn.weight_hh_l0"][:, :4]},
            "expected that of RNN, GRU, LSTM; name another cell with --cell",
        ),
        ({"rnn.bias_ih_l0": good["rnn.bias_ih_l0"][:3]}, "expected"),
        ({"head.weight": good["head.weight"][:2]}, "has 2 tokens"),
        ({"head.bias": good["head.bias"] * np.nan}, "not finite"),
        ({"transformer.wte": good["head.weight"]}, "transformer.wte"),
    ]
    for change, said in wrong:
        with pytest.raises(DataError, match=said):
            models.from_tensors({**good, **change}, vocab, "m")
    with pytest.raises(DataError, match=r"no rnn\.weight_ih_l0"):
        models.from_tensors({"head.weight": good["head.weight"]}, vocab, "m")
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="not a safetensors file"):
        state_dict.read(tmp_path / "no.safetensors")


@pytest.mark.parametrize("cell", CELLS)
def test_any_cell_is_imported_by_its_name(cell: str) -> None:
    """The tensors of one of our networks under torch.nn's names, and back."""
    network = random_network(ModelConfig(cell=cell, hidden=5, layers=2, embed=4), VOCAB)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "vectors")
    tensors = {
        f"rnn.{name}_l{i}": np.float32(getattr(layer, name))
        for i, layer in enumerate(network.weights.layers)
        for name in names
        if getattr(layer, name).size
    }
    tensors |= {"embedding.weight": np.float32(network.weights.embedding)}
    tensors |= {"head.weight": np.float32(network.weights.head[0]), "head.bias": np.float32(network.weights.head[1])}
    imported = models.from_tensors(tensors, VOCAB, "m", cell=cell)
    assert imported.config.recurrent is CELLS[cell]
    read = read_weights(save(imported.tensors), imported.config, "m")
    for ours, theirs in zip(read.layers, network.weights.layers, strict=True):
        for name in names:
            np.testing.assert_array_equal(getattr(ours, name), np.float32(getattr(theirs, name)))
    with pytest.raises(DataError, match=r"'rnn\.vectors_l0'"):
        models.from_tensors({**tensors, "rnn.vectors_l0": np.zeros((9, 5), np.float32)}, VOCAB, "m", cell=cell)


def test_vocabularies_are_read_from_lists_and_objects(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    for text, expected in (
        ('["a", "b"]', Vocabulary("char", ("a", "b"))),
        ('["the", "a"]', Vocabulary("word", ("the", "a"))),
        ('{"kind": "byte"}', Vocabulary("byte")),
    ):
        path.write_text(text)
        assert models.read_vocabulary(path, 256 if expected.kind == "byte" else 2, "m").vocab == expected
    for text in ("{", "[1]", '["a", "a"]', "3"):
        path.write_text(text)
        with pytest.raises(DataError):
            models.read_vocabulary(path, 1, "m")
