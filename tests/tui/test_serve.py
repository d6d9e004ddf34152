"""The dashboard in a browser: only the page with the printed address can use it."""

import asyncio
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import write_run

pytest.importorskip("textual_serve", reason="textual-serve is not installed")
aiohttp = pytest.importorskip("aiohttp")

from .browsing import BROWSER, Served, browser, dashboards, free_port, gone, read_until, serving  # noqa: E402

CHART = 20_000
"""Bytes of a picture with a chart and texts on it; a blank page has a third of it."""

DELETE = ("d", "y")
"""What is typed on the Runs tab to delete the highlighted run."""

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """A server over a folder with one finished run, and the folder."""
    runs = tmp_path_factory.mktemp("served")
    write_run(runs, "finished")
    with serving(runs, {key: value for key, value in os.environ.items() if not key.startswith("TUIRNN_")}) as it:
        yield it, runs
    assert it.rest == "ctrl+c ends it; trainings go on\n"  # and nothing of what other clients sent


WRONG = {
    "a foreign origin": ("/ws/{token}", "Host: {host}", "Origin: http://evil.test"),
    "another port of this machine": ("/ws/{token}", "Host: {host}", "Origin: http://127.0.0.1:1"),
    "this host under another name": ("/ws/{token}", "Host: {host}", "Origin: http://localhost:{port}"),
    "an origin that begins like ours": ("/ws/{token}", "Host: {host}", "Origin: http://{host}.evil.test"),
    "no origin": ("/ws/{token}", "Host: {host}"),
    "a sandboxed page": ("/ws/{token}", "Host: {host}", "Origin: null"),
    "two origins": ("/ws/{token}", "Host: {host}", "Origin: http://{host}", "Origin: http://evil.test"),
    "another host": ("/ws/{token}", "Host: evil.test", "Origin: http://{host}"),
    "another port in host": ("/ws/{token}", "Host: 127.0.0.1:1", "Origin: http://127.0.0.1:1"),
    "DNS rebinding": ("/ws/{token}", "Host: evil.test:{port}", "Origin: http://evil.test:{port}"),
    "a name that begins like ours": ("/ws/{token}", "Host: {host}.evil.test", "Origin: http://{host}.evil.test"),
    "two hosts": ("/ws/{token}", "Host: {host}", "Host: evil.test", "Origin: http://{host}"),
    "no host": ("/ws/{token}", "Origin: http://{host}"),
    "no token, by the library's own address": ("/ws", "Host: {host}", "Origin: http://{host}"),
    "an empty token": ("/ws/", "Host: {host}", "Origin: http://{host}"),
    "a wrong token": ("/ws/{wrong}", "Host: {host}", "Origin: http://{host}"),
    "half a token": ("/ws/{half}", "Host: {host}", "Origin: http://{host}"),
    "more than the token": ("/ws/{token}A", "Host: {host}", "Origin: http://{host}"),
    "no text for a token": ("/ws/%ff%ed%a0%80%00", "Host: {host}", "Origin: http://{host}"),
    "the token as a query": ("/ws?token={token}", "Host: {host}", "Origin: http://{host}"),
    "the token as a query beside a wrong one": ("/ws/x?token={token}", "Host: {host}", "Origin: http://{host}"),
    "the token as a cookie": ("/ws/x", "Host: {host}", "Origin: http://{host}", "Cookie: token={token}"),
    "the token as a header": ("/ws/x", "Host: {host}", "Origin: http://{host}", "Authorization: Bearer {token}"),
    "a body": ("/ws/{token}", "Host: {host}", "Origin: http://{host}", "Content-Length: 3"),
    "a body in chunks": ("/ws/{token}", "Host: {host}", "Origin: http://{host}", "Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_client_gets_no_dashboard(served: tuple[Served, Path], what: str) -> None:
    server, runs = served
    places = {
        "token": server.token, "wrong": "A" * len(server.token), "half": server.token[: len(server.token) // 2],
        "host": server.authority, "port": str(server.port),
    }  # fmt: skip
    path, *headers = (part.format(**places) for part in WRONG[what])
    status, _, body = server.upgrade(path, *headers, body=b"0\r\n\r\n" if "chunked" in headers[-1] else b"")
    assert 400 <= status < 500, body
    assert server.token not in body.decode()
    assert dashboards(runs) == []


def gone_all(runs: Path, seconds: float) -> bool:
    """Whether no dashboard shows the folder any more, within so many seconds."""
    end = time.monotonic() + seconds
    while dashboards(runs) and time.monotonic() < end:
        time.sleep(0.1)
    return not dashboards(runs)


def test_what_else_is_asked_for(served: tuple[Served, Path]) -> None:
    server, runs = served
    host = f"Host: {server.authority}"
    page = f"/?token={server.token}"
    for request, expected in {
        f"GET {page} HTTP/1.1": 200,
        f"HEAD {page} HTTP/1.1": 200,
        f"POST {page} HTTP/1.1": 405,
        "GET / HTTP/1.1": 403,
        "GET /?token= HTTP/1.1": 403,
        f"GET /?TOKEN={server.token} HTTP/1.1": 403,
        f"GET /{server.token} HTTP/1.1": 404,
        f"GET /download/x?token={server.token} HTTP/1.1": 404,
        "GET /static/js/textual.js HTTP/1.1": 200,
        "GET /static/ HTTP/1.1": 403,
        "GET /static/..%2fserver.py HTTP/1.1": 404,
        "GET /static/../server.py HTTP/1.1": 404,
        f"GET /ws/{server.token} HTTP/1.1": 403,
    }.items():
        status, headers, body = server.raw(request, host)
        assert (request, status) == (request, expected)
        assert (server.token in body.decode(errors="replace")) == request.startswith("GET /?token=" + server.token)
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "set-cookie" not in headers
    assert server.raw(f"GET {page} HTTP/1.1", "Host: evil.test")[0] == 403
    assert server.raw(f"GET {page} HTTP/1.1", host, "Origin: http://evil.test")[0] == 403
    assert server.raw("GET /static/js/textual.js HTTP/1.1", "Host: evil.test")[0] == 403
    assert server.raw(f"GET {page} HTTP/1.1", f"Host: LocalHost:{server.port}")[0] == 200
    assert server.raw("nonsense", host)[0] == 400
    assert dashboards(runs) == []


async def test_the_right_client_has_the_dashboard(served: tuple[Served, Path]) -> None:
    """It shows the run, which none of the clients above has changed."""
    server, runs = served
    assert (runs / "finished").is_dir()
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{server.socket_url}?width=120&height=40", origin=server.origin) as channel,
    ):
        await read_until(channel, "finished")
        for key, shown in zip(DELETE, ("Delete run", ""), strict=True):
            await channel.send_json(["stdin", key])
            await read_until(channel, shown)
        assert gone(runs / "finished", 10)
        await channel.send_json(["stdin", "q"])
        while (await channel.receive()).type is not aiohttp.WSMsgType.CLOSE:
            pass
    assert gone_all(runs, 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_dashboards_end_with_the_server(tmp_path: Path, environment: dict[str, str], number: int) -> None:
    with serving(tmp_path, environment) as server:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{server.socket_url}?width=80&height=24", origin=server.origin) as channel,
        ):
            await read_until(channel, "quit")
            assert len(dashboards(tmp_path)) == 1
            server.process.send_signal(number)
            while (await channel.receive()).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                pass
        assert server.process.wait(10) == (-number if number == signal.SIGKILL else 0)
        assert gone_all(tmp_path, 10)


def test_another_address_and_another_name(tmp_path: Path, environment: dict[str, str]) -> None:
    try:
        free_port("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with serving(tmp_path, environment, "--allow-host", "lab.example.org", host="::1") as server:
        assert server.authority == f"[::1]:{server.port}"
        own = f"/ws/{server.token}", f"Host: {server.authority}"
        assert server.upgrade(*own, "Origin: http://evil.test")[0] == 403
        assert server.upgrade(*own, f"Origin: {server.origin}")[0] == 101
        named = f"/ws/{server.token}", "Host: lab.example.org"
        assert server.upgrade(*named, f"Origin: {server.origin}")[0] == 403
        assert server.upgrade(*named, "Origin: https://lab.example.org")[0] == 101


def test_an_address_that_cannot_be_listened_at(tmp_path: Path, environment: dict[str, str]) -> None:
    with serving(tmp_path, environment) as server:
        for words, expected in {
            ("--port", str(server.port)): "in use",
            ("--host", "no.such.name.invalid"): "cannot listen",
            ("--allow-host", "*"): "--allow-host wants NAME",
            ("--run", "missing"): "missing",
        }.items():
            command = [sys.executable, "-m", "tuirnn", "serve", "--runs", str(tmp_path), *words]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
            assert (words, done.returncode, done.stdout) == (words, 2, "")
            assert expected in done.stderr
            assert done.stderr.count("\n") == 1


@contextmanager
def another_site(address: str, page: str) -> Iterator[str]:
    """A web server of somebody else, with one page; its origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


ATTACK = """
async keys => {
    const tried = {};
    for (const address of addresses) {
        tried[address] = await new Promise(done => {
            const socket = new WebSocket(address);
            const end = what => { socket.close(); done(what); };
            socket.onerror = () => end("refused");
            socket.onopen = () => keys.forEach((key, at) =>
                setTimeout(() => socket.send(JSON.stringify(["stdin", key])), 3000 + 1500 * at));
            setTimeout(() => end("open"), 3000 + 1500 * (keys.length + 1));
        });
    }
    return tried;
}
"""
"""Opens each WebSocket, waits for the dashboard to be there and types."""


@needs_browser
async def test_chromium_cannot_come_from_another_site(tmp_path: Path, environment: dict[str, str]) -> None:
    """Not with the token, not under a name that resolves to this host, not through a frame."""
    runs = tmp_path / "runs"
    write_run(runs, "finished")
    with serving(runs, environment) as server, another_site("127.0.0.1", "<body>anything") as other:
        at = f"ws://{server.authority}"
        rebound = f"evil.test:{server.port}"

        def attack(*addresses: str) -> str:
            return f"(() => {{ const addresses = {list(addresses)!r}; return ({ATTACK})({list(DELETE)!r}) }})()"

        async with browser(other, tmp_path / "profile", "--host-resolver-rules=MAP evil.test 127.0.0.1") as page:
            assert await page.open(f"{other}/") == "anything"
            addresses = [f"{at}/ws?width=80&height=24", f"{at}/ws/", f"{at}/ws/{server.token}?width=80&height=24"]
            assert await page.run(attack(*addresses)) == dict.fromkeys(addresses, "refused")
            framed = f"""new Promise(done => {{
                const frame = document.createElement("iframe");
                frame.onload = () => setTimeout(done, 1000);
                frame.src = "{server.url}";
                document.body.append(frame);
            }})"""
            await page.run(framed)
            assert dashboards(runs) == []  # the page in the frame would have opened one, with the right origin
            assert "does not answer to that name" in await page.open(f"http://{rebound}/?token={server.token}")
            assert await page.run("location.host") == rebound
            addresses = [f"ws://{rebound}/ws/{server.token}", f"{at}/ws/{server.token}"]
            assert await page.run(attack(*addresses)) == dict.fromkeys(addresses, "refused")
            assert dashboards(runs) == []
            assert (runs / "finished" / "run.json").is_file()


@needs_browser
async def test_chromium_opens_the_run_and_the_chart_moves(tmp_path: Path, environment: dict[str, str]) -> None:
    write_run(tmp_path / "runs", "finished")
    with serving(tmp_path / "runs", environment, "--run", "finished") as server:
        async with browser(server.url, tmp_path / "profile") as page:
            opened = await page.settled(least=CHART)
            await page.press("+")
            zoomed = await page.settled()
            await page.press("0")
            again = await page.settled()
            await page.press("q")
            for _ in range(50):
                if "-closed" in await page.run("document.body.className"):
                    break
                await asyncio.sleep(0.1)
            assert "This dashboard has ended" in await page.run("document.body.innerText")
            foreign = f"performance.getEntriesByType('resource').filter(e => !e.name.startsWith('{server.origin}/'))"
            assert await page.run(f"{foreign}.length") == 0
        if os.environ.get("TUIRNN_KEEP_PICTURES"):
            for name, picture in (("opened", opened), ("zoomed", zoomed), ("again", again)):
                Path(os.environ["TUIRNN_KEEP_PICTURES"], f"{name}.png").write_bytes(picture)
        assert len(opened) > CHART
        assert zoomed != opened
        assert again != zoomed
