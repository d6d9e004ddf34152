"""The server: one page, its static files, and a WebSocket behind which each page has a dashboard of its own.

textual-serve brings the browser's terminal and the link to a Textual app's process. Its own server would answer any
page of any site and keeps no limit; it is not used. Files that an app delivers to the browser are not served: the
dashboard delivers none.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from string import Template
from typing import Any

import orjson
import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import HttpProcessingError
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from tuirnn.errors import ConfigError
from tuirnn.web.access import Access, own_origin

PAGES = 8
"""Dashboards open at a time, each a process of some 100 MB."""

PATIENCE = 5.0
"""Seconds that a dashboard gets to end by itself."""

STUCK = 30.0
"""Seconds after which a dashboard that takes no keys is given up."""

GOODBYE = 1.0
"""Seconds that a page gets to agree to the end of its WebSocket."""

LONGEST_MESSAGE = 1 << 20
"""Bytes of one message: what is typed, or pasted."""

LARGEST = 1000
"""Columns and rows of a dashboard, at most."""

NEEDED = ("start", "stop", "run", "send_bytes", "set_terminal_size", "focus", "blur")
"""What is used of textual-serve's AppService."""

STATICS = Path(textual_serve.__file__).parent / "static"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dashboard(AppService):  # type: ignore[misc,unused-ignore]
    """The process of one page's dashboard; the page learns of its end, whatever ended it."""

    async def run(self) -> None:
        """Hand on what the process writes until it ends."""
        await super().run()
        await self.remote_close()

    async def stop(self) -> None:
        """Have the process leave; end it where it does not."""
        process: asyncio.subprocess.Process | None = getattr(self, "_process", None)
        leaving = asyncio.ensure_future(self._leave(process))
        await asyncio.wait({leaving}, timeout=PATIENCE)
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.wait({leaving}, timeout=GOODBYE)
        leaving.cancel()

    async def _leave(self, process: asyncio.subprocess.Process | None) -> None:
        await super().stop()
        if process is not None:
            await process.communicate()  # takes what is still written, on which the process may wait


