"""The dashboard in a browser: a headless Chromium opens the run, presses keys, and the chart moves."""

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from .conftest import write_run

pytest.importorskip("textual_serve", reason="textual-serve is not installed")
aiohttp = pytest.importorskip("aiohttp")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


CHART = 20_000
"""Bytes of a picture with a chart and texts on it; a blank page has a third of it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Page:
    """One page of a browser, over its debugging protocol."""

    def __init__(self, channel: Any) -> None:
        self.channel, self.number = channel, 0

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        await self.channel.send_json({"id": self.number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await asyncio.wait_for(self.channel.receive(), 30)).data)
            if answer.get("id") == self.number:
                return dict(answer.get("result", {}))

    async def picture(self) -> bytes:
        return base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])

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
        for kind in ("mousePressed", "mouseReleased"):  # the terminal has the keys once it is clicked
            await self.ask("Input.dispatchMouseEvent", type=kind, x=600, y=8, button="left", clickCount=1)
        await self.ask("Input.insertText", text=key)


@asynccontextmanager
async def browser(address: str, profile: Path) -> AsyncIterator[Page]:
    port = free_port()
    assert BROWSER is not None
    process = subprocess.Popen(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
            "--disable-background-networking", f"--user-data-dir={profile}", f"--remote-debugging-port={port}",
            "--window-size=1200,800", address,
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


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
async def test_chromium_opens_the_run_and_the_chart_moves(tmp_path: Path, environment: dict[str, str]) -> None:
    write_run(tmp_path / "runs", "finished")
    port = free_port()
    server = subprocess.Popen(
        [
            sys.executable, "-m", "tuirnn", "serve", "--port", str(port), "--runs", str(tmp_path / "runs"), "--run",
            "finished",
        ],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        assert f"http://127.0.0.1:{port}" in server.stdout.readline()
        async with aiohttp.ClientSession() as client:
            for _ in range(100):
                try:
                    async with client.get(f"http://127.0.0.1:{port}") as reply:
                        assert "tuirnn" in await reply.text()
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.2)
        async with browser(f"http://127.0.0.1:{port}", tmp_path / "profile") as page:
            opened = await page.settled(least=CHART)
            await page.press("+")
            zoomed = await page.settled()
            await page.press("0")
            again = await page.settled()
        if os.environ.get("TUIRNN_KEEP_PICTURES"):
            for name, picture in (("opened", opened), ("zoomed", zoomed), ("again", again)):
                Path(os.environ["TUIRNN_KEEP_PICTURES"], f"{name}.png").write_bytes(picture)
        assert len(opened) > CHART
        assert zoomed != opened
        assert again != zoomed
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
