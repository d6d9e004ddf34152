"""The host examples, each run as its README says, from a clean folder. `make conformance` runs them; see `hosts` below.

Python hosts use the environment that `make conformance` made, Node installs from the registry.
"""

import http.server
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from waiting import wait

from tuirnn.export.c_source import write_c
from tuirnn.export.exporter import export_network, export_run, write_cell
from tuirnn.export.network import read_network
from tuirnn.export.random_network import random_network
from tuirnn.runs.layout import RunPaths
from tuirnn.settings.model import ModelConfig

EXAMPLES = Path(__file__).parent.parent / "export" / "examples"
HOME = EXAMPLES.parent.parent / ".conformance"
PYTHON = HOME / "venv" / "bin"
HOSTS = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
NEEDS = {"tract": "tract", "opencv": "cv2", "cpp-openvino": "openvino", "python-onnxruntime": "onnxruntime"}

pytestmark = pytest.mark.hosts


def commands(host: str) -> list[str]:
    """The commands of a README, without those that install packages into the reader's own Python."""
    lines = re.findall(r"^    (.+)$", (EXAMPLES / host / "README.md").read_text(), re.MULTILINE)
    return [line for line in lines if not line.startswith("pip ")]


def shell(command: str, folder: Path) -> str:
    """Run a README's line where `python3` is the interpreter that has the runtimes."""
    path = os.pathsep.join([*([str(PYTHON)] if PYTHON.exists() else []), str(Path(sys.executable).parent)])
    environment = {**os.environ, "PATH": path + os.pathsep + os.environ["PATH"], "PYTHONPATH": ""}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clean(request: pytest.FixtureRequest, small_run: RunPaths, tmp_path: Path) -> Path:
    """A folder with the example and a cell, and nothing else; skips where a tool is missing."""
    host: str = request.param
    for tool in {"node": ["node", "npm"], "web": ["npm", "chromium"], "c": ["make", "cc"], "csharp": ["dotnet"],
                 "cpp-openvino": ["make", "c++"]}.get(host, []):  # fmt: skip
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    if host in NEEDS:
        python = PYTHON / "python"
        if (
            not python.exists()
            or subprocess.run([python, "-c", f"import {NEEDS[host]}"], capture_output=True).returncode
        ):
            pytest.skip(f"no {NEEDS[host]} here; `make conformance` installs what it can")
    folder = tmp_path / host
    shutil.copytree(EXAMPLES / host, folder, ignore=shutil.ignore_patterns("node_modules"))
    if host == "c":
        write_c(read_network(small_run), export_run(small_run).metadata.test, folder)
    elif host == "web":
        write_cell(export_network(random_network(ModelConfig(cell="gru", hidden=256))), folder / "cell.onnx")
    else:
        write_cell(export_run(small_run), folder / "cell.onnx")
    return folder


@pytest.mark.parametrize(("clean", "host"), [(host, host) for host in HOSTS if host != "web"], indirect=["clean"])
def test_each_host_writes_as_its_readme_says(clean: Path, host: str) -> None:
    for command in commands(host):
        written = shell(command, clean)
    text = written[written.index("KING ") :]
    assert len(text) > 350
    assert set(text[5:]) <= set("the quick brown fox jumps over the lazy dog; 'tis a mile, said he.\n")


@pytest.mark.parametrize("clean", ["web"], indirect=True)
def test_the_page_is_fast_and_asks_nobody_else(clean: Path) -> None:
    """GRU-256 in headless Chromium, only its own files; an idle machine does more than 10,000 steps a second."""
    shell(commands("web")[0], clean)
    asked, said, done = [], [], threading.Event()
    probe = (
        b'<script type=module>document.addEventListener("ready", async () => { const found = [];'
        b"for (let i = 0; i < 5; i++) found.push(await measure(0.5));"
        b'await fetch("/said", {method: "POST", body: Math.max(...found)}) })</script>'
    )

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path != "/":
                return super().do_GET()
            page = (clean / "index.html").read_bytes() + probe
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            said.append(float(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_: object) -> None:
            pass

    def serve(*arguments: object) -> Handler:
        return Handler(*arguments, directory=str(clean))  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        nowhere = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        command = ["chromium", *flags, nowhere, f"http://127.0.0.1:{server.server_port}/"]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not done.wait(90) and not asked:
                pytest.skip("Chromium does not open a page here")
            assert said, f"the page is not ready; it asked for {asked}"
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
    print(f"{said[0]:,.0f} steps/s")
    assert said[0] >= 2_000  # on a busy machine too
    assert all((clean / path.lstrip("/")).exists() for path in asked), asked
    the_readmes_server_has(asked, clean)


def the_readmes_server_has(paths: list[str], folder: Path) -> None:
    """The web README's own server hands out every file that the page asked for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = shlex.split(commands("web")[1].replace("8000", str(port)))
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for path in paths:
            wait(lambda path=path: is_served(f"http://127.0.0.1:{port}{path}"))  # type: ignore[misc]
    finally:
        server.kill()
        server.wait()


def is_served(address: str) -> bool:
    try:
        with urllib.request.urlopen(address) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def test_no_host_imports_tuirnn() -> None:
    for path in EXAMPLES.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".mjs", ".html", ".cpp", ".c"):
            assert not re.search(r"^\s*(import|from) tuirnn", path.read_text(), re.MULTILINE), path
