"""Whether a cell file computes what it says: its test vectors, lanes and text, in ONNX Runtime."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tuirnn.cellfile.cell import TrustedCell
from tuirnn.cellfile.contract import CellMetadata
from tuirnn.cellfile.vectors import TestText, TestVector
from tuirnn.errors import CellFileError, one_line
from tuirnn.runtime.block import BlockSession
from tuirnn.runtime.session import CellSession, Logits, compare, differs, pick_device, refusals
from tuirnn.runtime.unrolled import UnrolledSession
from tuirnn.vocab import Ids


def verify(cell: TrustedCell, *, device: str = "auto") -> str:
    """Run a file of either form against all that it says of itself; returns the provider's name.

    Raises:
        CellFileError: it cannot be run, or computes something else.
    """
    if cell.metadata.block:
        block = BlockSession(cell, device=device)
        with refusals():
            _check_block(block)
        return "CPU" if pick_device(device) == "cpu" else "CUDA"
    if cell.metadata.unroll > 1:
        unrolled = UnrolledSession(cell, device=device)
        with refusals():
            _check_unrolled(unrolled)
        return "CPU" if pick_device(device) == "cpu" else "CUDA"
    session = CellSession(TrustedCell(cell.data, cell.metadata), device=device)  # checked even where it is known
    with refusals():
        _check_lanes(session)
        if cell.metadata.text:
            _check_text(cell.metadata, cell.metadata.text, _greedy(session, cell.metadata.text))
    return session.provider


def side_by_side(lanes: Sequence[TestVector], batch: int) -> npt.NDArray[Any]:
    """What is fed to a batch, step by step: tokens [T, B] or points [T, B, F], the lanes in turn."""
    fed: npt.NDArray[Any] = np.array([lane.inputs for lane in lanes]).swapaxes(0, 1)
    return fed[:, np.arange(batch) % len(lanes)]


def _check_lanes(session: CellSession) -> None:
    """Both lanes side by side; one after the other where the file takes one sequence."""
    meta = session.metadata
    if not meta.lanes:
        return
    if session.fixed is None:
        session.resize(len(meta.lanes))
    groups = [meta.lanes] if session.batch > 1 else [(lane,) for lane in meta.lanes]
    for group in groups:
        session.reset()
        seen = [session.step(row).copy() for row in side_by_side(group, session.batch)]
        _compare_lanes(meta, group, np.array(seen), 1)
    if session.fixed is None:
        session.resize(1)
    session.reset()


def _check_block(session: BlockSession) -> None:
    """Both lanes side by side, and again cut at a place where a block is not full."""
    meta = session.metadata
    if not meta.lanes:
        return
    if session.fixed is None:
        session.resize(len(meta.lanes))
    cut = session.steps // 2 + 1
    for group in [meta.lanes] if session.batch > 1 else [(lane,) for lane in meta.lanes]:
        fed = side_by_side(group, session.batch)
        session.reset()
        seen = np.concatenate([session.read(fed[:cut]), session.read(fed[cut:])])
        _compare_lanes(meta, group, seen, 1)
    session.resize(session.fixed or 1)


def _compare_lanes(meta: CellMetadata, lanes: Sequence[TestVector], seen: Logits, every: int) -> None:
    """Hold outputs [T, B, ·], one for `every` step, against the lanes."""
    for i in range(seen.shape[1]):
        lane = lanes[i % len(lanes)]
        compare(meta, lane, seen[-1, i : i + 1])
        if lane.largest:
            expected = np.asarray(lane.largest)[every - 1 :: every]
            off = np.abs(seen[:, i].max(1) - expected)
            if not (off <= lane.atol * np.maximum(1.0, np.abs(expected))).all():
                differs(float(off.max()))


def _greedy(session: CellSession, test: TestText) -> list[int]:
    vocab, written = session.metadata.vocab, []
    logits = session.begin()
    for token in vocab.encode(test.prime).tolist():
        logits = session.step(token)
    for _ in range(test.length):
        if vocab.unk is not None:
            logits[:, vocab.unk] = -np.inf
        written.append(int(logits[0].argmax()))
        logits = session.step(written[-1])
    session.reset()
    return written


def _check_text(meta: CellMetadata, test: TestText, tokens: list[int]) -> None:
    written = meta.vocab.decode(tokens)
    if written != test.text:
        shown = one_line(written, 30), one_line(test.text, 30)
        raise CellFileError("after its own prime the cell writes '{}', not '{}'; export it anew".format(*shown))


def _check_unrolled(session: UnrolledSession) -> None:
    """As for a single step, in whole calls: tokens are forced, and the text is chosen by the graph's own sampler."""
    meta, N = session.metadata, session.steps
    call: Callable[[Ids], tuple[Ids, Logits]] = lambda forced: session.call(forced, np.zeros(N, np.float32), 0.0)  # noqa: E731
    if meta.lanes and not len(meta.lanes[0].inputs) % N:
        session.batch = session.fixed or len(meta.lanes)
        for group in [meta.lanes] if session.batch > 1 else [(lane,) for lane in meta.lanes]:
            fed = side_by_side(group, session.batch)
            session.reset(fed[0])
            after = np.append(fed[1:], fed[:1], 0).reshape(-1, N, session.batch)
            _compare_lanes(meta, group, np.array([call(forced)[1] for forced in after]), N)
        session.batch = session.fixed or 1
    if meta.text:
        prime = meta.vocab.encode(meta.text.prime)
        session.begin()
        steps = len(prime) + meta.text.length
        forced = np.append(prime, np.full(-(-steps // N) * N - len(prime), -1))
        tokens = np.concatenate([call(part)[0] for part in forced.reshape(-1, N)]).tolist()
        _check_text(meta, meta.text, tokens[len(prime) : steps])
