"""Fleet arithmetic: what the way to an instance costs, from two instances to a thousand, and where it bends.

Instances sleep, so samples/s against the ideal, this process's CPU per batch and the time added to a single batch are
the executors' own (docs/design/fleet.md). All nodes are processes of this machine: a figure ends where its cores do.

    here        times in this process: the scheduler alone
    processes   one process tree on this machine
    remote      nodes over framed TCP
    ray         nodes of a Ray cluster (`ray.cluster_utils.Cluster`)

    python -m benchmarks.fleet --only remote ray --instances 12 --batch-ms 50
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import queue
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.fleet_nodes import (
    BATCH_SAMPLES,
    BATCH_TOKENS,
    LENGTH,
    MOST_PROCESSES,
    PACKAGE,
    SAMPLES,
    Node,
    SleepingAgent,
    features,
    serve,
)
from foundation import program
from sut.executors.base import Executor, Job, Outcome
from sut.executors.fleet.member import About
from sut.executors.ray_cluster.executor import RayExecutor, Started
from sut.executors.ray_cluster.executor import Terms as RayTerms
from sut.executors.remote.executor import RemoteExecutor
from sut.executors.remote.terms import Terms
from sut.nodes import handshake
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.queries.scheduler import Scheduler
from sut.queries.server_queue import BatchLimits
from sut.running.watched_test import SWITCH_S

_INSTANCES = (2, 12, 100, 1000)
_SINGLES = 15
_PATIENCE_S = 60.0
Nodes = Callable[[Sequence[Node]], Any]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One row of the table."""

    samples_per_s: float
    of_ideal: float
    cpu_us: float  # of this process, a batch
    added_ms: float  # to a single batch, the median


@contextmanager
def here(nodes: Sequence[Node]) -> Iterator[Executor]:
    """Instances that are times in this process."""
    yield _started(Node(sum(one.instances for one in nodes), nodes[0].batch_s, processes=False).executor())


@contextmanager
def processes(nodes: Sequence[Node]) -> Iterator[Executor]:
    """Instances that are processes of this machine."""
    yield _started(Node(sum(one.instances for one in nodes), nodes[0].batch_s, processes=True).executor())


@contextmanager
def remote(nodes: Sequence[Node]) -> Iterator[Executor]:
    """Nodes over framed TCP."""
    with ExitStack() as stack:
        context = mp.get_context("spawn")
        pipes = []
        for node in nodes:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(node, theirs))
            process.start()
            theirs.close()
            stack.callback(process.join, 5.0)
            stack.callback(ours.close)
            pipes.append(ours)
        addresses = [Address(*pipe.recv()) for pipe in pipes]
        joined = [(one, handshake.connect(one, Credentials(), PACKAGE)) for one in addresses]
        data = features()
        terms = Terms(
            rows=data.lengths,
            shapes=((BATCH_SAMPLES, LENGTH),),
            steps=1,
            batch_tokens=BATCH_TOKENS,
            patience_s=_PATIENCE_S,
        )
        again = lambda address: handshake.connect(address, Credentials(), PACKAGE)  # noqa: E731 - one line
        yield _started(RemoteExecutor(joined, again, data, data.digest(), terms))


@contextmanager
def ray(nodes: Sequence[Node]) -> Iterator[Executor]:
    """Nodes of a Ray cluster; the cluster is started once for all rows."""
    from sut.executors.ray_cluster import cluster as ray_cluster

    found = ray_cluster.connect(_cluster(len(nodes)), len(nodes), allow_open=True, gpus=False)

    def launch(number: int, closing: threading.Event) -> Started:
        agent = found.start(number, SleepingAgent, nodes[number])
        return Started(agent, abouts[number], agent.call("ready").result(_PATIENCE_S))

    abouts = [_about(found.name(number), node) for number, node in enumerate(nodes)]
    rows = np.full(SAMPLES, LENGTH, np.int64)
    terms = RayTerms(rows=rows, batch_tokens=BATCH_TOKENS, patience_s=_PATIENCE_S, scenario="Offline")
    yield _started(RayExecutor(found, launch, abouts, terms))


def _about(address: str, node: Node) -> About:
    return About(address=address, name="sleeping", instances=node.instances, planned_for="Offline", sent="indexes")


_clusters: dict[int, Any] = {}


