"""Settings of the data: what is learned from, and how it is split."""

from dataclasses import dataclass

from tuirnn.errors import ConfigError
from tuirnn.settings.section import Section, option


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """What is learned from, and how it is cut."""

    task: str = option("lm", "What is learned.")  # `tuirnn.config` knows the tasks
    sources: tuple[str, ...] = option(
        (), "Files, folders, '-' or data set names; none: the embedded text (for a series: sine and cosine)."
    )
    tokens: str = option(
        "char", "What one token is; bpe: a subword, by byte-pair encoding.", choices=("char", "byte", "word", "bpe")
    )
    vocab_size: int = option(
        0,
        "Size limit of the vocabulary; rarer words or characters are unknown. 0: 10,000 words, 4,096 subwords, 1,024 "
        "characters or as many as make up 99.99 % of the text.",
        low=0,
        high=1_000_000,
    )
    val_fraction: float = option(0.1, "Share at the end held out for validation.", low=0.001, high=0.9)
    test_fraction: float = option(0.0, "Share before that held out for testing.", low=0.0, high=0.9)
    fraction: float = option(1.0, "Use only this share of the data; of a text, its beginning.", low=1e-6, high=1.0)
    lines: bool = option(
        False, "The text is a list of lines in no order: remove duplicates, shuffle the lines, split between lines."
    )
    split: str = option(
        "end",
        "end: hold out the end of the text; within: train on the held-out part too, as some published systems do; "
        "published: split enwik8, text8 and ptb-char as in the literature.",
        choices=("end", "within", "published"),
    )
    dedupe: bool = option(
        False, "Remove passages of 127 tokens or more from the training part that also occur in the held-out part."
    )
    allow_leak: bool = option(False, "Train even if training and validation overlap; every figure is marked as leaky.")
    classes: str = option(
        "", "Only these classes, separated by commas, in double quotes if one contains a comma; none: all."
    )
    columns: str = option(
        "", "Only these columns of a table, written as for --classes; none: all columns of numbers except counters."
    )
    text_column: str = option("", "The table's column of sequences; none: chosen by name and content.")
    label_column: str = option("", "The table's column of labels; none: chosen by name and content.")
    time_column: str = option("", "The table's column of times, by which rows are sorted; none: chosen by content.")
    group_column: str = option(
        "",
        "The table's column that names each row's series, if the table has several; several columns separated by "
        "commas, such as store,item; none: one series.",
    )
    scale: str = option(
        "auto",
        "level: a forecaster reads and predicts deviations from the mean of the training part; residual: it predicts "
        "the difference from the current value; difference: it also reads only differences, for series with a trend; "
        "auto: chosen on the validation part.",
        choices=("auto", "level", "residual", "difference"),
    )
    season: int = option(
        0, "Points after which a series repeats itself; 1: never; 0: found in the training part.", low=0, high=1_000_000
    )
    calendar: str = option(
        "auto",
        "Whether a forecaster reads hour, weekday and time of year of the next point; auto: those that fit the step "
        "and the length of the series.",
        choices=("auto", "no"),
    )
    date_order: str = option(
        "auto", "Whether day or month comes first in dates such as 01/02/2021.", choices=("auto", "dmy", "mdy")
    )
    example: str = option(
        "auto",
        "What one sequence is in a folder with a folder for each class: a file, or a line; auto: a file, unless the "
        "files are few and have many lines.",
        choices=("auto", "file", "line"),
    )
    delimiter: str = option("", "Separator of a table's fields: a character, 'tab' or 'space'; none: detected.")
    decimal: str = option("auto", "The decimal sign of a table's numbers; auto: detected.", choices=("auto", ".", ","))
    header: str = option("auto", "Whether the first line of a table holds names.", choices=("auto", "yes", "no"))
    missing: str = option("", "Cells of a table that mean no value, besides NA and the like, written as for --classes.")
    encoding: str = option("", "Encoding of text files and tables, such as utf-8 or cp1252; none: detected.")
    split_seed: int = option(
        0, "Seed for shuffling labelled sequences or lines before the split.", low=0, high=2**63 - 1
    )

    def check(self) -> None:
        """Something must be left to train on."""
        if self.lines and self.tokens == "bpe":
            raise ConfigError("--lines splits between lines, but subwords (--tokens bpe) cross them; use char or byte")
        if self.dedupe and self.split == "within":
            raise ConfigError("--dedupe removes the held-out text, which --split within trains on; give only one")
        shares = (("val_fraction", 0.1), ("test_fraction", 0.0), ("fraction", 1.0), ("lines", False), ("dedupe", False))
        changed = [name for name, usual in shares if getattr(self, name) != usual]
        if self.split == "published" and changed:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
            raise ConfigError(f"--split published splits the text as the literature does; leave out {flags}")
        if self.val_fraction + self.test_fraction > 0.95:
            raise ConfigError(
                "--val-fraction and --test-fraction leave less than 5 % of the data to train on; lower one"
            )
