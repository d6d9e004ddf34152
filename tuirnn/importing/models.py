"""Import of a language model trained with torch.nn: from its state dict to a run. Does not import torch.

The names, those of a module with `embedding`, `rnn` and `head`:

    embedding.weight        [V, E]      if missing, the network reads one-hot vectors
    rnn.weight_ih_l0 …      [G·H, E]    names and layout of torch.nn's recurrent layers, one set per layer
    rnn.weight_hh_l0 …      [R·H, H]    of the R gates with a recurrent product; in PyTorch's cells all G
    rnn.bias_ih_l0 …        [G·H]       if both are missing, there are no biases
    rnn.bias_hh_l0 …        [R·H]
    rnn.vectors_l0 …        [P, H]      of a cell with vectors, in their order
    head.weight             [V, H]
    head.bias               [V]         if missing, there is none

The number of gates G determines which of torch.nn's cells it is; any other cell must be named. V is the number of
symbols, or one more if the last token is the unknown symbol.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from tuirnn import __version__, tasks
from tuirnn.cells import CELLS
from tuirnn.codegen.trace import Traced, traced
from tuirnn.config import RunConfig
from tuirnn.errors import DataError, one_line
from tuirnn.export.weights import LayerWeights, layer_shapes
from tuirnn.files import parse_json, read_bounded, to_json
from tuirnn.importing import numbering as numberings
from tuirnn.importing.numbering import Numbering
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths
from tuirnn.runs.reader import RunRecord, Status
from tuirnn.runs.writer import RunWriter
from tuirnn.settings.data import DataConfig
from tuirnn.settings.model import ModelConfig
from tuirnn.vocab import Vocabulary

Tensor = npt.NDArray[np.float32]
BY_GATES = {
    len(cell.gates): cell.name for cell in reversed(CELLS.values()) if cell.in_torch and cell.name == cell.family
}
"""Number of gates -> the first cell of torch.nn with this number."""

NEVER = -100.0
"""Bias of the unknown symbol if the model has none: it is read, never written."""


@dataclass(frozen=True)
class Given:
    """What a model is made of, as it was given.

    Attributes:
        found: tensors under the expected names.
        where: names the file in errors.
        numbering: which token stands for which symbol.
        cell: name of the cell; None: the cell of torch.nn with this number of gates.
        nonlinearity: of a vanilla RNN; the weights do not tell it.
        gates: the order of the gates in the file; empty: that of the cell.
        told: how it is read otherwise than it was given, and `advice` the options for that.
    """

    found: Mapping[str, Tensor]
    where: str
    numbering: Numbering
    cell: str | None = None
    nonlinearity: str = "tanh"
    gates: tuple[str, ...] = ()
    told: str = ""
    advice: str = ""

    def read_as(self, *, cell: str, numbering: Numbering | None = None, gates: tuple[str, ...] = ()) -> "Given":
        """The same tensors of another cell, with other symbols, or with gates in another order."""
        told, advice = [], []
        if cell != assemble(self).config.recurrent.name:
            told.append(f"the cell {cell}")
            advice.append(f"--cell {cell}")
        if gates:
            told.append(f"gates in the order {' '.join(gates)}")
            advice.append(f"--gates {','.join(gates)}")
        if numbering is not None and numbering is not self.numbering:
            told.append(numbering.told)
            advice.append(numbering.advice or "no other option than --text")
        return replace(
            self, cell=cell, numbering=numbering or self.numbering, gates=gates or self.gates,
            told=" and ".join(told), advice=" ".join(advice),
        )  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """An imported model: its architecture, tensors under the names of a checkpoint, and vocabulary."""

    config: ModelConfig
    tensors: dict[str, Tensor]
    numbering: Numbering

    @property
    def vocab(self) -> Vocabulary:
        """Its symbols."""
        return self.numbering.vocab


def tokens_of(found: Mapping[str, Tensor], where: str) -> int:
    """How many tokens a model has; raises DataError where it has no head."""
    head = found.get("head.weight")
    if head is None or head.ndim != 2:
        raise DataError(
            f"{where} has {'no head.weight' if head is None else 'a head.weight that is no matrix'}; {_NAMES}"
        )
    return int(head.shape[0])


def from_tensors(
    found: Mapping[str, Tensor], vocab: Vocabulary, where: str, *, cell: str | None = None, nonlinearity: str = "tanh"
) -> Imported:
    """Assemble a model whose tokens are in the order of its vocabulary; see `assemble`."""
    need_names(found, where)
    numbering = numberings.plain(vocab, tokens_of(found, where), where)
    return assemble(Given(found, where, numbering, cell, nonlinearity))


def need_names(found: Mapping[str, Tensor], where: str) -> None:
    """Raise DataError where tensors have other names than expected."""
    kinds, layers = [each.name for each in fields(LayerWeights)], _layers(found)
    known = {"embedding.weight", "head.weight", "head.bias"} | {f"rnn.{k}_l{i}" for k in kinds for i in range(layers)}
    strange = sorted(set(found) - known)
    if strange or not layers or "head.weight" not in found:
        what = f"'{one_line(strange[0], 60)}'" if strange else "no rnn.weight_ih_l0" if not layers else "no head.weight"
        raise DataError(f"{where} has {what}; {_NAMES}")


_NAMES = (
    "expected embedding.weight, rnn.weight_ih_l0 … rnn.bias_hh_l0, head.weight, head.bias as in a module with "
    "embedding, rnn and head (one direction, no proj_size)"
)


def _layers(found: Mapping[str, Tensor]) -> int:
    return 1 + max((int(m[1]) for name in found if (m := re.fullmatch(r"rnn\.weight_ih_l(\d{1,3})", name))), default=-1)


def assemble(given: Given) -> Imported:
    """Make a model of its tensors.

    Raises:
        DataError: they have other names, or shapes that do not agree.
    """
    found, where, numbering = given.found, given.where, given.numbering
    need_names(found, where)
    layers, V = _layers(found), numbering.tokens
    take = _Taker(found, where)
    made, H = _cell(take, given.cell, given.nonlinearity)
    embedding = found.get("embedding.weight")
    E = embedding.shape[1] if embedding is not None and embedding.ndim == 2 else V
    tensors = {"head.weight": take("head.weight", V, H), "head.bias": take("head.bias", V, missing=True)}
    if embedding is not None:
        tensors["embedding.weight"] = take("embedding.weight", V, E)
    for i in range(layers):
        for kind, shape in layer_shapes(made, H if i else E, H).items():
            if shape[0]:
                missing = kind.startswith("bias")
                tensors[f"layers.{i}.{kind}"] = take(f"rnn.{kind}_l{i}", *shape, missing=missing)
    if left := sorted(set(found) - take.taken):
        raise DataError(f"{where} has '{one_line(left[0], 60)}', which the cell '{made.name}' does not have")
    if given.gates:
        _order_gates(tensors, made, given.gates)
    if not numbering.plain:
        _order_tokens(tensors, numbering.order)
    if len(numbering.vocab) > len(numbering.order):
        _add_unknown(tensors)
    config = ModelConfig(hidden=H, layers=layers, embed=0 if embedding is None else E).of_cell(made.cell)
    return Imported(config, tensors, numbering)


def _order_gates(tensors: dict[str, Tensor], cell: Traced, gates: tuple[str, ...]) -> None:
    """Bring the rows of gates into the cell's order."""
    if sorted(gates) != sorted(cell.gates):
        raise DataError(f"the gates of '{cell.name}' are {','.join(cell.gates)}; expected these in another order")
    for name, tensor in tensors.items():
        kind = name.rpartition(".")[2]
        if not name.startswith("layers.") or kind == "vectors":
            continue
        own = cell.recurrent if kind.endswith("_hh") else cell.gates
        given = [gate for gate in gates if gate in own]
        rows = dict(zip(given, np.split(tensor, len(given)), strict=True))
        tensors[name] = np.concatenate([rows[gate] for gate in own])


