"""`tuirnn serve` as a process, a browser, and clients that send arbitrary requests."""

import asyncio
import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


class Served:
    """A running `tuirnn serve`: its process, and the address that it printed."""

    def __init__(self, process: subprocess.Popen[str], host: str, port: int) -> None:
        assert process.stdout is not None
        self.process, self.port, self.address = process, port, host
        self.rest = ""
        said = process.stdout.readline()
        found = re.search(r"http://(\S+?)(?:/\S*)?(?:;|$)", said.strip())
        assert found, said
        self.authority = found[1]
        self.url = re.findall(r"http://[^\s;]+", said)[0]
        self.token = self.url.partition("token=")[2]
        self.origin = f"http://{self.authority}"
        self.socket_url = f"ws://{self.authority}/ws/{self.token}"

    def raw(self, *lines: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send these lines as a request; status, headers and the beginning of the body."""
        with socket.create_connection((self.address, self.port), 10) as connection:
            connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1") + body)
            answer = b""
            while b"\r\n\r\n" not in answer and (part := connection.recv(65_536)):
                answer += part
            head, _, rest = answer.partition(b"\r\n\r\n")
            status, *fields = head.decode("latin-1").split("\r\n")
            headers = dict(field.lower().split(": ", 1) for field in fields)
            expected = 0 if lines[0].startswith("HEAD") else int(headers.get("content-length", 0))
            while len(rest) < expected and (part := connection.recv(65_536)):
                rest += part
        return int(status.split()[1]), headers, rest

    def upgrade(self, path: str, *headers: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Ask for a WebSocket with these headers, besides those of every WebSocket."""
        return self.raw(
            f"GET {path} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers, body=body,
        )  # fmt: skip


@contextmanager
def serving(runs: Path, environment: dict[str, str], *words: str, host: str = "127.0.0.1") -> Iterator[Served]:
    """`tuirnn serve` over a folder of runs, until the block ends."""
    port = free_port(host)
    process = subprocess.Popen(
        [sys.executable, "-m", "tuirnn", "serve", "--host", host, "--port", str(port), "--runs", str(runs), *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        served = Served(process, host, port)
        yield served
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        served.rest = process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def dashboards(runs: Path) -> list[int]:
    """Process ids of the dashboards on this folder of runs, without the server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(runs).encode() in words and b"serve" not in words:
            found.append(int(folder.name))
    return found


def gone(path: Path, seconds: float) -> bool:
    """Whether the file or folder disappears within so many seconds."""
    end = time.monotonic() + seconds
    while path.exists() and time.monotonic() < end:
        time.sleep(0.1)
    return not path.exists()


async def read_until(channel: aiohttp.ClientWebSocketResponse, wanted: str, seconds: float = 30.0) -> str:
    """The output of the dashboard behind a WebSocket until it contains `wanted`."""
    text = ""
    async with asyncio.timeout(seconds):
        while wanted not in text:
            message = await channel.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
            text += message.data.decode(errors="replace") if isinstance(message.data, bytes) else ""
    return text


class Page:
    """One page of a browser, over its debugging protocol.

    Attributes:
        received: what the dashboard has sent over its WebSocket since `listen`, as text.
    """

    def __init__(self, channel: Any) -> None:
        self.channel, self.number, self.received = channel, 0, ""

    async def listen(self) -> None:
        """Keep what WebSockets that are opened from now on receive."""
        await self.ask("Network.enable")

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        await self.channel.send_json({"id": self.number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await asyncio.wait_for(self.channel.receive(), 30)).data)
            if answer.get("method") == "Network.webSocketFrameReceived":
                frame = answer["params"]["response"]
                data = base64.b64decode(frame["payloadData"]) if frame["opcode"] == 2 else frame["payloadData"].encode()
                self.received += data.decode(errors="replace")
            if answer.get("id") == self.number:
                return dict(answer.get("result", {}))

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = await self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def open(self, address: str) -> str:
        """Open an address; returns the text of the page when it has loaded."""
        await self.ask("Page.navigate", url=address)
        for _ in range(100):
            if await self.run("document.readyState + ' ' + location.href") == f"complete {address}":
                break
            await asyncio.sleep(0.1)
        return str(await self.run("document.body.innerText"))

    async def picture(self) -> bytes:
        for _ in range(20):  # there is none while a page loads
            if data := (await self.ask("Page.captureScreenshot")).get("data"):
                return base64.b64decode(data)
            await asyncio.sleep(0.2)
        raise AssertionError("the browser gives no picture")

    async def settled(self, least: int = 0) -> bytes:
        """The picture once it has at least so many bytes and has stopped changing."""
        before, now = b"", await self.picture()
        for _ in range(80):
            if before == now and len(now) >= least:
                break
            await asyncio.sleep(0.5)
            before, now = now, await self.picture()
        return now

    async def press(self, key: str) -> None:
        for kind in ("mousePressed", "mouseReleased"):  # a click gives the terminal the focus
            await self.ask("Input.dispatchMouseEvent", type=kind, x=600, y=8, button="left", clickCount=1)
        await self.ask("Input.insertText", text=key)

    async def strike(self, key: str, code: int) -> None:
        """Press a key that is no character, by its name and its code on the keyboard."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                nativeVirtualKeyCode=code,
            )  # fmt: skip


@asynccontextmanager
async def browser(address: str, profile: Path, *words: str) -> AsyncIterator[Page]:
    """A headless Chromium at an address."""
    port = free_port()
    assert BROWSER is not None
    process = subprocess.Popen(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", f"--remote-debugging-port={port}", "--window-size=1200,800", *words, address,
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as client:
            pages: list[dict[str, Any]] = []
            for _ in range(100):
                try:
                    async with client.get(f"http://127.0.0.1:{port}/json") as reply:
                        pages = [page for page in await reply.json(content_type=None) if page["type"] == "page"]
                except aiohttp.ClientError:
                    pass
                if pages:
                    break
                await asyncio.sleep(0.2)
            assert pages, "the browser never came up"
            async with client.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as channel:
                yield Page(channel)
    finally:
        process.kill()
        process.wait()
