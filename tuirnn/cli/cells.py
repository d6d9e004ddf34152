"""Commands on trained networks: export, generate, eval, inspect."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tuirnn.cli.importing import importing
from tuirnn.cli.options import Checkpoint, Device, Json, Model, RunsFolder, figure, print_json, print_json_pretty
from tuirnn.cli.tables import confusion_table, terminal_width
from tuirnn.counting import amounts
from tuirnn.errors import ConfigError, chosen, one_line
from tuirnn.runs.layout import find_run, runs_folder

MAX_LENGTH = 100_000_000

LOSS_UNITS = {
    "lm": ("nats", "tokens"),
    "classify": ("nats", "sequences"),
    "forecast": ("squared deviations", "points"),
}
"""What a task's held-out loss is measured in, and on."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog="Example: tuirnn export lstm-384 -o king.onnx")(export)
    app.command(epilog='Example: tuirnn generate lstm-384 --prime "ROMEO:" --length 500 --temperature 0.7')(generate)
    app.command("import", epilog="Example: tuirnn import model.safetensors --text play.txt")(import_weights)
    app.command("eval", epilog="Example: tuirnn eval king.onnx --text play.txt")(evaluate)
    app.command(epilog="Example: tuirnn inspect king.onnx")(inspect)


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.onnx", help="Where to \\[default: ./export/cells/RUN.onnx]."),
    ] = None,
    checkpoint: Checkpoint = "best",
    precision: Annotated[
        str, typer.Option(metavar="fp32|fp16|int8|int4", help="How weights are stored; int8 is also the fastest.")
    ] = "fp32",
    max_loss_increase: Annotated[
        float, typer.Option(metavar="NATS", help="What a precision may cost on the held-out text; more is refused.")
    ] = 0.005,
    sampler: Annotated[
        bool, typer.Option("--with-sampler", help="The graph also chooses the next token: temperature, top-k, uniform.")
    ] = False,
    unroll: Annotated[int, typer.Option(metavar="N", help="N steps in one call, the sampler inside.")] = 1,
    opset: Annotated[int | None, typer.Option(metavar="N", help="ONNX opset \\[default: 13; int4 needs 21].")] = None,
    ir: Annotated[int | None, typer.Option(metavar="N", help="IR version \\[default: that of the opset].")] = None,
    static_batch: Annotated[int | None, typer.Option(metavar="N", help="Fix the batch axis.")] = None,
    c: Annotated[
        bool, typer.Option("--c", help="Also write a language model as C99 source, in a folder beside the file (fp32).")
    ] = False,
    c_prefix: Annotated[
        str | None, typer.Option(metavar="NAME", help="What names in the C source begin with \\[default: cell].")
    ] = None,
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Write one step of a trained network as a self-contained ONNX file, checked and run before it is kept."""
    from tuirnn.export import c_check, c_source
    from tuirnn.export.exporter import export_network, write_cell
    from tuirnn.export.network import read_network
    from tuirnn.export.options import CellOptions

    options = CellOptions(precision, opset, ir, static_batch, sampler, unroll)
    if not max_loss_increase >= 0:
        raise ConfigError(f"--max-loss-increase must be at least 0, not {max_loss_increase:g}")
    paths = find_run(runs_folder(runs), run)
    path = output or Path("export/cells") / f"{paths.name}.onnx"
    if path.suffix != ".onnx":
        raise ConfigError(f"-o takes a file name that ends in .onnx, not '{one_line(path.name, 60)}'")
    if c_prefix is not None and not c:
        raise ConfigError("--c-prefix names what is in the C source; give --c as well")
    network = read_network(paths, checkpoint)
    if c:
        c_source.need_writable(network, options.precision, c_prefix or c_source.PREFIX)
    cell = export_network(network, options, max_loss_increase=max_loss_increase)
    folder, sources, unchecked = path.with_name(path.stem + "-c"), {}, ""
    if c:
        sources = c_source.c_files(network, cell.metadata.test, c_prefix or c_source.PREFIX)
        unchecked = c_check.verify(sources)
    twin = write_cell(cell, path, {folder / name: text.encode() for name, text in sources.items()})
    if as_json:
        print_json(
            {
                "run": paths.name,
                "step": network.step,
                "file": str(path),
                "metadata": str(twin),
                "bytes": len(cell.data),
                "precision": options.precision,
                "c": str(folder) if c else None,
                "c_checked": not unchecked if c else None,
                "loss": vars(cell.metadata.loss) if cell.metadata.loss else None,
            }
        )
        return
    size = f"{len(cell.data):,} bytes, opset {options.opset_version}"
    what = "one step" if unroll == 1 else f"{unroll} steps in a call"
    print(f"{path}: {what} of {paths.name} (step {network.step:,}), {size}")
    if loss := cell.metadata.loss:
        unit, counted = LOSS_UNITS[network.task]
        print(
            f"{options.precision}: held-out loss {figure(loss.nats_fp32)} → {figure(loss.nats)} {unit} "
            f"({loss.nats - loss.nats_fp32:+.2g}) on {loss.tokens:,} {counted}"
        )
    print("checked: onnx checker, ONNX Runtime against an independent reference on the test vector")
    print(f"{twin}: the same metadata as JSON")
    if c:
        print(f"{folder}/: the network as C99 source; make -C {folder} && {folder}/example")
        print(f"not checked: {unchecked}" if unchecked else "checked: compiled, and run on the test vector")
    use = {"lm": 'generate {} --prime "…"', "classify": 'predict {} "…"', "forecast": "predict {} DATA.csv"}
    print("next: tuirnn " + (use[network.task] if unroll == 1 else "inspect {}").format(path))


def import_weights(
    weights: Annotated[
        Path,
        typer.Argument(metavar="WEIGHTS", help="Safetensors: embedding.weight, rnn.weight_ih_l0 …, head.weight."),
    ],
    vocab: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="List of symbols in token order; needed for words.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Its text: gives the characters, sorted, and what it is measured on."),
    ] = None,
    tokens: Annotated[str, typer.Option(metavar="char|byte", help="What a token is, without --vocab.")] = "char",
    cell: Annotated[
        str | None, typer.Option(metavar="CELL", help="Of 'tuirnn cells' \\[default: torch.nn's with so many gates].")
    ] = None,
    nonlinearity: Annotated[str, typer.Option(metavar="tanh|relu", help="Of a vanilla RNN.")] = "tanh",
    name: Annotated[str | None, typer.Option(metavar="RUN", help="The run's name \\[default: the file's].")] = None,
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Make a run of a language model trained elsewhere, as with torch.nn: to export, generate and evaluate."""
    from tuirnn.export import importing
    from tuirnn.runs.layout import free_name
    from tuirnn.tasks import sources
    from tuirnn.vocab import Vocabulary

    tokens = chosen("--tokens", tokens, ("char", "byte"))
    if vocab is not None:
        symbols = importing.read_vocabulary(vocab)
    elif tokens == "byte":
        symbols = Vocabulary("byte")
    elif text is not None:
        symbols = Vocabulary.build(sources.load((text,)).text(), "char")
    else:
        raise ConfigError("its tokens are not known: give --vocab FILE.json, or --text FILE for its characters")
    imported = importing.read_weights(weights, symbols, cell=cell, nonlinearity=nonlinearity)
    folder = runs_folder(runs)
    paths = importing.write_run(imported, folder, name or free_name(folder, weights.stem), text)
    shape = imported.config
    if as_json:
        print_json({"run": paths.name, "cell": shape.cell, "hidden": shape.hidden, "layers": shape.layers})
        return
    print(f"{paths.name}: {shape.cell.upper()} with {shape.layers} × {shape.hidden} units, {len(symbols)} tokens")
    print(f'next: tuirnn generate {paths.name} --prime "…"    tuirnn export {paths.name}')


