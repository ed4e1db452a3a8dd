"""A node from start to end: loads the engines, serves until it is asked to end, then answers what is under way.

An instance that exits or hangs ends the node, which says why: its clients do the batches elsewhere.
"""

from __future__ import annotations

import contextlib
import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Protocol

from backends import accelerators
from backends.bert.heads import HEADS
from backends.quantization import engine_store
from foundation import installation
from foundation.people_numbers import count
from foundation.rules import SERVER_LATENCY_MS
from foundation.typed_json import encode
from sut.errors import VALID, RunFailedError, UsageError
from sut.executors.base import Executor, Ready
from sut.executors.fleet.deadlines import deadline_s
from sut.machine import description
from sut.machine import facts as machine_facts
from sut.nodes import addresses
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.nodes.messages import Welcome
from sut.queries import server_queue
from sut.record.node_machine import NodeAccelerator, NodeMachine
from sut.running import identity, local_instances, stall_watch
from sut.running.prepare import Prepared, prepare
from sut.running.stall_watch import StallWatch
from sut.running.watched_test import SWITCH_S
from sut.serving import frame_server
from sut.serving.core import ModelLimits, ServingCore
from sut.serving.frame_server import FrameServer
from sut.serving.v2.samples import MODEL
from sut.settings.settings import RunConfig

_WATCH_S = 0.1
_DRAIN_S = 30.0
_V2 = {"v2_http", "v2_grpc"}


@dataclass(frozen=True)
class Ports:
    """Where each face of a node listens; None: it has no such face, 0: any port that is free."""

    frames: int | None = None
    v2_http: int | None = None
    v2_grpc: int | None = None


class Face(Protocol):
    """One protocol of a node."""

    failure: Exception | None

    def start(self) -> None:
        """Listen."""

    def drain(self, patience_s: float) -> bool:
        """Take nothing more, answer what is under way and close; False if it was not answered in time."""

    def close(self, reason: str) -> None:
        """End all connections."""


def serve(config: RunConfig, host: str, ports: Ports, own: Credentials) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit code.

    Raises:
        UsageError, DatasetError, BackendError: a setting or file cannot be used.
        RunFailedError: an instance exited or hangs.
    """
    check_address(host, own)
    if ports.v2_http is not None or ports.v2_grpc is not None:
        _v2()
    sys.setswitchinterval(SWITCH_S)
    with contextlib.ExitStack() as stack:  # before the engines are loaded
        bound = {}
        for one in fields(ports):
            if (port := getattr(ports, one.name)) is not None:
                bound[one.name] = stack.enter_context(contextlib.closing(frame_server.bind(Address(host, port))))
        return _serve(prepare(config), bound, own)


def _serve(prepared: Prepared, bound: Mapping[str, socket.socket], own: Credentials) -> int:
    executor = local_instances.executor(prepared)
    try:
        ready = executor.start()
        core = _core(prepared, executor, ready)
        faces = _faces(prepared, core, ready, bound, own)
        where = {name: Address(*one.getsockname()[:2]) for name, one in bound.items()}
        try:
            for face in faces:
                face.start()
            for name, address in where.items():
                print(f"serving at {_shown(name, address)} with {_what(prepared)}; Ctrl-C ends", flush=True)
            _watch(prepared, core, faces, executor, ready)
        finally:
            for face in faces:
                face.close("it is ending")
    finally:
        executor.close()
    return VALID


def _faces(
    prepared: Prepared,
    core: ServingCore,
    ready: Sequence[Ready],
    bound: Mapping[str, socket.socket],
    own: Credentials,
) -> list[Face]:
    """The faces in the order in which they are drained: the frames' waits until the core is idle."""
    found: list[Face] = []
    if _V2 & bound.keys():
        found.append(_v2().of(prepared, core, ready, own, bound.get("v2_http"), bound.get("v2_grpc")))
    if "frames" in bound:
        about = _About(prepared, core, ready).welcome
        found.append(FrameServer(core, len(prepared.features), bound["frames"], own, installation.version(), about))
    return found


def _v2() -> ModuleType:
    """The faces of KServe v2, whose libraries are an extra. Raises UsageError if they are not installed."""
    try:
        from sut.serving.v2 import faces
    except ModuleNotFoundError as error:
        raise UsageError(
            f"KServe v2 needs {error.name}, which is not installed. Type: {installation.command('serve')}"
        ) from error
    return faces


def _shown(name: str, address: Address) -> str:
    scheme = {"v2_http": "v2+http://", "v2_grpc": "v2://"}.get(name)
    return f"{scheme}{address}/{MODEL}" if scheme else str(address)


def check_address(host: str, own: Credentials) -> None:
    """Raises UsageError for an address that others can reach, without anything by which they prove who they are."""
    if own.are_none and not addresses.is_loopback(host):
        raise UsageError(
            f"expected --token-file, or --tls-cert and --tls-ca, to serve at {host}, which other machines can "
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


def _machine(prepared: Prepared) -> NodeMachine:
    directory = prepared.model.engine
    return NodeMachine(
        facts=machine_facts.facts(),
        topology=prepared.topology,
        threads=prepared.config.threads,
        description=description.read(),
        accelerators=tuple(
            NodeAccelerator(one.name, one.memory_bytes) for one in accelerators(prepared.config.backend)
        ),
        engine=engine_store.settings(directory) if directory else {},
    )


class _About:
    """What the node says of itself."""

    def __init__(self, prepared: Prepared, core: ServingCore, ready: Sequence[Ready]) -> None:
        engine = identity.engine(prepared.model)
        self._welcome = Welcome(
            proof="",
            name=platform.node(),
            identity=identity.of(prepared),
            instances=frame_server.speeds(ready),
            credits=0,
            most_length=core.model_limits.most_length,
            most_tokens=core.model_limits.most_tokens,
            planned_for=prepared.config.scenario,
            accelerated=prepared.accelerated,
            engine=engine.key if engine else None,
            calibrated_on=engine.calibrated_on if engine else None,
            machine=encode(_machine(prepared)),
        )

    def welcome(self, proof: str, credits: int) -> Welcome:
        return replace(self._welcome, proof=proof, credits=credits)


def _patience_s(config: RunConfig, faces: Sequence[Face], ready: Sequence[Ready]) -> float:
    """How long a batch may take: as long as a run on nodes waits for it; without such clients, as a run here would."""
    if not any(isinstance(face, FrameServer) for face in faces):
        return stall_watch.limit_s(config, ready)
    batch_s = max(one.batch_s + one.token_s * config.batch_tokens for one in ready)
    return deadline_s(batch_s, config.stall_timeout_s)


def _watch(
    prepared: Prepared, core: ServingCore, faces: Sequence[Face], executor: Executor, ready: Sequence[Ready]
) -> None:
    watch = StallWatch(_patience_s(prepared.config, faces, ready))
    try:
        while True:
            broken = [face.failure for face in faces if face.failure]
            failure = next(iter(broken), executor.failure) or watch.failure(core.oldest_job, time.monotonic())
            if failure:
                for face in faces:
                    face.close(str(failure))
                raise RunFailedError(f"the node FAILED: {str(failure).rstrip('.')}.") from failure
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        print("ending: answering what is under way", file=sys.stderr, flush=True)
        drained = [face.drain(_DRAIN_S) for face in faces]
        if not all(drained):
            raise RunFailedError(f"the node FAILED: its last batches were not answered in {_DRAIN_S:g} s.") from None
