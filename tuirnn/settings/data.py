"""Settings of the data: what is learned from, and how it is split."""

from dataclasses import dataclass

from tuirnn.errors import ConfigError
from tuirnn.settings.section import Section, option


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """What is learned from, and how it is cut."""

    task: str = option("lm", "What is learned.")  # `tuirnn.config` knows the tasks
    sources: tuple[str, ...] = option(
        (), "Files, folders, '-' or data set names; none: the embedded text, for a series sine and cosine."
    )
    tokens: str = option(
        "char", "What one token is; bpe: a subword, by byte-pair encoding.", choices=("char", "byte", "word", "bpe")
    )
    vocab_size: int = option(
        0,
        "Largest vocabulary; rarer words or characters are unknown. 0: 10,000 words, 4,096 subwords, 1,024 characters "
        "or as many as make up 99.99 % of the text.",
        low=0,
        high=1_000_000,
    )
    val_fraction: float = option(0.1, "Share at the end held out for validation.", low=0.001, high=0.9)
    test_fraction: float = option(0.0, "Share before it held out for testing.", low=0.0, high=0.9)
    fraction: float = option(1.0, "Use only this share of the data: the first of a text.", low=1e-6, high=1.0)
    lines: bool = option(
        False, "The text is a list of lines in no order: drop its duplicates, shuffle it, cut it between lines."
    )
    split: str = option(
        "end",
        "end: held out is the end of the text; within: it is trained on as well, as in some published systems; "
        "published: enwik8, text8 and ptb-char are cut as in the literature.",
        choices=("end", "within", "published"),
    )
    dedupe: bool = option(
        False, "Leave out of the training part what stands word for word in the held-out part, 127 tokens or more."
    )
    allow_leak: bool = option(False, "Go on where training and validation overlap; every figure is then called leaky.")
    classes: str = option(
        "", "Only these classes, with commas between, in double quotes where one holds a comma; none: all."
    )
    columns: str = option(
        "", "Only these columns of a table, written as --classes; none: all that hold numbers and are no counter."
    )
    text_column: str = option("", "The table's column of sequences; none: by its name and content.")
    label_column: str = option("", "The table's column of labels; none: by its name and content.")
    time_column: str = option(
        "", "The table's column of times, which give the order of its rows; none: by its content."
    )
    group_column: str = option(
        "",
        "The table's column that names each row's series, where several stand under one another; several together with "
        "commas between, as store,item; none: one series.",
    )
    scale: str = option(
        "auto",
        "level: a forecaster reads and answers deviations from the mean of the training part; residual: it answers "
        "the difference to the current value; difference: it also reads differences alone, as trends need; auto: the "
        "one that the validation part speaks for.",
        choices=("auto", "level", "residual", "difference"),
    )
    season: int = option(
        0, "Points after which a series repeats itself; 1: never; 0: found in the training part.", low=0, high=1_000_000
    )
    calendar: str = option(
        "auto",
        "Whether a forecaster reads hour, weekday and time of year of the next point; auto: those that the step and "
        "the length of the series show.",
        choices=("auto", "no"),
    )
    date_order: str = option(
        "auto", "Whether day or month comes first in dates such as 01/02/2021.", choices=("auto", "dmy", "mdy")
    )
    example: str = option(
        "auto",
        "What one sequence is in a folder with a folder for each class: a file, or a line; auto: a file, unless there "
        "are few of many lines.",
        choices=("auto", "file", "line"),
    )
    delimiter: str = option("", "Between the fields of a table: a character, 'tab' or 'space'; none: found out.")
    decimal: str = option("auto", "The decimal sign of a table's numbers; auto: found out.", choices=("auto", ".", ","))
    header: str = option("auto", "Whether the first line of a table holds names.", choices=("auto", "yes", "no"))
    missing: str = option("", "Cells of a table that stand for no value, beside NA and the like, written as --classes.")
    encoding: str = option("", "Of text files and tables, such as utf-8 or cp1252; none: found out.")
    split_seed: int = option(
        0, "Seed of the shuffle before the split, of labelled sequences or lines.", low=0, high=2**63 - 1
    )

    def check(self) -> None:
        """Something must be left to train on."""
        if self.lines and self.tokens == "bpe":
            raise ConfigError("--lines cuts between lines, and subwords of --tokens bpe reach across; use char or byte")
        if self.dedupe and self.split == "within":
            raise ConfigError("--dedupe leaves the held-out part out, which --split within trains on; drop one of them")
        shares = (("val_fraction", 0.1), ("test_fraction", 0.0), ("fraction", 1.0), ("lines", False), ("dedupe", False))
        changed = [name for name, usual in shares if getattr(self, name) != usual]
        if self.split == "published" and changed:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
            raise ConfigError(f"--split published cuts the text where the literature does; leave out {flags}")
        if self.val_fraction + self.test_fraction > 0.95:
            raise ConfigError(
                "--val-fraction and --test-fraction leave less than 5 % of the data to train on; lower one"
            )