def _order_tokens(tensors: dict[str, Tensor], order: list[int]) -> None:
    """Bring the rows of tokens into the order of the vocabulary; rows of tokens that are no symbols go."""
    for name in ("head.weight", "head.bias", "embedding.weight"):
        if name in tensors:
            tensors[name] = tensors[name][order]
    if "embedding.weight" not in tensors:
        tensors["layers.0.weight_ih"] = tensors["layers.0.weight_ih"][:, order]


class _Taker:
    """Takes tensors from a state dict and refuses other shapes; `taken` has their names."""

    def __init__(self, found: Mapping[str, Tensor], where: str) -> None:
        self.found, self.where, self.taken = found, where, set[str]()

    def __call__(self, name: str, *shape: int, missing: bool = False) -> Tensor:
        self.taken.add(name)
        array, where = self.found.get(name, np.zeros(shape, np.float32) if missing else None), self.where
        if array is None or array.shape != shape:
            raise DataError(f"{where}: '{name}' has shape {None if array is None else array.shape}, expected {shape}")
        if not np.isfinite(array).all():
            raise DataError(f"{where}: '{name}' is not finite")
        return array


def _cell(take: _Taker, name: str | None, nonlinearity: str) -> tuple[Traced, int]:
    """Return the named cell, else the one that the weights determine, and the hidden width."""
    square, first = take.found.get("rnn.weight_hh_l0"), take.found["rnn.weight_ih_l0"]
    shape = () if square is None else square.shape
    if name is not None:
        made = traced(ModelConfig(cell=name, nonlinearity=nonlinearity).recurrent)
        return made, (shape[1] if made.R and len(shape) == 2 else first.shape[0] // made.G)
    H = shape[1] if len(shape) == 2 else 0
    gates = shape[0] // H if H else 0
    if gates not in BY_GATES or shape[0] != gates * H:
        known = ", ".join(BY_GATES[number].upper() for number in sorted(BY_GATES))
        raise DataError(
            f"{take.where}: 'rnn.weight_hh_l0' has shape {shape}, expected that of {known}; name another cell "
            "with --cell"
        )
    return traced(ModelConfig(cell=BY_GATES[gates], nonlinearity=nonlinearity).recurrent), H


def _add_unknown(tensors: dict[str, Tensor]) -> None:
    """Add a token whose input row is zero and whose logit is never the largest."""
    row = np.zeros((1, tensors["head.weight"].shape[1]), np.float32)
    tensors["head.weight"] = np.concatenate([tensors["head.weight"], row])
    tensors["head.bias"] = np.append(tensors["head.bias"], np.float32(NEVER))
    if "embedding.weight" in tensors:
        row = np.zeros((1, tensors["embedding.weight"].shape[1]), np.float32)
        tensors["embedding.weight"] = np.concatenate([tensors["embedding.weight"], row])
    else:
        first = tensors["layers.0.weight_ih"]
        tensors["layers.0.weight_ih"] = np.concatenate([first, np.zeros((len(first), 1), np.float32)], 1)


def read_vocabulary(path: Path, tokens: int, where: str) -> Numbering:
    """Read the vocabulary of a model from JSON.

    A list of symbols in token order, an object with 'kind' and 'symbols', or an object of symbols and their numbers,
    either way round.

    Args:
        path: the file.
        tokens: of the model.
        where: names the model in errors.
    Raises:
        DataError: the file is none of these, or is of another number of tokens.
    """
    name = one_line(path.name)
    value: Any = parse_json(read_bounded(path, 64 * 2**20, DataError, follow_links=True), name, DataError)
    if isinstance(value, dict) and "kind" in value:
        return numberings.plain(Vocabulary.from_json(value), tokens, where)
    symbols = _listed(value, name)
    vocab, rows, unknown = numberings.of_list(symbols)
    if len(rows) == len(symbols):
        return numberings.plain(vocab, tokens, where)
    if tokens != len(symbols):
        raise DataError(f"{where} has {tokens} tokens, {name} {len(symbols)}; expected the vocabulary of its training")
    return Numbering(vocab, rows, unknown, tokens)


def _listed(value: object, name: str) -> list[str]:
    """The symbols of a vocabulary's JSON in token order."""
    if isinstance(value, dict):
        to_symbol = {at: symbol for symbol, at in value.items() if type(at) is int}
        to_symbol = to_symbol or {int(at): symbol for at, symbol in value.items() if at.isdecimal()}
        if sorted(to_symbol) == list(range(len(value))):
            value = [to_symbol[at] for at in range(len(value))]
    if isinstance(value, list) and all(isinstance(symbol, str) for symbol in value):
        return value
    raise DataError(
        f"{name} is no vocabulary: expected a list of symbols, an object with 'kind' and 'symbols', or an object of "
        "symbols and their numbers from 0"
    )


def write_run(imported: Imported, folder: Path, name: str, text: str | None, encoding: str = "") -> RunPaths:
    """Write a run with one checkpoint, as if it had been trained here.

    Args:
        imported: the model.
        folder: of the runs.
        name: of the run.
        text: a file for evaluations, split as for training; empty or None: no data.
        encoding: of the text; empty: found out.
    Raises:
        RunError: the name exists, or the folder cannot be written.
        DataError: the text cannot be read.
    """
    vocab = imported.vocab
    data_config = DataConfig(sources=(text,) if text else (), tokens=vocab.kind, encoding=encoding)
    record: dict[str, Any] = {"name": "imported", "sha256": "", "train": 0, "val": 0, "test": 0}
    if text:
        record = tasks.load(data_config, vocab=vocab).summary()
    tensors = {key: np.ascontiguousarray(value) for key, value in imported.tensors.items()}
    parameters = sum(value.size for value in tensors.values())
    made = RunRecord(
        RunConfig(model=imported.config, data=data_config),
        vocab,
        record,
        {"tuirnn": __version__},
        time.time(),
        parameters,
    )
    with RunWriter.create(folder, name, made) as writer:
        files = {
            checkpoint.MODEL: save(tensors),
            checkpoint.OPTIMIZER: save({"none": np.zeros(1, np.float32)}),
            checkpoint.TRAINER: to_json({"progress": {"step": 0, "val_loss": "NaN"}}),
            checkpoint.RECORD: to_json(made.to_json(), indent=1),
        }
        checkpoint.save(writer.paths, 0, files)
        for pointer in ("best", "last"):
            checkpoint.point(writer.paths, pointer, 0)
        writer.event("import", parameters=parameters)
        writer.status(
            Status(state="done", progress=1.0, started=made.created, heartbeat=made.created, message="imported")
        )
        return writer.paths
