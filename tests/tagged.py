"""Tagged sentences that a small network learns in seconds."""

from pathlib import Path

import numpy as np

NAMES, PLACES = ("Anna", "Boris", "Clara", "Dora"), ("Rome", "Oslo", "Bern")


def write_places(path: Path, count: int = 160) -> Path:
    """Persons and places in sentences, each with a number of its own."""
    draw = np.random.default_rng(3)
    sentences = []
    for number in range(count):
        name, place = str(draw.choice(NAMES)), str(draw.choice(PLACES))
        row = [(name, "B-PER"), (f"X{number}", "I-PER"), ("lives", "O"), ("in", "O"), (place, "B-LOC"), (".", "O")]
        sentences.append("\n".join(f"{word} {label}" for word, label in (row if number % 3 else row[2:])) + "\n")
    path.write_text("\n".join(dict.fromkeys(sentences)))
    return path
