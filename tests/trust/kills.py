"""SIGKILL at random instants: of a training, its checkpoints, its export; of a writer of metrics."""

import itertools
import multiprocessing
import os
import random
import re
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tuirnn.cellfile.guard import read_cell
from tuirnn.config import RunConfig
from tuirnn.runs import checkpoint
from tuirnn.runs.layout import RunPaths, is_run
from tuirnn.runs.reader import LogTail, RunRecord, read_status
from tuirnn.runs.writer import RunWriter
from tuirnn.vocab import Vocabulary

from . import Broken

TEXT = "the quick brown fox jumps over the lazy dog; 'tis a mile, said he.\n" * 60
WORDS = sorted(set(TEXT.split()))
NAMES = "name\tlabel\n" + "".join(f"{word}{i}\t{len(word) % 2}\n" for i in range(8) for word in WORDS)
SETTINGS: dict[str, Any] = {
    "hidden": 16, "embed": 8, "batch_size": 4, "seq_len": 16, "steps": 60, "eval_every": 20, "checkpoint_every": 7,
    "sample_length": 10, "device": "cpu", "schedule": "cosine", "warmup": 5, "keep": 2,
}  # fmt: skip
VARIANTS: list[dict[str, Any]] = [
    {"cell": cell, "optimizer": optimizer, "batches": batches, "momentum": 0.5, "lr": 0.01}
    for cell, (optimizer, batches) in zip(
        itertools.cycle(("rnn", "lstm", "gru")),
        itertools.product(("adamw", "sgd", "rmsprop", "adam"), ("stream", "random", "windows")),
        strict=False,
    )
]
VARIANTS[2:2] = [
    {"cell": "lstm", "task": "classify", "sources": ("names.tsv",), "every_step": True, "lr": 0.01},
    {"cell": "gru", "task": "forecast", "sources": ("sincos",), "horizon": 5, "lr": 0.01},
]
"""Every task, cell, optimizer and kind of batches; the other tasks come early, so that short forms try them too."""

VISIBLE = re.compile(
    r"run\.json|status\.json|(metrics|samples|probes|events)\.jsonl|control|lock|best|last|step_\d{8}|cell\.(onnx|json)"
)
"""Every name without a leading dot that a run directory of this test may show."""

