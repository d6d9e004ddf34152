"""Units that follow features are found, and features compute what their names say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuirnn.units import FEATURES, followers

TEXT = "He said: \"I would\nnot go,\" and went.\n\nRomeo's 3 dogs 'bark at me' now.\n" * 5


@pytest.mark.parametrize("name", FEATURES)
def test_a_unit_that_follows_is_found(name: str) -> None:
    values = FEATURES[name](TEXT)
    assert len(values) == len(TEXT)
    rng = np.random.default_rng(0)
    states = rng.normal(0, 0.3, (len(TEXT), 16))
    states[:, 5] += values / values.max()
    states[:, 9] -= 2 * values / values.max()
    best = followers(states, TEXT)[name][:2]
    assert [one.unit for one in best] == [9, 5]
    assert best[0].r < -0.5
    assert best[1].r > 0.3


def test_features_compute_what_their_names_say() -> None:
    text = "a \"bc\" d\n'ef' it's"
    quotes = FEATURES["inside quotes"](text)
    assert "".join(ch for ch, inside in zip(text, quotes, strict=True) if inside) == "\"bc'ef"
    assert FEATURES["position in line"](text).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert FEATURES["a line end is next"](text).argmax() == text.index("\n") - 1


@given(st.text(st.characters(), max_size=60), st.integers(1, 5))
def test_any_text(text: str, units: int) -> None:
    found = followers(np.ones((len(text), units), np.float32), text)
    assert all(one.r == 0 for row in found.values() for one in row)
