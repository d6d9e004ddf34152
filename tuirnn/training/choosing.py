"""`--dtype auto`: the type of operands, and the kernels, that are quickest for a network on this processor.

Passes forward and backward over a piece of a real batch are timed once, for each type with each kind of kernels. The
times are kept in the cache folder, under the processor, the versions and the sizes. What was chosen stands in the run's
record, so that a resume and all processes of a training compute alike.
"""

import hashlib
import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import platformdirs
import torch
from torch import Tensor

from tuirnn import __version__, compiling, processor
from tuirnn.codegen.trace import traced
from tuirnn.config import RunConfig
from tuirnn.files import atomic_write
from tuirnn.kernels import native, portable
from tuirnn.kernels.layer import prefer
from tuirnn.models import COMPUTE_DTYPES, SequenceModel
from tuirnn.runs.reader import RunRecord
from tuirnn.settings.model import ModelConfig
from tuirnn.tasks.task import TaskData
from tuirnn.training.feed import Feed
from tuirnn.training.rounds import Clock, LoadMonitor, interleaved

AUTO = "auto"

WORTH = 1.05
"""How many times as quick as float32 bfloat16 must be to be chosen: below that, its rounded factors gain nothing."""

PORTABLE_WORTH = 1.05
"""How many times as quick as the compiled kernels the portable loop must be to be used."""

ROUNDS, STEPS = 3, 128
"""Of a measurement: turns that count, and time steps of the batch at most."""

AGAIN = 2
"""How often a measurement is repeated that something else disturbed; each candidate's least time counts."""

HOPELESS = 1.5
"""How many times as long as the quickest a candidate may take at first to have more turns."""

KEPT = 1000
"""Most measurements that are kept."""

KINDS = {"native": native, "portable": portable}

Times = Mapping[str, float]
"""'native float32' -> seconds of a pass forward and backward."""


class Choice(NamedTuple):
    """What a network computes with.

    Attributes:
        dtype: 'float32' or 'bfloat16'.
        kernels: 'native' or 'portable'.
        line: what was chosen, and by which times.
    """

    dtype: str
    kernels: str
    line: str

    @property
    def environment(self) -> dict[str, str]:
        """What the run's record keeps of it."""
        return {"dtype": self.dtype, "kernels": self.kernels}


def choose(times: Times, remark: str = "") -> Choice:
    """Choose from measured times.

    Args:
        times: of every candidate.
        remark: said of them.
    """
    quickest = {dtype: _kernels(times, dtype) for dtype in ("float32", "bfloat16")}
    seconds = {dtype: times[f"{kind} {dtype}"] for dtype, kind in quickest.items() if kind}
    if "bfloat16" not in seconds:
        return Choice("float32", quickest["float32"], "float32, as this processor has no products of bfloat16")
    ratio = seconds["float32"] / seconds["bfloat16"]
    dtype = "bfloat16" if ratio >= WORTH else "float32"
    shown = ", ".join(
        f"{name} {_shown(1e3 * value)} ms" for name, value in sorted(times.items(), key=lambda one: one[1])
    )
    line = f"{dtype} by {quickest[dtype]} kernels: bfloat16 is {ratio:.2f}× as fast as float32 here ({shown}"
    return Choice(dtype, quickest[dtype], f"{line}{remark})")


def _kernels(times: Times, dtype: str) -> str:
    """The kind of kernels to use for a type; '' where none was measured."""
    compiled, plain = (times.get(f"{kind} {dtype}", math.inf) for kind in KINDS)
    if min(compiled, plain) == math.inf:
        return ""
    return "native" if compiled < PORTABLE_WORTH * plain else "portable"


def _shown(number: float) -> str:
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def chosen(config: RunConfig, data: TaskData, lanes: int, device: torch.device) -> Choice:
    """Return the choice for a run, measured now if no earlier run of these sizes has measured it here.

    Args:
        config: every setting; its own dtype is not read.
        data: of the run's task.
        lanes: sequences of a part of a batch.
        device: where it will compute.
    """
    key, label = _machine(device), _sizes(config, data, lanes)
    if known := kept().get(key, {}).get(label):
        return choose(known, "; measured before")
    times, disturbed = measured(config, data, lanes, device)
    for _ in range(AGAIN if disturbed else 0):
        more, disturbed = measured(config, data, lanes, device)
        times = {name: min(value, times[name]) for name, value in more.items()}
    if disturbed:  # compiled kernels are the quicker ones as a rule, and a run keeps its choice
        times = {name: value for name, value in times.items() if name.startswith("native ")} or times
        return choose(times, "; the machine was busy, so the next run measures again")
    keep(key, label, times)
    return choose(times)


def use(model: ModelConfig, dtype: str, kernels: str) -> None:
    """Have all layers of such a network run on these kernels with operands of this type, in this process."""
    prefer(traced(model.recurrent), model.hidden, COMPUTE_DTYPES[dtype], portable if kernels == "portable" else None)


def use_choice(record: RunRecord) -> None:
    """Compute in this process as was chosen when the run began."""
    if record.config.train.dtype == AUTO:
        use(record.config.model, record.computed.train.dtype, str(record.environment.get("kernels")))


