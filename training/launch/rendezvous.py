"""Where the nodes of a run meet: torch's c10d rendezvous, and checks before a node disturbs a run that it does not fit.

The node that --rendezvous names holds the store, so the run lives as long as its launcher. The store takes no password
and its states are pickled: the port belongs in a network that only the nodes reach.
"""

from __future__ import annotations

import errno
import fcntl
import json
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import create_backend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import DynamicRendezvousHandler, create_handler

from foundation import atomic_write
from sut.errors import RunFailedError, UsageError
from training.launch.endings import Ending
from training.launch.plan import Address, Layout

_RUN_ID = "training"
_OUTCOME, _FACTS, _STEP, _STARTS, _LEFT, _TOKEN = "outcome", "facts", "step", "starts", "left", "token"
_OWN_PORT = 0  # the kernel's choice
_SIOCGIFADDR = 0x8915
LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Meeting:
    """This node's connection to the other ones.

    Attributes:
        own_address: under which the other nodes reach this one.
        interface: of the network that has this address; None if unknown.
    """

    handler: DynamicRendezvousHandler
    store: Store
    own_address: str
    interface: str | None

    def end(self, ending: Ending) -> Ending:
        """Say why the run ends; returns the reason of the node that said it first."""
        try:
            return Ending.from_json(self.store.compare_set(_OUTCOME, "", ending.to_json()))
        except RuntimeError:  # the node that holds the store has ended
            return ending

    def outcome(self) -> Ending | None:
        """Why another node has ended the run; None if no node did, or none can be asked."""
        try:
            return Ending.from_json(self.store.get(_OUTCOME)) if self.store.check([_OUTCOME]) else None
        except RuntimeError:
            return None

    def count_start(self) -> int:
        """Of the run's workers, by the node of the first rank; returns how often they have been started."""
        return self.store.add(_STARTS, 1)

    def newest_step(self, step: int) -> int:
        """Of the newest checkpoint of the run; `step` is this node's."""
        known = int(self.store.get(_STEP)) if self.store.check([_STEP]) else 0
        if step > known:
            self.store.set(_STEP, str(step))
        return max(step, known)

    def leave(self, nodes: int, patience_s: float) -> None:
        """Wait until all nodes know the outcome: the store ends with the launcher that holds it."""
        until = time.monotonic() + patience_s
        try:
            self.store.add(_LEFT, 1)
            while time.monotonic() < until and self.store.add(_LEFT, 0) < nodes:
                time.sleep(0.05)
        except RuntimeError:
            return


def meet(layout: Layout, facts: Mapping[str, str], folder: Path) -> Meeting:
    """Connect to the rendezvous; this node joins no round of it yet.

    Args:
        facts: what must be equal on all nodes, by name, such as the configuration's digest.
        folder: the run's, which all nodes must share.

    Raises:
        RunFailedError: the address cannot be reached.
        UsageError: another program uses the port, or this node's facts differ from the first node's.
    """
    patience = layout.patience
    own = LOCAL if layout.address is None else _own_address(layout.address, patience.join_s)
    parameters = RendezvousParameters(
        backend="c10d",
        endpoint=f"{LOCAL}:{_OWN_PORT}" if layout.address is None else str(layout.address),
        run_id=_RUN_ID,
        min_nodes=layout.nodes.least,
        max_nodes=layout.nodes.most,
        local_addr=own,
        join_timeout=patience.join_s,
        last_call_timeout=patience.last_call_s,
        keep_alive_interval=max(1, patience.keep_alive_s // 3),
        keep_alive_max_attempt=3,
    )
    handler, store = _connected(parameters, layout)
    if layout.address is not None:
        shared = PrefixStore("launch", store)
        _check_facts(shared, {"--nodes": str(layout.nodes), **facts})
        _check_folder(shared, folder, patience.seen_s)
    return Meeting(handler, PrefixStore("launch", store), own, _interface(own))


def _connected(parameters: RendezvousParameters, layout: Layout) -> tuple[DynamicRendezvousHandler, Store]:
    """In a thread, since torch waits ten minutes for a server that accepts a connection and says nothing."""
    found: list[tuple[DynamicRendezvousHandler, Store]] = []
    errors: list[Exception] = []

    def connect() -> None:
        try:
            backend, store = create_backend(parameters)
            found.append((create_handler(store, backend, parameters), store))
        except Exception as error:  # noqa: BLE001 - whatever torch raises; the message is ours
            errors.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(layout.patience.answer_s)
    if not found:
        raise UsageError(
            f"--rendezvous {layout.address}: expected a free port or the rendezvous of this run, found another "
            "program that uses the port. Type another one, on each node."
        )
    return found[0]


def _own_address(address: Address, patience_s: float) -> str:
    """This node's number in the network that leads to the address; waits until the node there answers.

    Raises:
        UsageError: no such host.
        RunFailedError: it does not answer.
    """
    until, said = time.monotonic() + patience_s, False
    while True:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((address.host, address.port))  # sends nothing
                own: str = probe.getsockname()[0]
        except socket.gaierror as error:
            raise UsageError(f"--rendezvous {address}: expected a host's name, found {error.strerror}.") from None
        except OSError as error:
            raise RunFailedError(f"--rendezvous {address}: {error.strerror}.") from None
        if _answers(address) or _is_free_here(address):
            return own
        if time.monotonic() > until:
            raise RunFailedError(
                f"--rendezvous {address}: no answer within {patience_s:.0f} s. Start the same command on that node, "
                "and see whether a firewall closes the port."
            )
        if not said:
            print(f"waiting for {address}, up to {patience_s:.0f} s …", file=sys.stderr)
            said = True
        time.sleep(0.5)


def _answers(address: Address) -> bool:
    try:
        socket.create_connection((address.host, address.port), timeout=5.0).close()
    except OSError:
        return False
    return True


def _is_free_here(address: Address) -> bool:
    """Whether the host is this machine, with this port free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise UsageError(
                    f"--rendezvous {address}: this user may not open the port. Type one above 1023."
                ) from None
            return False
    return True


def _check_facts(store: Store, facts: Mapping[str, str]) -> None:
    first = json.loads(store.compare_set(_FACTS, "", json.dumps(facts)))
    for name, value in facts.items():
        if first.get(name) != value:
            raise UsageError(
                f"expected what the first node of this run has, {name} {first.get(name)}, found {value}. "
                "Type the same command on each node."
            )


def _check_folder(store: Store, folder: Path, patience_s: float) -> None:
    """The first node writes a token, which every node must see: checkpoints of one node are read by all."""
    mine, path = secrets.token_hex(8), folder / ".nodes"
    token = store.compare_set(_TOKEN, "", mine).decode()
    if token == mine:
        atomic_write.write_text(path, token)
        return
    until = time.monotonic() + patience_s
    while not path.is_file() or path.read_text(encoding="utf-8") != token:
        if time.monotonic() > until:
            raise UsageError(
                f"--output {folder}: expected a folder that all nodes share, such as one on NFS: a checkpoint is "
                "written by one node and read by all. Found one of this node alone."
            )
        time.sleep(0.2)


def _interface(address: str) -> str | None:
    """The network interface with this IPv4 address, such as eth0; None if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # it has no address
                continue
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return None


def wait_for(store: Store, keys: list[str], patience_s: float) -> None:
    """Until these keys are there or the patience ends."""
    try:
        store.wait(keys, timedelta(seconds=patience_s))
    except RuntimeError:
        return
