"""`tuirnn generate`: text, written by a trained network."""

import math
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuirnn.cli.importing import importing
from tuirnn.cli.options import Checkpoint, Device, Json, Model, RunsFolder, print_json
from tuirnn.errors import ConfigError, one_line
from tuirnn.runs.layout import runs_folder

if TYPE_CHECKING:
    from tuirnn.cellfile.contract import CellMetadata

MAX_LENGTH = 100_000_000


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog='Example: tuirnn generate lstm-384 --prime "ROMEO:" --length 500 --temperature 0.7')(generate)


def generate(
    model: Model,
    prime: Annotated[str, typer.Option(metavar="TEXT", help="Text that the network reads first.")] = "",
    length: Annotated[int, typer.Option("--length", "-n", metavar="N", help="Tokens to write.")] = 500,
    temperature: Annotated[float, typer.Option(metavar="X", help="Below 1 safer, above 1 wilder; 0: greedy.")] = 0.8,
    top_k: Annotated[int, typer.Option(metavar="N", help="Choose among the N likeliest; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(metavar="X", help="Choose among the likeliest whose sum reaches X.")] = 1.0,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest token.")] = False,
    samples: Annotated[int, typer.Option(metavar="N", help="Texts to write.")] = 1,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same seed writes the same text.")] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Go on from a saved state instead of a text's beginning.")
    ] = None,
    save_state: Annotated[
        Path | None, typer.Option("--save-state", metavar="FILE", help="Keep the state at the end, as safetensors.")
    ] = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Write text with a trained network through ONNX Runtime, the hidden state carried from step to step."""
    with importing():
        from tuirnn.runtime.samplers import Sampling

    sampling = Sampling(0.0 if greedy else temperature, top_k, top_p)
    _check(length, samples, seed, bool(state or save_state))
    with importing():
        from tuirnn.loading.cell import load_cell
        from tuirnn.runtime.generate import TextWriter, write_side_by_side
        from tuirnn.runtime.session import CellSession

    cell = load_cell(model, runs_folder(runs), checkpoint)
    session = CellSession(cell, device=device, batch=samples if samples > 1 else None)
    unknown = cell.metadata.vocab.unknown(prime)
    if not as_json:
        _tell(unknown, cell.metadata)
    first = time.time_ns() % 2**32 if seed is None else seed
    seeds = range(first, first + samples)
    began = time.perf_counter()
    if samples > 1:
        texts: list[Any] = list(write_side_by_side(session, prime, sampling, length, seeds))
    else:
        writer = TextWriter(session, first)
        if state is not None:
            _states().load_state(state, writer, cell)
        writer.feed(prime)
        texts = [writer.stream(sampling, length)]
    for number, (text, text_seed) in enumerate(zip(texts, seeds, strict=True)):
        if as_json:
            values = {"prime": prime, "text": "".join(text), "seed": text_seed, "tokens": length, "unknown": unknown}
            seconds = max(time.perf_counter() - began, 1e-9)
            print_json({**values, "provider": session.provider, "tokens_per_s": length * samples / seconds})
            continue
        if number:
            print("─" * 40)
        _type_out(prime, text)
    if save_state is not None:
        _states().save_state(save_state, writer, cell)


def _check(length: int, samples: int, seed: int | None, keeps: bool) -> None:
    """Refuse numbers out of range, and a state (`keeps`) of several texts."""
    for flag, value, low, high in (("--length", length, 0, MAX_LENGTH), ("--samples", samples, 1, 10_000)):
        if not low <= value <= high:
            raise ConfigError(f"{flag} must be from {low} to {high:,}, not {value}")
    if seed is not None and seed < 0:
        raise ConfigError(f"--seed must be at least 0, not {seed}")
    if samples > 1 and keeps:
        raise ConfigError("--state and --save-state take a single text; leave --samples out")


def _tell(unknown: list[str], meta: "CellMetadata") -> None:
    """Say what a reader of the text should know: a network that has learned nothing, symbols read as unknown."""
    if meta.val_bpc > (guessing := math.log2(max(len(meta.vocab), 2))):
        print(
            f"tuirnn: this network is worse than guessing, {meta.val_bpc:.3g} against {guessing:.3g} bits a "
            "token: its training has failed",
            file=sys.stderr,
        )
    if unknown:
        shown = ", ".join(repr(symbol) for symbol in unknown[:10]) + (" …" if len(unknown) > 10 else "")
        print(f"tuirnn: not in this network's vocabulary, read as unknown: {one_line(shown)}", file=sys.stderr)


def _type_out(prime: str, pieces: Any) -> None:
    """Print a text as it is written; a terminal never gets control characters from it."""
    terminal = sys.stdout.isatty()

    def put(text: str) -> None:
        sys.stdout.write("".join(map(_visible, text)) if terminal else text)

    put(prime)
    for piece in pieces:
        put(piece)
        if terminal:
            sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()


def _visible(symbol: str) -> str:
    return symbol if symbol.isprintable() or symbol in "\n\t" else "�"


def _states() -> ModuleType:
    """What reads and writes saved states; not imported where there are none."""
    from tuirnn.runtime import states

    return states
