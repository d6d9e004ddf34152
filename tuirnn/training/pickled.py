"""State dicts that `torch.save` wrote, by PyTorch's weights-only loader: tensors and plain containers, never code."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch

from tuirnn.errors import DataError, one_line

USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module")
"""Keys under which checkpoints keep the state dict of the network."""


def read(path: Path) -> tuple[dict[str, npt.NDArray[np.float32]], list[str]]:
    """Read the tensors of a file as float32, and what was passed over, a line each.

    Raises:
        DataError: no file of tensors, or one that only code could read.
    """
    name = one_line(path.name)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # what it warns of is refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"{name} holds more than tensors, so that reading it would run code, or is damaged; where it was trained, "
            "save its state dict alone: torch.save(model.state_dict(), FILE), or safetensors.torch.save_file"
        ) from None
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or one_line(error, 100)}") from None
    except RuntimeError as error:
        if "TorchScript" in str(error):
            raise DataError(
                f"{name} is a TorchScript archive, which holds code; save its state dict alone: "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')"
            ) from None
        raise DataError(f"{name} is not a file of torch.save: {one_line(error, 100)}") from None
    except (EOFError, BadZipFile, ValueError, KeyError) as error:
        raise DataError(f"{name} is not a file of torch.save: {one_line(error, 100)}") from None
    notes = []
    while isinstance(loaded, Mapping) and not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        key = next((key for key in USUAL if isinstance(loaded.get(key), Mapping)), None)
        if key is None:
            break
        loaded = loaded[key]
        notes.append(f"read '{key}' of {name}")
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise DataError(
            f"{name} holds no state dict: expected tensors by name, or these under '{USUAL[0]}' or the like"
        )
    return {str(key): value.detach().float().cpu().numpy() for key, value in loaded.items()}, notes
