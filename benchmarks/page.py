"""The page of a text network in headless Chromium, beside onnxruntime-web with the same cell in the same browser.

    python benchmarks/page.py [--rounds 7]

Exports an untrained GRU-128 as a page and as a cell file. Each round opens the page (milliseconds from the
navigation to the first character that it writes), lets it measure its own steps, and runs the cell file in
onnxruntime-web (wasm, one thread) for as long. Needs Chromium and npm, which fetches onnxruntime-web once.
"""

import argparse
import http.server
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "export" / "conformance")]

from chromium import Browser  # noqa: E402
from conformance import npm  # noqa: E402

SECONDS = 0.5
"""Of each measurement of steps."""

WRITTEN = "document.querySelector('.ghost')?.textContent.length ? performance.now() : 0"
FIRST = f"""new Promise((done) => {{
  const look = () => {{ const at = {WRITTEN}; at ? done(at) : requestAnimationFrame(look); }};
  look();
}})"""
"""Milliseconds from the navigation until there is a character that the network wrote."""

RUNTIME = f"""(async () => {{
  const ort = await import("/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("/", location.href).href;
  const session = await ort.InferenceSession.create("/cell.onnx", {{ executionProviders: ["wasm"] }});
  const shape = [1, 1, 128];
  let h = new ort.Tensor("float32", new Float32Array(128), shape), steps = 0;
  const token = new ort.Tensor("int64", [0n], [1]);
  const run = async (seconds) => {{
    const began = performance.now();
    for (steps = 0; performance.now() - began < 1000 * seconds; steps++)
      h = (await session.run({{ token, [session.inputNames[1]]: h }}))[session.outputNames[1]];
    return steps / ((performance.now() - began) / 1000);
  }};
  await run(0.2);
  return run({SECONDS});
}})()"""


def served(folder: Path, runtime: Path) -> http.server.ThreadingHTTPServer:
    """onnxruntime-web's files and the cell, on loopback."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            name = Path(path.split("?")[0]).name
            return str(folder / name if name in ("cell.onnx", "empty.html") else runtime / name)

        def log_message(self, *_: object) -> None:
            pass

    (folder / "empty.html").write_text("<!doctype html><title>onnxruntime-web</title>")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tuirnn = [sys.executable, "-m", "tuirnn"]
        train = "train --recipe demo --cell gru --hidden 128 --embed 0 --steps 20 --eval-every 20 --name page"
        subprocess.run([*tuirnn, *train.split(), "--runs", temporary], check=True, capture_output=True)
        for words in (["--html"], ["-o", str(folder / "cell.onnx")]):
            command = [*tuirnn, "export", str(folder / "page"), *words]
            subprocess.run(command, check=True, capture_output=True, cwd=temporary)
        page = next(folder.rglob("*.html"))
        print(f"page: {page.stat().st_size / 1000:.0f} kB")
        dist = npm("onnxruntime-web") / "node_modules" / "onnxruntime-web" / "dist"
        server = served(folder, dist)
        found: tuple[list[float], list[float], list[float]] = ([], [], [])
        for _ in range(rounds):
            with Browser() as browser:
                browser.open(page.as_uri())
                found[0].append(browser.evaluate(FIRST))
                requests = [each for each in browser.requests if not each.startswith("file:")]
                browser.wait("window.tuirnn")
                browser.evaluate("tuirnn.measure(0.2)")
                found[1].append(browser.evaluate(f"tuirnn.measure({SECONDS})"))
                assert not requests, requests
                browser.open(f"http://127.0.0.1:{server.server_port}/empty.html")
                found[2].append(browser.evaluate(RUNTIME))
        server.shutdown()
    names = ("first character, ms", "page, steps/s", "onnxruntime-web, steps/s")
    for name, values in zip(names, found, strict=True):
        print(f"{name}: {statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})")


if __name__ == "__main__":
    main()
