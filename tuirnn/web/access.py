"""Which requests `tuirnn serve` answers: every rule on names, origins and the token.

A page of any site can have the visitor's browser send requests to a port of this machine, and a name server can make a
site's own name lead there (DNS rebinding). The browser says truthfully which name it asked for (Host) and which page
asked (Origin); other programs say what they like, and lack the token.
"""

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from tuirnn.errors import ConfigError, one_line

HTTP, HTTPS = 80, 443
"""Ports that a browser leaves out of Host and Origin; HTTPS where a proxy in front of this server speaks it."""

_NAME = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Access:
    """The names a server answers to and the secret it wants.

    Attributes:
        host: address or name to listen at, as in a URL but without brackets.
        port: to listen at.
        names: what may stand in Host, in small letters, besides the address at which a request arrives.
        token: 256 random bits, in the characters of a URL.
    """

    host: str
    port: int
    names: frozenset[str]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @classmethod
    def to(cls, host: str, port: int, allowed: Iterable[str] = ()) -> "Access":
        """Access to a server that listens at `host` and `port`.

        Args:
            host: an address, also a wildcard such as 0.0.0.0, or a name.
            port: 1 to 65535.
            allowed: further names to answer to, each NAME or NAME:PORT.
        Raises:
            ConfigError: `host` is empty, or one of `allowed` is no name.
        """
        host = host.strip().removeprefix("[").removesuffix("]").lower()
        if not host:
            raise ConfigError("--host wants an address or a name to listen at, such as 127.0.0.1, not an empty text")
        address = _address(host)
        own = {host if address is None else _bracketed(address)}
        if address is not None and address.is_unspecified:
            own = {"localhost", socket.gethostname().lower()}
        elif address is not None and address.is_loopback:
            own.add("localhost")  # which browsers look up nowhere
        names = {spelling for name in own for spelling in _spellings(name, port)}
        names |= {spelling for text in allowed for spelling in _allowed(text, port)}
        return cls(str(address or host), port, frozenset(names))

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        address = _address(self.host)
        return self.host == "localhost" if address is None else address.is_loopback

    def url(self, allowed: Iterable[str] = ()) -> str:
        """The page's address, token included; under the first of `allowed` where `host` is a wildcard."""
        address = _address(self.host)
        name = self.host if address is None else _bracketed(address)
        if address is not None and address.is_unspecified:
            name = next(iter(allowed), socket.gethostname()).lower()
        authority = name if re.search(r":[0-9]+$", name) else f"{name}:{self.port}"
        return f"http://{authority}/?token={self.token}"

    def knows(self, token: str) -> bool:
        """Whether `token` is the right one; takes as long for each wrong one."""
        return hmac.compare_digest(token.encode(errors="surrogatepass"), self.token.encode())

    def answers_to(self, hosts: list[str], arrived: tuple[object, ...] | None) -> bool:
        """Whether a request is meant for this server.

        Args:
            hosts: the values of its Host headers.
            arrived: the connection's own end, a socket's name; an address in digits cannot be rebound.
        """
        if len(hosts) != 1:
            return False
        names = self.names
        if arrived is not None and (address := _address(str(arrived[0]))) is not None:
            names = names.union(_spellings(_bracketed(address), int(str(arrived[1]))))
        return hosts[0].lower() in names


def own_origin(origins: list[str], host: str) -> bool:
    """Whether a request comes from a page of the very server it goes to, by its Origin headers and its Host."""
    return len(origins) == 1 and origins[0].lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _bracketed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def _spellings(name: str, port: int) -> set[str]:
    return {f"{name}:{port}", name} if port in (HTTP, HTTPS) else {f"{name}:{port}"}


def _allowed(text: str, port: int) -> set[str]:
    found = _NAME.fullmatch(text.strip().lower())
    if found is None or int(found["port"] or 1) not in range(1, 65_536):
        shown = one_line(text, 60)
        raise ConfigError(
            f"--allow-host wants NAME or NAME:PORT, such as lab.example.org or localhost:9000, not '{shown}'"
        )
    if found["port"]:
        return _spellings(found["name"], int(found["port"]))
    return {found["name"], *_spellings(found["name"], port)}  # the bare name: a proxy at the scheme's own port
