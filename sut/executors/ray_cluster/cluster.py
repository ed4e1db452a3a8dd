"""The one door to Ray: connects to a cluster or starts one here, reserves nodes, starts agents, and calls them.

A cluster runs any code for whoever reaches it, so one without token authentication is refused unless it is asked for.
Nothing is done again by Ray itself: what is lost is the scheduler's to repeat.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray._raylet import Config  # type: ignore[attr-defined] # its stub lacks it
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from foundation import program
from foundation.people_numbers import count
from sut.errors import UsageError, UserError
from sut.executors.ray_cluster.executor import Agent
from sut.nodes import addresses
from sut.nodes.errors import NodeError
from sut.record.nodes import ClusterRecord

_PLACE_S = 30.0  # for the nodes to be free
_CONNECT_S, _PROBE_S = 5.0, 30.0
_CLOSE_S = 5.0
_AT_ONCE = 4  # calls of an agent: two that take answers, and those that bring batches
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
_MODE = "RAY_AUTH_MODE"
_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning for each actor without a GPU
    "RAY_raylet_start_wait_time_s": "120",  # likewise; Ray's default of 30 is not enough on a busy machine
    "RAY_worker_niceness": "0",  # of a cluster that is started here; Ray's default of 15 gives way to any other process
}


@dataclass(frozen=True)
class ClusterNode:
    """A node that takes work."""

    id: str
    address: str
    cpus: float
    gpus: float

    @property
    def name(self) -> str:
        """Its address and the start of its id: several nodes may be on one machine."""
        return f"{self.address}/{self.id[:8]}"


class RayAgent(Agent):
    """An actor, which is never restarted."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def call(self, method: str, *arguments: object) -> Future[Any]:
        try:
            with _named_errors():
                return _result(getattr(self._handle, method).remote(*arguments))
        except NodeError as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def kill(self) -> None:
        with suppress(Exception):  # Ray may be gone
            ray.kill(self._handle)


