"""Models trained elsewhere, as people save them: read right, or refused with the reading that fits."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Answer
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from tuirnn.errors import DataError
from tuirnn.importing import fitting, models, numbering, state_dict
from tuirnn.training import pickled

TEXT = "the old man said: it is late. go home now, my son, and sleep.\nBut he did not; he sang on!\n" * 40


class Model(nn.Module):
    """What people write, under other names."""

    def __init__(self, kind: str, vocab: int, hidden: int, **settings: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, 8)
        self.lstm = getattr(nn, kind)(8, hidden, **settings)
        self.fc = nn.Linear(hidden, vocab)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc(self.lstm(self.embed(tokens))[0])


def trained(kind: str, numbers: dict[str, int], **settings: Any) -> Model:
    """A model that has learned TEXT well enough to tell a right reading from a wrong one."""
    torch.manual_seed(0)
    model = Model(kind, max(numbers.values()) + 1, 24, **settings)
    ids = torch.tensor([numbers[symbol] for symbol in TEXT])
    windows = ids[: 32 * 101].view(32, 101).t()  # [T, B]
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(windows[:-1]).flatten(0, 1), windows[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1.5
    return model


def numbered(order: str, specials: int = 0) -> dict[str, int]:
    """Symbol -> number."""
    counts = Counter(TEXT)
    symbols = {"sorted": sorted(counts), "frequency": [s for s, _ in counts.most_common()], "appearance": list(counts)}
    return {symbol: at + specials for at, symbol in enumerate(symbols[order])}


def given_of(model: nn.Module, **settings: Any) -> models.Given:
    """As the command line makes it with --text."""
    found = state_dict.expected({name: value.detach().numpy() for name, value in model.state_dict().items()}).tensors
    tokens = models.tokens_of(found, "m")
    read = numbering.of_text(TEXT, settings.pop("order", "sorted"), settings.pop("specials", 0), tokens, "m")
    return models.Given(found, "m", read, **settings)


def check(given: models.Given) -> fitting.Fit:
    return fitting.check(given, models.assemble(given), TEXT)


@pytest.mark.parametrize(
    ("kind", "order", "specials", "settings", "advice", "with_it"),
    [
        ("LSTM", "frequency", 0, {}, "--order frequency", {"order": "frequency"}),
        ("GRU", "appearance", 0, {}, "--order appearance", {"order": "appearance"}),
        ("LSTM", "sorted", 1, {}, "--specials 1", {"specials": 1}),
        ("RNN", "frequency", 1, {}, "--order frequency --specials 1", {"order": "frequency", "specials": 1}),
        ("RNN", "sorted", 0, {"nonlinearity": "relu"}, "--cell rnn-relu", {"cell": "rnn-relu"}),
    ],
)
def test_a_model_read_wrongly_is_refused_with_the_reading_that_fits(
    kind: str, order: str, specials: int, settings: dict[str, Any], advice: str, with_it: dict[str, Any]
) -> None:
    model = trained(kind, numbered(order, specials), **settings)
    with pytest.raises(DataError, match=rf"nats per token on this text, but .* import it with {advice}$"):
        check(given_of(model))
    right = given_of(model, **with_it)
    fit = check(right)
    assert fit.nats < 1.7 < fit.unigram < fit.uniform
    ids = torch.tensor([numbered(order, specials)[symbol] for symbol in TEXT[: fit.tokens + 1]])
    logits = model(ids[:256][:, None])[:, 0]  # the first sequence: the same as torch's
    expected = nn.functional.cross_entropy(logits, ids[1:257]).item()
    one = fitting.measure(models.assemble(right), right.numbering.vocab.encode(TEXT), lanes=1)
    assert one.nats == pytest.approx(expected, abs=1e-5)


def test_gates_in_another_order_are_found() -> None:
    model = trained("LSTM", numbered("sorted"))
    rows = model.state_dict()
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        i, f, g, o = rows[f"lstm.{name}"].chunk(4)
        rows[f"lstm.{name}"].copy_(torch.cat([i, g, f, o]).clone())
    with pytest.raises(DataError, match="--gates i,g,f,o"):
        check(given_of(model))
    assert check(given_of(model, gates=("i", "g", "f", "o"))).nats < 1.7
    with pytest.raises(DataError, match="expected these in another order"):
        check(given_of(model, gates=("i", "g", "f", "x")))


def test_what_no_reading_explains_is_refused_with_the_usual_causes() -> None:
    shuffled = dict(zip(numbered("sorted"), np.random.default_rng(1).permutation(len(set(TEXT))).tolist(), strict=True))
    with pytest.raises(DataError, match=r"more than the 3\.\d\d of equal probabilities.*--vocab FILE\.json.*<pad>"):
        check(given_of(trained("GRU", shuffled)))


def test_a_right_model_is_measured_and_no_better_reading_is_claimed() -> None:
    for kind in ("LSTM", "GRU", "RNN"):
        assert check(given_of(trained(kind, numbered("sorted")))).nats < 1.7


# ── names and files ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "names",
    [
        ("_orig_mod.embed", "_orig_mod.lstm", "_orig_mod.fc"),
        ("module.encoder", "module.rnn", "module.decoder"),
        ("_orig_mod.module.emb", "_orig_mod.module.gru", "_orig_mod.module.head"),
        ("model.tok_emb", "model.rnn", "model.lm_head"),
        ("net.model.embedding", "net.model.lstm", "net.model.out"),
        ("lightning.embed", "lightning.gru", "lightning.linear"),
        ("embedding", "rnn", "head"),
        ("char_embedding", "RNN", "output"),
    ],
)
def test_the_usual_names_and_prefixes_are_mapped_and_told(names: tuple[str, str, str]) -> None:
    """Names of wrappers and modules, in combinations that programs write."""
    own = Model("GRU", 5, 6).state_dict()
    renamed = dict(zip(("embed", "lstm", "fc"), names, strict=True))
    found = {f"{renamed[name.split('.')[0]]}.{name.split('.', 1)[1]}": own[name].numpy() for name in own}
    read = state_dict.expected(found)
    models.need_names(read.tensors, "m")
    assert np.array_equal(read.tensors["rnn.weight_hh_l0"], own["lstm.weight_hh_l0"].numpy())
    assert np.array_equal(read.tensors["embedding.weight"], own["embed.weight"].numpy())
    assert np.array_equal(read.tensors["head.bias"], own["fc.bias"].numpy())
    assert bool(read.notes) == (names != ("embedding", "rnn", "head"))


def test_several_modules_and_cells_become_layers_in_their_order() -> None:
    modules = nn.ModuleList([nn.LSTM(3, 4), *(nn.LSTM(4, 4) for _ in range(11))])
    found = {f"rnns.{name}": value.numpy() for name, value in modules.state_dict().items()}
    read = state_dict.expected({**found, "decoder.weight": np.ones((3, 4), np.float32)})
    for layer in range(12):
        expected = modules[layer].weight_hh_l0.detach().numpy()
        np.testing.assert_array_equal(read.tensors[f"rnn.weight_hh_l{layer}"], expected)
    assert any("rnns.9, rnns.10" in note for note in read.notes)
    cell = {f"cell.{name}": value.numpy() for name, value in nn.GRUCell(3, 4).state_dict().items()}
    assert "rnn.weight_ih_l0" in state_dict.expected(cell).tensors


def test_shared_weights_that_a_file_has_once_serve_twice() -> None:
    embedding, rnn = nn.Embedding(5, 6), nn.GRU(6, 6)
    found = {"embed.weight": embedding.weight.detach().numpy(), "fc.bias": np.zeros(5, np.float32)}
    found |= {f"rnn.{name}": value.numpy() for name, value in rnn.state_dict().items()}
    read = state_dict.expected(found)
    assert np.array_equal(read.tensors["head.weight"], found["embed.weight"])
    assert "the head shares the embedding's weights" in read.notes


@given(st.lists(st.text("abc._", min_size=1, max_size=12), unique=True, max_size=8))
def test_mapping_loses_no_tensor(names: list[str]) -> None:
    found = {name: np.full(1, at, np.float32) for at, name in enumerate(names)}
    read = state_dict.expected(found).tensors
    assert sorted(float(value[0]) for value in read.values()) == list(map(float, range(len(names))))


@settings(max_examples=30)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_every_type_of_number_is_read(values: list[float]) -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        tensor = torch.tensor(values).to(dtype)
        raw = tensor.view(torch.uint8).numpy().tobytes()
        name = {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64"}[str(dtype).split(".")[1]]
        np.testing.assert_array_equal(state_dict._numbers(name, raw, "x"), tensor.float().numpy())


def test_bf16_half_and_pt_give_the_same_run(tmp_path: Path) -> None:
    model = Model("LSTM", 5, 6)
    halves = {name: value.bfloat16().contiguous() for name, value in model.state_dict().items()}
    save_file(halves, tmp_path / "b.safetensors")
    torch.save(halves, tmp_path / "b.pt")
    torch.save({"epoch": 3, "model_state_dict": halves, "optimizer": {"lr": 0.1}}, tmp_path / "c.ckpt")
    one = state_dict.read(tmp_path / "b.safetensors")
    for name in ("b.pt", "c.ckpt"):
        two, notes = pickled.read(tmp_path / name)
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[key], two[key]) for key in one)
        assert notes == (["read 'model_state_dict' of c.ckpt"] if name == "c.ckpt" else [])


class Runs:
    """A pickle of it would call a function when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("was-run"),))


