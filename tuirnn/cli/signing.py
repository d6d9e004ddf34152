"""`tuirnn resign`: a cell file whose metadata were edited gets the hash of its content again."""

from pathlib import Path
from typing import Annotated

import typer

from tuirnn.cli.options import Json, print_json
from tuirnn.errors import CellFileError, one_line


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(epilog="Example: tuirnn resign king.onnx")(resign)


def resign(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="A cell file, edited.")],
    as_json: Json = False,
) -> None:
    """Sign a cell file again after an edit of its metadata, and write the JSON beside it anew.

    The file of a language model from an earlier version also gets the key tuirnn.opening.

    The file is checked like a stranger's, and its test vectors are run, before anything is written. The hash proves
    that the content is what was signed here. It does not prove who made the file, or that it is the network that was
    trained: whoever can edit a file can sign it.
    """
    from tuirnn.cellfile.contract import FINGERPRINT, OPENING
    from tuirnn.cellfile.guard import inspect, read_file
    from tuirnn.cellfile.signing import completed, signed
    from tuirnn.export.exporter import write_cell
    from tuirnn.runtime.admission import admit

    name = one_line(file.name)
    if file.suffix != ".onnx":
        raise CellFileError(f"{name} is no cell file: its name does not end in .onnx")
    data, changed = signed(read_file(file), name)
    seen, added = completed(inspect(data, name), name)
    cell = admit(seen, name)
    twin = write_cell(cell, file)
    sha256, changed = _property(cell.data, FINGERPRINT), changed or added
    if as_json:
        print_json({"file": str(file), "metadata": str(twin), "changed": changed, "added": [OPENING] * added,
                    FINGERPRINT: sha256})  # fmt: skip
        return
    if added:
        print(f"{file}: had no {OPENING}; it is {cell.metadata.opening}, as for every file without the key")
    print(f"{file}: " + (f"signed again, {FINGERPRINT} {sha256}" if changed else "its hash was right"))
    print(f"{twin}: written anew, with the hash of the whole file")
    print("proves: the content is what was signed here, and its test vectors are reproduced")
    print("does not prove: who made it, or that it is the network that was trained")


def _property(data: bytes, key: str) -> str:
    from tuirnn.cellfile.cell import properties

    return properties(data)[key]