def _cluster(nodes: int) -> str:
    """The address of a cluster of this many nodes on this machine, started on first use."""
    if nodes not in _clusters:
        os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="r", dir="/tmp")
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
        from ray.cluster_utils import Cluster

        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(nodes - 1):
            found.add_node(num_cpus=1)
        _clusters[nodes] = found
    return str(_clusters[nodes].address)


def _started(executor: Executor) -> Executor:
    executor.start()
    return executor


KINDS: dict[str, tuple[Nodes, int]] = {
    "here": (here, 1),
    "processes": (processes, 1),
    "remote": (remote, 2),
    "ray": (ray, 3),
}


def measure(kind: str, instances: int, batch_s: float, seconds: float, nodes: int) -> Figures:
    """Run Offline on this many instances for about `seconds`, and then single batches."""
    shares = [instances // nodes + (number < instances % nodes) for number in range(nodes)]
    processes = instances <= MOST_PROCESSES
    with KINDS[kind][0]([Node(share, batch_s, processes) for share in shares if share]) as executor:
        try:
            added_ms = _added_ms(executor, batch_s)
            return _offline(executor, batch_s, max(2, round(seconds / batch_s)), added_ms)
        finally:
            executor.close()


def _added_ms(executor: Executor, batch_s: float) -> float:
    """The median time that a single batch takes longer than its instance sleeps."""
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    job_indexes = np.arange(BATCH_SAMPLES)
    taken: list[float] = []
    for _ in range(_SINGLES):
        start_s = time.perf_counter()
        executor.submit(Job(job_indexes, job_indexes), outcomes.put)
        outcomes.get(timeout=_PATIENCE_S)
        taken.append(time.perf_counter() - start_s - batch_s)
    return 1e3 * statistics.median(taken)


def _offline(executor: Executor, batch_s: float, rounds: int, added_ms: float) -> Figures:
    lengths = np.full(SAMPLES, LENGTH, np.int64)
    over = threading.Event()
    limits = BatchLimits(BATCH_TOKENS, packed=True, batch_size=BATCH_SAMPLES)
    scheduler = Scheduler(
        executor, lengths, lengths, lambda *_: None, limits=limits, plan_at_issue=True, on_complete=over.set
    )
    batches = rounds * executor.instances
    samples = batches * BATCH_SAMPLES
    indexes = (np.arange(samples) % SAMPLES).tolist()
    cpu_s = time.process_time()
    scheduler.issue_queries(range(samples), indexes)
    scheduler.flush_queries()
    while not over.wait(0.05):
        if failure := scheduler.failure or executor.failure:
            raise failure
    window_s = scheduler.progress.window_s
    return Figures(
        samples_per_s=samples / window_s,
        of_ideal=rounds * batch_s / window_s,
        cpu_us=1e6 * (time.process_time() - cpu_s) / batches,
        added_ms=added_ms,
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--instances", nargs="+", type=int, default=_INSTANCES, metavar="N")
    parser.add_argument("--nodes", type=int, metavar="N", help="of remote and ray (default: 2 and 3)")
    parser.add_argument("--batch-ms", type=float, default=100.0, help="how long a batch takes")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each row")
    args = parser.parse_args(argv)
    sys.setswitchinterval(SWITCH_S)
    print(
        f"{'way':10}{'nodes':>6}{'instances':>20}{'samples/s':>12}{'of ideal':>10}{'CPU µs/batch':>14}{'added ms':>10}"
    )
    for kind in args.only:
        nodes = (args.nodes or KINDS[kind][1]) if KINDS[kind][1] > 1 else 1
        for instances in args.instances:
            if kind == "processes" and instances > 4 * MOST_PROCESSES:
                continue
            found = measure(kind, instances, args.batch_ms / 1e3, args.seconds, min(nodes, instances))
            what = "processes" if kind == "processes" or (kind != "here" and instances <= MOST_PROCESSES) else "timers"
            count = f"{instances} {what}"
            figures = f"{found.samples_per_s:12,.0f}{found.of_ideal:10.3f}{found.cpu_us:14.0f}{found.added_ms:10.2f}"
            print(f"{kind:10}{min(nodes, instances):6}{count:>20}{figures}", flush=True)
    for cluster in _clusters.values():
        cluster.shutdown()
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(program.run(main))
