"""Which column of a table holds the sequences and which the labels: by their names, else by what is in them.

A column without a name, of numbers, of dates or of keys is never taken for text unless its name, or the user, says so.
Two plausible answers are an error that names the options.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tuirnn.errors import DataError, one_line
from tuirnn.tables import cells
from tuirnn.tables.table import Table
from tuirnn.tasks import rows as shapes
from tuirnn.tasks.turned import turned

TEXTS = (
    """
    text sentence review comment message content body document tweet sms utterance sequence review_text review_body
    sentence_text comment_text message_text full_text tweet_text
    """.split(),  # noqa: SIM905
    """
    texts sentences reviews comments messages title headline description question query post word words name input
    """.split(),  # noqa: SIM905
)
LABELS = (
    ["label", "class"],
    """
    labels classes target sentiment category topic intent polarity emotion tag genre type kind language lang y stars
    rating star_rating score is_spam spam airline_sentiment class_label label_name category_name output
    """.split(),  # noqa: SIM905
)
"""Usual names of columns, the surest first."""

SAMPLE = 5_000
"""Cells that a column is judged by."""

MOSTLY, MOST_SETS = 0.9, 0.1
"""Share of cells that decides what a column holds, and share of them with several labels from which it is refused."""

_LIST = re.compile(r"[\[{(].*,.*[\]})]")
_KEY = re.compile(r"(?=.*\d)[0-9a-f-]{6,}|[A-Z]{0,4}[-_]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Profile:
    """What is in a column.

    Attributes:
        place: where it stands.
        name: as the table has it; a number where the table has no names.
        kind: of at least nine tenths of its cells.
        filled: cells of the sample with something in them.
        different: how many of these differ.
        keys: most look like keys: digits, hashes.
        length: mean, in characters.
        sparse: most cells have nothing in them.
    """

    place: int
    name: str
    kind: str
    filled: int
    different: int
    keys: bool
    length: float
    sparse: bool

    @property
    def repeats(self) -> bool:
        """Whether its cells can be labels: at least two, and each twice on average."""
        return 2 <= self.different <= max(2, self.filled // 2) and self.kind != cells.DATE and not self.sparse

    @property
    def reads(self) -> bool:
        """Whether its cells can be sequences: named, different, and neither numbers, dates, keys nor mostly empty."""
        varied = self.different > 1 or self.filled < 2
        return bool(self.name) and self.kind == cells.TEXT and varied and not self.keys and not self.sparse


@dataclass(frozen=True)
class Choice:
    """The columns that were chosen, and why."""

    text: int
    label: int
    why: str


def choose(table: Table, text: str, label: str) -> Choice:
    """The columns of sequences and labels.

    Args:
        table: to choose from.
        text, label: columns that the user names, or empty.
    Raises:
        DataError: one column, none or two plausible ones, or one label for each class.
    """
    if len(table.names) < 2:
        raise DataError(
            f"{table.name} has {len(table.names)} column; a table for a classifier has a text and a label column"
        )
    if not text and not label and (rows := shapes.sequences(table)) is not None:
        raise DataError(f"{table.name}: {rows.told}")
    if not text and not label and (why := turned(table)):
        raise DataError(f"{table.name}: {why}")
    profiles = [_profile(table, place) for place in range(len(table.names))]
    texts = [one for one in profiles if (one.reads and not one.repeats) or one.name.strip().lower() in TEXTS[0]]
    if not text and not texts and (why := shapes.samples(table)):
        raise DataError(f"{table.name}: {why}")
    of, why_label = _label(table, profiles, text, label)
    at, why_text = _text(table, [profile for profile in profiles if profile.place != of], text)
    if at == of:
        raise DataError(
            f"{table.name}: column '{one_line(table.names[at], 60)}' cannot be both text and label; give "
            "--text-column and --label-column"
        )
    why = f"text: {_shown(table, at)} ({why_text}); label: {_shown(table, of)} ({why_label})"
    return Choice(at, of, why)


def choose_text(table: Table, column: str, usual: str) -> int:
    """The column of texts to answer: the named one, the one that training read, or the one that can be told."""
    if column:
        return table.position(column)
    if usual and table.named and usual in table.names:
        return table.names.index(usual)
    profiles = [_profile(table, place) for place in range(len(table.names))]
    if len(profiles) == 1:
        return 0
    labels = [profile for profile in profiles if profile.name.lower() in (*LABELS[0], *LABELS[1])]
    return _text(table, [profile for profile in profiles if profile not in labels], "")[0]


def _profile(table: Table, place: int) -> Profile:
    seen = table.spread(place, SAMPLE)
    filled = [cell.strip() for cell in seen if cell.strip().lower() not in table.missing]
    kinds = Counter(cells.kind(cell) for cell in filled)
    kind = next((kind for kind, count in kinds.items() if count >= MOSTLY * len(filled)), cells.TEXT)
    keys = bool(filled) and sum(_KEY.fullmatch(cell) is not None for cell in filled) >= MOSTLY * len(filled)
    length = sum(map(len, filled)) / max(1, len(filled))
    sparse = 2 * len(filled) < len(seen)
    return Profile(place, table.names[place], kind, len(filled), len(set(filled)), keys, length, sparse)


def _shown(table: Table, place: int) -> str:
    name = one_line(table.names[place], 60)
    return f"column '{name}'" if table.named else f"column {name}"


def _ask(table: Table, option: str, what: str, profiles: Sequence[Profile]) -> DataError:
    """The error where a column cannot be told."""
    found = profiles or [_profile(table, place) for place in range(len(table.names))]
    names = ", ".join(f"'{one_line(profile.name, 40)}'" for profile in found[:6])
    which = "several columns are plausibly" if profiles else "no column is plainly"
    return DataError(f"{table.name}: {which} one of {what}: {names}; name it with {option}")


def _by_name(profiles: Sequence[Profile], names: Sequence[Sequence[str]]) -> list[Profile]:
    """The columns with the surest of the usual names; none where no column has one."""
    for group in names:
        if found := [profile for profile in profiles if profile.name.strip().lower().replace(" ", "_") in group]:
            return found
    return []


def _label(table: Table, profiles: Sequence[Profile], text: str, label: str) -> tuple[int, str]:
    if label:
        place = table.position(label)
        sets = _sets(table, profiles[place])
        return place, f"as given; '{one_line(sets[0], 40)}' and the like are a class each" if sets else "as given"
    others = [profile for profile in profiles if not text or profile.name != text]
    varied = [one for one in others if one.different > 1]
    named = (_by_name(varied, LABELS) or _by_name(others, LABELS)) if table.named else []
    if len(named) > 1:
        raise _ask(table, "--label-column", "labels", named)
    if named:
        _refuse_sets(table, named[0])
        return named[0].place, "by its name"
    _refuse_flags(table, others)
    usual = _by_name(others, TEXTS) if table.named else []
    found = [profile for profile in others if profile.repeats and profile.name and profile not in usual]
    if len(found) != 1:
        found = [profile for profile in found if profile.kind == cells.TEXT] if not table.named else found
    if len(found) != 1:
        remaining = [profile for profile in others if profile not in usual and profile.name]
        if not found and usual and len(remaining) == 1 and remaining[0].different < remaining[0].filled:
            return remaining[0].place, "the only other one"
        raise _ask(table, "--label-column", "labels", found)
    _refuse_sets(table, found[0])
    return found[0].place, f"the only one with few values, {found[0].different}"


def _text(table: Table, profiles: Sequence[Profile], text: str) -> tuple[int, str]:
    if text:
        return table.position(text), "as given"
    named = [one for one in (_by_name(profiles, TEXTS) if table.named else []) if one.kind != cells.DATE]
    if len(named) > 1:
        raise _ask(table, "--text-column", "texts", named)
    if named:
        return named[0].place, "by its name"
    found = [profile for profile in profiles if profile.reads]
    if len(found) > 1:  # a category beside the text repeats itself; a text hardly does
        longest = [one for one in found if not one.repeats] or found
        found = longest if len(longest) == 1 else found
    if len(found) != 1:
        raise _ask(table, "--text-column", "texts", found)
    return found[0].place, "the only one of words"


def _refuse_flags(table: Table, profiles: Sequence[Profile]) -> None:
    """Raise DataError where each class has a column of 0 and 1."""
    flags = [one for one in profiles if one.different == 2 and set(_values(table, one)) <= {"0", "1", "0.0", "1.0"}]
    if len(flags) > 1:
        names = ", ".join(f"'{one_line(flag.name, 30)}'" for flag in flags[:6])
        raise DataError(
            f"{table.name}: columns {names} hold 0 or 1, a label each, and a classifier learns one label a text; "
            f"choose one with --label-column '{one_line(flags[0].name, 30)}', or put each text's class into one column"
        )


def _refuse_sets(table: Table, profile: Profile) -> None:
    """Raise DataError where cells hold several labels each."""
    if sets := _sets(table, profile):
        raise DataError(
            f"{table.name}: column '{one_line(profile.name, 60)}' holds several labels in a cell, such as "
            f"'{one_line(sets[0], 40)}'; a classifier learns one label per text: keep one, or make a yes/no "
            "column for each label, and choose one with --label-column"
        )


def _sets(table: Table, profile: Profile) -> list[str]:
    """Cells that hold several labels, such as 'comedy|drama' or "['a', 'b']"; none where they are few."""
    values = _values(table, profile)
    sets = [value for value in values if _LIST.fullmatch(value)]
    for sign in ("|", ";", ",", "/"):
        parts = {value: {part.strip() for part in value.split(sign)} for value in set(values)}
        alone = set().union(*parts.values()) if parts else set()
        shared = len(alone) < (sum(map(len, parts.values())) if sign in "|;" else len(parts))
        several = [value for value in values if sign in value]
        if shared and len(several) > max(2.0, MOST_SETS * len(values)):
            sets += several
    return sets if len(sets) > MOST_SETS * len(values) else []


def _values(table: Table, profile: Profile) -> list[str]:
    found = table.spread(profile.place, SAMPLE)
    return [cell.strip() for cell in found if cell.strip().lower() not in table.missing]
