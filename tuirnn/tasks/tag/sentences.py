"""A data set of tagged sentences, made here: persons, dates, times, amounts of money, e-mail addresses and file names.

Sentences are put together at random; their other words come from a given prose, and some sentences are the prose's own.
The same prose gives the same bytes on every machine. No value occurs twice, so that whatever is held out has names and
numbers that training has never seen. Numbers and dotted names that are no such values, and capitalised words, stand
among them: what counts is the form of a word and what comes before it, as a network that reads from left to right can
tell.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence

SENTENCES, SEED = 4_000, 7
OWN = 8
"""One in so many sentences is one of the prose, without any value, as long as there are any left."""

SUBJECTS = (
    "{person}", "{person}", "{person} and {person}", "the {word}", "the {term} {word}", "{file}", "{mail}", "{dotted}",
    "section {number}", "we", "they", "the {word} of {dotted}", "each {word}",
)  # fmt: skip
VERBS = ("wrote", "read", "sent", "paid", "found", "moved", "checked", "has", "names", "needs", "cost", "asked")
OBJECTS = (
    "{file}", "{file} and {file}", "{money}", "{person}", "{mail}", "{dotted}", "the {word}", "the {word} {word}",
    "{number} {word}", "the {term} {word}", "the {word} {number}", "it",
)  # fmt: skip
PHRASES = (
    "on {date}", "on {date}", "from {date} to {date}", "before {date}", "at {time}", "at {time}", "by {time}",
    "after {time}", "to {mail}", "to {mail} or {mail}", "to {person}", "from {person}", "with {person} ( {mail} )",
    "for {money}", "for {number} {word}", "in {file}", "in section {number}", "in {dotted}", "( see {file} )",
    "( see page {number} )", "near line {number} of {file}", "about the {word}", "as {term} {word}", ", not {money} ,",
)  # fmt: skip
OPENINGS = tuple(phrase for phrase in PHRASES if phrase[0] not in "(,")
"""What sentences are put together from; {word}, {term}, {dotted} and {number} stand for what has no tag."""

CONSONANTS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"
ENDS = ("l", "m", "n", "r", "s", "t", "ck", "nd", "rg")
"""Of a name's syllables."""

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
ENDINGS = ("txt", "csv", "py", "json", "toml", "md", "png", "log", "pdf", "onnx")
DOMAINS = ("org", "net", "com", "io", "de")
CURRENCIES = ("$", "€", "£")
CODES = ("USD", "EUR", "CHF", "GBP")


def columns(prose: str) -> str:
    """The data set: a word and its tag on each line, a blank line after each sentence.

    Args:
        prose: English text, a few hundred thousand characters, that words and sentences are taken from.
    """
    writer = _Writer(prose)
    return "".join(
        "".join(f"{word}\t{tag}\n" for word, tag in writer.sentence(number)) + "\n" for number in range(SENTENCES)
    )


