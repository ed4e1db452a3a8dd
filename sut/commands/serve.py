"""`python -m sut serve`: a node, which answers the queries of runs on other machines (docs/design/fleet.md), and those
of any client of KServe v2 (docs/guide/serving.md)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sut.errors import UsageError
from sut.settings import flags
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import resolve

_MORE = """python -m sut serve --port 7000                                  on this machine
python -m sut serve --host 0.0.0.0 --port 7000 --token-file token    for others, who have the token
python -m sut --executor remote --node 10.0.0.5:7000 --token-file token
python -m sut serve --v2-port 8000 --v2-grpc-port 8001               for clients of KServe v2

Ctrl-C answers what is under way and ends.
"""
_PORTS = {
    "--port": "this package's own protocol, for --executor remote",
    "--v2-port": "KServe v2 over HTTP, and of metrics for Prometheus",
    "--v2-grpc-port": "KServe v2 over gRPC",
}
_SCENARIO = {"scenario": "Server"}  # of the plan of cores and of the batches that a node forms itself


def main(argv: Sequence[str]) -> int:
    """The verb `serve`."""
    args = parser().read(argv)
    values, toml = flags.split(args, "serve")
    config = resolve(values, {**_SCENARIO, **toml})
    from sut.nodes import credentials  # only now, so that mistakes are reported without loading numpy
    from sut.serving import server

    own = credentials.read(config.token_file, config.tls_cert, config.tls_key, config.tls_ca)
    ports = server.Ports(args.port, args.v2_port, args.v2_grpc_port)
    if ports == server.Ports():
        raise UsageError("expected a port to serve at, found none. Type --port, --v2-grpc-port or --v2-port with one.")
    return server.serve(config, args.host, ports, own)


def parser() -> Parser:
    """The command line of `serve`."""
    found = new_parser("serve", _MORE)
    found.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                       help="the address to listen at (default: 127.0.0.1, for this machine alone)")  # fmt: skip
    for flag, protocol in _PORTS.items():
        found.add_argument(flag, type=_port, metavar="N", help=f"the port of {protocol}; 0: any that is free")
    flags.add(found, "serve")
    return found


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, found {text!r}")
    return int(text)
