"""A whole training step as one CUDA graph: hundreds of launches become one, and the processor is ahead of the device.

A captured step reads and writes fixed addresses. So what changes from step to step (tokens, targets, carried state) is
copied into buffers of its own, what it returns is copied out, and everything else it touches must stay where it is:
weights, optimizer state, and the learning rate, which is a tensor on the device (`optimizers.set_rate`).

`capture` is the device's part and can be replaced: `rerun`, its twin, runs the same road without a GPU.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tuirnn.kernels.cuda import recording

Step = Callable[[list[Tensor]], list[Tensor]]
"""Inputs to outputs, on one device, without waiting for it; what else it changes, it changes in place."""

WARM_UP = 3
"""Steps taken plainly first: they compile kernels, choose algorithms and make the optimizer's state."""


@dataclass
class Recorded:
    """A step on fixed buffers: `replay` makes new `outputs` of whatever the inputs' buffers hold."""

    outputs: list[Tensor]
    replay: Callable[[], None]


Capture = Callable[[Callable[[], list[Tensor]]], Recorded]
"""Records a step without taking it."""


def cuda_graph(step: Callable[[], list[Tensor]]) -> Recorded:
    """Record a step as a CUDA graph."""
    with recording() as graph:
        outputs = step()
    return Recorded(outputs, graph.replay)


def rerun(step: Callable[[], list[Tensor]]) -> Recorded:
    """The portable twin: take the step again at each replay, its results at the first ones' addresses."""
    recorded = Recorded([], lambda: None)

    def replay() -> None:
        outputs = [tensor.clone() for tensor in step()]
        if not recorded.outputs:
            recorded.outputs = outputs
        for kept, new in zip(recorded.outputs, outputs, strict=True):
            kept.copy_(new)

    recorded.replay = replay
    return recorded


def capture_on(device: torch.device) -> Capture | None:
    """How steps are recorded on this device; None: not at all. TUIRNN_GRAPH=off or =twin says otherwise."""
    wanted = os.environ.get("TUIRNN_GRAPH", "")
    if wanted == "twin":
        return rerun
    return cuda_graph if device.type == "cuda" and wanted != "off" else None


class Graphed:
    """Takes a step plainly at first, then as recorded; for ever plainly where it cannot be recorded.

    Args:
        step: what to do with each batch.
        capture: how to record it; None: never.
        note: told, in one line, why it could not be recorded.
    """

    def __init__(self, step: Step, capture: Capture | None, note: Callable[[str], None]) -> None:
        self.step, self.capture, self.note = step, capture, note
        self.forget()

    def forget(self) -> None:
        """Record anew: something has moved that the record has the address of."""
        self._taken, self._inputs, self._recorded = 0, list[Tensor](), None

    _recorded: Recorded | None

    def __call__(self, inputs: list[Tensor]) -> list[Tensor]:
        """Take a step; the results are the caller's to keep."""
        if self.capture is None:
            return self.step(inputs)
        self._taken += 1
        if self._taken <= WARM_UP:
            return self._beside(inputs)
        if self._recorded is None and not self._record(inputs):
            return self.step(inputs)
        assert self._recorded is not None
        if _forms(inputs) != _forms(self._inputs):  # a batch of another shape
            return self.step(inputs)
        for buffer, given in zip(self._inputs, inputs, strict=True):
            buffer.copy_(given)
        self._recorded.replay()
        return [tensor.clone() for tensor in self._recorded.outputs]

    def _beside(self, inputs: list[Tensor]) -> list[Tensor]:
        if not inputs[0].is_cuda:
            return self.step(inputs)
        # Beside the usual stream, as the recording will be, so that nothing in it depends on what was made there.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            outputs = self.step(inputs)
        torch.cuda.current_stream().wait_stream(side)
        for tensor in (*inputs, *outputs):
            tensor.record_stream(torch.cuda.current_stream())
            tensor.record_stream(side)
        return outputs

    def _record(self, inputs: list[Tensor]) -> bool:
        assert self.capture is not None
        buffers = [tensor.clone() for tensor in inputs]
        try:
            self._recorded = self.capture(lambda: self.step(buffers))
        except Exception as error:  # whatever an operation does that a graph cannot hold
            self.capture = None
            lines = str(error).strip().splitlines()
            self.note(
                "steps are not captured as a CUDA graph, which would be faster: "
                f"{type(error).__name__}: {lines[0][:160] if lines else ''}"
            )
            return False
        self._inputs = buffers
        return True


def _forms(tensors: list[Tensor]) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape, tensor.dtype) for tensor in tensors]