def test_a_pt_file_that_would_run_code_is_refused_and_runs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Runs()}, tmp_path / "a.pt")
    torch.save(Model("GRU", 5, 6), tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(b"no")
    torch.save([1, 2], tmp_path / "d.pt")
    for name, said in (
        ("a", r"torch\.save\(model\.state_dict\(\)"),
        ("b", "run code"),
        ("c", "c.pt"),
        ("d", "no state"),
    ):
        with pytest.raises(DataError, match=said):
            pickled.read(tmp_path / f"{name}.pt")
    assert not (tmp_path / "was-run").exists()


def test_vocabularies_as_programs_save_them(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    for value, symbols, rows, unknown in (
        (["<pad>", "<unk>", "a", "b"], ("a", "b"), (2, 3), 1),
        ({"b": 1, "a": 0, "<unk>": 2}, ("a", "b"), (0, 1), 2),
        ({"1": "b", "0": "a", "2": "c"}, ("a", "b", "c"), (0, 1, 2), None),
        (["the", "a", "<unk>"], ("the", "a"), (0, 1), 2),
    ):
        path.write_text(json.dumps(value))
        read = models.read_vocabulary(path, len(value), "m")
        assert (read.vocab.symbols, read.rows, read.unknown) == (symbols, rows, unknown)
    for value in ({"a": 0, "b": 2}, {"a": "b"}, {"a": 0, "b": 0}, ["a", 3], {"0": 1, "x": "y"}):
        path.write_text(json.dumps(value))
        with pytest.raises(DataError, match=r"no vocabulary|tokens"):
            models.read_vocabulary(path, 2, "m")


def test_the_command_measures_and_says_how_it_mapped(answer: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    torch.save(trained("LSTM", numbered("frequency")).state_dict(), tmp_path / "m.pt")
    wrong = answer("import", "m.pt", "--text", "t.txt")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "--order frequency" in wrong.err
    assert not list(tmp_path.glob("checkpoints/*"))
    done = answer("import", "m.pt", "--text", "t.txt", "--order", "frequency")
    assert done.code == 0, done.err
    assert "embed read as embedding" in done.out
    assert "nats/char" in done.out
    told = json.loads(answer("import", "m.pt", "--text", "t.txt", "--order", "frequency", "--json").out)
    evaluated = json.loads(answer("eval", told["run"], "--text", "t.txt", "--json").out)
    assert evaluated["nats_blocks"] == pytest.approx(told["measured"]["nats"], abs=0.1)
    assert "--vocab FILE.json" in answer("import", "m.pt").err
    assert "--vocab has their numbers" in answer("import", "m.pt", "--vocab", "v.json", "--order", "frequency").err
