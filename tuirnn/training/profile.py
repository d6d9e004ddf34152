"""Where a training step's time goes, by its parts.

The kernels know nothing of it: while a step is watched, their functions are wrapped from outside. Time inside a part
that is inside another counts for the inner one alone, so the parts add up to the step.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tuirnn import models
from tuirnn.kernels import cuda, inputs, layer, native, portable
from tuirnn.models import COMPUTE_DTYPES, SequenceModel
from tuirnn.settings.model import ModelConfig
from tuirnn.settings.training import TrainConfig
from tuirnn.training.benchmark import call_in, process_with
from tuirnn.training.contenders import VOCAB, Case
from tuirnn.training.devices import keep_freed_memory
from tuirnn.training.optimizers import make_optimizer

PARTS: dict[str, list[tuple[Any, str]]] = {
    "input product": [(inputs.InputHalf, "__init__"), (inputs.InputHalf, "__call__")],
    "time loop, forward": [(kernel, "forward") for kernel in (cuda, native, portable)],
    "time loop, backward": [(kernel, "backward") for kernel in (cuda, native, portable)],
    "weight gradient": [(layer, "product_over_time"), (inputs, "product_over_time")],
    "input gradient": [(inputs.InputGradients, "add"), (inputs.InputGradients, "total")],
    "dropout mask": [(models, "dropout_mask")],
}
"""What a part's functions are called, and where."""

REST, CLIP, UPDATE = "head, loss, autograd", "clipping", "optimizer"
"""What is in none of them: the model's forward and backward pass otherwise, and the update."""


class Stopwatch:
    """Seconds by part; the innermost part that is open has them.

    Args:
        wait: called at each border, so that a device's work counts where it was asked for.
    """

    def __init__(self, wait: Callable[[], object]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._wait, self._open, self._since = wait, list[str](), 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The time inside belongs to this part."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        self._wait()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted for a part."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return timed


@contextmanager
def watched(stopwatch: Stopwatch) -> Iterator[None]:
    """Every function of `PARTS` is timed inside."""
    before = [(owner, name, getattr(owner, name)) for places in PARTS.values() for owner, name in places]
    try:
        for part, places in PARTS.items():
            for owner, name in places:
                setattr(owner, name, stopwatch.around(part, getattr(owner, name)))
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def profiles(
    cases: Iterable[Case], kernels: Sequence[str], rounds: int
) -> Iterator[tuple[Case, str, dict[str, float]]]:
    """`parts_of_a_step` of each case with each kind of kernels, see `benchmark.compare`."""
    keep_freed_memory()
    with ExitStack() as open_until_done:
        processes = {kind: open_until_done.enter_context(process_with(kind)) for kind in kernels}
        for case in cases:
            for kind, process in processes.items():
                yield case, kind, call_in(process, parts_of_a_step, case, rounds)


def parts_of_a_step(case: Case, rounds: int) -> dict[str, float]:
    """Median seconds of each part of a character model's training step with the default dropout and update.

    Args:
        case: sizes, type and device; it is always a model, forward and backward.
        rounds: steps that count; two before them warm up.
    """
    torch.manual_seed(0)
    config = ModelConfig(cell=case.cell, hidden=case.hidden, embed=case.embed)
    model = SequenceModel(config, VOCAB, compute_dtype=COMPUTE_DTYPES[case.dtype]).to(case.device)
    optimizer = make_optimizer(model, TrainConfig())
    tokens, targets = torch.randint(VOCAB, (2, case.length, case.batch), device=case.device)
    state = model.zero_state(case.batch)

    def step() -> dict[str, float]:
        watch = Stopwatch(torch.cuda.synchronize if case.device == "cuda" else lambda: None)
        with watched(watch):
            with watch.part(REST):
                logits, _ = model(tokens, state)
                optimizer.zero_grad()
                cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()  # type: ignore[no-untyped-call]
            with watch.part(CLIP):
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            with watch.part(UPDATE):
                optimizer.step()
        return watch.seconds

    found = [step() for _ in range(rounds + 2)][2:]
    return {name: statistics.median(seconds[name] for seconds in found) for name in (*PARTS, REST, CLIP, UPDATE)}
