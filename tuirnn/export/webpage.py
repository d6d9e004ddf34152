"""A network for browsers: one page that needs nothing else, or a module for a page of one's own.

Both hold the network as WebAssembly (`wasm`), the same code around it (`page/cell.mjs`), and its metadata. The page's
Content-Security-Policy forbids every request.
"""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import onnx

from tuirnn.cellfile import sidecar
from tuirnn.cellfile.cell import TrustedCell
from tuirnn.errors import VerificationError, one_line
from tuirnn.export import vectors
from tuirnn.export.lowering import lower
from tuirnn.export.network import Network
from tuirnn.export.wasm import wasm_module
from tuirnn.scaling import Scaling
from tuirnn.tasks.task import KINDS
from tuirnn.vocab import word_ranges

POLICY = (
    "default-src 'none'; script-src {script} 'wasm-unsafe-eval'; style-src {style}; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)

POINTS_SHOWN = 60
"""Of the made-up series with which a forecaster's page begins."""

FIRST_TIME, LONGEST_STEP = datetime(2026, 1, 5, tzinfo=UTC), 30 * 24 * 60
"""Of that series, where the network reads a calendar: the first point's time, and minutes from each to the next."""

SECONDS = 60.0
"""Longest check of a module."""

OPEN = """
const META = {meta};
const WORDS = {words};

/** Opens the network; `module` is its bytes, or they are read from beside this file. */
export async function open(module) {{
  return Cell.load(module ?? (await bytes(new URL({name}, import.meta.url))), META, WORDS);
}}

async function bytes(url) {{
  if (url.protocol !== "file:") return (await fetch(url)).arrayBuffer();
  return (await import("node:fs/promises")).readFile(url);
}}
"""

CHECK = 'import { open } from "./network.mjs"; process.exit((await open()).verify() ? 0 : 3);'


def module_files(network: Network, cell: TrustedCell, name: str) -> dict[str, bytes]:
    """A WebAssembly module and the ES module around it.

    Args:
        network: what is written.
        cell: its cell file in fp32, a single step.
        name: of both files, without suffix.
    Returns:
        The contents of `name`.wasm and `name`.mjs.
    Raises:
        VerificationError: the module does not reproduce the network's test vector.
    """
    ending = OPEN.format(meta=_json(_metadata(cell)), words=_json(_words(network)), name=json.dumps(f"{name}.wasm"))
    return {f"{name}.wasm": _module(cell), f"{name}.mjs": (_source("cell.mjs") + ending).encode()}


def check(files: Mapping[str, bytes]) -> str:
    """Run the modules of `module_files` in Node on the test vector.

    Returns:
        '' if they reproduce it; otherwise why that could not be checked.
    Raises:
        VerificationError: they do not.
    """
    node = shutil.which("node")
    if node is None:
        return "no Node; a page checks itself when it opens"
    with tempfile.TemporaryDirectory() as where:
        for name, data in files.items():
            (Path(where) / name).write_bytes(data)
        (Path(where) / "check.mjs").write_text(CHECK)
        command = [node, str(Path(where) / "check.mjs")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            return f"Node does not work here: {one_line(error, 80)}"
    if done.returncode == 3:
        raise VerificationError("the WebAssembly module was not written: it does not reproduce the test vector")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return f"Node does not run it: {one_line(lines[-1] if lines else 'no message', 80)}" if done.returncode else ""


def web_page(network: Network, cell: TrustedCell, text: str = "") -> bytes:
    """The page of a network, one HTML file that begins with a text; `cell` is in fp32, a single step."""
    view = "text" if network.task.writes else "series" if network.task.points else "labels"
    style, script = _source("page.css"), _bundle("cell.mjs", "page.mjs", f"{view}.mjs")
    unit = KINDS[network.vocab.kind].removesuffix("s")
    about = {"meta": _metadata(cell), "words": _words(network), "unit": unit, "each": network.task.each,
             "begin": _series(network.scaling) or text}  # fmt: skip
    body = _source(f"{'tags' if network.task.each else view}.html")
    values = {
        "policy": POLICY.format(script=_hash(script), style=_hash(style)),
        "title": html.escape(network.name),
        "lead": html.escape(_lead(network)),
        "style": style,
        "body": _fill(body, unit=unit, columns=html.escape(_columns(network.scaling))),
        "facts": "\n".join(f"<tr><th scope=row>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
                           for key, value in _facts(network, cell).items()),
        "about": _json(about),
        "network": base64.b64encode(_module(cell)).decode(),
        "script": script,
    }  # fmt: skip
    return _fill(_source("page.html"), **values).encode()


def _module(cell: TrustedCell) -> bytes:
    return wasm_module(lower(onnx.load_from_string(cell.data)))


def _metadata(cell: TrustedCell) -> dict[str, Any]:
    """As in the sidecar, without the lanes, which only a batch needs."""
    values = sidecar.contents(cell.data, cell.metadata, None)
    values.pop("tuirnn.test_lanes", None)
    return values


def _words(network: Network) -> list[tuple[int, int]]:
    return word_ranges(network.vocab.marked) if network.vocab.kind == "word" else []


def _series(scaling: Scaling | None) -> str:
    """A made-up series in the data's units, a line each point; no text for a network that reads none."""
    if not scaling:
        return ""
    rows = [[f"{value:.5g}" for value in point[: len(scaling)]] for point in vectors.points(scaling, POINTS_SHOWN, 0)]
    if scaling.periods:
        step = min(max(min(scaling.periods) / 24 // 60, 1), LONGEST_STEP) * timedelta(minutes=1)
        rows = [[f"{FIRST_TIME + i * step:%Y-%m-%d %H:%M}", *row] for i, row in enumerate(rows)]
    return "\n".join(map(",".join, rows))


def _columns(scaling: Scaling | None) -> str:
    """What a line of a series holds."""
    time = ["its time (such as 2026-01-31 14:00, in UTC, or seconds since 1970)"] if scaling and scaling.periods else []
    return ", ".join([*time, *scaling.columns]) if scaling else ""


def _lead(network: Network) -> str:
    shape = network.config
    layers = f"{shape.layers} layers of {shape.hidden}" if shape.layers > 1 else str(shape.hidden)
    source = f", trained on {known}" if (known := network.learned_from or network.data) else ""
    units = f"{layers} {shape.cell.upper()} units"
    return f"A recurrent network, {units}{source}. It {network.task.does} here, in your browser."


def _facts(network: Network, cell: TrustedCell) -> dict[str, str]:
    meta, task = cell.metadata, network.task
    facts = {
        "Cell": f"{meta.cell} {meta.variant}".strip(),
        "State": f"{meta.layers} × {meta.hidden}",
        "It learned": task.learns,
        "Held-out loss": f"{network.val_loss:.4f} {task.loss_in[0]}" if network.val_loss == network.val_loss else "",
        "Vocabulary": "" if network.scaling else f"{len(network.vocab):,} {KINDS[network.vocab.kind]}",
        "Classes": ", ".join(network.classes[:40]) + (" …" if len(network.classes) > 40 else ""),
        "Columns": ", ".join(network.scaling.columns) if network.scaling else "",
        "Training step": f"{network.step:,}",
        "Made by": f"tuirnn {meta.version}",
    }
    return {key: value for key, value in facts.items() if value}


def _source(name: str) -> str:
    return resources.files("tuirnn.export").joinpath("page", name).read_text("utf-8")


def _bundle(*names: str) -> str:
    """Modules as one: each may use the names of those before it."""
    lines = "\n".join(map(_source, names)).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("import ", "export "))) + "\n"


def _fill(template: str, **values: str) -> str:
    return re.sub("@([a-z]+)@", lambda found: values[found[1]], template)


def _json(value: object) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