def generate(
    model: Model,
    prime: Annotated[str, typer.Option(metavar="TEXT", help="Text that the network reads first.")] = "",
    length: Annotated[int, typer.Option("--length", "-n", metavar="N", help="Tokens to write.")] = 500,
    temperature: Annotated[float, typer.Option(metavar="X", help="Below 1 safer, above 1 wilder; 0: greedy.")] = 0.8,
    top_k: Annotated[int, typer.Option(metavar="N", help="Choose among the N likeliest; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(metavar="X", help="Choose among the likeliest that reach X.")] = 1.0,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest token.")] = False,
    samples: Annotated[int, typer.Option(metavar="N", help="Texts to write.")] = 1,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same seed writes the same text.")] = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Write text with a trained network through ONNX Runtime, the hidden state carried from step to step."""
    with importing():
        from tuirnn.runtime.samplers import Sampling

    sampling = Sampling(0.0 if greedy else temperature, top_k, top_p)
    for flag, value, low, high in (("--length", length, 0, MAX_LENGTH), ("--samples", samples, 1, 10_000)):
        if not low <= value <= high:
            raise ConfigError(f"{flag} must be from {low} to {high:,}, not {value}")
    if seed is not None and seed < 0:
        raise ConfigError(f"--seed must be at least 0, not {seed}")
    with importing():
        from tuirnn.loading.cell import load_cell
        from tuirnn.runtime.generate import TextWriter, write_side_by_side
        from tuirnn.runtime.session import CellSession

    cell = load_cell(model, runs_folder(runs), checkpoint)
    session = CellSession(cell, device=device, batch=samples if samples > 1 else None)
    unknown = cell.metadata.vocab.unknown(prime)
    if unknown and not as_json:
        shown = ", ".join(repr(symbol) for symbol in unknown[:10]) + (" …" if len(unknown) > 10 else "")
        print(f"tuirnn: not in this network's vocabulary, read as unknown: {one_line(shown)}", file=sys.stderr)
    first = time.time_ns() % 2**32 if seed is None else seed
    seeds = range(first, first + samples)
    began = time.perf_counter()
    if samples > 1:
        texts: list[Any] = list(write_side_by_side(session, prime, sampling, length, seeds))
    else:
        writer = TextWriter(session, first)
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


def evaluate(
    model: Model,
    text: Annotated[
        str | None, typer.Option(metavar="FILE", help="Text, or table, to measure on \\[default: the held-out split].")
    ] = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
    runs: RunsFolder = None,
    as_json: Json = False,
) -> None:
    """Measure a network: on text under both protocols, on labelled sequences, or on a series of numbers."""
    from tuirnn.loading.cell import load_cell
    from tuirnn.runs.layout import find_run
    from tuirnn.runs.reader import read_record
    from tuirnn.runtime.data import held_out, text_ids
    from tuirnn.runtime.evaluate import evaluate as measure

    folder = runs_folder(runs)
    cell = load_cell(model, folder, checkpoint)
    if cell.metadata.task == "classify":
        _eval_classes(model, folder, cell, text, device, as_json)
        return
    if cell.metadata.task == "forecast":
        _eval_series(model, folder, cell, text, device, as_json)
        return
    ids = text_ids(text, cell.metadata.vocab) if text is not None else held_out(model, folder, cell)
    loss = measure(cell, ids, device=device)
    values = loss.to_json()
    leaky = text is None and not model.endswith(".onnx") and read_record(find_run(folder, model)).leaky
    if as_json:
        print_json({"model": model, "text": text or "validation split", **values, "leaky": leaky})
        return
    what = one_line(text) if text is not None else "its validation split" + " (leaky: trained on as well)" * leaky
    print(f"{one_line(model)} on {what}, {loss.tokens:,} {amounts('lm', cell.metadata.vocab.kind)}")
    print(f"{'protocol':<34} {'nats':>8} {'bits':>8} {'perplexity':>11}")
    for label, suffix in (("carried (one pass)", ""), ("blocks (256, from zero state)", "_blocks")):
        print(
            f"{label:<34} {figure(values['nats' + suffix]):>8} {figure(values['bits' + suffix]):>8} "
            f"{figure(values['perplexity' + suffix]):>11}"
        )


def _eval_classes(model: str, folder: Path, cell: Any, text: str | None, device: str, as_json: bool) -> None:
    """A classifier on the test part of its run's data, or the validation part where there is none."""
    from tuirnn.runs.layout import find_run
    from tuirnn.runtime.classify import measure
    from tuirnn.runtime.data import run_data
    from tuirnn.tasks.classify import LabelledData

    if text is not None or model.endswith(".onnx"):
        raise ConfigError("a classifier is measured on its run's own data: name the run, without --text")
    data = run_data(find_run(folder, model))
    assert isinstance(data, LabelledData)
    which = "test" if len(data.test) else "val"
    figures = measure(cell, getattr(data, which), device=device)
    if as_json:
        print_json({"model": model, "split": which, "classes": data.classes, **figures.to_json()})
        return
    print(f"{one_line(model)} on the {which} split, {figures.confusion.sum():,} sequences")
    print(
        f"accuracy {100 * figures.accuracy:.2f} %   macro F1 {figures.macro_f1:.4f}   "
        f"loss {figure(figures.nats)} nats/sequence   calibration error {figures.calibration:.4f}"
    )
    print()
    for line in confusion_table(data.classes, figures.confusion.tolist(), columns=terminal_width()):
        print(line)


def _eval_series(model: str, folder: Path, cell: Any, table: str | None, device: str, as_json: bool) -> None:
    """A forecaster on the test part of its run's data, or the validation part where there is none; or on a table."""
    from tuirnn.runtime.forecast import measure, series
    from tuirnn.tasks.rollout import describe

    found = series(model, folder, cell, table)
    figures = measure(cell, found.values, found.first, horizon=found.horizon, device=device)
    if as_json:
        print_json({"model": model, "on": found.what, **figures.to_json()})
        return
    for note in found.notes:
        print(f"tuirnn: {note}", file=sys.stderr)
    print(f"{one_line(model)} on {found.what}: {figures.points:,} points one step ahead, {figures.origins} roll-outs")
    print(describe(figures))
    print("in the data's own units; 'last': the last value said again; +h: RMSE of the h-th point of a roll-out")


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="A cell file.")],
    as_json: Json = False,
) -> None:
    """Print what a cell file promises, and verify it against its own test vectors and the JSON beside it."""
    import onnx

    from tuirnn.cellfile import guard, sidecar
    from tuirnn.runtime.trial import open_file
    from tuirnn.runtime.verify import verify

    cell = open_file(file)
    provider = verify(cell, device="cpu")
    model = onnx.ModelProto.FromString(cell.data)
    batch = guard.fixed_batch(cell)
    properties = {prop.key: prop.value for prop in model.metadata_props}
    beside = sidecar.check(file.with_suffix(".json"), cell.data, properties, cell.metadata, batch)
    values = {
        "file": file.name,
        "bytes": len(cell.data),
        "opset": model.opset_import[0].version,
        "ir": model.ir_version,
        "nodes": len(model.graph.node),
        "parameters": sum(int(_size(t.dims)) for t in model.graph.initializer if t.data_type != onnx.TensorProto.INT64),
        "operators": sorted({node.op_type for node in model.graph.node}),
        **sidecar.contents(cell.data, cell.metadata, batch),
        "sidecar": beside,
        "verified": True,
        "provider": provider,
    }
    if as_json:
        print_json_pretty(values)
        return
    vocab, test = cell.metadata.vocab, cell.metadata.test
    if scaling := cell.metadata.scaling:
        columns = zip(scaling.columns, scaling.mean, scaling.std, strict=True)
        values["tuirnn.normalisation"] = one_line(", ".join(f"{name} {m:.4g} ± {s:.4g}" for name, m, s in columns), 200)
        back = cell.metadata.look_back
        values["tuirnn.look_back"] = f"{back} points from a zero state" if back else "0: carry the state"
        values["tuirnn.test_vector"] = f"{len(test.inputs)} points, {len(test.outputs)} columns"
    else:
        values["tuirnn.vocab"] = f"{len(vocab)} {vocab.kind} tokens: " + one_line("".join(vocab.symbols), 70)
        values["tuirnn.test_vector"] = f"{len(test.inputs)} tokens, {len(test.outputs)} logits"
    if cell.metadata.classes:
        values["tuirnn.classes"] = one_line(", ".join(cell.metadata.classes), 200)
    for side in ("inputs", "outputs"):
        values[side] = ", ".join(
            f"{name} {io['dtype']}{io['shape']}".replace("'", "") for name, io in values[side].items()
        )
    if loss := cell.metadata.loss:
        unit, counted = LOSS_UNITS[cell.metadata.task]
        values["tuirnn.loss"] = (
            f"{figure(loss.nats)} {unit}; {figure(loss.nats_fp32)} in fp32, on {loss.tokens:,} held-out {counted}"
        )
    if cell.metadata.sampler:
        values["tuirnn.sampler"] = ", ".join(values["tuirnn.sampler"])
    values["tuirnn.state_map"] = ", ".join(f"{out} → {into}" for out, into in cell.metadata.state_map.items())
    values["operators"] = " ".join(values["operators"])
    values["sidecar"] = beside or "none"
    values["verified"] = "yes: ONNX Runtime reproduces the test vectors"
    for key, value in values.items():
        print(
            f"{key:<20} {value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{key:<20} {value}"
        )


def _size(dims: Any) -> int:
    size = 1
    for dim in dims:
        size *= dim
    return size
