"""Damaged files: flipped bits, and random mutations of every kind of file.

Mutations run in a process of their own, which may end only in success: a traceback, a signal, five seconds without an
answer or more than a gigabyte of memory is a broken promise. Everything is drawn from the seed.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tuirnn.errors import TuirnnError
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths

from . import Broken
from .kills import SETTINGS, TEXT, fork, train_and_export

SECONDS, WAIT, MEMORY = 5.0, 60.0, 2**30
"""What one answer may take: processor seconds (a busy machine is no hang), seconds of the clock, bytes."""

NASTY: list[Any] = [
    None, True, -1, 0, 2**63, -(2**63), 10**400, 1e308, -0.0, "", "NaN", "\x1b]0;x\x07", "../../etc/passwd",
    "x" * 10_000,
    "\ud800", [], {}, [[[[[]]]]], {"__class__": "os.system"}, "/dev/zero", "-", "\0", 65_536, 10**12,
]  # fmt: skip


def prepare(folder: Path) -> RunPaths:
    """A small trained run with its cell file, whose files are the seeds of all mutations."""
    text = folder / "text.txt"
    text.write_text(TEXT)
    settings = {**SETTINGS, "cell": "gru", "layers": 2, "sources": (str(text),)}
    process = fork(train_and_export, folder, "seed", settings, 1)
    process.join()
    if process.exitcode:
        raise Broken("the run to be mutated could not be trained")
    return RunPaths(folder / "seed")


def bit_flips(folder: Path, count: int, *, seed: int = 0) -> dict[str, Any]:
    """Flip single bits in the files of a checkpoint and in a cell file; none may load.

    A flip in the manifest may be harmless (white space): then what is loaded must be what was saved.
    """
    from tuirnn.cellfile.guard import inspect

    draw, paths = random.Random(seed), prepare(folder)
    good = checkpoint.load(paths, "last")
    cell = (paths.root / "cell.onnx").read_bytes()
    known = inspect(cell, "cell")
    names = [checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.TRAINER, checkpoint.RECORD, checkpoint.MANIFEST, "cell"]
    refused = harmless = 0
    for _ in range(count):
        name = draw.choice(names)
        path = good.path / name
        data = bytearray(cell if name == "cell" else path.read_bytes())
        bit = draw.randrange(8 * len(data))
        data[bit // 8] ^= 1 << (bit % 8)
        try:
            if name == "cell":
                same = _same_cell(inspect(bytes(data), "cell"), known)
            else:
                whole = path.read_bytes()
                path.write_bytes(data)
                try:
                    same = checkpoint.verify(good.path).files == good.files
                finally:
                    path.write_bytes(whole)
        except TuirnnError:
            refused += 1
        else:
            if not same:
                raise Broken(f"bit {bit} of {name} was flipped and the file loaded")
            harmless += 1
    return {"flips": count, "refused": refused, "without meaning": harmless, "silent loads": 0}


def _same_cell(ours: Any, known: Any) -> bool:
    """Whether two cells compute the same: their fingerprint covers operators, weights and metadata."""
    import onnx

    from tuirnn.cellfile.guard import fingerprint

    one, other = (fingerprint(onnx.load_from_string(cell.data)) for cell in (ours, known))
    return bool(one == other)


def mutate(data: bytes, draw: random.Random) -> bytes:
    """A few random changes: of bits, bytes, blocks, lengths; of a value where the file is JSON."""
    if data[:1] in b"{[" and draw.random() < 0.5:
        with contextlib.suppress(ValueError):
            return json.dumps(_mutate_value(json.loads(data), draw)).encode("utf-8", "surrogatepass")
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        at = draw.randrange(len(changed) + 1)
        size = draw.choice((1, 2, 4, 8, 64, 1000))
        kind = draw.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[at : at + size] = draw.randbytes(size)
        elif kind == 2:
            del changed[at : at + size]
        elif kind == 3:
            changed[at:at] = changed[draw.randrange(len(changed) + 1) :][:size]
        elif kind == 4:
            del changed[at:]
        elif kind == 5:
            changed[at : at + 8] = draw.choice((0, 2**31, 2**63 - 1, 2**64 - 1)).to_bytes(8, "little")
        else:
            changed[at:at] = draw.choice((b"[" * 5000, b"\x00" * 64, b"9" * 5000, b"\x1b[2J", b'"' * 9, b"1e999"))
    return bytes(changed)


def _mutate_value(value: Any, draw: random.Random) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        choice = draw.random()
        if choice < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if choice < 0.15:
            return {**value, str(draw.choice(NASTY))[:50]: draw.choice(NASTY)}
        return {**value, key: _mutate_value(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        at = draw.randrange(len(value))
        return [*value[:at], _mutate_value(value[at], draw), *value[at + 1 :]]
    return draw.choice(NASTY)


def mutated(folder: Path, kind: str, count: int, *, seed: int = 0) -> dict[str, Any]:
    """Hand `count` mutated files of one kind to everything that reads it."""
    paths = prepare(folder) if not (folder / "seed").exists() else RunPaths(folder / "seed")
    trace = folder / f"{kind.replace(' ', '-')}.txt"
    process = fork(_readers, folder, paths, kind, count, seed, trace)
    process.join()
    if process.exitcode != 0:
        raise Broken(f"{kind}: exit code {process.exitcode}\n{trace.read_text() if trace.exists() else ''}")
    counted: dict[str, Any] = json.loads(trace.read_text())
    return {"kind": kind, "mutations": count, **counted}


def _readers(folder: Path, paths: RunPaths, kind: str, count: int, seed: int, trace: Path) -> None:
    """The process that reads; the number at work stands in `trace`, so that a signal leaves it behind."""
    import traceback

    import torch

    torch.set_num_threads(1)
    draw, work = random.Random(f"{kind} {seed}"), folder / f"{kind.replace(' ', '-')}-work"
    shutil.copytree(paths.root, work / "seed", dirs_exist_ok=True)
    reader, originals = _READERS[kind](RunPaths(work / "seed"))
    for alarm in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(alarm, _too_slow)
    accepted = 0
    reader(next(iter(originals.values())), next(iter(originals)))  # what the libraries need for themselves
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        name = draw.choice(list(originals))
        data = mutate(originals[name], draw)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAIT)
        try:
            reader(data, name)
            accepted += 1
        except TuirnnError as error:
            if not str(error).isprintable():
                (folder / "culprit").write_bytes(data)
                trace.write_text(f"mutation {number} of {name}: an error that is not one printable line: {error!r}")
                os._exit(4)
        except BaseException:
            (folder / "culprit").write_bytes(data)
            trace.write_text(f"mutation {number} of {name} (seed {seed}):\n{traceback.format_exc()}")
            os._exit(3)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
    if grown > MEMORY:
        trace.write_text(f"memory grew by {grown:,} bytes")
        os._exit(5)
    trace.write_text(json.dumps({"accepted": accepted, "refused": count - accepted, "MB": round(grown / 1e6)}))


def _too_slow(number: int, frame: Any) -> None:
    raise TimeoutError(f"no answer within {SECONDS:.0f} s of the processor's time, {WAIT:.0f} s of the clock")


Reader = Callable[[bytes, str], None]


def _whole_checkpoint(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    good = checkpoint.load(paths, "last")

    def read(data: bytes, name: str) -> None:
        (good.path / name).write_bytes(data)
        try:
            checkpoint.load(paths, "last")
        finally:
            (good.path / name).write_bytes(originals[name])

    originals = {name: (good.path / name).read_bytes() for name in (*good.files, checkpoint.MANIFEST)}
    return read, originals


def _signed_checkpoint(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    """A manifest with the hashes of the mutated files: the checks behind the hashes must refuse what is wrong."""
    from tuirnn.export.exporter import export_run
    from tuirnn.runs.reader import present_record
    from tuirnn.runs.writer import RunWriter
    from tuirnn.runtime.data import run_data
    from tuirnn.training.devices import pick_device
    from tuirnn.training.team import Alone
    from tuirnn.training.trainer import Trainer

    good = checkpoint.load(paths, "last")
    writer = RunWriter(paths)
    trainer = Trainer(present_record(paths), run_data(paths), writer, pick_device("cpu"), lambda event: None, Alone())
    logs = {path: path.read_bytes() for path in (paths.metrics, paths.samples, paths.probes)}

    def read(data: bytes, name: str) -> None:
        files = {**good.files, name: data}
        try:
            trainer.restore(checkpoint.Checkpoint(good.path, files))
            trainer.training_step(0.5)
            if name == checkpoint.MODEL:
                checkpoint.save(paths, good.step, files)
                export_run(paths, "last")
        finally:
            for path, content in logs.items():
                if path.stat().st_size != len(content):
                    path.write_bytes(content)

    return read, {name: good.files[name] for name in (checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.TRAINER)}


def _file(path: Path, use: Callable[[], None]) -> tuple[Reader, dict[str, bytes]]:
    def read(data: bytes, name: str) -> None:
        path.write_bytes(data)
        use()

    return read, {path.name: path.read_bytes()}


def _record(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    from tuirnn.runs.listing import list_runs
    from tuirnn.runs.reader import present_record

    def use() -> None:
        list_runs(paths.root.parent)
        present_record(paths)

    return _file(paths.record, use)


def _metrics(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    from tuirnn.runs.export import to_csv

    return _file(paths.metrics, lambda: to_csv(paths, paths.root / "out.csv"))


def _events(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    from tuirnn.runs.reader import present_record

    with open(paths.events, "ab") as file:
        settings = {"lr": 0.1, "sources": ["a.txt"]}
        file.write(json.dumps({"event": "changes", "settings": settings, "data": {"name": "a"}}).encode() + b"\n")
    return _file(paths.events, lambda: present_record(paths) and None)


def _status(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    from tuirnn.runs.listing import list_runs

    return _file(paths.status, lambda: list_runs(paths.root.parent) and None)


def _control(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    from tuirnn.runs import control

    control.send(paths, control.Request("lr", 0.5))
    (request,) = paths.control.iterdir()
    return _file(request, lambda: control.take(paths) and None)


def _recipe(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    from tuirnn.config import _recipe_folder, load_recipe

    path = paths.root / "mine.toml"
    path.write_bytes((_recipe_folder() / "shakespeare-cpu.toml").read_bytes())
    return _file(path, lambda: load_recipe(str(path)) and None)


def _cell(paths: RunPaths) -> tuple[Reader, dict[str, bytes]]:
    """Half of the mutants get a fresh fingerprint, so that the checks behind it are met too."""
    import onnx

    from tuirnn.cellfile import guard
    from tuirnn.cellfile.cell import TrustedCell
    from tuirnn.cellfile.contract import FINGERPRINT
    from tuirnn.runtime.session import CellSession

    turn = iter(range(10**12))

    def read(data: bytes, name: str) -> None:
        if next(turn) % 2:
            with contextlib.suppress(Exception):
                model = onnx.load_from_string(data)
                for prop in model.metadata_props:
                    if prop.key == FINGERPRINT:
                        prop.value = guard.fingerprint(model)
                data = model.SerializeToString()
        CellSession(TrustedCell(*vars(guard.inspect(data, "stranger.onnx")).values()), device="cpu")

    return read, {"cell.onnx": (paths.root / "cell.onnx").read_bytes()}


_READERS: dict[str, Callable[[RunPaths], tuple[Reader, dict[str, bytes]]]] = {
    "checkpoint": _whole_checkpoint,
    "signed checkpoint": _signed_checkpoint,
    "run.json": _record,
    "metrics": _metrics,
    "events": _events,
    "status": _status,
    "control": _control,
    "recipe": _recipe,
    "cell": _cell,
}


def kinds() -> Iterator[str]:
    """Every kind of file that is read from disk."""
    yield from _READERS
