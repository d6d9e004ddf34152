"""Does a cell run in ONNX Runtime's CUDA provider, its state kept on the device? A smoke test for users with a GPU.

    pip install onnxruntime-gpu     # in place of onnxruntime
    python benchmarks/onnx_cuda.py [FILE.onnx] [--steps 1000]

UNTESTED by its authors, who had no GPU for it: please report what it prints. `--device cpu` runs the same on the CPU.

It compares logits of every step, and the text written, with those of the CPU; checks that the state lies on the device;
and times a step of both. Exit status 0: all agree; 1: they do not; 2: no GPU.
"""

import argparse
import sys
import time

import numpy as np

from tuirnn import processor
from tuirnn.errors import TuirnnError
from tuirnn.loading.cell import load_cell
from tuirnn.runs.layout import runs_folder
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession, cuda_is_there

ATOL = 1e-3
"""Largest difference of logits: products of a GPU are added in another order, and may be rounded to TF32."""


def seconds(session: CellSession, steps: int) -> float:
    """Seconds a step."""
    for _ in range(20):
        session.advance()
    began = time.perf_counter()
    for _ in range(steps):
        session.advance()
    return (time.perf_counter() - began) / steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="shakespeare.onnx", help="a cell file or a run's name")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    options = parser.parse_args()
    if options.device == "cuda" and not cuda_is_there():
        print("ONNX Runtime finds no GPU: install onnxruntime-gpu and its driver, or try --device cpu")
        return 2
    try:
        cell = load_cell(options.model, runs_folder(None), "best")
        there, here = (CellSession(cell, device=device, threads=1) for device in (options.device, "cpu"))
    except TuirnnError as error:
        print(error)
        return 2
    names = {value.device_name() for state in there._states for value in state}
    worst, rng = 0.0, np.random.default_rng(0)
    there.begin(), here.begin()
    for token in rng.integers(0, len(cell.metadata.vocab), options.steps).tolist():
        worst = max(worst, float(np.abs(there.step(token) - here.step(token)).max()))
    texts = ["".join(TextWriter(each, seed=1).stream(Sampling(temperature=0.8), 200)) for each in (there, here)]
    same = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), len(texts[0]))
    print(f"provider {there.provider}, state on {', '.join(sorted(names))}; CPU: {processor.label()}")
    print(f"largest difference of logits over {options.steps} steps: {worst:.2e} (allowed {ATOL})")
    print(f"text of 200 characters: the first {same} are the same")
    print(
        f"a step: {1e6 * seconds(there, options.steps):.1f} µs there, {1e6 * seconds(here, options.steps):.1f} µs here"
    )
    fine = worst <= ATOL and names == {options.device} and there.provider.lower() == options.device
    print("all agree" if fine else "NOT as it should be: please report these lines")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
