"""`make conformance`: the same cells in every runtime at hand, held to float64; the table goes into the README.

Every cell there is, with one and three layers and random weights: 1,000 carried steps, then 300 tokens chosen greedily.
A runtime that cannot be installed or run, and a cell that a runtime cannot run, are named under the table with the
reason. Everything is installed in .conformance/, away from the project's own environment.
"""

import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from tuirnn.cells import CELLS
from tuirnn.export import reference
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.random_network import random_network
from tuirnn.settings.model import ModelConfig

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOME = ROOT / ".conformance"
README = ROOT / "export" / "README.md"
BEGIN, END = "<!-- conformance: written by `make conformance` -->", "<!-- /conformance -->"

STEPS, GREEDY, BOUND, HIDDEN = 1_000, 300, 1e-5, 128
TIMEOUT, OPENS = 900, 60
"""Seconds for a runtime to do its work, and for a browser to open a page."""

KINDS = {**{name: ModelConfig(cell=name) for name in CELLS}, "pooled": ModelConfig(pooling="last+max")}
SHAPES = {
    f"{name}-{layers}": replace(config, hidden=HIDDEN, embed=64, layers=layers)
    for name, config in KINDS.items()
    for layers in (1, 3)
}
PACKAGES = {
    "onnxruntime": ["onnxruntime"],
    "onnx.reference": ["onnx"],
    "openvino": ["openvino"],
    "tract": ["tract"],
    "opencv": ["opencv-python-headless>=5"],
    "mnn": ["MNN"],
}


class Unavailable(Exception):
    """A runtime that cannot be had here, and why."""


@dataclass(frozen=True)
class Row:
    """What a runtime did.

    Attributes:
        worst: shape -> the largest difference of a logit from float64; of a logit over 1, in proportion to its size.
        greedy: shape -> how many greedy tokens are the same before the first that is not.
        refused: shape -> why the runtime does not run it.
        why: why it runs nothing.
    """

    runtime: str
    version: str
    worst: dict[str, float] = field(default_factory=dict)
    greedy: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    why: str = ""

    @property
    def wrong(self) -> list[str]:
        """Shapes outside the bound, with another greedy token, or refused without an operator that is missing."""
        refused = [shape for shape, why in self.refused.items() if not why.startswith("lacks ")]
        apart = [shape for shape, worst in self.worst.items() if worst > BOUND or self.greedy[shape] < GREEDY]
        return refused + apart

    @property
    def passed(self) -> bool:
        """Every cell that it runs within the bound, every greedy token the same."""
        return bool(self.worst) and not self.why and not self.wrong


