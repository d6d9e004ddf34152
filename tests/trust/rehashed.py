"""Cell files with a changed structure and a new hash: ONNX Runtime and ONNX's own evaluator must
agree on each that inspection accepts.

Whoever changes a file can also write new test vectors, so they are not relied on here: each file that passes inspection
and the official checker is run by both, on the same states. Inspection runs in the process that counts; both runtimes
in a worker, which may die.
"""

import contextlib
import json
import multiprocessing
import os
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from onnx import numpy_helper

from tuirnn.cellfile import guard
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.cellfile.values import F16, F32
from tuirnn.errors import CellFileError
from tuirnn.export.exporter import export_network
from tuirnn.export.options import CellOptions
from tuirnn.export.random_network import random_network
from tuirnn.settings.model import ModelConfig

from . import Broken
from .structure import Model, mutate

WAIT = 30.0
"""Seconds that the worker may take over one file."""

TOLERANCE, IN_BYTES = 1e-4, 0.05
"""Of an output, as a share of 1 + the largest |output|, in float32 and where activations have 8 bits: a value between
two codes may round to either side, which moves a sum by a weight's share of 1/127."""

NUDGE, NUDGE_IN_BYTES = 3e-7, 4e-3
"""Where weights were made so large that rounding decides, the evaluator says how much it decides: its own answers to
weights that are off by this share, ten times which is allowed."""

BASES: list[tuple[ModelConfig, CellOptions]] = [
    (ModelConfig(cell="lstm", layers=2, hidden=8, embed=4), CellOptions()),
    (ModelConfig(cell="gru", layers=2, hidden=8, embed=4, residual=True), CellOptions(opset=18)),
    (ModelConfig(cell="gru", hidden=8, embed=4), CellOptions(sampler=True)),
    (ModelConfig(cell="rnn", hidden=8, embed=4, nonlinearity="relu"), CellOptions("int8")),
    (ModelConfig(cell="gru", hidden=8, embed=4, reset="before"), CellOptions("int8", static_batch=2)),
    (ModelConfig(cell="rnn", hidden=8, embed=4), CellOptions("fp16", opset=21)),
    (ModelConfig(cell="lstm", hidden=64, embed=4), CellOptions("int4")),
    (ModelConfig(cell="lstm", hidden=8, embed=4), CellOptions(unroll=2)),
    (ModelConfig(cell="gru", hidden=8, embed=4, layers=2), CellOptions(block=2)),
]
"""What is mutated: every operator that a cell has stands in one of them."""


# ── what both runtimes make of one ───────────────────────────────────────────────


def difference(data: bytes, metadata: CellMetadata, seed: int) -> str:
    """'' where both agree on four steps; 'refused: …' where one of them, or the checker, does not run it."""
    from onnx.reference import ReferenceEvaluator

    from tuirnn.runtime.isolated import check
    from tuirnn.runtime.session import open_onnx, refusals

    rng = np.random.default_rng(seed)
    try:
        check(data)
        with refusals():
            session = open_onnx(data, "cpu", 1)
    except CellFileError as error:
        return f"refused: {error}"
    shape = next(value.shape for value in session.get_inputs() if value.name == metadata.names[0])
    batch = shape[0] if isinstance(shape[0], int) else 2
    names = [output.name for output in session.get_outputs()]
    zeros = np.zeros((metadata.layers, batch, metadata.hidden), np.float32)
    state = dict.fromkeys(metadata.state_map.values(), zeros)
    model = Model.FromString(data)
    evaluator = ReferenceEvaluator(model)
    for _ in range(4):
        feeds = {**_feeds(metadata, batch, rng), **state}
        try:
            with refusals():
                ours = dict(zip(names, session.run(None, feeds), strict=True))
        except CellFileError as error:
            return f"refused: {error}"
        if not np.isfinite(ours[metadata.names[1]]).all():
            return "refused: no test vector holds what is not finite"
        with np.errstate(all="ignore"):
            theirs = dict(zip(names, evaluator.run(names, feeds), strict=True))
        if any(_apart(ours[name], theirs[name], _tolerance(model)) for name in names):
            spread = _spread(model, names, feeds, theirs)
            for name in names:
                if said := _apart(ours[name], theirs[name], _tolerance(model), spread.get(name, 0.0)):
                    return f"{name}: {said}"
        state = {into: ours[out] for out, into in metadata.state_map.items()}
    return ""


def _in_bytes(model: Model) -> bool:
    return any(node.op_type == "MatMulInteger" or node.op_type == "DequantizeLinear" for node in model.graph.node)


def _tolerance(model: Model) -> float:
    return IN_BYTES if _in_bytes(model) else TOLERANCE


