"""A trainer's whole state as checkpoint files, and back."""

from collections.abc import Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from tuirnn.errors import RunError, one_line
from tuirnn.files import to_json
from tuirnn.kernels.cache import State
from tuirnn.machine import give_back_freed_memory
from tuirnn.models import SequenceModel
from tuirnn.runs.checkpoint import MODEL, OPTIMIZER, TRAINER, Checkpoint
from tuirnn.training.optimizers import Optimizer


def pack(
    model: SequenceModel,
    optimizer: Optimizer,
    carried: Sequence[State],
    progress: dict[str, Any],
    device: torch.device,
) -> dict[str, bytes]:
    """The three files of a checkpoint.

    Args:
        model: the weights; tied ones are stored once.
        optimizer: its tensors go to `optimizer.safetensors` beside the carried state and the RNG states.
        carried: hidden state between batches.
        progress: plain values for `trainer.json`.
        device: where the trainer computes, for the RNG state of its CUDA device.
    """
    give_back_freed_memory()  # to have room for the copies
    tensors = _optimizer_tensors(model, optimizer)
    tensors |= {f"carried.{i}.{j}": t for i, layer in enumerate(carried) for j, t in enumerate(layer)}
    tensors["rng.cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(device)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return {
        MODEL: save_tensors({name: t.cpu().contiguous() for name, t in weights.items()}),
        OPTIMIZER: save_tensors({name: t.detach().cpu().contiguous() for name, t in tensors.items()}),
        TRAINER: to_json(progress, indent=1),
    }


def unpack(
    checkpoint: Checkpoint, model: SequenceModel, optimizer: Optimizer, device: torch.device
) -> tuple[list[State] | None, dict[str, Any]]:
    """Put a checkpoint's values into the model, the optimizer and the random generators.

    Returns:
        The carried hidden state (None where the batches carry none) and `trainer.json`.
    Raises:
        RunError: the files do not fit this model.
    """
    try:
        weights, tensors = load_tensors(checkpoint.files[MODEL]), load_tensors(checkpoint.files[OPTIMIZER])
    except (SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{checkpoint.path.name} is damaged: {one_line(error)}") from None
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    kinds = {name: p.dtype for name, p in parameters.items()}
    if {name: tuple(t.shape) for name, t in weights.items()} != shapes or kinds != {
        name: t.dtype for name, t in weights.items()
    }:
        raise RunError(f"{checkpoint.path.name} holds other weights than this run's model; was run.json changed?")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    for name, parameter in parameters.items():
        prefix = f"optimizer.{name}."
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        optimizer.state.pop(parameter, None)
        if state:
            if state.keys() != optimizer.begin(parameter).keys() or any(
                (tuple(t.shape), t.dtype) != (((), torch.float32) if key == "step" else (shapes[name], kinds[name]))
                for key, t in state.items()
            ):
                raise RunError(f"{checkpoint.path.name} holds the state of another optimizer than this run's")
            optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
    try:
        torch.set_rng_state(tensors["rng.cpu"])
        if device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], device)
        return _carried(tensors, model, device), checkpoint.trainer
    except (KeyError, RuntimeError, TypeError) as error:
        raise RunError(f"{checkpoint.path.name}/{OPTIMIZER} is damaged: {one_line(error)}") from None


def _optimizer_tensors(model: SequenceModel, optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"optimizer.{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _carried(tensors: dict[str, Tensor], model: SequenceModel, device: torch.device) -> list[State] | None:
    if "carried.0.0" not in tensors:
        return None
    layers = enumerate(model.zero_state(1))
    return [tuple(tensors[f"carried.{i}.{j}"].to(device) for j in range(len(layer))) for i, layer in layers]
