"""What is said before a training of copies of the held-out part in the training part."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.settings.data import DataConfig
from tuirnn.survey import preview
from tuirnn.tasks.lm import sampled, stretches
from tuirnn.tasks.look import look_at
from tuirnn.tasks.overlap import READ


def prose(size: int, seed: int = 0) -> bytes:
    """Text without copies."""
    draw = random.Random(seed)
    return bytes(draw.choices(b"abcdefghij klmnop\n", k=size))


def copies(path: Path, data: bytes, **settings: object) -> str:
    path.write_bytes(data)
    return next(note for note in look_at(str(path), settings).notes if note.startswith("copies: "))


def test_copies_are_told_before_training(tmp_path: Path) -> None:
    path, text = tmp_path / "t.txt", prose(40_000)
    assert copies(path, text).startswith("copies: hardly any of the held-out part occurs in the training part, in ")
    said = copies(path, text + text)
    assert said.startswith("copies: 100 % of the held-out part occurs in the training part, in stretches of 128 tokens")
    assert said.endswith("a leak, which training refuses; leave it out of the training part with --dedupe")
    assert said == preview(DataConfig(sources=(str(path),)))[-1]
    assert "hardly any" in copies(path, text + text, dedupe=True)
    assert "hardly any" in copies(path, (b"A sentence of some words\n" * 9 + text) * 2, lines=True)
    assert copies(path, text[:36_000] + text[:400] + text[36_400:]).endswith(
        "; --dedupe leaves it out of the training part"
    )
    assert "--split within trains on all" in copies(path, text, split="within", allow_leak=True)
    assert "not looked for" in copies(path, text[:400])


def test_files_of_a_folder_are_one_text(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(prose(30_000))
    assert any("copies: 100 %" in note for note in look_at(str(tmp_path), {"task": "lm"}).notes)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_long_text_is_sampled(share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "PIECE", 1024)  # as if the text were four times as long
    size, held = 4 * READ, 4 * READ // 10
    rows = np.random.default_rng(0).integers(97, 123, size, np.uint8)
    rows[size - held : size - held + round(share * held)] = rows[1000 : 1000 + round(share * held)]
    said = copies(tmp_path / "t.txt", rows.tobytes())
    exact = stretches.copied(rows[: size - held], rows[size - held :])
    assert abs(exact - share) < 0.01
    found = 0.0 if "hardly any" in said else float(said.split()[1]) / 100
    assert abs(found - exact) < 0.08
    assert "from a sample of 4,103,334 bytes, in stretches of 128 bytes" in said


def test_what_is_trained_on_many_times_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "PIECE", 512)
    text = np.random.default_rng(0).integers(97, 123, 300_000, np.uint8)
    train, held = np.concatenate([text[:30_000]] * 20 + [text[60_000:]] * 40), text[:60_000]
    data = np.concatenate([train, held]).tobytes()
    share, read = sampled.copied(sampled.Files([data]), (0, len(train)), (len(train), len(data)))
    assert read < len(data) / 3
    assert share == pytest.approx(stretches.copied(train, held), abs=0.1)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.integers(0, 60), st.integers(1, 90))
def test_files_are_read_across_their_ends(bodies: list[bytes], start: int, size: int) -> None:
    whole = b"\n".join(bodies)
    files = sampled.Files(bodies)
    assert files.size == len(whole)
    if start <= len(whole):
        assert files.read(start, size) == whole[start : start + size]
