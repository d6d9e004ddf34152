"""`tuirnn novelty`: how much a network copies from its training text."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tuirnn.cli.options import Checkpoint, Json, Model, RunsFolder, print_json
from tuirnn.errors import ConfigError, DataError, one_line
from tuirnn.runs.layout import find_run, runs_folder

MAX_BYTES = 16 * 2**20


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn novelty lstm-384 --length 5000 --temperature 0.5")(novelty)


def novelty(
    model: Model,
    text: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text to measure \\[default: the network writes one].")
    ] = None,
    length: Annotated[int, typer.Option("--length", "-n", metavar="N", help="Tokens to write.")] = 2000,
    temperature: Annotated[float, typer.Option(metavar="X", help="Below 1 safer, above 1 wilder; 0: greedy.")] = 0.8,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed writes the same text.")] = 0,
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Measure how much of a generated text is copied from the training text."""
    if not 1 <= length <= 1_000_000:
        raise ConfigError(f"--length must be from 1 to 1,000,000, not {length}")
    if seed < 0:
        raise ConfigError(f"--seed must be at least 0, not {seed}")
    from tuirnn.loading.cell import load_cell
    from tuirnn.novelty import Corpus, new_lines
    from tuirnn.runs.reader import read_record
    from tuirnn.runtime.data import training_text
    from tuirnn.runtime.generate import TextWriter
    from tuirnn.runtime.samplers import Sampling
    from tuirnn.runtime.session import CellSession

    folder = runs_folder(runs)
    known, length_known = training_text(model, folder)
    if text is not None:
        sample = _read(text)
    else:
        writer = TextWriter(CellSession(load_cell(model, folder, checkpoint)), seed)
        sample = "".join(writer.stream(Sampling(temperature), length))
    listed = not model.endswith(".onnx") and read_record(find_run(folder, model)).config.data.lines
    lines = new_lines(sample, known) if listed else {}
    found = Corpus(known, length_known).measure(sample)
    values = {
        "model": model,
        "characters": found.characters,
        "novel_8grams": found.novel,
        "longest_match": found.longest,
        "match": sample[found.start : found.start + found.longest],
        "corpus_characters": found.searched,
        **lines,
    }
    what = one_line(text) if text is not None else f"{length:,} tokens at temperature {temperature:g}"
    print_json(values) if as_json else _print(values, what)


def _print(values: dict[str, Any], what: str) -> None:
    """The result as text; `what` names the measured text."""
    from tuirnn.novelty import GRAM

    longest, copied = values["longest_match"], one_line(values["match"], 100)
    print(
        f"{one_line(values['model'])}, {what}: {values['characters']:,} characters, "
        f"compared with {values['corpus_characters']:,} of training text"
    )
    print(f"8-grams that the training text lacks   {100 * values['novel_8grams']:.1f} %")
    print("longest passage copied exactly         "
          + (f"{longest} characters: {copied}" if longest else f"under {GRAM} characters"))  # fmt: skip
    if "lines" in values:
        print(f"of {values['lines']:,.0f} whole lines{'':<23}{100 * values['new_lines']:.1f} % are new, "
              f"{100 * values['different_lines']:.1f} % differ from one another")  # fmt: skip


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{one_line(path)} is larger than {MAX_BYTES:,} bytes; give a sample, not a corpus")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{one_line(path)} is not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"cannot read {one_line(path)}: {error.strerror}") from None
