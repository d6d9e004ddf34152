"""`tuirnn demo`: train, export and generate in about a minute."""

from pathlib import Path

import typer

from tuirnn import shipped
from tuirnn.cli.export import export
from tuirnn.cli.generate import generate
from tuirnn.cli.importing import is_here
from tuirnn.cli.options import RunsFolder
from tuirnn.cli.train import train
from tuirnn.runs.layout import free_name, runs_folder


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn demo")(demo)


def demo(runs: RunsFolder = None) -> None:
    """Train on the embedded text for 45 seconds, export the cell, and generate text with it.

    Without PyTorch, generate text with the cell that comes with tuirnn.
    """
    if not is_here("torch"):
        print(f"PyTorch is not installed, so nothing is trained; {shipped.CELL}, which comes with tuirnn, generates\n")
        generate(shipped.CELL, prime="ROMEO:\n", length=500, temperature=0.6, seed=1)
        return
    name = free_name(runs_folder(runs), "demo")
    print("1/3  training on the text that comes with Python\n")
    train(recipe="demo", name=name, runs=runs, settings={})
    print("\n2/3  exporting one step of the network\n")
    path = Path("export/cells") / f"{name}.onnx"
    export(name, output=path, runs=runs)
    print("\n3/3  generating with ONNX Runtime; the hidden state is carried from step to step\n")
    generate(str(path), prime="The ", length=500, temperature=0.6, seed=1)
    print(
        f"\nrun {name} is in {runs_folder(runs) / name}, its cell file is {path}\nto see its curves and states: tuirnn"
    )
