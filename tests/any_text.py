"""Texts of any script, of pieces at which hosts cut words wrongly; the same for every host that is held to Python."""

import os
import re

import numpy as np

COUNT = 10_000 if os.environ.get("TUIRNN_LONG") else 500
"""Texts that each host reads; `TUIRNN_LONG=1` reads 10,000."""

PIECES = (
    "king", "the", "lord", "naïve", "東京", "—", "“", "”", "…", "_", "²", "½", "é", "e\u0301", "\u0301", "हि", " ",
    "  ",
    "\n", "\r\n", "\t ", "\0", "cell_state", "\u200d", "\u200c", "👩\u200d💻", "\ufeff", "\u00a0", "Ab9", " th", "77",
)  # fmt: skip

SCRIPTS = ((0, 0x250), (0x300, 0x370), (0x370, 0x3000), (0x3000, 0xD7FF), (0xD800, 0xE000), (0xE000, 0x11_0000))
SHARES = (0.35, 0.1, 0.25, 0.15, 0.05, 0.1)
"""Ranges of characters, and how often one of each is taken."""


def any_texts(count: int = COUNT, *, halves: bool = True, zeros: bool = True) -> list[str]:
    """Texts from a fixed seed.

    Args:
        count: how many.
        halves: whether half characters (surrogates) are in them, which UTF-8 does not have.
        zeros: whether characters of code 0 are in them, which end a text in C.
    """
    random = np.random.default_rng(0)
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(random.integers(0, 30)):
            low, high = SCRIPTS[random.choice(len(SCRIPTS), p=SHARES)]
            other = chr(random.integers(low, high))
            parts.append(str(random.choice(PIECES)) if random.random() < 0.5 else other)
        text = re.sub("[\ud800-\udbff]+(?=[\udc00-\udfff])", "", "".join(parts))
        text = text if halves else re.sub("[\ud800-\udfff]", "", text)
        texts.append(text if zeros else text.replace("\0", ""))
    return texts
