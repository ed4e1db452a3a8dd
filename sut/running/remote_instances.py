"""The instances of a prepared run on other machines: connects to the nodes and checks that they are the same system."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from backends.bert.heads import HEADS
from foundation import installation
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode
from sut.errors import UsageError
from sut.executors.base import Executor
from sut.executors.remote.executor import RemoteExecutor
from sut.executors.remote.terms import Terms
from sut.nodes import addresses, credentials, handshake
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.nodes.errors import NodeError, UnreachableError
from sut.nodes.handshake import Node
from sut.nodes.messages import Identity, Welcome
from sut.record.node_machine import NodeMachine
from sut.running import engines, identity, warm_up
from sut.running.prepare import Prepared
from sut.settings.settings import RunConfig

_START_S = 10.0  # for a node that is just being started
_POLL_S = 0.5
_TYPE = {
    "task": "--task",
    "backend": "--backend",
    "precision": "--precision",
    "vocabulary": "--vocab",
    "model": "--model",
}


class _Ours(NamedTuple):
    """What a node must be, and who forms the batches."""

    identity: Identity
    batching: str


def connect(prepared: Prepared) -> tuple[Prepared, Executor]:
    """Connect to all nodes; returns the run with what they say, and the executor, which has not been started.

    Raises:
        UsageError: a node is another system than this run is of, or has another token.
        NodeError: a node cannot be reached, or refuses.
    """
    config = prepared.config
    ours = _Ours(identity.of(prepared), "node" if config.network_division else "client")
    own = credentials.read(config.token_file, config.tls_cert, config.tls_key, config.tls_ca)
    found = [(one, _first(one, own, ours)) for one in addresses.parse_all(config.node or "")]
    welcomes = [node.welcome for _, node in found]
    _check_engines([(address, node.welcome) for address, node in found])
    joined = _with_nodes(prepared, welcomes)
    if config.network_division:
        _check_names(welcomes)
        joined = _with_notice(joined, [address for address, _ in found])
    _check_sizes(joined, welcomes)
    executor = RemoteExecutor(
        found,
        lambda address: _same(address, own, ours),
        prepared.features,
        ours.identity.features,
        Terms(
            rows=HEADS[prepared.task.head].rows(prepared.features.lengths),
            shapes=joined.worker.shapes,
            steps=config.warmup_steps,
            batch_tokens=joined.config.batch_tokens,
            patience_s=config.stall_timeout_s,
        ),
        single_samples=config.network_division,
    )
    return joined, executor


def machines(config: RunConfig) -> list[NodeMachine]:
    """What the nodes of a run say of their machines; none for a run without such nodes.

    Raises:
        UsageError, NodeError: as `connect`.
    """
    own = credentials.read(config.token_file, config.tls_cert, config.tls_key, config.tls_ca)
    found = []
    for address in addresses.parse_all(config.node) if config.node else ():
        channel, welcome = handshake.connect(address, own, installation.version())
        channel.close()
        try:
            found.append(decode(NodeMachine, welcome.machine))
        except UnreadableError as error:
            raise NodeError(f"expected the node at {address} to describe its machine, found {error}.") from error
    return found


def _first(address: Address, own: Credentials, ours: _Ours) -> Node:
    """The node, which may be about to start."""
    until_s, is_told = time.monotonic() + _START_S, False
    while True:
        try:
            return _same(address, own, ours)
        except UnreachableError:
            if time.monotonic() > until_s:
                raise
        if not is_told:
            print(f"waiting for the node at {address}", file=sys.stderr, flush=True)
            is_told = True
        time.sleep(_POLL_S)


def _same(address: Address, own: Credentials, ours: _Ours) -> Node:
    """The node, if it is the same system as this run's."""
    node = handshake.connect(address, own, installation.version(), batching=ours.batching)
    theirs = node.welcome.identity
    for name, option in _TYPE.items():
        here, there = getattr(ours.identity, name), getattr(theirs, name)
        if here != there:
            node.channel.close()
            raise UsageError(
                f"expected {name} {_short(here)} on the node at {address}, as here, found {_short(there)}. "
                f"Type the same {option} on both."
            )
    return node


def _short(value: str) -> str:
    """A hash by its first digits."""
    return f"{value[:12]}…" if len(value) == 64 else value


def _check_engines(nodes: list[tuple[Address, Welcome]]) -> None:
    first_address, first = nodes[0]
    for address, welcome in nodes[1:]:
        if welcome.engine != first.engine:
            raise UsageError(
                f"expected the engine {first.engine} of the node at {first_address} on all, found {welcome.engine} on "
                f"{address}. Copy it there, and type: --engine DIR"
            )


def _with_nodes(prepared: Prepared, welcomes: list[Welcome]) -> Prepared:
    """The run with the size of batches that the nodes take, and what their engines were calibrated on."""
    count = sum(len(one.instances) for one in welcomes)
    is_asked = prepared.asked.max_batch_tokens or prepared.asked.batch_size
    tokens = prepared.config.batch_tokens if is_asked else min(one.most_tokens for one in welcomes)
    config = replace(prepared.config, max_batch_tokens=tokens)
    digest = prepared.features.digest()
    is_own = any(one.calibrated_on == digest for one in welcomes) and engines.OWN_DATA not in prepared.notices
    shapes = warm_up.warm_up_shapes(config, prepared.features)
    return replace(
        prepared,
        config=config,
        instances=count,
        nodes_accelerated=any(one.accelerated for one in welcomes),
        worker=replace(prepared.worker, shapes=shapes),
        notices=(*prepared.notices, *([engines.OWN_DATA] if is_own else [])),
    )


def _check_names(welcomes: list[Welcome]) -> None:
    twice = [name for name, times in Counter(one.name for one in welcomes).items() if times > 1]
    if twice:
        raise UsageError(
            f"expected nodes with different names, as the network division wants, found {twice[0]} more than once. "
            "Type each node once; give machines of the same name different host names."
        )


def _with_notice(prepared: Prepared, nodes: list[Address]) -> Prepared:
    here = [str(one) for one in nodes if addresses.is_loopback(one.host)]
    if not here:
        return prepared
    notice = f"on LoadGen's own machine: {', '.join(here)}: not submittable, since queries must cross a network"
    return replace(prepared, notices=(*prepared.notices, notice))


def sut_name(executor: Executor) -> str:
    """The SUT's name in the network division, with that of every node, which is asked over the network."""
    assert isinstance(executor, RemoteExecutor)
    return f"mlperf-bert-sut Network SUT: {', '.join(executor.names())}"


def room(executor: Executor) -> int:
    """Single samples that the nodes take at a time, in the network division."""
    assert isinstance(executor, RemoteExecutor)
    return executor.credits


def _check_sizes(prepared: Prepared, welcomes: list[Welcome]) -> None:
    longest, tokens = int(prepared.features.lengths.max()), prepared.config.batch_tokens
    for welcome in welcomes:
        if longest > welcome.most_length:
            raise UsageError(
                f"expected a node for samples of {longest} tokens, found {welcome.name} for up to "
                f"{welcome.most_length}. Type the same --model on both."
            )
        if tokens > welcome.most_tokens:
            raise UsageError(
                f"expected a node for batches of {tokens} tokens, found {welcome.name} for up to "
                f"{welcome.most_tokens}. Type the same --max-batch-tokens or --batch-size with `serve`."
            )
