"""State dicts as people save them: tensors of a safetensors file, under the names that an import expects.

The names an import expects are those of a module with `embedding`, `rnn` and `head`; see `tuirnn.importing.models`.
Other usual names are mapped to them, and every mapping is told: wrappers before all names (`_orig_mod.`, `module.`),
other names of the three modules, several recurrent modules one after the other, cells without a layer's number.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from tuirnn.errors import DataError, one_line
from tuirnn.files import read_bounded

Tensor = npt.NDArray[np.float32]
MAX_BYTES = 4 * 2**30

NUMBERS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
}  # fmt: skip
"""Types of safetensors that numpy has; BF16 is the upper half of an F32."""

WRAPPERS = frozenset(("_orig_mod", "module", "model", "net", "network", "state_dict", "lm", "_forward_module"))
"""Modules that programs wrap around a network; they compute nothing."""

EMBEDDINGS = (
    "embedding", "embeddings", "embed", "emb", "encoder", "wte", "tok_emb", "token_embedding", "tok_embeddings",
    "word_embeddings", "char_embedding", "char_emb", "lookup",
)  # fmt: skip
HEADS = (
    "head", "fc", "decoder", "out", "output", "linear", "lin", "lm_head", "fc_out", "out_proj", "classifier", "dense",
    "proj", "projection", "to_logits", "h2o", "hidden2tag",
)  # fmt: skip

BEGINNINGS = (
    (b"PK\x03\x04", "it is a file of torch.save or another archive; of the former, let its name end with .pt"),
    (b"\x80\x02", "it is a pickle, as torch.save of old wrote it; let its name end with .pt"),
    (b"\x89HDF", "it is an HDF5 file, as Keras writes them; save the weights by name with safetensors.numpy.save_file"),
    (b"GGUF", "it is a GGUF file; convert it with safetensors.torch.save_file"),
)
"""How files of weights of other kinds begin, what they are, and what to do."""

_RECURRENT = re.compile(
    r"(?:(?P<module>.+)\.)?(?P<kind>weight_ih|weight_hh|bias_ih|bias_hh|vectors)(?:_l(?P<layer>\d{1,3}))?"
)


@dataclass(frozen=True)
class StateDict:
    """Tensors under the expected names, and how they were mapped to them, a line each."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file as float32.

    Raises:
        DataError: the file is not safetensors, or has tensors that are not numbers.
    """
    name = one_line(path.name)
    try:
        found: list[tuple[str, dict[str, Any]]] = deserialize(  # type: ignore[no-untyped-call]
            read_bounded(path, MAX_BYTES, DataError, follow_links=True)
        )
    except (SafetensorError, ValueError) as error:
        why = _other_kind(path) or one_line(error, 100)
        raise DataError(f"{name} is not a safetensors file: {why}") from None
    return {key: _numbers(info["dtype"], bytes(info["data"]), f"{name}: '{one_line(key, 60)}'").reshape(info["shape"])
            for key, info in found}  # fmt: skip


def _other_kind(path: Path) -> str:
    """What a file is that is known by its beginning, and what to do; empty for others."""
    with path.open("rb") as file:
        head = file.read(200)
    found = (what for begin, what in BEGINNINGS if head.startswith(begin))
    return next(found, "it is a pointer of Git LFS; fetch the file itself with 'git lfs pull'" * (b"git-lfs" in head))


def _numbers(dtype: str, data: bytes, where: str) -> Tensor:
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype not in NUMBERS:
        known = ", ".join(("BF16", *NUMBERS))
        raise DataError(f"{where} is of type {one_line(dtype, 20)}; expected one of {known}: save it as float32")
    with np.errstate(over="ignore"):
        return np.frombuffer(data, NUMBERS[dtype]).astype(np.float32)


# ── names ─────────────────────────────────────────────────────────────────────


def expected(found: Mapping[str, Tensor], said: Sequence[str] = ()) -> StateDict:
    """Map a state dict's names to the expected ones; names that are not understood stay as they are.

    Args:
        found: tensors under the names of their training.
        said: notes on how they were found.
    """
    bare, wrapper = _unwrapped(list(found))
    tensors = {bare[name]: found[name] for name in found}
    names, notes = _recurrent(list(tensors))
    rest = [name for name in tensors if name not in names]
    for kind, usual in (("embedding", EMBEDDINGS), ("head", HEADS)):
        module = _module(rest, usual)
        if module is not None and module != kind:
            notes.append(f"{module} read as {kind}")
        for name in rest:
            if module is not None and name.rpartition(".")[0] == module:
                names[name] = f"{kind}.{name.rpartition('.')[2]}"
    if len(set(names.values())) < len(names):  # two tensors would bear one name: nothing is mapped
        return StateDict(dict(found), tuple(said))
    mapped = {names.get(name, name): tensor for name, tensor in tensors.items()}
    if wrapper:
        notes.insert(0, f"names without '{one_line(wrapper, 60)}'")
    return StateDict(mapped, (*said, *notes, *_tie(mapped)))


def _unwrapped(names: list[str]) -> tuple[dict[str, str], str]:
    """Each name without wrappers, and what was taken away; a module around all names is a wrapper."""
    bare = {name: name for name in names}
    while True:
        first = {name.split(".")[0] if "." in name else "" for name in bare.values()}
        around = len(first) == 1 and all(name.count(".") > 1 for name in bare.values())
        if not first or not (around or first <= WRAPPERS) or "" in first:
            break
        shorter = {name: short.partition(".")[2] for name, short in bare.items()}
        if len(set(shorter.values())) < len(bare) or not all(shorter.values()):
            break
        bare = shorter
    taken = names[0][: len(names[0]) - len(bare[names[0]])] if names else ""
    return bare, taken


def _recurrent(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The expected names of recurrent layers: those of one module, or of several that follow one another."""
    found = [(name, match) for name in names if (match := _RECURRENT.fullmatch(name))]
    modules = sorted({match["module"] or "" for _, match in found}, key=_natural)
    if len(modules) > 1 and any(match["layer"] not in (None, "0") for _, match in found):
        return {}, []  # which follows which is not known
    several = len(modules) > 1
    mapped = {
        name: f"rnn.{match['kind']}_l{modules.index(match['module'] or '') if several else match['layer'] or 0}"
        for name, match in found
    }
    if list(mapped) == list(mapped.values()):
        return mapped, []
    if len(modules) == 1:
        return mapped, [f"{one_line(modules[0], 60) or 'weight_ih …'} read as rnn"]
    return mapped, [f"layers in this order: {one_line(', '.join(modules), 200)}"]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts 'rnns.10' after 'rnns.9'."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _module(names: Iterable[str], usual: tuple[str, ...]) -> str | None:
    """The module whose last part is the first of some usual names, with a weight."""
    modules = dict.fromkeys(name.rpartition(".")[0] for name in names if name.endswith(".weight"))
    for wanted in usual:
        for module in modules:
            parts = [part for part in module.lower().split(".") if not part.isdigit() and part not in WRAPPERS]
            if parts and parts[-1] == wanted:
                return module
    return None


def _tie(tensors: dict[str, Tensor]) -> list[str]:
    """Give a head without weights those of the embedding, where their shapes agree, as files with shared weights lack
    one of the two."""
    embedding, hidden = tensors.get("embedding.weight"), tensors.get("rnn.weight_hh_l0")
    if "head.weight" in tensors or embedding is None or hidden is None or embedding.shape[-1:] != hidden.shape[-1:]:
        return []
    tensors["head.weight"] = embedding
    return ["the head shares the embedding's weights"]


PICKLED = (".pt", ".pth", ".bin", ".ckpt")
"""Endings of files that PyTorch's `torch.save` writes."""


def is_pickled(path: Path) -> bool:
    """Whether a file is named as `torch.save` names its own."""
    return os.path.splitext(path.name)[1].lower() in PICKLED