LOADER_GAVE_UP = 127
"""What a process ends with when an assertion of glibc's own loader fails (dl-open.c, "RT_CONSISTENT"): seen once, in
some thousand starts, on a busy machine. To the run it is a kill like any other, so a test goes on from there, once."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["torch._dynamo", "tuirnn.training.launch", "tuirnn.export.exporter", "tuirnn.runtime.session"]
)


def fork(work: Any, *arguments: Any) -> ForkServerProcess:
    """Start `work` in a process of its own, forked from one that has imported PyTorch and computed nothing."""
    process = _forks.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def train_and_export(folder: Path, name: str, settings: dict[str, Any], exports: int) -> None:
    """Begin or resume the run, train it to its end, then export it `exports` times over the same file."""
    import torch

    from tuirnn.errors import RunError
    from tuirnn.export.exporter import export_run, write_cell
    from tuirnn.training import launch

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    paths = RunPaths(folder / name)
    try:
        if is_run(paths.root):
            launch.resume(paths, {}, lambda event: None)
        else:
            launch.start(RunConfig().replace(**settings), folder, name, lambda event: None)
    except RunError as error:
        if "complete" not in str(error):
            raise
    for _ in range(exports):
        write_cell(export_run(paths), paths.root / "cell.onnx")


def over_training(folder: Path, kills: int, *, seed: int = 0) -> dict[str, Any]:
    """Kill trainings `kills` times, resuming each to its end; hold every result against one never killed."""
    draw = random.Random(seed)
    (folder / "text.txt").write_text(TEXT)
    (folder / "names.tsv").write_text(NAMES)
    done, runs, given_up, variants = 0, 0, 0, itertools.cycle(enumerate(VARIANTS))
    whole: dict[int, RunPaths] = {}
    longest: dict[int, float] = {}
    while done < kills:
        number, variant = next(variants)
        settings = {**SETTINGS, "sources": ("text.txt",), **variant}
        settings["sources"] = tuple(str(folder / name) if "." in name else name for name in settings["sources"])
        if number not in whole:
            began = time.monotonic()
            _finish(fork(train_and_export, folder, f"whole-{number}", settings, 3))
            whole[number], longest[number] = RunPaths(folder / f"whole-{number}"), time.monotonic() - began
        paths = RunPaths(folder / f"killed-{runs}")
        runs += 1
        while True:
            process = fork(train_and_export, folder, paths.name, settings, 3)
            process.join(draw.uniform(0.0, 1.1 * longest[number]) if done < kills else None)
            if process.exitcode is None:
                process.kill()
                process.join()
                done += 1
                nothing_torn(paths)
            elif process.exitcode == 0:
                break
            elif process.exitcode == LOADER_GAVE_UP and not given_up:
                given_up += 1
                nothing_torn(paths)
            elif process.exitcode != -9:
                raise Broken(f"resuming {paths.root} after a kill ended with exit code {process.exitcode}")
        same_run(whole[number], paths)
    return {"kills": done, "runs": runs, "differences": 0, "torn files": 0}


def nothing_torn(paths: RunPaths) -> None:
    """Every file with a visible name is intact."""
    if not is_run(paths.root):
        return
    strange = [name for name in os.listdir(paths.root) if name[0] != "." and not VISIBLE.fullmatch(name)]
    if strange:
        raise Broken(f"{paths.root} shows {strange} after a kill")
    for step in checkpoint.steps(paths):
        checkpoint.verify(paths.step(step))
    for log in (paths.metrics, paths.samples, paths.probes, paths.events):
        tail = LogTail(log)
        tail.read()
        if tail.damaged:
            raise Broken(f"{log} has {tail.damaged} damaged lines after a kill")
    if paths.status.exists() and read_status(paths).message == "no readable status":
        raise Broken(f"{paths.status} is torn")
    if (paths.root / "cell.onnx").exists():
        read_cell(paths.root / "cell.onnx")


def same_run(whole: RunPaths, parts: RunPaths) -> None:
    """Same weights and pointers to the bit, and the same records, each once."""
    for which in ("last", "best"):
        ours, theirs = checkpoint.load(parts, which), checkpoint.load(whole, which)
        if ours.step != theirs.step or ours.files[checkpoint.MODEL] != theirs.files[checkpoint.MODEL]:
            raise Broken(f"{which} of {parts.root} (step {ours.step}) is not that of {whole.root} ({theirs.step})")
    if not set(checkpoint.steps(whole)) <= set(checkpoint.steps(parts)):  # more: the end came before old ones went
        raise Broken(f"{parts.root} keeps {checkpoint.steps(parts)}, {whole.root} {checkpoint.steps(whole)}")
    for log in ("metrics", "samples", "probes"):
        records = [
            [
                {key: value for key, value in record.items() if key not in ("at", "elapsed")}
                for record in LogTail(path).read()
            ]
            for path in (getattr(whole, log), getattr(parts, log))
        ]
        if records[0] != records[1]:
            raise Broken(f"{log} of {parts.root} differs from that of {whole.root}")
    if (whole.root / "cell.onnx").read_bytes() != (parts.root / "cell.onnx").read_bytes():
        raise Broken(f"the cell of {parts.root} is not that of {whole.root}")


def _finish(process: ForkServerProcess) -> None:
    process.join()
    if process.exitcode != 0:
        raise Broken(f"an undisturbed training ended with exit code {process.exitcode}")


def append_for_ever(folder: Path, name: str, acknowledged: Connection) -> None:
    """Append metrics one by one; each is acknowledged after `append` has returned."""
    with RunWriter(RunPaths(folder / name)) as writer:
        for step in itertools.count():
            writer.append(
                "metrics", {"step": step, "split": "train", "loss": 1 / (step + 1), "pad": "x" * (step % 200)}
            )
            acknowledged.send_bytes(step.to_bytes(8, "little"))


def over_records(folder: Path, kills: int, *, seed: int = 0) -> dict[str, Any]:
    """Kill a writer `kills` times; every record it had acknowledged must be in the file."""
    draw = random.Random(seed)
    record = RunRecord(RunConfig(), Vocabulary("char", ("a", "b")), {}, {}, 1.0, 10)
    total = 0
    for kill in range(kills):
        name = f"records-{kill}"
        RunWriter.create(folder, name, record).close()
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = fork(append_for_ever, folder, name, theirs)
        theirs.close()
        until, last = time.monotonic() + draw.uniform(0.01, 0.15), -1
        try:
            while True:
                if time.monotonic() > until:
                    process.kill()
                    until = float("inf")
                last = int.from_bytes(ours.recv_bytes(), "little")
        except EOFError:
            process.join()
        steps = [record["step"] for record in LogTail(folder / name / "metrics.jsonl").read()]
        if steps[: last + 1] != list(range(last + 1)):
            raise Broken(f"{last + 1} records were acknowledged, {len(steps)} are in {folder / name}")
        total += last + 1
    return {"kills": kills, "records": total, "lost": 0}