def measured(
    config: RunConfig, data: TaskData, lanes: int, device: torch.device, *, rounds: int = ROUNDS, steps: int = STEPS
) -> tuple[dict[str, float], int]:
    """Time a network forward and backward on the first steps of a batch, by each type and kind of kernels.

    Args:
        config: every setting.
        data: of the run's task.
        lanes: sequences of the batch that are used.
        device: where to compute.
        rounds: that count; the least time of each candidate is taken.
        steps: of the batch, at most.
    Returns:
        seconds by candidate, and how many of the rounds something else disturbed.
    """
    with torch.random.fork_rng():
        model = SequenceModel(config.model, data.inputs, outputs=data.outputs, memory=config.train.memory).to(device)
        batches = data.batches(config.train)
        x = Feed(batches, device, resident=False)(batches.next(), slice(0, lanes))[0][:steps]
        clocks: dict[str, Clock] = {}
        for dtype in _types(device):
            for kind in KINDS if device.type == "cpu" else ("native",):
                if kind == "portable" or device.type != "cpu" or _compiled(model, dtype):
                    clocks[f"{kind} {dtype}"] = _clock(model, x, dtype, kind, device)
        for clock in clocks.values():
            clock()  # warms up
        first = {name: clock() for name, clock in clocks.items()}
        promising = {name: clocks[name] for name in clocks if first[name] < HOPELESS * min(first.values())}
        times, disturbed = interleaved(promising, rounds, LoadMonitor())
    return first | {name: min(seconds) for name, seconds in times.items()}, disturbed


def _compiled(model: SequenceModel, dtype: str) -> bool:
    layer = model.recurrent(0)
    return native.runs(layer.cell, layer.weight_ih, COMPUTE_DTYPES[dtype])


def _types(device: torch.device) -> tuple[str, ...]:
    """The types that can be quick here: bfloat16 on a GPU, or on a processor with instructions for it."""
    if device.type == "cuda":
        return ("float32", "bfloat16") if torch.cuda.is_bf16_supported() else ("float32",)
    return ("float32", "bfloat16") if processor.multiplies_bfloat16() else ("float32",)


def _clock(model: SequenceModel, x: Tensor, dtype: str, kind: str, device: torch.device) -> Clock:
    def clock() -> float:
        use(model.config, dtype, kind)
        model.compute_dtype = COMPUTE_DTYPES[dtype]
        began = time.perf_counter()
        outputs, _ = model(x, model.zero_state(x.shape[1]))
        outputs.float().square().mean().backward()
        model.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took = time.perf_counter() - began
        use(model.config, dtype, "native")
        return took

    return clock


# ── what is kept ──────────────────────────────────────────────────────────────────


def _file() -> Path:
    return Path(platformdirs.user_cache_dir("tuirnn")) / "kernel-times.json"


def _machine(device: torch.device) -> str:
    """Everything that times depend on beside a network's sizes."""
    where = torch.cuda.get_device_name() if device.type == "cuda" else processor.label()
    parts = [where, f"{torch.get_num_threads()} threads", f"torch {torch.__version__}", f"tuirnn {__version__}"]
    if device.type == "cpu":
        parts.append(native.unavailable_reason() or f"{processor.level()} by {compiling.compiler('c++')}")
    digest = hashlib.sha256((processor.identity() + "\n".join(parts)).encode()).hexdigest()[:12]
    return ", ".join([*parts, digest])


def _sizes(config: RunConfig, data: TaskData, lanes: int) -> str:
    cell = traced(config.model.recurrent)
    rest = json.dumps([asdict(config.model), data.inputs, data.outputs, config.train.memory], default=str)
    digest = hashlib.sha256(rest.encode()).hexdigest()[:12]
    return f"{cell.name} {lanes}×{config.train.seq_len}×{config.model.hidden}, {config.model.layers} layers, {digest}"


def kept() -> dict[str, dict[str, dict[str, float]]]:
    """Times of earlier measurements: machine -> sizes -> times; a file that is not as expected counts as empty."""
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        body = json.loads(_file().read_text(encoding="utf-8"))
        return {str(key): {str(name): _sound(times) for name, times in each.items()} for key, each in body.items()}
    return {}


def _sound(times: Mapping[str, float]) -> dict[str, float]:
    names = {f"{kind} {dtype}" for kind in KINDS for dtype in ("float32", "bfloat16")}
    found = {name: float(times[name]) for name in names & times.keys()}
    if not any(name.endswith("float32") for name in found) or not all(0 < value < 1e6 for value in found.values()):
        raise ValueError("no times")
    return found


def keep(key: str, label: str, times: Times) -> None:
    """Add times to those that are kept; where the folder cannot be written, the next run measures again."""
    body = kept()
    own = {**body.get(key, {}), label: dict(times)}
    body = {**body, key: dict(list(own.items())[-KEPT:])}
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        atomic_write(_file(), json.dumps(body, ensure_ascii=False, indent=1).encode(), durable=False)