class Site:
    """All that a browser can ask for.

    Args:
        words: the command that shows the dashboard.
        access: who is answered.
    Raises:
        ConfigError: the installed textual-serve lacks what is needed here.
    """

    def __init__(self, words: list[str], access: Access) -> None:
        lacking = [name for name in NEEDED if not hasattr(AppService, name)]
        lacking += [] if (STATICS / "js" / "textual.js").is_file() else ["textual.js"]
        if lacking:
            raise ConfigError(
                f"the installed textual-serve has no {', '.join(lacking)}; its version 1.1 has: "
                "pip install 'textual-serve>=1.1,<1.2'"
            )
        # the shell, which AppService calls, makes way for the command, so that a signal reaches it
        self.command = subprocess.list2cmdline(words) if os.name == "nt" else f"exec {shlex.join(words)}"
        self.access = access
        self._html = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
        self._open: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """The routes, with the rules in front of them."""
        app = web.Application(middlewares=[self._admit])
        app.router.add_get("/", self._page)
        app.router.add_get("/ws/{token}", self._socket)
        app.router.add_static("/static", STATICS)
        app.on_response_prepare.append(self._head)
        app.on_shutdown.append(self._close)
        return app

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what is addressed to another name, comes from another page, or has a body."""
        if not self._is_ours(request):
            return _refuse(403, "this server does not answer to that name; --allow-host NAME makes it")
        origins = request.headers.getall("Origin", [])
        if origins and not own_origin(origins, request.host):
            return _refuse(403, "a page of another site may not ask this server for anything")
        if request.body_exists:
            return _refuse(400, "no request here has a body")
        return await handler(request)

    def _is_ours(self, request: web.Request) -> bool:
        arrived = None if request.transport is None else request.transport.get_extra_info("sockname")
        return self.access.answers_to(request.headers.getall("Host", []), arrived)

    async def _head(self, request: web.Request, response: web.StreamResponse) -> None:
        """What every answer tells the browser: keep nothing, tell nobody, run nothing else, be in no frame."""
        host = request.host
        sockets = f"ws://{host} wss://{host}" if self._is_ours(request) else ""  # 'self' is not to every browser
        response.headers.update(
            {
                "Cache-Control": "no-store",
                "Content-Security-Policy": (
                    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
                    f"font-src 'self'; connect-src 'self' {sockets}; "
                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                ),
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            }
        )

    async def _page(self, request: web.Request) -> web.Response:
        if not self.access.knows(request.query.get("token", "")):
            return _refuse(403, "open the whole address that tuirnn serve has printed; each start has another token")
        if len(self._open) >= PAGES:
            return _full()
        html = self._html.substitute(token=self.access.token)
        return web.Response(text=html, content_type="text/html")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if "Origin" not in request.headers:
            return _refuse(403, "a WebSocket is opened from the page that tuirnn serve shows")
        if not self.access.knows(request.match_info["token"]):
            return _refuse(403, "the token is wrong")
        if len(self._open) >= PAGES:
            return _full()
        page = web.WebSocketResponse(heartbeat=15, timeout=GOODBYE, max_msg_size=LONGEST_MESSAGE)
        self._open.add(page)
        try:
            await page.prepare(request)
            size = _within(request.query.get("width"), 80), _within(request.query.get("height"), 24)
            await self._converse(page, size)
        finally:
            self._open.discard(page)
        return page

    async def _converse(self, page: web.WebSocketResponse, size: tuple[int, int]) -> None:
        """Show a dashboard of its own to one page, until either ends."""

        async def close() -> None:
            await page.close()

        dashboard = Dashboard(
            self.command,
            write_bytes=page.send_bytes,
            write_str=page.send_str,
            close=close,
            download_manager=DownloadManager(),
        )
        try:
            await dashboard.start(*size)
            async for message in page:
                if message.type is WSMsgType.TEXT:
                    async with asyncio.timeout(STUCK):
                        await _obey(message.json(loads=_json), page, dashboard)
        except TimeoutError:  # it takes no keys any more
            pass
        finally:
            await dashboard.stop()
            await page.close()

    async def _close(self, app: web.Application) -> None:
        """Close every page, upon which its dashboard is ended."""
        await asyncio.gather(*(page.close(code=WSCloseCode.GOING_AWAY) for page in self._open if page.prepared))


async def serve(site: Site, ready: Callable[[], None]) -> None:
    """Answer until SIGINT, SIGTERM or SIGHUP, then end the dashboards.

    Args:
        site: what is served, and where.
        ready: called once connections are taken.
    Raises:
        ConfigError: the address cannot be listened at.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows: ctrl+c cancels this coroutine
            if signal.getsignal(number := getattr(signal, name)) is not signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, asked.set)
    log = logging.getLogger("tuirnn.web")
    log.addFilter(_is_defect)
    runner = web.AppRunner(site.application(), access_log=None, logger=log, shutdown_timeout=PATIENCE + GOODBYE + 1)
    await runner.setup()
    try:
        host, port = site.access.host, site.access.port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:  # asyncio's own text names the address a second time
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror
            raise ConfigError(
                f"cannot listen at port {port} of {host}: {why}; choose another --port or --host"
            ) from None
        ready()
        await asked.wait()
    finally:
        await runner.cleanup()


async def _obey(message: Any, page: web.WebSocketResponse, dashboard: Dashboard) -> None:
    """Do what a page's message asks; what is no message of textual.js is passed over."""
    match message:
        case ["stdin", str(keys)]:
            await dashboard.send_bytes(keys.encode(errors="replace"))
        case ["resize", {"width": int(width), "height": int(height)}]:
            await dashboard.set_terminal_size(_within(width, 80), _within(height, 24))
        case ["ping", str(sent)]:
            await page.send_json(["pong", sent])
        case ["focus"]:
            await dashboard.focus()
        case ["blur"]:
            await dashboard.blur()


def _is_defect(record: logging.LogRecord) -> bool:
    """Whether a log record is about more than a request that is no HTTP, of which anyone can send many."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _within(given: str | int | None, otherwise: int) -> int:
    """A number of columns or rows that a dashboard can have."""
    try:
        return min(max(int(given or otherwise), 1), LARGEST)
    except ValueError:
        return otherwise


def _refuse(status: int, why: str) -> web.Response:
    refusal = web.Response(status=status, text=f"tuirnn: {why}\n")
    refusal.force_close()
    return refusal


def _full() -> web.Response:
    return _refuse(503, f"{PAGES} pages are open, which is the limit; close one")
