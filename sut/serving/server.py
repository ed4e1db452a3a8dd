"""A node from start to end: loads the engines, serves until it is asked to end, then answers what is under way.

An instance that exits or hangs ends the node, which says why: its clients do the batches elsewhere.
"""

from __future__ import annotations

import contextlib
import platform
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from backends.bert.heads import HEADS
from foundation.people_numbers import count
from foundation.rules import SERVER_LATENCY_MS
from foundation.typed_json import encode
from sut.errors import VALID, RunFailedError, UsageError
from sut.executors.base import Executor, Ready
from sut.executors.fleet.deadlines import deadline_s
from sut.machine import facts as machine_facts
from sut.machine import project
from sut.nodes import addresses
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.nodes.messages import InstanceSpeed, Welcome
from sut.queries import server_queue
from sut.run import identity, local_instances
from sut.run.prepare import Prepared, prepare
from sut.run.stall_watch import StallWatch
from sut.run.watched_test import SWITCH_S
from sut.serving import frame_server
from sut.serving.core import ModelLimits, ServingCore
from sut.serving.frame_server import FrameServer
from sut.settings.settings import RunConfig

_WATCH_S = 0.1
_DRAIN_S = 30.0


def serve(config: RunConfig, address: Address, own: Credentials) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code.

    Raises:
        UsageError, DatasetError, BackendError: a setting or file cannot be used.
        RunFailedError: an instance exited or hangs.
    """
    check_address(address, own)
    sys.setswitchinterval(SWITCH_S)
    with contextlib.closing(frame_server.bind(address)) as bound:  # before the engines are loaded
        return _serve(prepare(config), bound, own)


def _serve(prepared: Prepared, bound: socket.socket, own: Credentials) -> int:
    executor = local_instances.executor(prepared)
    try:
        ready = executor.start()
        core = _core(prepared, executor, ready)
        server = FrameServer(
            core, len(prepared.features), bound, own, project.version(), _About(prepared, core, ready).welcome
        )
        server.start()
        print(f"serving at {server.address} with {_what(prepared)}; Ctrl-C ends", flush=True)
        _watch(prepared, core, server, executor, ready)
    finally:
        executor.close()
    return VALID


def check_address(address: Address, own: Credentials) -> None:
    """Raises UsageError for an address that others can reach, without anything by which they prove who they are."""
    if own.are_none and not addresses.is_loopback(address.host):
        raise UsageError(
            f"expected --token-file, or --tls-cert and --tls-ca, to serve at {address.host}, which other machines can "
            "reach; found neither. Type one of them, or --host 127.0.0.1."
        )


def _what(prepared: Prepared) -> str:
    config = prepared.config
    engine = f"{config.model} on {config.backend} {prepared.precision}"
    return f"{engine}, {count(len(prepared.places), 'instance')} × {config.threads} threads"


def _core(prepared: Prepared, executor: Executor, ready: Sequence[Ready]) -> ServingCore:
    config, model = prepared.config, prepared.model
    target_ms = (config.target_latency_ms or SERVER_LATENCY_MS) if config.scenario == "Server" else None
    limits = server_queue.batch_limits(
        config.batch_tokens,
        packed=all(one.packed for one in ready),
        batch_s=max(one.batch_s for one in ready),
        token_s=max(one.token_s for one in ready),
        target_latency_s=None if target_ms is None else target_ms / 1e3,
        batch_size=config.batch_size,
    )
    longest = int(prepared.features.lengths.max())
    words = model.tables.words or len(prepared.data.vocabulary)
    model_limits = ModelLimits(model.most_tokens or longest, config.batch_tokens, words, model.tables.types)
    return ServingCore(executor, prepared.features, HEADS[prepared.task.head], limits, model_limits)


class _About:
    """What the node says of itself."""

    def __init__(self, prepared: Prepared, core: ServingCore, ready: Sequence[Ready]) -> None:
        engine = identity.engine(prepared.model)
        self._welcome = Welcome(
            proof="",
            name=platform.node(),
            identity=identity.of(prepared),
            instances=tuple(InstanceSpeed(**asdict(one)) for one in ready),
            credits=0,
            most_length=core.model_limits.most_length,
            most_tokens=core.model_limits.most_tokens,
            planned_for=prepared.config.scenario,
            accelerated=prepared.accelerated,
            engine=engine.key if engine else None,
            calibrated_on=engine.calibrated_on if engine else None,
            machine={"facts": encode(machine_facts.facts()), "topology": encode(prepared.topology)},
        )

    def welcome(self, proof: str, credits: int) -> Welcome:
        return replace(self._welcome, proof=proof, credits=credits)


def _watch(
    prepared: Prepared, core: ServingCore, server: FrameServer, executor: Executor, ready: Sequence[Ready]
) -> None:
    config = prepared.config
    batch_s = max(one.batch_s + one.token_s * config.batch_tokens for one in ready)
    watch = StallWatch(deadline_s(batch_s, config.stall_timeout_s))  # as long as clients wait
    try:
        while True:
            failure = executor.failure or server.failure or watch.failure(core.oldest_job, time.monotonic())
            if failure:
                server.close(str(failure))
                raise RunFailedError(f"the node FAILED: {str(failure).rstrip('.')}.") from failure
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        print("ending: answering what is under way", file=sys.stderr, flush=True)
        if not server.drain(_DRAIN_S):
            raise RunFailedError(f"the node FAILED: its last batches were not answered in {_DRAIN_S:g} s.") from None
