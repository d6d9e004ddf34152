"""The server of `tuirnn serve` with a small program instead of the dashboard: names, limits, ends."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual_serve", reason="textual-serve is not installed")
aiohttp = pytest.importorskip("aiohttp")

from aiohttp import WSMsgType, web  # noqa: E402

from tuirnn.errors import ConfigError  # noqa: E402
from tuirnn.web import server  # noqa: E402
from tuirnn.web.access import Access, own_origin  # noqa: E402

READY = "import sys; print('__GANGLION__', flush=True); "
ECHO = READY + (
    "take = sys.stdin.buffer.read\n"
    "while (kind := take(1)) and b'quit' not in (told := take(int.from_bytes(take(4), 'big'))):\n"
    "    sys.stdout.buffer.write(b'D' + len(told).to_bytes(4, 'big') + told); sys.stdout.flush()"
)
"""Echoes its input until that is quit."""

FLOOD = READY + "out = sys.stdout.buffer\nwhile True: out.write(b'D\\0\\0\\x10\\0' + bytes(4096)); out.flush()"
"""Writes without end and takes nothing."""


class Served:
    """A site on a port of its own, and a client of it."""

    def __init__(self, site: server.Site, client: Any, port: int) -> None:
        self.site, self.client, self.port = site, client, port
        self.at = f"http://127.0.0.1:{port}"

    async def page(self) -> tuple[int, str]:
        async with self.client.get(self.at, params={"token": self.site.access.token}) as reply:
            return reply.status, await reply.text()

    async def open(self, **query: Any) -> Any:
        where = f"{self.at}/ws/{self.site.access.token}"
        return await self.client.ws_connect(where, params=query, origin=self.at)

    async def all_ended(self) -> None:
        """Wait until every dashboard has ended."""
        async with asyncio.timeout(30):
            while self.site._open:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(program: str) -> AsyncIterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site = server.Site([sys.executable, "-c", program], Access.to("127.0.0.1", port))
    runner = web.AppRunner(site.application(), access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Served(site, client, port)
    finally:
        await runner.cleanup()
        assert not site._open


async def test_pages_are_limited() -> None:
    async with serving(ECHO) as served:
        pages = [await served.open() for _ in range(server.PAGES)]
        status, said = await served.page()
        assert (status, "which is the limit" in said) == (503, True)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await served.open()
        await pages.pop().close()
        while (await served.page())[0] == 503:
            await asyncio.sleep(0.01)
        again = await served.open()
        await again.send_json(["stdin", "hello"])
        assert (await again.receive()).data == b"hello"


async def test_malformed_messages_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 300.0)  # the dashboard leaves by itself
    async with serving(ECHO) as served:
        page = await served.open(width="many", height=-3)
        for told in ("", "{", "[]", "null", '{"a": 1}', "[[]]", '["stdin"]', '["stdin", 5]', '["resize", null]',
                     "1e999", '["resize", {"width": "9", "height": 9}]', '["ping"]', '["quit"]',
                     '["deliver_file_start"]',
                     "[" * 100_000):  # fmt: skip
            await page.send_str(told)
        await page.send_bytes(b"\xff\xfe")
        await page.send_str('["stdin", "\\ud800"]')
        await page.send_json(["resize", {"width": 10**9, "height": -(10**9)}])
        assert b'"width": 1000, "height": 1}' in (await page.receive()).data
        await page.send_json(["ping", "7"])
        assert (await page.receive()).json() == ["pong", "7"]
        await page.send_json(["stdin", "x" * server.LONGEST_MESSAGE])
        assert (await page.receive()).data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await served.all_ended()


@pytest.mark.parametrize(
    "end", ["raise SystemExit", "import os; os.kill(os.getpid(), 9)", "sys.stdout.write('D'); 1/0"]
)
async def test_the_page_learns_that_its_dashboard_has_died(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 300.0)
    async with serving(READY + end) as served:
        page = await served.open()
        assert (await asyncio.wait_for(page.receive(), 30)).type is WSMsgType.CLOSE
        await served.all_ended()


@pytest.mark.parametrize("program", [FLOOD, READY + "import time; time.sleep(100)", "import time; time.sleep(100)"])
async def test_a_dashboard_that_does_not_leave_is_ended(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    async with serving(program) as served:
        page = await served.open()
        if program is FLOOD:
            await page.receive()
        await page.close()
        await served.all_ended()


async def test_a_dashboard_that_takes_no_keys_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    monkeypatch.setattr(server, "STUCK", 0.2)
    async with serving(READY + "import time; time.sleep(100)") as served:
        page = await served.open()
        await page.send_json(["stdin", "x" * 500_000])
        assert (await asyncio.wait_for(page.receive(), 30)).type is WSMsgType.CLOSE
        await served.all_ended()


def test_another_textual_serve_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "STATICS", tmp_path)
    monkeypatch.delattr(server.AppService, "focus")
    with pytest.raises(ConfigError, match=r"has no focus, textual\.js"):
        server.Site(["true"], Access.to("127.0.0.1", 8080))


async def test_the_server_ends_them_all() -> None:
    async with serving(ECHO) as served:
        pages = [await served.open() for _ in range(3)]
        for page in pages:  # so that each process is there
            await page.send_json(["stdin", "hello"])
            assert (await page.receive()).data == b"hello"
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < server.PATIENCE


LOCAL = ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("host", "allowed", "arrived", "right", "wrong"),
    [
        ("127.0.0.1", [], LOCAL, ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080"],
         ["127.0.0.1", "127.0.0.1:80", "localhost", "localhost.:8080", "[::1]:8080", "lab:8080", "", "127.1:8080",
          "2130706433:8080", "0.0.0.0:8080", "localhost:8080@evil.test", "127.0.0.1.evil.test:8080"]),
        ("::1", [], ("::1", 8080, 0, 0), ["[::1]:8080", "localhost:8080"], ["::1:8080", "[::1]", "127.0.0.1:8080"]),
        ("[0:0::1]", [], None, ["[::1]:8080"], ["[0:0::1]:8080"]),
        ("localhost", [], LOCAL, ["localhost:8080", "127.0.0.1:8080"], ["[::1]:8080", "evil.test:8080"]),
        ("0.0.0.0", [], ("192.168.1.5", 8080), ["192.168.1.5:8080", f"{socket.gethostname()}:8080", "localhost:8080"],
         ["192.168.1.6:8080", "0.0.0.0:8080", "evil.test:8080"]),
        ("::", [], ("::ffff:192.168.1.5", 8080, 0, 0), ["192.168.1.5:8080"], ["evil.test:8080", "[::1]:8080"]),
        ("lab", [], ("10.0.0.1", 8080), ["lab:8080", "10.0.0.1:8080"], ["localhost:8080", "lab.evil.test:8080"]),
        ("127.0.0.1", ["Lab.Example.org", "localhost:9000", "other:443"], LOCAL,
         ["lab.example.org", "lab.example.org:8080", "localhost:9000", "other", "other:443", "localhost:8080"],
         ["lab.example.org:9000", "example.org", "localhost:9001", "other:8080"]),
    ],
)  # fmt: skip
def test_names(host: str, allowed: list[str], arrived: Any, right: list[str], wrong: list[str]) -> None:
    access = Access.to(host, 8080, allowed)
    assert [name for name in right if not access.answers_to([name], arrived)] == []
    assert [name for name in wrong if access.answers_to([name], arrived)] == []
    assert not access.answers_to([], arrived)
    assert not access.answers_to([right[0], right[0]], arrived)


def test_at_port_80_a_name_stands_alone() -> None:
    assert Access.to("127.0.0.1", 80).answers_to(["127.0.0.1"], ("127.0.0.1", 80))


@pytest.mark.parametrize(
    "text", ["", "*", "a b", "http://lab", "lab/", "lab:", "lab:0", "lab:70000", "a@b", "[x]", "é"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--allow-host wants NAME"):
        Access.to("127.0.0.1", 8080, [text])


def test_an_empty_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="--host wants an address"):
        Access.to(" ", 8080)


def test_origins() -> None:
    assert own_origin(["http://lab:8080"], "LAB:8080")
    assert own_origin(["https://lab"], "lab")
    for wrong in ([], ["null"], [""], ["lab:8080"], ["http://lab"], ["http://lab:8080/"], ["http://lab:8080"] * 2,
                  ["ws://lab:8080"], ["http://lab:8080 http://evil.test"]):  # fmt: skip
        assert not own_origin(wrong, "lab:8080")


def test_tokens() -> None:
    one, other = Access.to("127.0.0.1", 8080), Access.to("127.0.0.1", 8080)
    assert one.token != other.token
    assert len(one.token) >= 43
    assert one.knows(one.token)
    for wrong in ("", other.token, one.token[:-1], one.token + "A", one.token.swapcase(), "é", "\ud800"):
        assert not one.knows(wrong)
    assert one.token not in repr(one)


@pytest.mark.parametrize(
    ("host", "allowed", "local", "url"),
    [
        ("127.0.0.1", [], True, "http://127.0.0.1:8080/"),
        ("::1", ["lab"], True, "http://[::1]:8080/"),
        ("localhost", [], True, "http://localhost:8080/"),
        ("0.0.0.0", [], False, f"http://{socket.gethostname()}:8080/"),
        ("::", ["Lab:9000"], False, "http://lab:9000/"),
        ("lab", [], False, "http://lab:8080/"),
        ("192.168.1.5", [], False, "http://192.168.1.5:8080/"),
    ],
)
def test_the_address_that_is_printed(host: str, allowed: list[str], local: bool, url: str) -> None:
    access = Access.to(host, 8080, allowed)
    assert (access.local, access.url(allowed)) == (local, f"{url}?token={access.token}")
