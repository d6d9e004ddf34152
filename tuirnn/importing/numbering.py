"""Which token of a model trained elsewhere stands for which symbol.

Programs number the characters of a text in different orders, and some put tokens such as <pad> before them. A model's
tables are rearranged to the order of its vocabulary here: symbols first, the unknown symbol last.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tuirnn.errors import DataError
from tuirnn.vocab import Vocabulary

ORDERS = {
    "sorted": "by code point",
    "frequency": "by frequency, the commonest first",
    "appearance": "by first appearance",
}
"""Name of an order of a text's characters -> what it means."""

MOST_SPECIALS = 4
"""Tokens before the symbols that are tried."""

_SPECIAL = re.compile(r"<[^<>\s]+>|\[[A-Z]+\]|")
_UNKNOWN = re.compile(r"<?/?\[?unk(nown)?\]?>?|<oov>", re.IGNORECASE)


@dataclass(frozen=True)
class Numbering:
    """The rows of a model's tables.

    Attributes:
        vocab: the symbols.
        rows: the row of each symbol.
        unknown: the row of the unknown symbol; None: there is none.
        tokens: all rows of the model.
        told: how it is called, to go on after "with".
        advice: the options that choose it.
    """

    vocab: Vocabulary
    rows: tuple[int, ...]
    unknown: int | None
    tokens: int
    told: str = ""
    advice: str = ""

    @property
    def order(self) -> list[int]:
        """The rows in the order of the vocabulary, that of the unknown symbol last if there is one."""
        return [*self.rows, *([] if self.unknown is None else [self.unknown])]

    @property
    def plain(self) -> bool:
        """Whether the rows stand in the vocabulary's order already."""
        return self.order == list(range(self.tokens))


def plain(vocab: Vocabulary, tokens: int, where: str) -> Numbering:
    """The numbering of a vocabulary in its own order; one more token is the unknown symbol.

    Raises:
        DataError: the model has another number of tokens.
    """
    symbols = len(vocab) - (vocab.unk is not None)
    if tokens not in (symbols, len(vocab)):
        raise DataError(
            f"{where} has {tokens} tokens, the vocabulary {symbols}; expected the vocabulary of its training"
        )
    return Numbering(vocab, tuple(range(symbols)), symbols if tokens > symbols else None, tokens)


def of_list(symbols: list[str]) -> tuple[Vocabulary, tuple[int, ...], int | None]:
    """A vocabulary from the symbols of all tokens in order, the row of each symbol, and that of the unknown symbol.

    Entries such as <pad> are no symbols: the first that means 'unknown' is the unknown symbol, the others are left out.
    """
    special = [at for at, symbol in enumerate(symbols) if len(symbol) != 1 and _SPECIAL.fullmatch(symbol)]
    rows = tuple(at for at in range(len(symbols)) if at not in set(special))
    unknown = next((at for at in special if _UNKNOWN.fullmatch(symbols[at])), special[-1] if special else None)
    kept = tuple(symbols[at] for at in rows)
    kind = "char" if all(len(symbol) == 1 for symbol in kept) else "word"
    return Vocabulary(kind, kept), rows, unknown


def of_text(text: str, order: str, specials: int, tokens: int, where: str) -> Numbering:
    """The numbering of a text's characters.

    Args:
        text: all of it.
        order: one of `ORDERS`.
        specials: tokens before the symbols.
        tokens: of the model.
        where: names the model in errors.
    Raises:
        DataError: the model has another number of tokens.
    """
    found = _ordered(text, order)
    vocab = Vocabulary("char", tuple(sorted(found)))
    if not specials:
        checked = plain(vocab, tokens, where + _lower(text, tokens))
        unknown = checked.unknown
    elif tokens != len(found) + specials:
        raise DataError(
            f"{where} has {tokens} tokens, the text {len(found)} characters and {specials} before them; expected "
            "as many"
        )
    else:
        unknown = specials - 1
    places = {symbol: specials + at for at, symbol in enumerate(found)}
    made = Numbering(vocab, tuple(places[symbol] for symbol in vocab.symbols), unknown, tokens)
    before = f" after {specials} other token{'s' * (specials > 1)} such as <pad>" if specials else ""
    advice = f"--order {order}" * (order != "sorted") + f" --specials {specials}" * bool(specials)
    return replace(made, told=f"symbols {ORDERS[order]}{before}", advice=advice.strip())


def _ordered(text: str, order: str) -> list[str]:
    counts = Counter(text)
    return {
        "sorted": lambda: sorted(counts),
        "frequency": lambda: [symbol for symbol, _ in counts.most_common()],
        "appearance": lambda: list(counts),
    }[order]()


def _lower(text: str, tokens: int) -> str:
    lower = len(set(text.lower()))
    return f" (the text in lower case has {lower})" if lower in (tokens, tokens - 1) and lower != len(set(text)) else ""


def possible(text: str, tokens: int, where: str) -> Iterator[Numbering]:
    """Every numbering of a text's characters that a model with so many tokens may have."""
    extra = tokens - len(set(text))
    for order in ORDERS:
        for specials in dict.fromkeys((0, extra)):
            if 0 <= specials <= MOST_SPECIALS and (specials or extra in (0, 1)):
                yield of_text(text, order, specials, tokens, where)
