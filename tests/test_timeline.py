"""The cursor of a text moved back and forward: every state is identical to the bit."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuirnn.export.exporter import export_run
from tuirnn.runs.layout import RunPaths
from tuirnn.runtime.generate import TextWriter, Written
from tuirnn.runtime.samplers import Sampling
from tuirnn.runtime.session import CellSession
from tuirnn.runtime.timeline import STRIDE, Timeline

WARM = Sampling(0.9)


@pytest.fixture(scope="module")
def lines(small_run: RunPaths) -> Callable[[], Timeline]:
    """Timelines with nothing in them, all on one cell: opening it takes longer than a test."""
    cell = export_run(small_run)
    session = CellSession(cell)
    return lambda: Timeline(TextWriter(session), 3)


def timeline(run: RunPaths, seed: int = 3) -> Timeline:
    cell = export_run(run)
    return Timeline(TextWriter(CellSession(cell)), seed)


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
        line.go_to(to)
        assert bits(line) == states[to - 9]
        assert line.branch.text == text
        line.go_to(to + 3)
        assert bits(line) == states[min(to + 3 - 9, len(states) - 1)]
        line.go_to(to)
        while line.at < 9 + 4 * STRIDE:
            line.write(WARM)
        assert bits(line) == states[-1]
        assert line.branch.text == text
    line.go_to(0)
    assert line.branch.text == text
    assert list(line.branches) == ["main"]  # the same lots wrote the same text: it is no branch


def test_ten_thousand_steps_back_take_few_steps(small_run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    line = timeline(small_run)
    line.write(WARM)
    start = bits(line)
    for _ in range(10_000):
        line.write(WARM)
    feed_token, fed = line.writer.feed_token, list[int]()

    def counted(token: int) -> Written:
        fed.append(token)
        return feed_token(token)

    monkeypatch.setattr(line.writer, "feed_token", counted)
    line.go_to(1)
    assert bits(line) == start
    line.go_to(10_000)
    assert len(fed) <= 2 * STRIDE


def test_another_seed_writes_otherwise_and_the_first_one_again_the_same(small_run: RunPaths) -> None:
    def text(line: Timeline, seed: int) -> str:
        line.go_to(20)
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
    assert {branch.text for branch in line.branches.values()} >= {first, other}


def test_the_same_text_as_plain_writing(small_run: RunPaths) -> None:
    line = timeline(small_run, seed=11)
    cell = export_run(small_run)
    plain = TextWriter(CellSession(cell), 11)
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
    line.go_to(10)
    assert line.switch("main").text == trunk
    assert bits(line) == at_fork
    assert line.switch("before").text == trunk == kept.text
    assert line.switch("angrier").text == angry
    assert bits(line) == state
    assert (line.branch.parent, line.branch.fork) == ("main", 50)
    line.fork("angrier")
    assert line.branch.name == "angrier 2"
    assert angry.startswith(trunk)
    line.begin_anew(5)
    assert (line.branch.name, line.branch.text) == ("main 2", "")
    line.begin_anew(6)
    assert (line.branch.name, line.branch.text) == ("main 2", "")  # an empty text is not kept
    assert set(line.branches) == {"main", "before", "angrier", "angrier 2", "main 2"}


def test_writing_in_the_middle_begins_a_branch_and_the_rest_stays(small_run: RunPaths) -> None:
    line = timeline(small_run)
    for _ in range(70):
        line.write(WARM)
    trunk, end = line.branch.text, bits(line)
    for at in (0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 2 * STRIDE):
        line.switch("main")
        line.go_to(at)
        there = bits(line)
        other = next(id for id in range(5) if id != line.branch.tokens[at].id)
        line.read(other)
        assert (line.branch.parent, line.branch.fork, line.at) == ("main", at, at + 1)
        assert line.branch.text[:at] == trunk[:at]
        line.go_to(at)
        assert bits(line) == there
        line.read(other)  # along what is there
        assert line.branch.parent == "main"
        line.go_to(at)
        for token in line.branches["main"].tokens[at:]:
            line.read(token.id)  # the same letters, but typed: choices are counted, so it is another text
        assert line.branch.text == trunk
    assert line.switch("main").text == trunk
    assert bits(line) == end


def test_what_is_being_typed_can_be_changed_and_leaves_nothing_behind(small_run: RunPaths) -> None:
    line = timeline(small_run)
    for _ in range(40):
        line.write(WARM)
    trunk = line.branch.text
    for at in (40, 17):
        line.go_to(at)
        there = bits(line)
        for draft in ([1], [1, 2], [1, 2, 3], [1, 4], [5], []):
            line.draft(draft)
            assert [token.id for token in line.branch.tokens[at:]] == draft
        assert bits(line) == there
        line.settle()
        assert (line.branch.name, line.branch.text, line.at) == ("main", trunk, at)
        assert list(line.branches) == ["main"]
    line.draft([line.branch.tokens[17].id])
    line.draft([1, 2])
    line.settle()
    assert (line.branch.name, line.branch.parent, line.branch.fork) == ("branch 1", "main", 17)
    assert [token.id for token in line.branch.tokens[17:]] == [1, 2]
    line.draft([3])
    line.settle()
    assert list(line.branches) == ["main", "branch 1"]  # at the end of a text it goes on in it


@pytest.mark.parametrize("tokens", ["byte", "word"])
def test_characters_are_taken_back_by_whole_tokens(trained: Callable[..., RunPaths], tokens: str) -> None:
    line = timeline(trained(tokens=tokens))
    for token in line.writer.vocab.encode("the fox 日"):
        line.read(int(token))
    text = line.branch.text
    line.go_to(0)
    ends = [0]
    while ends[-1] < len(text):  # forward, a character at a time
        line.go_to(line.after(line.characters + 1))
        ends.append(line.characters)
    line.go_to(len(line))
    for end in reversed(ends[:-1]):
        line.go_to(line.before(line.characters - 1))
        assert line.characters == end
        assert bits(line) == bits_after(line)
    assert line.at == 0


def bits_after(line: Timeline) -> tuple[bytes, ...]:
    """What the writer holds after the text up to the cursor, read afresh."""
    ids, writer = [token.id for token in line.branch.tokens[: line.at]], line.writer
    now = writer.moment()
    writer.reset()
    for id in ids:
        writer.feed_token(id)
    fresh = bits(line)
    writer.go_to(now)
    return fresh


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 40)),
        st.tuples(st.just("read"), st.lists(st.integers(0, 6), min_size=1, max_size=4)),
        st.tuples(st.just("go_to"), st.floats(0, 1)),
        st.tuples(st.just("by"), st.integers(-3, 3)),
        st.tuples(st.just("draft"), st.lists(st.lists(st.integers(0, 6), max_size=3), max_size=3)),
        st.tuples(st.just("reseed"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["fork", "keep"]), st.just("one")),
        st.tuples(st.just("switch"), st.integers(0, 9)),
        st.tuples(st.just("begin_anew"), st.integers(0, 2)),
    ),
    max_size=14,
)


def carry_out(line: Timeline, what: str, value: Any) -> None:
    if what == "write":
        for _ in range(value):
            line.write(WARM)
    elif what == "read":
        for id in value:
            line.read(id)
    elif what == "go_to":
        line.go_to(round(value * len(line)))
    elif what == "by":
        line.go_to(line.at + value)
    elif what == "draft":
        for ids in value:
            line.draft(ids)
        line.settle()
    elif what == "switch":
        line.switch(list(line.branches)[value % len(line.branches)])
    else:
        getattr(line, what)(value)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_nothing_that_was_written_is_ever_lost(
    lines: Callable[[], Timeline], operations: list[tuple[str, Any]]
) -> None:
    """After any operations each text that was ever shown is the beginning of a branch, each state that of its text."""
    line = lines()
    known: dict[tuple[tuple[int, bool], ...], tuple[bytes, ...]] = {}
    for what, value in operations:
        carry_out(line, what, value)
        path = tuple((token.id, token.chosen) for token in line.branch.tokens)
        here = bits(line)
        assert known.setdefault(path[: line.at], here) == here == bits_after(line)
        assert line.branches[line.branch.name] is line.branch
        texts = [tuple((token.id, token.chosen) for token in branch.tokens) for branch in line.branches.values()]
        for written in known:
            assert any(text[: len(written)] == written for text in texts)
        for branch in line.branches.values():
            assert [token.end for token in branch.tokens] == list(
                accumulate(len(token.text) for token in branch.tokens)
            )
            assert -(-len(branch.tokens) // STRIDE) <= len(branch.moments) <= len(branch.tokens) // STRIDE + 1
            if branch.parent:
                assert branch.tokens[: branch.fork] == line.branches[branch.parent].tokens[: branch.fork]