class RayCluster:
    """Nodes of a cluster, reserved for this run: one bundle of a placement group has all cores of each."""

    def __init__(self, record: ClusterRecord, group: PlacementGroup, nodes: Sequence[ClusterNode], gpus: bool) -> None:
        self.record = record
        self.nodes = tuple(nodes)
        self._group, self._gpus = group, gpus
        self._agents: list[RayAgent] = []

    def run(self, number: int, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Call a function on a node."""
        with _named_errors():
            task = ray.remote(function).options(max_retries=0, **self._place(number))
            return _result(task.remote(*arguments))

    def start(self, number: int, agent: type, *arguments: object) -> RayAgent:
        """Start an agent on a node; returns before it is constructed. Of what `put` has returned it gets the value."""
        options = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": _AT_ONCE, **self._place(number)}
        with _named_errors():
            found = RayAgent(ray.remote(agent).options(**options).remote(*arguments))
        self._agents.append(found)
        return found

    def put(self, value: object) -> object:
        """Keep a value for agents: each node fetches it once."""
        with _named_errors():
            return ray.put(value)

    def name(self, number: int) -> str:
        """The node that has this number now: after a loss it may be another one."""
        with _named_errors():
            id = placement_group_table(self._group).get("bundles_to_node_id", {}).get(number)
            return next((node.name for node in _nodes() if node.id == id), self.nodes[number].name)

    def _place(self, number: int) -> dict[str, Any]:
        strategy = PlacementGroupSchedulingStrategy(self._group, number)
        gpus = {"num_gpus": self.nodes[number].gpus} if self._gpus else {}
        return {"num_cpus": 0, "scheduling_strategy": strategy, **gpus}

    def close(self) -> None:
        """End it all. A raylet that is frozen would answer never: it is left to itself after a while."""
        closing = threading.Thread(target=self._close, name="end of Ray", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        if closing.is_alive():
            atexit.unregister(ray.shutdown)

    def _close(self) -> None:
        for agent in self._agents:
            agent.kill()
        with suppress(Exception):  # Ray may be gone
            remove_placement_group(self._group)
        ray.shutdown()


def connect(address: str | None, nodes: int | None, *, allow_open: bool, gpus: bool) -> RayCluster:
    """Connect to the cluster at HOST:PORT, or start one on this machine, and reserve nodes, by default all.

    Raises:
        UsageError: it cannot be reached, has no token authentication, or has not as many free nodes.
    """
    os.environ.update(_SETTINGS)
    is_open = address is not None and _is_open(address)
    if is_open and not allow_open:
        raise UsageError(_refused(str(address)))
    if address and not is_open:
        os.environ[_MODE] = "token"
        Config.initialize("")  # Ray has read its settings already, when it was imported
    try:
        _join(address)
        found = ray.get_runtime_context().gcs_address
        record = ClusterRecord(
            kind="ray",
            version=ray.__version__,
            address=found,
            is_own=address is None,
            token_authentication=not (is_open if address else _answers(found, "disabled")),
        )
        return _reserve(record, nodes, gpus=gpus)
    except BaseException:
        ray.shutdown()
        raise


def _is_open(address: str) -> bool:
    """Whether the cluster answers a client without a token. Raises UsageError if it does not answer us either."""
    try:
        socket.create_connection(addresses.parse(address, "--address"), _CONNECT_S).close()
    except OSError as error:
        raise UsageError(f"expected a Ray cluster at {address}, found: {error}. See `ray status` there.") from error
    if _answers(address, "disabled"):
        return True
    if not _answers(address, "token"):
        raise UsageError(
            f"expected a Ray cluster at {address} that takes our token, found one that does not, or something else. "
            f"Copy its ~/.ray/auth_token here, or set {_TOKEN}."
        )
    return False


def _answers(address: str, mode: str) -> bool:
    """Whether the cluster answers a client with this mode of authentication. A process has one, so another one asks."""
    hidden = () if mode == "token" else (_TOKEN, f"{_TOKEN}_PATH")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    words = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        found = subprocess.run(words, env=variables | {_MODE: mode}, capture_output=True, timeout=_PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return found.returncode == 0


def _join(address: str | None) -> None:
    if address is None:
        os.environ.setdefault(_TOKEN, secrets.token_hex(32))  # else Ray writes one into the home directory
    handlers = {number: signal.getsignal(number) for number in program.INTERRUPTS}
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        raise UsageError(_unreachable(address, error)) from error
    finally:
        for number, handler in handlers.items():  # Ray sets its own
            signal.signal(number, handler)


def _unreachable(address: str | None, error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    where = "Ray to start on this machine" if address is None else f"to join the Ray cluster at {address}"
    return f"expected {where}, found: {first.rstrip('.')}."


def _refused(address: str) -> str:
    return (
        f"expected a Ray cluster with token authentication at {address}, found one that runs code for whoever reaches "
        f"it. Type `ray get-auth-token --generate`, copy ~/.ray/auth_token to all nodes, and start each with "
        f"{_MODE}=token ray start …; or type --allow-open-cluster."
    )


def _nodes() -> list[ClusterNode]:
    """Nodes that are alive and have cores, the largest first."""
    found = [
        ClusterNode(
            one["NodeID"], one["NodeManagerAddress"], one["Resources"].get("CPU", 0), one["Resources"].get("GPU", 0)
        )
        for one in ray.nodes()  # type: ignore[no-untyped-call] # Ray's own
        if one["Alive"]
    ]
    return sorted((one for one in found if one.cpus), key=lambda one: (-one.gpus, -one.cpus, one.id))


def _reserve(record: ClusterRecord, asked: int | None, *, gpus: bool) -> RayCluster:
    there = [one for one in _nodes() if one.gpus or not gpus]
    chosen = there[: asked or len(there)]
    if not chosen or len(chosen) < (asked or 0):
        what = "with GPUs" if gpus else "with CPUs"
        raise UsageError(
            f"expected {count(asked or 1, 'node')} {what} in the Ray cluster at {record.address}, found {len(there)}. "
            "Type --nodes with fewer, or start more: ray start --address …"
        )
    bundles = [{"CPU": one.cpus, **({"GPU": one.gpus} if gpus else {})} for one in chosen]
    group = placement_group(bundles, strategy="STRICT_SPREAD")
    if not group.wait(_PLACE_S):
        remove_placement_group(group)
        raise UsageError(
            f"expected {count(len(chosen), 'node')} of the Ray cluster at {record.address} with all CPUs free, found "
            f"them in use for {_PLACE_S:g} s. Wait, or type --nodes with fewer."
        )
    return RayCluster(record, group, chosen, gpus)


def _result(ref: Any) -> Future[Any]:
    """The result of a call, with errors of ours as they were raised, and others as NodeError."""
    found: Future[Any] = Future()

    def done(from_ray: Future[Any]) -> None:
        if error := from_ray.exception():
            found.set_exception(_named(error))
        else:
            found.set_result(from_ray.result())

    ref.future().add_done_callback(done)
    return found


@contextmanager
def _named_errors() -> Iterator[None]:
    """Ray's errors as NodeError."""
    try:
        yield
    except RayError as error:
        raise NodeError(str(_named(error))) from error


def _named(error: BaseException) -> BaseException:
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, UserError):
        return cause
    if isinstance(cause, RayActorError):  # both of "died" and "unavailable": what it had may have run or not
        return NodeError("its agent does not answer any more: the process or its machine is gone")
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return NodeError(f"{type(cause).__name__}: {first}")
