"""Nodes in this process, an executor that uses them, and a proxy between the two that breaks what passes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from backends.base import Batch, Options
from backends.bert.heads import HEADS
from backends.bert.model import Model
from backends.fake import fake_answer
from foundation.arrays import Float32
from qsl.base import Features
from sut.executors.base import Executor, Ready
from sut.executors.inline import InlineExecutor
from sut.executors.remote.executor import RemoteExecutor
from sut.executors.remote.terms import Terms
from sut.executors.worker import WorkerSpec
from sut.nodes import handshake
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.nodes.handshake import Node
from sut.nodes.messages import Identity, InstanceSpeed, Welcome
from sut.queries.server_queue import BatchLimits
from sut.serving import frame_server
from sut.serving.core import ModelLimits, ServingCore
from sut.serving.frame_server import FrameServer

LOOPBACK = "127.0.0.1"
BATCH_TOKENS, LONGEST, VOCABULARY = 600, 120, 30522
NOBODY = Credentials()


def features(samples: int = 60, seed: int = 5) -> Features:
    """Samples of two parts, as SQuAD's."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(3, LONGEST, samples)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    types = np.concatenate([np.arange(length) >= draw.integers(1, length) for length in lengths])
    return Features(draw.integers(0, VOCABULARY, offsets[-1], dtype=np.int32), types.astype(np.int32), offsets)


FEATURES = features()
DIGEST = FEATURES.digest()


def right(index: int) -> Float32:
    """What the fake backend answers to a sample."""
    return fake_answer(Batch.of([FEATURES.sample(index)]))


def instance(script: str = "fake") -> InlineExecutor:
    """An instance of the fake backend on a thread."""
    return InlineExecutor(
        WorkerSpec(
            backend="fake",
            options=Options(),
            model=Model(script, None, None),
            features=FEATURES,
            vocab=Path("vocab.txt"),
            max_tokens=BATCH_TOKENS,
            shapes=((1, 8),),
        )
    )


@contextmanager
def core(script: str = "fake", limits: BatchLimits | None = None) -> Iterator[ServingCore]:
    """The queue of a node with one instance."""
    executor: Executor = instance(script)
    executor.start()
    limits = limits or BatchLimits(BATCH_TOKENS, packed=True)
    model_limits = ModelLimits(LONGEST, BATCH_TOKENS, VOCABULARY, 2)
    try:
        yield ServingCore(executor, FEATURES, HEADS["spans"], limits, model_limits)
    finally:
        executor.close()


def identity(**changes: str) -> Identity:
    return replace(Identity("squad", "fake", "a" * 64, "fake", "fp32", DIGEST), **changes)


def welcome(proof: str = "", credits: int = 2, **changes: object) -> Welcome:
    """What a node of this module says of itself."""
    speed = InstanceSpeed(0.1, 1e4, 1e-4, 1e-6, True)
    return replace(
        Welcome(
            proof=proof,
            name="box",
            identity=identity(),
            instances=(speed,),
            credits=credits,
            most_length=LONGEST,
            most_tokens=BATCH_TOKENS,
            planned_for="Server",
        ),
        **changes,  # type: ignore[arg-type] # a test's own
    )


@contextmanager
def server(
    core: ServingCore, own: Credentials = NOBODY, port: int = 0, package: str = "1", **changes: object
) -> Iterator[FrameServer]:
    """A node that serves a core; `changes` to what it says of itself."""

    def about(proof: str, credits: int) -> Welcome:
        return welcome(proof, credits, **changes)

    bound = frame_server.bind(Address(LOOPBACK, port))
    found = FrameServer(core, len(FEATURES), bound, own, package, about)
    found.start()
    try:
        yield found
    finally:
        found.close("the test is over")


@contextmanager
def node(script: str = "fake", **changes: object) -> Iterator[FrameServer]:
    """A node with one instance."""
    with core(script) as one, server(one, **changes) as found:  # type: ignore[arg-type] # a test's own
        yield found


def connect(address: Address) -> Node:
    return handshake.connect(address, NOBODY, "1")


def terms(patience_s: float, none_left_s: float = 10.0) -> Terms:
    """As short as it can be."""
    return Terms(
        rows=FEATURES.lengths,
        shapes=((1, 4),),
        steps=1,
        batch_tokens=1,
        patience_s=patience_s,
        timing_s=0.0,
        none_left_s=none_left_s,
    )


@contextmanager
def executor(
    *addresses: Address,
    patience_s: float = 30.0,
    none_left_s: float = 10.0,
    own: Credentials = NOBODY,
    single_samples: bool = False,
    ready: list[Ready] | None = None,
) -> Iterator[RemoteExecutor]:
    """A remote executor that has been started; `ready` gets what its start returned."""

    def again(address: Address) -> Node:
        return handshake.connect(address, own, "1", batching="node" if single_samples else "client")

    pairs = [(one, again(one)) for one in addresses]
    of_run = terms(patience_s, none_left_s)
    found = RemoteExecutor(pairs, again, FEATURES, DIGEST, of_run, single_samples=single_samples)
    try:
        started = found.start()
        if ready is not None:
            ready += started
        yield found
    finally:
        found.close()


class Proxy:
    """Passes bytes between a client and a node, until it is told to do something else with them.

    `change` gets what the node sends and returns what the client gets; None: nothing, and it stays connected.
    """

    def __init__(self, node: Address) -> None:
        self._node = node
        self._socket = socket.create_server((LOOPBACK, 0))
        self.address = Address(LOOPBACK, self._socket.getsockname()[1])
        self.change: Callable[[bytes], bytes | None] = lambda data: data
        self.passed = 0  # pieces from the node since `change` was set
        self._pairs: list[socket.socket] = []
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                if not self._is_open:
                    client.close()
                    continue
                node = socket.create_connection(self._node)
                self._pairs += [client, node]
                for one, other, changes in ((client, node, False), (node, client, True)):
                    threading.Thread(target=self._pass, args=(one, other, changes), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, changes: bool) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                found = self.change(data) if changes else data
                if found:
                    other.sendall(found)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()

    def cut(self, *, and_refuse: bool = False) -> None:
        """End all connections, and take no more."""
        self._is_open = not and_refuse
        for end in self._pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Take connections again."""
        self._is_open = True
        self.change = lambda data: data

    def close(self) -> None:
        self.cut(and_refuse=True)
        self._socket.close()


@contextmanager
def proxies(*nodes: FrameServer) -> Iterator[list[Proxy]]:
    """A proxy in front of each node."""
    with ExitStack() as stack:
        found = [Proxy(one.address) for one in nodes]
        for one in found:
            stack.callback(one.close)
        yield found