class _Writer:
    """Draws sentences; `random.Random` draws the same numbers in every version of Python."""

    def __init__(self, prose: str) -> None:
        self._random = random.Random(SEED)
        counts = Counter(re.findall(r"(?<![\w.'])[a-z]{4,10}(?![\w.'(])", prose))
        self._words = sorted(word for word, count in counts.items() if count >= 5)
        capitals = Counter(re.findall(r"(?<=[a-z] )[A-Z][a-z]{3,9}(?= [a-z])", prose))
        self._terms = sorted(word for word, count in capitals.items() if count >= 3)
        flat = (" ".join(part.split()) for part in re.split(r"\n\s*\n", prose))
        found = {one for part in flat for one in re.split(r"(?<=[.!?])\s+", part)}
        self._own = sorted(one for one in found if re.fullmatch(r"[A-Z][a-z]+(,? [a-z]+){3,11}\.", one))
        self._random.shuffle(self._own)
        self._used: set[tuple[str, ...]] = set()
        self._makers: dict[str, Callable[[], tuple[str, ...]]] = {
            "person": lambda: (self._name(), self._name()), "date": self._date, "time": self._time,
            "money": self._money, "mail": self._mail, "file": self._file,
        }  # fmt: skip

    def sentence(self, number: int) -> list[tuple[str, str]]:
        """Words and tags of the sentence of this number."""
        if self._own and number % OWN == 0:
            return [(word, "O") for word in re.findall(r"\w+|[^\w\s]", self._own.pop())]
        tagged: list[tuple[str, str]] = []
        for piece in self._template().split():
            slot = piece.strip("{}")
            if slot in self._makers:
                values = self._new(slot)
                tagged += [(value, f"{'I' if i else 'B'}-{slot.upper()}") for i, value in enumerate(values)]
            else:
                tagged.append((self._filler(slot) if piece.startswith("{") else piece, "O"))
        first, tag = tagged[0]
        return [(first[0].upper() + first[1:] if tag == "O" else first, tag), *tagged[1:]]

    def _template(self) -> str:
        """A sentence with slots: perhaps a phrase, then subject, verb, object and up to two phrases, perhaps twice."""
        clauses = []
        for _ in range(1 + (self._random.randrange(4) == 0)):
            clause = [self._choice(part) for part in (SUBJECTS, VERBS, OBJECTS)]
            clauses.append(" ".join([*clause, *(self._choice(PHRASES) for _ in range(self._random.randrange(3)))]))
        opening = self._choice(OPENINGS) + " , " if self._random.randrange(4) == 0 else ""
        return opening + " and ".join(clauses) + " ."

    def _choice(self, among: Sequence[str]) -> str:
        return among[self._random.randrange(len(among))]

    def _new(self, slot: str) -> tuple[str, ...]:
        """A value that no sentence has had before."""
        while (value := self._makers[slot]()) in self._used:
            pass
        self._used.add(value)
        return value

    def _filler(self, slot: str) -> str:
        """A word that is no value."""
        if slot == "number":
            return str(self._random.randrange(1, 10 ** self._random.randrange(1, 5)))
        if slot == "dotted":
            return f"{self._choice(self._words)}.{self._choice(self._words)}"
        return self._choice(self._terms if slot == "term" else self._words)

    def _name(self) -> str:
        name = ""
        for _ in range(self._random.randrange(2, 4)):
            name += self._choice(CONSONANTS) if name or self._random.randrange(5) else ""
            name += self._choice(VOWELS) + (self._choice(ENDS) if self._random.randrange(3) == 0 else "")
        return name.capitalize()

    def _date(self) -> tuple[str, ...]:
        year, month, day = (self._random.randrange(*bounds) for bounds in ((1970, 2040), (0, 12), (1, 29)))
        forms = (
            (f"{year}-{month + 1:02}-{day:02}",), (f"{day:02}/{month + 1:02}/{year}",),
            (str(day), MONTHS[month], str(year)), (MONTHS[month], str(year)),
        )  # fmt: skip
        return forms[self._random.randrange(len(forms))]

    def _time(self) -> tuple[str, ...]:
        hour, minute, second = (self._random.randrange(end) for end in (24, 60, 60))
        forms = (
            (f"{hour:02}:{minute:02}",), (f"{hour:02}:{minute:02}:{second:02}",),
            (f"{hour % 12 + 1}:{minute:02}", "am" if hour < 12 else "pm"),
        )  # fmt: skip
        return forms[self._random.randrange(len(forms))]

    def _money(self) -> tuple[str, ...]:
        amount = self._random.randrange(1, 10 ** self._random.randrange(3, 8)) / 100
        shown = f"{amount:,.2f}" if self._random.randrange(2) else f"{amount:,.0f}"
        return (self._choice(CURRENCIES) + shown,) if self._random.randrange(2) else (self._choice(CODES), shown)

    def _mail(self) -> tuple[str, ...]:
        mark = self._choice((".", "_", ""))
        user = self._name().lower() + (mark + self._name().lower() if mark else str(self._random.randrange(100)))
        return (f"{user}@{self._choice(self._words)}.{self._choice(DOMAINS)}",)

    def _file(self) -> tuple[str, ...]:
        stem = self._choice(self._words) + self._choice(("_", "-", "")) + str(self._random.randrange(1000))
        if self._random.randrange(2):
            stem = self._choice(self._words) + self._choice(("/", "_")) + stem.rstrip("0123456789_-")
        return (f"{stem}.{self._choice(ENDINGS)}",)