def _spread(model: Model, names: list[str], feeds: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Ten times what the evaluator's outputs move by when weights do; infinite where it chooses other tokens."""
    from onnx.reference import ReferenceEvaluator

    spread: dict[str, float] = dict.fromkeys(names, 0.0)
    share = NUDGE_IN_BYTES if _in_bytes(model) else NUDGE
    for seed in range(4):
        rng, nudged = np.random.default_rng(seed), Model.FromString(model.SerializeToString())
        for tensor in nudged.graph.initializer:
            if tensor.data_type in (F32, F16):
                array = numpy_helper.to_array(tensor)
                moved = (array * (1 + share * rng.choice([-1, 1], array.shape))).astype(array.dtype)
                tensor.CopyFrom(numpy_helper.from_array(np.asarray(moved), tensor.name))
        with np.errstate(all="ignore"):
            other = dict(zip(names, ReferenceEvaluator(nudged).run(names, feeds), strict=True))
        for name in names:
            one, two = (np.nan_to_num(np.asarray(side[name], np.float64)) for side in (theirs, other))
            off = float(np.abs(one - two).max(initial=0.0))
            integers = np.asarray(theirs[name]).dtype.kind in "iu"
            spread[name] = max(spread[name], (np.inf if off else 0.0) if integers else 10 * off)
    return spread


def _feeds(metadata: CellMetadata, batch: int, rng: np.random.Generator) -> dict[str, Any]:
    inputs, _ = metadata.interface(batch)
    V = len(metadata.vocab)
    values: dict[str, Any] = {"token": rng.integers(0, V, inputs["token"][1])}
    if metadata.block:
        values["last"] = rng.integers(0, metadata.block, 1)
    if metadata.sampler:
        rows = inputs["uniform"][1]
        values |= {"temperature": np.full(1, rng.choice([0.0, 0.8]), np.float32), "top_k": rng.choice([1, 5, V], 1),
                   "uniform": rng.random(rows).astype(np.float32)}  # fmt: skip
        if metadata.unroll > 1:
            values["forced"] = rng.choice([-1, -1, 3], rows)
    return values


def _apart(ours: Any, theirs: Any, tolerance: float, spread: float = 0.0) -> str:
    """In what way two outputs differ; '' where they do not."""
    theirs = np.asarray(theirs)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"{ours.dtype}{ours.shape} or {theirs.dtype}{theirs.shape}"
    if ours.dtype.kind in "iu":
        return "" if (ours == theirs).all() or spread else f"{ours.ravel()[:4]} or {theirs.ravel()[:4]}"
    nan = np.isnan(ours)
    if (nan != np.isnan(theirs)).any():
        return "NaN in one of them"
    one, other = np.clip(ours[~nan], -3e38, 3e38).astype(np.float64), np.clip(theirs[~nan], -3e38, 3e38)
    off = float(np.abs(one - other).max(initial=0.0))
    most = spread + tolerance * (1 + float(np.abs(one).max(initial=0.0)))
    return "" if off <= most else f"{off:.3g} apart, {most:.3g} allowed"


def _serve(pipe: Connection) -> None:
    """The worker: one answer for each file."""
    with contextlib.suppress(EOFError):
        while True:
            data, metadata, seed = pipe.recv()
            try:
                pipe.send(difference(data, metadata, seed))
            except Exception as error:
                pipe.send(f"{type(error).__name__}: {error}")


class _Worker:
    """A process that runs files, replaced when it dies."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["tests.trust.rehashed", "trust.rehashed", "onnx.reference", "onnxruntime"]
        )
        self._process: Any = None

    def ask(self, *given: Any) -> str:
        """The answer; 'died: …' where there is none."""
        if self._process is None:
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send(given)
            if self._pipe.poll(WAIT):
                return str(self._pipe.recv())
            said = f"died: no answer in {WAIT:.0f} s"
        except (EOFError, OSError):
            self._process.join()
            said = f"died: {self._process.exitcode}"
        self.close()
        return said

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


VERDICTS = ("inspection refused", "runtimes refused", "agreed", "differed", "crashed")


def rehashed(folder: Path, count: int, *, seed: int = 0, strict: bool = True) -> dict[str, Any]:
    """Make `count` mutants and hold both runtimes against each other on those that pass inspection.

    Args:
        folder: for culprits.
        count: mutants.
        seed: of everything.
        strict: raise at the first difference; else count and keep all.
    Raises:
        Broken: inspection raised something else than one line, or a file that passed means different things.
    """
    draw, worker = random.Random(seed), _Worker()
    goods = [export_network(random_network(config, vocab=20), options, proofs=False).data for config, options in BASES]
    counted = {
        "mutants": count,
        "inspection refused": 0,
        "runtimes refused": 0,
        "agreed": 0,
        "differed": 0,
        "crashed": 0,
    }
    slowest = 0.0
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for number in range(count):
            model = Model.FromString(draw.choice(goods))
            mutate(model, draw)
            data = model.SerializeToString(deterministic=True)
            began = time.process_time()
            try:
                cell = guard.inspect(data, "stranger.onnx")
            except CellFileError as error:
                assert str(error).isprintable(), f"mutant {number} of seed {seed}: {error}"
                counted["inspection refused"] += 1
                continue
            finally:
                slowest = max(slowest, time.process_time() - began)
            said = worker.ask(data, cell.metadata, number)
            verdict = "agreed" if not said else "runtimes refused" if said.startswith("refused") else "differed"
            verdict = "crashed" if said.startswith("died") else verdict
            counted[verdict] += 1
            if verdict in ("differed", "crashed"):
                (folder / f"culprit-{seed}-{number}.onnx").write_bytes(data)
                (folder / f"culprit-{seed}-{number}.txt").write_text(said)
                if strict:
                    raise Broken(f"mutant {number} of seed {seed}: {said}; it is kept in {folder}")
    finally:
        worker.close()
    return {**counted, "slowest inspection s": round(slowest, 3)}


def main() -> None:
    """python -m tests.trust.rehashed COUNT [SEED [FOLDER]]: all differences are counted and kept."""
    import sys

    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else "culprits")
    began = time.monotonic()
    figures = rehashed(folder, count, seed=seed, strict=False)
    print(json.dumps({**figures, "seconds": round(time.monotonic() - began), "seed": seed}), flush=True)
    os._exit(0 if not figures["differed"] + figures["crashed"] else 1)


if __name__ == "__main__":
    main()
