"""`make conformance`: the same cells in every runtime at hand, held to float64; the table goes into the README.

RNN, LSTM and GRU in both reset forms, with one and three layers and random weights: 1,000 carried steps, then 300
tokens chosen greedily. A runtime that cannot be installed or run is a row of the table that says so. Everything is
installed in .conformance/, away from the project's own environment.
"""

import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tuirnn.config import ModelConfig
from tuirnn.export import reference
from tuirnn.export.exporter import export_network, write_cell
from tuirnn.export.random_network import random_network

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOME = ROOT / ".conformance"
README = ROOT / "export" / "README.md"
BEGIN, END = "<!-- conformance: written by `make conformance` -->", "<!-- /conformance -->"

STEPS, GREEDY, BOUND, HIDDEN = 1_000, 300, 1e-5, 128
TIMEOUT = 900
KINDS = {
    "rnn": {"cell": "rnn"},
    "lstm": {"cell": "lstm"},
    "gru-after": {"cell": "gru", "reset": "after"},
    "gru-before": {"cell": "gru", "reset": "before"},
}
SHAPES = {
    f"{kind}-{layers}": ModelConfig(hidden=HIDDEN, embed=64, layers=layers, **settings)
    for kind, settings in KINDS.items()
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
    """What a runtime did: `worst` and `greedy` by cell, or why it did not."""

    runtime: str
    version: str
    worst: dict[str, float]
    greedy: dict[str, int]
    why: str = ""

    @property
    def passed(self) -> bool:
        """Every cell within the bound, every greedy token the same."""
        return not self.why and max(self.worst.values()) <= BOUND and set(self.greedy.values()) == {GREEDY}


def main() -> int:
    cells = HOME / "cells"
    shutil.rmtree(cells, ignore_errors=True)
    job, expected = make_cells(cells)
    runners = {name: partial(in_python, name, packages) for name, packages in PACKAGES.items()}
    runners |= {"oldest onnxruntime": in_oldest, "onnxruntime-node": in_node, "onnxruntime-web in Chromium": in_browser}
    wanted = sys.argv[1:] or list(runners)
    rows = []
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
        print(f"outside the bound: {', '.join(failed)}", file=sys.stderr)
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
                        "vocab": len(meta.vocab), "state_map": meta.state_map})  # fmt: skip
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
        worst, greedy = {}, {}
        for cell, (logits, tokens) in expected.items():
            stem = job.parent / f"{cell}.onnx.{label}"
            found = np.fromfile(f"{stem}.logits", np.float32).reshape(logits.shape)
            chosen = json.loads(Path(f"{stem}.greedy").read_text())
            difference = np.abs(found - logits).max()
            worst[cell] = float(difference) if np.isfinite(difference) else float("inf")
            same = (i for i, (a, b) in enumerate(zip(chosen, tokens, strict=True)) if a != b)
            greedy[cell] = next(same, GREEDY)
        return Row(name, version, worst, greedy)
    except Unavailable as missing:
        return Row(name, "–", {}, {}, f"not here: {missing}")
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        output = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return Row(name, "–", {}, {}, f"failed: {output[-1][:120] if output else error}")


def in_python(name: str, packages: list[str], job: Path, folder: str = "venv") -> tuple[str, str]:
    python = environment(HOME / folder, ["numpy", *packages] if folder == "venv" else packages)
    output = call([str(python), str(HERE / "runtimes.py"), name, str(job)])
    return name, output.rpartition("version ")[2].strip()


def in_oldest(job: Path) -> tuple[str, str]:
    """The oldest ONNX Runtime on offer for this Python."""
    python = environment(HOME / "oldest", [])
    listed = call([str(python), "-m", "pip", "index", "versions", "onnxruntime"])
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
    done = threading.Event()
    said: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
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
    if row.why:
        return row.why
    verdict = "ok" if row.passed else "OUTSIDE THE BOUND"
    return f"{row.version}: max |Δlogit| {max(row.worst.values()):.1e}, greedy {min(row.greedy.values())}: {verdict}"


def render(rows: list[Row]):
    yield (
        f"\n{len(SHAPES)} cells (hidden {HIDDEN}; RNN, LSTM, GRU with the reset gate after and before the product; "
        f"1 and 3 layers),\n{STEPS:,} carried steps, then {GREEDY} greedy tokens; against numpy in float64. "
        f"Bound: {BOUND:g}, all tokens the same.\n"
    )
    yield "| runtime | version | largest difference of a logit: RNN, LSTM, GRU after, GRU before | greedy text |"
    yield "|---|---|---|---|"
    for row in rows:
        if row.why:
            yield f"| {row.runtime} | {row.version} | {row.why} | – |"
            continue
        worst = ", ".join(
            f"{max(v for k, v in row.worst.items() if k.rpartition('-')[0] == kind):.1e}" for kind in KINDS
        )
        same = "identical" if set(row.greedy.values()) == {GREEDY} else f"differs from token {min(row.greedy.values())}"
        yield f"| {row.runtime} | {row.version} | {worst} | {same} |"


if __name__ == "__main__":
    sys.exit(main())