def main() -> int:
    cells = HOME / "cells"
    shutil.rmtree(cells, ignore_errors=True)
    job, expected = make_cells(cells)
    runners = {name: partial(in_python, name, packages) for name, packages in PACKAGES.items()}
    runners |= {"oldest onnxruntime": in_oldest, "onnxruntime-node": in_node, "onnxruntime-web in Chromium": in_browser}
    wanted = sys.argv[1:] or list(runners)
    rows = []
    try:
        npm("axe-core")  # for the test of pages
    except Unavailable as missing:
        print(f"axe-core: not here: {missing}")
    for name in wanted:
        print(f"{name} …", flush=True)
        rows.append(judge(name, runners[name], job, expected))
        print(f"  {describe(rows[-1])}", flush=True)
    table = "\n".join(render(rows))
    if not sys.argv[1:]:
        text = README.read_text("utf-8")
        start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        README.write_text(text[:start] + "\n" + table + "\n" + text[end:], "utf-8")
        print(f"the table is in {README.relative_to(ROOT)}")
    failed = [row.runtime for row in rows if not row.passed and not row.why.startswith("not here")]
    if failed:
        print(f"failed, or outside the bound: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or not any(row.passed for row in rows) else 0


def make_cells(folder: Path) -> tuple[Path, dict[str, tuple[np.ndarray, list[int]]]]:
    """Write the cells and the job; returns its path, and for each cell the float64 logits and greedy tokens."""
    tokens = np.random.default_rng(0).integers(0, 64, STEPS).tolist()
    entries, expected = [], {}
    for seed, (name, config) in enumerate(SHAPES.items()):
        network = random_network(config, seed=seed)
        path = folder / f"{name}.onnx"
        cell = export_network(network)
        write_cell(cell, path)
        meta = cell.metadata
        entries.append({"name": name, "path": str(path), "layers": meta.layers, "hidden": meta.hidden,
                        "vocab": len(meta.vocab), "state_map": meta.state_map,
                        "operators": sorted({node.op_type for node in onnx.load(path).graph.node})})  # fmt: skip
        state, logits, greedy = reference.zero_state(config), [], []
        for i in range(STEPS + GREEDY):
            if i >= STEPS:
                greedy.append(int(logits[-1].argmax()))
            scores, state = reference.step(config, network.weights, greedy[-1] if greedy else tokens[i], state)
            logits.append(scores)
        expected[name] = np.array(logits[:STEPS]), greedy
    job = folder / "job.json"
    job.write_text(json.dumps({"cells": entries, "tokens": tokens, "greedy": GREEDY}))
    return job, expected


def judge(name, runner, job: Path, expected) -> Row:
    """Run one runtime and hold what it wrote to the reference."""
    try:
        label, version = runner(job)
        worst, greedy, refused = {}, {}, {}
        for cell, (logits, tokens) in expected.items():
            stem = job.parent / f"{cell}.onnx.{label}"
            if (why := Path(f"{stem}.why")).exists():
                refused[cell] = reason(why.read_text(), job, cell)
                continue
            found = np.fromfile(f"{stem}.logits", np.float32).reshape(logits.shape)
            chosen = json.loads(Path(f"{stem}.greedy").read_text())
            difference = (np.abs(found - logits) / np.maximum(1, np.abs(logits))).max()
            worst[cell] = float(difference) if np.isfinite(difference) else float("inf")
            same = (i for i, (a, b) in enumerate(zip(chosen, tokens, strict=True)) if a != b)
            greedy[cell] = next(same, GREEDY)
        return Row(name, version, worst, greedy, refused)
    except Unavailable as missing:
        return Row(name, "–", why=f"not here: {missing}")
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        output = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return Row(name, "–", why=f"failed: {output[-1][:120] if output else error}")


def reason(said: str, job: Path, cell: str) -> str:
    """Why a runtime refuses a cell: the operators of the cell that its message names, else the message's end."""
    (entry,) = (entry for entry in json.loads(job.read_text())["cells"] if entry["name"] == cell)
    missing = [name for name in entry["operators"] if re.search(rf"\b{name}\b", said)]
    lines = said.strip().splitlines() or ["no message"]
    return f"lacks {', '.join(missing)}" if missing else f"fails: {lines[-1][:120]}"


def in_python(name: str, packages: list[str], job: Path, folder: str = "venv") -> tuple[str, str]:
    """Each run of the script goes on with the cells that have no answer yet: one that ends the process has none."""
    python = environment(HOME / folder, ["numpy", *packages] if folder == "venv" else packages)
    entries = json.loads(job.read_text())["cells"]
    for _ in entries:
        try:
            output = call([str(python), str(HERE / "runtimes.py"), name, str(job)])
            return name, output.rpartition("version ")[2].strip()
        except subprocess.CalledProcessError as error:
            stems = [f"{entry['path']}.{name}" for entry in entries]
            stem = next((stem for stem in stems if not any(map(Path.exists, answers(stem)))), None)
            if error.returncode > 0 or stem is None:
                raise
            Path(f"{stem}.why").write_text(f"ends its process with signal {-error.returncode}")
    raise ValueError("every cell ends its process")


def answers(stem: str) -> tuple[Path, Path]:
    """The files of which a runtime leaves one for each cell."""
    return Path(f"{stem}.greedy"), Path(f"{stem}.why")


def in_oldest(job: Path) -> tuple[str, str]:
    """The oldest ONNX Runtime on offer for this Python."""
    python = environment(HOME / "oldest", [])
    try:
        listed = call([str(python), "-m", "pip", "index", "versions", "onnxruntime"])
    except subprocess.CalledProcessError:
        raise Unavailable("pip cannot list versions") from None
    line = next((line for line in listed.splitlines() if line.startswith("Available versions:")), "")
    if not line:
        raise Unavailable("pip lists no versions")
    oldest = line.partition(":")[2].split(",")[-1].strip()
    return in_python("onnxruntime", ["numpy<2", f"onnxruntime=={oldest}"], job, "oldest")


def in_node(job: Path) -> tuple[str, str]:
    folder = npm("onnxruntime-node")
    node = shutil.which("node")
    for name in ("node.mjs", "cells.mjs"):
        shutil.copy(HERE / name, folder / name)
    output = call([str(node), str(folder / "node.mjs"), str(job)], cwd=folder)
    return "node", output.rpartition("version ")[2].strip()


def in_browser(job: Path) -> tuple[str, str]:
    """Headless Chromium on a page that is served on loopback; it posts what it found."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise Unavailable("no Chromium on the PATH")
    dist = npm("onnxruntime-web") / "node_modules" / "onnxruntime-web" / "dist"
    opened, done = threading.Event(), threading.Event()
    said: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            opened.set()
            name = path.split("?")[0].lstrip("/")
            if name.startswith("cells/"):
                return str(job.parent / Path(name).name)
            homes = {"job.json": job, "web.html": HERE / "web.html", "cells.mjs": HERE / "cells.mjs"}
            return str(homes.get(name, dist / Path(name).name))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/result/"):
                (job.parent / Path(self.path).name).write_bytes(body)
            else:
                said.append(body.decode())
                done.set()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        page = f"http://127.0.0.1:{server.server_port}/web.html"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        process = subprocess.Popen([browser, *flags, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not opened.wait(OPENS):
                raise Unavailable(f"Chromium does not open a page within {OPENS} s")
            finished = done.wait(TIMEOUT)
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()
    if not finished or said[0].startswith("failed"):
        raise ValueError(said[0] if said else f"the page did not finish in {TIMEOUT} s")
    return "web", said[0].removeprefix("version ")


def environment(folder: Path, packages: list[str]) -> Path:
    """The Python of a virtual environment with `packages` in it."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    if packages:
        try:
            call([str(python), "-m", "pip", "install", "--quiet", *packages])
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            raise Unavailable(f"pip cannot install {packages[-1]} ({lines[0][:80]})") from None
    return python


def npm(package: str) -> Path:
    """A folder with the package in its node_modules."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Unavailable("no Node.js on the PATH")
    folder = HOME / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "package.json").exists():
        (folder / "package.json").write_text('{"private": true}')
    if not (folder / "node_modules" / package).exists():
        try:
            call(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", package], cwd=folder)
        except subprocess.CalledProcessError:
            raise Unavailable(f"npm cannot install {package}") from None
    return folder


def call(command: list[str], cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout


def describe(row: Row) -> str:
    if row.why or not row.worst:
        return row.why or "runs none of the cells"
    verdict = "ok" if row.passed else f"OUTSIDE THE BOUND: {', '.join(row.wrong)}"
    refused = "".join(f"; {shape} {why}" for shape, why in row.refused.items())
    figures = f"max |Δlogit| {max(row.worst.values()):.1e}, greedy {min(row.greedy.values())}"
    return f"{row.version}: {figures}: {verdict}{refused}"


def render(rows: list[Row]):
    """A line for each cell, a column for each runtime that runs; under the table what does not."""
    yield (
        f"\n{len(CELLS)} cells (hidden {HIDDEN}), and one with a pooled state, each with 1 and 3 layers, {STEPS:,} "
        f"carried steps, then {GREEDY} greedy tokens;\nagainst numpy in float64. A figure is the largest difference of "
        f"a logit; of one over 1, in proportion to its size. Bound:\n{BOUND:g}, all greedy tokens the same.\n"
    )
    here = [row for row in rows if not row.why]
    yield "| cell | " + " | ".join(f"{row.runtime} {row.version}" for row in here) + " |"
    yield "|---" * (len(here) + 1) + "|"
    for cell in KINDS:
        yield f"| {cell} | " + " | ".join(cell_figure(row, cell) for row in here) + " |"
    notes = [f"{row.runtime}: {row.why}." for row in rows if row.why]
    notes += [f"{row.runtime}, {shape}: {why}." for row in here for shape, why in row.refused.items()]
    if notes:
        yield "\n" + "\n".join(f"- {note}" for note in notes)


def cell_figure(row: Row, cell: str) -> str:
    """The worse of a cell's shapes."""
    shapes = [shape for shape in SHAPES if shape.rpartition("-")[0] == cell]
    if refused := [row.refused[shape] for shape in shapes if shape in row.refused]:
        return refused[0].partition(":")[0]
    parts = min(row.greedy[shape] for shape in shapes)
    return f"{max(row.worst[shape] for shape in shapes):.1e}" + ("" if parts == GREEDY else f", parts at token {parts}")


if __name__ == "__main__":
    sys.exit(main())
