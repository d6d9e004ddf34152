"""Texts are cut into the same tokens by the C source as by Python, several networks in one C++ program."""

import subprocess
from collections.abc import Iterator

import pytest
from any_text import PIECES, any_texts
from c_networks import CXX, VOCABULARIES, answer, compile_sources, needs_cxx, network
from hypothesis import given, settings
from hypothesis import strategies as st

from tuirnn.export import c_source
from tuirnn.vocab import word_ranges

READER = r"""
#include <cstdio>
#include "bytes.h"
#include "chars.h"
#include "subwords.h"
#include "words.h"

static char text[1 << 20];

template <class Token> void say(Token token) {
    int length;
    for (const char *at = text; *at; at += length) std::printf("%d ", token(at, &length));
    std::printf("\n");
}

/* Answers each text, which ends with a zero, with four lines of tokens. */
int main() {
    if (!bytes_verify() || !chars_verify() || !words_verify() || !subwords_verify()) return 1;
    for (int c, n = 0; (c = std::getchar()) != EOF; n = c ? n + 1 : 0) {
        text[n] = (char)c;
        if (c) continue;
        say(bytes_token), say(chars_token), say(words_token), say(subwords_token);
        std::fflush(stdout);
    }
    return 0;
}
"""
NAMES = {"byte": "bytes", "char": "chars", "word": "words", "bpe": "subwords"}
"""Vocabulary -> prefix of its network."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[bytes]"]:
    """Four networks in one C++ program that says how each reads a text."""
    folder = tmp_path_factory.mktemp("reader")
    sources = []
    for tokens, cell in (("byte", "lstm"), ("char", "gru"), ("word", "rnn"), ("bpe", "gru")):
        net = network(tokens, cell=cell, layers=2)
        c_source.write_c(net, answer(net), folder, NAMES[tokens])
        for name in (NAMES[tokens], f"{NAMES[tokens]}_weights"):
            sources.append(compile_sources(folder, [f"{name}.c"], "-O1", "-c", out=f"{name}.o").name)
    (folder / "main.cpp").write_text(READER)
    program = compile_sources(folder, ["main.cpp", *sources], "-O1", compiler=CXX)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.stdin.close()  # type: ignore[union-attr]


def assert_read_as_in_python(reader: "subprocess.Popen[bytes]", text: str) -> None:
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(text.encode() + b"\0")
    reader.stdin.flush()
    for tokens in NAMES:
        said = [int(token) for token in reader.stdout.readline().split()]
        assert said == VOCABULARIES[tokens].encode(text).tolist(), tokens


@needs_cxx
@pytest.mark.parametrize(
    "text", ["king—the", "“king”", "king…lord", "cell_state", "", "".join(PIECES).replace("\0", "")]
)
def test_texts_are_read_as_in_python(text: str, reader: "subprocess.Popen[bytes]") -> None:
    assert_read_as_in_python(reader, text)


ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@needs_cxx
@settings(max_examples=200)
@given(text=st.lists(st.sampled_from([piece for piece in PIECES if piece != "\0"]) | ANY, max_size=30).map("".join))
def test_any_text_is_read_as_in_python(text: str, reader: "subprocess.Popen[bytes]") -> None:
    assert_read_as_in_python(reader, text)


@needs_cxx
def test_characters_at_the_borders_of_letters_are_read_as_in_python(reader: "subprocess.Popen[bytes]") -> None:
    """Where ranges of letters begin and end, a table that is off by one shows."""
    borders = {point + off for pair in word_ranges() for point in pair for off in (-1, 0, 1)}
    points = [point for point in sorted(borders) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000]
    assert_read_as_in_python(reader, "".join(f"a{chr(point)}the " for point in points))


@needs_cxx
def test_many_texts_are_read_as_in_python(reader: "subprocess.Popen[bytes]") -> None:
    for text in any_texts(halves=False, zeros=False):
        assert_read_as_in_python(reader, text)
