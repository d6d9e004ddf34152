"""What a person says about a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """What a person has said about a table; what is empty is found out.

    Attributes:
        delimiter: a character, or one of `dialect.NAMES`.
        decimal: '.' or ','.
        encoding: as Python calls it.
        header: 'yes', 'no' or 'auto'.
        missing: cells that stand for no value, beside the usual ones.
        names: columns that the table is expected to have, which makes its first line a header if it has them.
    """

    delimiter: str = ""
    decimal: str = ""
    encoding: str = ""
    header: str = "auto"
    missing: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
