"""Who may talk to a node: tokens and certificates, right and wrong; what strangers can do to it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nodes
import pytest
from certificates import made, of

from sut.errors import UsageError, UserError
from sut.nodes import addresses, credentials, handshake
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.nodes.errors import NodeError
from sut.nodes.frames import Frame, Kind
from sut.serving import server as serving
from sut.serving.core import ServingCore

TOKEN, OTHER = Credentials(b"a" * 32), Credentials(b"b" * 32)


@pytest.fixture(scope="module")
def core() -> Iterator[ServingCore]:
    with nodes.core() as found:
        yield found


def greet(address: Address, own: Credentials, package: str = "1") -> str:
    """What comes of a handshake: "" if a node greets back, else the error."""
    try:
        channel, welcome = handshake.connect(address, own, package, patience_s=5.0)
    except UserError as error:
        return str(error)
    channel.close()
    assert welcome.name.startswith("box:")
    return ""


@pytest.mark.parametrize(
    ("theirs", "ours", "error"),
    [
        (TOKEN, TOKEN, ""),
        (TOKEN, OTHER, "the tokens of the two --token-file differ"),
        (TOKEN, nodes.NOBODY, "expected a --token-file, which the node at"),
        (nodes.NOBODY, TOKEN, "with the token of --token-file, found one that does not have it"),
        (nodes.NOBODY, nodes.NOBODY, ""),
    ],
)
def test_tokens(core: ServingCore, theirs: Credentials, ours: Credentials, error: str) -> None:
    with nodes.server(core, theirs) as node:
        found = greet(node.address, ours)
    assert error in found
    assert bool(error) == bool(found)


def test_another_version_is_refused(core: ServingCore) -> None:
    with nodes.server(core, package="2") as node:
        assert "expected mlperf-bert-sut 1 on the node at 127.0.0.1:" in greet(node.address, nodes.NOBODY)


def test_what_is_no_node(core: ServingCore) -> None:
    with socket.create_server((nodes.LOOPBACK, 0)) as silent:
        address = Address(*silent.getsockname())
        with pytest.raises(NodeError, match="it is connected and does not answer"):
            handshake.connect(address, nodes.NOBODY, "1", patience_s=0.1)
    assert f"expected a node at {address}, found: Connection refused" in greet(address, nodes.NOBODY)


def test_a_stranger_gets_nothing_and_harms_nobody(core: ServingCore) -> None:
    with nodes.server(core, TOKEN) as node:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", Frame(Kind.TOKENS, 1, b"\0" * 64).encode(), b"\xff" * 64):
            with socket.create_connection(node.address, 5.0) as stranger:
                stranger.sendall(sent)
                assert stranger.recv(100) == b""
        assert greet(node.address, TOKEN) == ""


def test_proofs_of_the_two_sides_differ() -> None:
    """So that a node's proof cannot be sent back as a client's."""
    assert TOKEN.proof("client", "1", "2") != TOKEN.proof("node", "1", "2")
    assert not TOKEN.is_proved(TOKEN.proof("client", "1", "2"), "client", "2", "1")


@pytest.mark.parametrize(("content", "error"), [("short\n", "at least 16 characters.*found 5"), (None, "No such file")])
def test_token_files_that_are_refused(tmp_path: Path, content: str | None, error: str) -> None:
    path = tmp_path / "token"
    if content:
        path.write_text(content)
    with pytest.raises(UsageError, match=error):
        credentials.read(path, None, None, None)


def test_a_token_file_may_end_in_a_line_feed(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"a" * 32 + b"\n")
    assert credentials.read(tmp_path / "token", None, None, None) == TOKEN


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "::1:70", "a b:1", "a:1,a:1"]
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        addresses.parse_all(text)


def test_addresses() -> None:
    assert addresses.parse_all("a:1, [::1]:70") == (Address("a", 1), Address("::1", 70))
    assert str(Address("::1", 70)) == "[::1]:70"
    assert addresses.is_loopback("127.0.0.1")
    assert not addresses.is_loopback("0.0.0.0")  # noqa: S104 - not bound


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("certificates"))


def test_an_address_for_others_needs_credentials() -> None:
    with pytest.raises(UsageError, match="expected --token-file, or --tls-cert and --tls-ca, to serve at 0.0.0.0"):  # noqa: RUF043
        serving.check_address("0.0.0.0", nodes.NOBODY)  # noqa: S104 - not bound
    serving.check_address("0.0.0.0", TOKEN)  # noqa: S104
    serving.check_address("127.0.0.1", nodes.NOBODY)


@pytest.mark.parametrize(
    ("theirs", "ours", "error"),
    [
        (("one",), ("one",), ""),
        (("stranger",), ("one",), "TLS failed: unable to get local issuer certificate"),
        (("one",), ("stranger",), "TLS failed: tlsv1 alert unknown ca"),
        (("old",), ("one",), "TLS failed: certificate has expired"),
        (("one",), ("old",), "TLS failed: sslv3 alert certificate expired"),
        (("one",), ("one", "foreign"), "TLS failed: self-signed certificate in certificate chain"),
    ],
)
def test_certificates(
    core: ServingCore, certificates: Path, theirs: tuple[str, ...], ours: tuple[str, ...], error: str
) -> None:
    with nodes.server(core, of(certificates, *theirs)) as node:
        found = greet(node.address, of(certificates, *ours))
    assert error in found
    assert bool(error) == bool(found)


def test_one_side_without_tls(core: ServingCore, certificates: Path) -> None:
    with nodes.server(core, of(certificates, "one")) as node:
        assert "expected a node at" in greet(node.address, nodes.NOBODY)
    with nodes.server(core) as node:
        assert "TLS failed" in greet(node.address, of(certificates, "one"))


def test_queries_over_tls_with_a_token(core: ServingCore, certificates: Path) -> None:
    own = replace(of(certificates, "one"), token=TOKEN.token)
    with nodes.server(core, own) as node, nodes.executor(node.address, own=own) as executor:
        assert executor.instances == 1


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no certificate")
    with pytest.raises(UsageError, match=r"expected a certificate, its key without a password, and a CA in --tls-cert"):
        credentials.read(None, tmp_path / "a", None, tmp_path / "a")
    with pytest.raises(UsageError, match="--tls-cert and --tls-ca go together"):
        credentials.read(None, None, None, tmp_path / "a")


def test_who_only_looks_whether_a_node_listens_is_no_line(
    core: ServingCore, certificates: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for own in (nodes.NOBODY, of(certificates, "one")):
        with nodes.server(core, own) as node:
            socket.create_connection(node.address).close()
            with socket.create_connection(node.address) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                stranger.shutdown(socket.SHUT_WR)
                said, until_s = "", time.monotonic() + 5
                while "refused" not in said and time.monotonic() < until_s:
                    time.sleep(0.01)
                    said += capfd.readouterr().err
        assert said.count("refused") == 1 and "closed the connection" not in said
