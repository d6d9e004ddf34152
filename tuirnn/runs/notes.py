"""What a person says of a run: tags to find it by, and a note. It changes nothing of the run."""

from collections.abc import Iterable
from dataclasses import dataclass

from tuirnn.errors import RunError, one_line
from tuirnn.files import atomic_write, read_json, to_json
from tuirnn.runs.layout import RunPaths

LONGEST_TAG, LONGEST_NOTE, MOST_TAGS = 24, 2_000, 20


@dataclass(frozen=True)
class Notes:
    """Tags, sorted, and a note; both may be empty."""

    tags: tuple[str, ...] = ()
    note: str = ""


NO_NOTES = Notes()


def read_notes(paths: RunPaths) -> Notes:
    """The notes of a run; empty where there are none, or none that can be read."""
    if not paths.notes.is_file():
        return Notes()
    try:
        body = read_json(paths.notes)
    except RunError:
        return Notes()
    tags, note = body.get("tags"), body.get("note")
    known = (
        [one_line(one, LONGEST_TAG) for one in tags[:MOST_TAGS] if isinstance(one, str)]
        if isinstance(tags, list)
        else []
    )
    return Notes(tuple(sorted(set(known))), one_line(note, LONGEST_NOTE) if isinstance(note, str) else "")


def write_notes(paths: RunPaths, notes: Notes) -> None:
    """Replace the notes of a run.

    Raises:
        RunError: they cannot be written.
    """
    try:
        atomic_write(paths.notes, to_json({"tags": list(notes.tags), "note": notes.note}, indent=1), durable=False)
    except OSError as error:
        raise RunError(f"cannot write the notes of run '{paths.name}': {error.strerror}") from None


def check_tags(words: Iterable[str]) -> tuple[str, ...]:
    """Words as tags, sorted; raises RunError for one that is not a tag."""
    tags = tuple(sorted(set(words)))
    for tag in tags:
        if not tag or len(tag) > LONGEST_TAG or any(one.isspace() or one in ",=<>:" for one in tag):
            raise RunError(
                f"tag '{one_line(tag, 40)}' must be 1 to {LONGEST_TAG} characters without blanks and , = < > :"
            )
    if len(tags) > MOST_TAGS:
        raise RunError(f"a run has at most {MOST_TAGS} tags, not {len(tags)}")
    return tags


def parse_notes(line: str) -> Notes:
    """A line such as '#night #best ran on the old data' as tags and note; raises RunError for what is no tag."""
    words = line.split()
    return Notes(
        check_tags(word.removeprefix("#") for word in words if word.startswith("#")),
        one_line(" ".join(word for word in words if not word.startswith("#")), LONGEST_NOTE),
    )


def as_line(notes: Notes) -> str:
    """Notes as `parse_notes` reads them."""
    return " ".join([*(f"#{tag}" for tag in notes.tags), *([notes.note] if notes.note else [])])
