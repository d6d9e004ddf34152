"""Back to any token and on again: the same bits, whatever the way."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from tuirnn.cellfile.guard import TrustedCell
from tuirnn.export.exporter import export_run
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime.generate import TextWriter
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.timeline import STRIDE, Timeline

WARM = Sampling(0.9)


def timeline(run: RunPaths, seed: int = 3) -> Timeline:
    cell = export_run(run)
    return Timeline(TextWriter(CellSession(TrustedCell(cell.data, cell.metadata))), seed)


def bits(line: Timeline) -> tuple[bytes, ...]:
    return (*tuple(part.tobytes() for part in line.writer.moment().state), line.writer.moment().logits.tobytes())


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_any_rewind_is_bit_identical(trained: Callable[..., RunPaths], cell: str) -> None:
    line = timeline(trained(cell=cell))
    for token in line.writer.vocab.encode("the quick"):
        line.read(int(token))
    states = [bits(line)]
    for _ in range(4 * STRIDE):
        line.write(WARM)
        states.append(bits(line))
    text = line.branch.text
    for to in (9 + 100, 9 + 70, 9 + STRIDE, 9 + 1):
        line.rewind(to)
        assert bits(line) == states[to - 9]
        assert line.branch.text == text[: len(line.branch.text)]
        while len(line) < 9 + 4 * STRIDE:
            line.write(WARM)
        assert bits(line) == states[-1]
        assert line.branch.text == text
    line.rewind(0)
    assert line.branch.text == ""


def test_ten_thousand_steps_back_in_a_moment(small_run: RunPaths) -> None:
    line = timeline(small_run)
    line.write(WARM)
    start = bits(line)
    for _ in range(10_000):
        line.write(WARM)
    began = time.perf_counter()
    line.rewind(1)
    assert time.perf_counter() - began < 0.05
    assert bits(line) == start


def test_another_seed_writes_otherwise_and_the_first_one_again_the_same(small_run: RunPaths) -> None:
    def text(line: Timeline, seed: int) -> str:
        line.rewind(20)
        line.reseed(seed)
        for _ in range(40):
            line.write(WARM)
        return line.branch.text

    line = timeline(small_run)
    for _ in range(20):
        line.write(WARM)
    first = text(line, 3)
    other = text(line, 4)
    assert first[:20] == other[:20]
    assert first != other
    assert text(line, 3) == first


def test_the_same_text_as_plain_writing(small_run: RunPaths) -> None:
    line = timeline(small_run, seed=11)
    cell = export_run(small_run)
    plain = TextWriter(CellSession(TrustedCell(cell.data, cell.metadata)), 11)
    assert "".join(line.write(WARM).text for _ in range(50)) == "".join(plain.stream(WARM, 50))


def test_branches_keep_text_and_state(small_run: RunPaths) -> None:
    line = timeline(small_run)
    for _ in range(50):
        line.write(WARM)
    trunk, at_fork = line.branch.text, bits(line)
    kept = line.keep("before")
    line.fork("angrier")
    for _ in range(30):
        line.write(Sampling(1.5))
    angry, state = line.branch.text, bits(line)
    line.rewind(10)
    assert line.switch("main").text == trunk
    assert bits(line) == at_fork
    assert line.switch("before").text == trunk == kept.text
    line.switch("angrier")
    assert len(line) == 10
    for _ in range(40):
        line.write(WARM)
    assert line.branch.text == trunk
    assert (line.branch.parent, line.branch.fork) == ("main", 50)
    line.fork("angrier")
    assert line.branch.name == "angrier 2"
    assert angry.startswith(trunk)
    assert state != at_fork
    line.begin_anew(5)
    assert (line.branch.name, line.branch.text) == ("main 2", "")
    assert set(line.branches) == {"main", "before", "angrier", "angrier 2", "main 2"}


@pytest.mark.parametrize("tokens", ["byte", "word"])
def test_characters_are_taken_back_by_whole_tokens(trained: Callable[..., RunPaths], tokens: str) -> None:
    line = timeline(trained(tokens=tokens))
    for token in line.writer.vocab.encode("the fox 日"):
        line.read(int(token))
    before = line.branch.text
    gone = line.rewind_characters(2)
    assert gone >= 2
    assert line.branch.text == before[: len(before) - gone]
    np.testing.assert_array_equal(len(line.branch.moments), -(-len(line) // STRIDE))
