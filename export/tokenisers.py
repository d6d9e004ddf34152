"""Writes tokenisers.json: for each kind of vocabulary, texts and their tokens, and tokens and their text, for any host.

`python export/tokenisers.py`; a test holds the file to what Python does, and C and Node to the file.
"""

import codecs
import json
import unicodedata
from pathlib import Path

from tuirnn.vocab import Vocabulary, word_ranges

TEXTS = (
    "", "the king", "king—the", "“king”", "king…lord", "cell_state 2nd ½²", "naïve", "e\u0301 \u00e9",
    "a\u200db\u200cc",
    "\r\n\n", "\t  \u00a0\u2028", "\u0000k", "東京 the東京", "😀👩‍💻🇯🇵", "हिन्दी हि", "שָׁלוֹם",
    "\ufeffthe", "\U0001d54f\u0663",
    "The THE ſ", "1,234.5e-6", "don't", "\u1100\u1161\u11a8 각", "�",
)  # fmt: skip
"""What hosts get wrong: white space, marks, joiners, characters beyond 16 bits, a zero, what is not normalised."""

VOCABULARIES = {
    "char": Vocabulary("char", tuple("\n !a\u0301beghiknt\u00e9—京東😀")),
    "byte": Vocabulary("byte"),
    "word": Vocabulary("word", ("\n", " ", "_", "cell_state", "king", "lord", "naïve", "the", "—", "…", "“", "東京")),
    "word with marks": Vocabulary("word", ("\n", " ", "e\u0301", "king", "the", "हि", "हिन्दी", "—")),
    "bpe": Vocabulary("bpe", (), ((116, 104), (256, 101), (32, 257), (107, 105), (110, 103), (259, 260), (195, 169))),
}


def contents() -> dict[str, object]:
    """The contents of the file."""
    kinds = {}
    for name, vocab in VOCABULARIES.items():
        texts = [{"text": text, "tokens": vocab.encode(text).tolist()} for text in TEXTS]
        kinds[name] = {"tuirnn.vocab": vocab.to_json(), "tuirnn.unk": vocab.unk, "texts": texts,
                       "streams": [stream(vocab, tokens) for tokens in streams(vocab)]}  # fmt: skip
    return {
        "unicode": unicodedata.unidata_version,
        "word_characters": word_ranges(),
        "word_characters_with_marks": word_ranges(marked=True),
        "vocabularies": kinds,
    }


def streams(vocab: Vocabulary) -> list[list[int]]:
    """Tokens as a network might choose them; of bytes also such as are no UTF-8."""
    whole = vocab.encode("the é 東京 😀").tolist()
    if not vocab.of_bytes:
        return [whole]
    return [whole, [0xC3, 0x28], [0xE6, 0x9D, 0x41], [0xF0, 0x9F, 0x98], [0xFF, 0x41], [0xED, 0xA0, 0x80], [0xC0, 0x80]]


def stream(vocab: Vocabulary, tokens: list[int]) -> dict[str, object]:
    """What is shown after each token, and at the end."""
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    shown = [utf8.decode(vocab.token_bytes(token)) if vocab.of_bytes else vocab.symbol(token) for token in tokens]
    return {"tokens": tokens, "shown": shown, "end": utf8.decode(b"", final=True) if vocab.of_bytes else ""}


if __name__ == "__main__":
    text = json.dumps(contents(), separators=(",", ":"))
    Path(__file__).with_suffix(".json").write_text(
        text.replace(',{"text"', ',\n{"text"').replace(',"vocab', ',\n"vocab') + "\n"
    )
