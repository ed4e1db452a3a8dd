"""HOST:PORT of nodes, and whether an address stays on this machine."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from sut.errors import UsageError


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, flag: str = "--node") -> Address:
    """An address such as 10.0.0.5:7000, rack-3:7000 or [::1]:7000. Raises UsageError."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 1 << 16 or " " in host:
        raise UsageError(f"expected {flag} HOST:PORT, found {text!r}. Type: {flag} 10.0.0.5:7000")
    if ":" in host and not text.strip().startswith("["):
        raise UsageError(f"expected {flag} [HOST]:PORT for an IPv6 address, found {text!r}.")
    return Address(host, int(port))


def parse_all(text: str) -> tuple[Address, ...]:
    """The addresses in a list with commas. Raises UsageError for one that is there twice."""
    found = tuple(parse(one) for one in text.split(","))
    for one in found:
        if found.count(one) > 1:
            raise UsageError(f"expected each node once, found --node {one} twice. Remove one.")
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. Raises UsageError for a name that has no address."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise UsageError(f"expected the name or address of this machine as --host, found {host!r}: {error}.") from error
    return all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)
