"""`tuirnn import`: from weights trained elsewhere to a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuirnn.cli.options import Encoding, Json, RunsFolder, figure, print_json
from tuirnn.errors import ConfigError, chosen, one_line
from tuirnn.runs.layout import runs_folder

if TYPE_CHECKING:
    from tuirnn.importing.numbering import Numbering
    from tuirnn.importing.state_dict import StateDict


Weights = Annotated[
    Path,
    typer.Argument(
        metavar="WEIGHTS",
        help="Safetensors, or a state dict of torch.save: embedding.weight, rnn.weight_ih_l0 …, head.weight.",
    ),
]
VocabFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json", help="List of symbols in token order, or symbols and their numbers; needed for words."
    ),
]
Text = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Its text: gives the characters, and what the model is measured on."),
]
Tokens = Annotated[str, typer.Option(metavar="char|byte", help="What a token is, without --vocab.")]
Order = Annotated[
    str, typer.Option(metavar="sorted|frequency|appearance", help="How the text's characters are numbered.")
]
Specials = Annotated[
    int, typer.Option(metavar="N", help="Tokens before the characters, such as <pad>; the last is the unknown one.")
]
CellName = Annotated[
    str | None,
    typer.Option(metavar="CELL", help="A cell of 'tuirnn cells' \\[default: torch.nn's with this number of gates]."),
]
Gates = Annotated[
    str, typer.Option(metavar="A,B,…", help="Order of the gates in the file \\[default: that of 'tuirnn cells'].")
]
Nonlinearity = Annotated[str, typer.Option(metavar="tanh|relu", help="Activation of a vanilla RNN.")]
Name = Annotated[str | None, typer.Option(metavar="RUN", help="The run's name \\[default: the file's].")]


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command("import", epilog="Example: tuirnn import model.safetensors --text play.txt")(import_weights)


def import_weights(
    weights: Weights,
    vocab: VocabFile = None,
    text: Text = None,
    encoding: Encoding = "",
    tokens: Tokens = "char",
    order: Order = "sorted",
    specials: Specials = 0,
    cell: CellName = None,
    gates: Gates = "",
    nonlinearity: Nonlinearity = "tanh",
    name: Name = None,
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Turn a language model trained elsewhere, such as with torch.nn, into a run, to export, generate and evaluate.

    With --text the model is measured, and refused if it does not fit.
    """
    from tuirnn.cli.train import lasting
    from tuirnn.importing import fitting, models, numbering
    from tuirnn.runs.layout import free_name

    where = one_line(weights.name)
    tokens = chosen("--tokens", tokens, ("char", "byte"))
    order = chosen("--order", order, numbering.ORDERS)
    if vocab is not None and (order != "sorted" or specials):
        raise ConfigError("--order and --specials number the characters of --text; --vocab has their numbers already")
    content = _content(text, encoding)
    found = _found(weights)
    models.need_names(found.tensors, where)
    size = models.tokens_of(found.tensors, where)
    numbered = _numbering(vocab, tokens, content, order, specials, size, where)
    given = models.Given(
        found.tensors, where, numbered, cell, nonlinearity, tuple(filter(None, gates.replace(" ", ",").split(",")))
    )
    imported = models.assemble(given)
    fit = fitting.check(given, imported, content) if content is not None else None
    folder = runs_folder(runs)
    paths = models.write_run(imported, folder, name or free_name(folder, weights.stem), lasting(text or ""), encoding)
    shape, kind = imported.config, numbered.vocab.kind
    if as_json:
        measured = {} if fit is None else {"nats": fit.nats, "bits": fit.bits, "tokens": fit.tokens}
        print_json({
            "run": paths.name, "cell": shape.cell, "hidden": shape.hidden, "layers": shape.layers,
            "measured": measured, "notes": list(found.notes),
        })  # fmt: skip
        return
    for note in found.notes:
        print(f"note: {note}")
    print(
        f"{paths.name}: {shape.cell.upper()} with {shape.layers} × {shape.hidden} units, {len(numbered.vocab)} tokens"
    )
    if fit is None:
        print("not measured: with --text FILE it is, and refused if it is read otherwise than it was trained")
    else:
        print(f"measured on the first {fit.tokens:,} tokens: {figure(fit.nats)} nats/{kind} ({fit.bits:.3f} bits)")
    print(f'next: tuirnn generate {paths.name} --prime "…"    tuirnn export {paths.name}')


def _found(weights: Path) -> "StateDict":
    """The tensors of a file under the expected names."""
    from tuirnn.importing import state_dict

    if not state_dict.is_pickled(weights):
        return state_dict.expected(state_dict.read(weights))
    from tuirnn.training import pickled

    tensors, notes = pickled.read(weights)
    return state_dict.expected(tensors, notes)


def _content(text: str | None, encoding: str) -> str | None:
    from tuirnn.tasks import sources

    return None if text is None else sources.load((text,)).text(encoding)


def _numbering(
    vocab: Path | None, tokens: str, content: str | None, order: str, specials: int, size: int, where: str
) -> "Numbering":
    """Which token stands for which symbol."""
    from tuirnn.importing import models, numbering
    from tuirnn.vocab import Vocabulary

    if vocab is not None:
        return models.read_vocabulary(vocab, size, where)
    if tokens == "byte":
        return numbering.plain(Vocabulary("byte"), size, where)
    if content is None:
        raise ConfigError("its tokens are not known: give --vocab FILE.json, or --text FILE for its characters")
    return numbering.of_text(content, order, specials, size, where)
