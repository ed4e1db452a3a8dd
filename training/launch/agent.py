"""The agent of one node: torch's elastic agent with workers of our own, which say how they end.

torch's LocalElasticAgent starts workers again after any exit code but 0. This one knows an error that would come again,
a target that was missed, and a process that was killed, from each other; restarts count from the newest checkpoint on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch._C._distributed_c10d import Store
from torch.distributed.elastic.agent.server.api import (
    RunResult,
    SimpleElasticAgent,
    WorkerGroup,
    WorkerSpec,
    WorkerState,
)

from foundation.people_numbers import count
from training.launch.endings import Ending, root_cause
from training.launch.plan import Layout
from training.launch.processes import Workers
from training.launch.rendezvous import Meeting, wait_for

_MONITOR_S = 0.1
_CAUSES_S = 2.0  # for the other nodes' causes of the same fault
ROLE = "training"


class NodeAgent(SimpleElasticAgent):
    """Runs this node's workers until the run ends.

    Attributes:
        ending: why the run ended, once `run` has returned.
    """

    def __init__(self, layout: Layout, meeting: Meeting, command: Sequence[str], folder: Path) -> None:
        spec = WorkerSpec(
            role=ROLE,
            local_world_size=layout.processes,
            entrypoint=command[0],
            rdzv_handler=meeting.handler,
            max_restarts=layout.max_restarts,
            monitor_interval=_MONITOR_S,
            local_addr=meeting.own_address,
        )
        super().__init__(spec)
        self.ending: Ending | None = None
        self.nodes = 1
        self._layout, self._meeting, self._command, self._folder = layout, meeting, command, folder
        self._workers = Workers()
        self._starts = 1
        self._step_of_fault = 0

    # What SimpleElasticAgent asks its subclasses for

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        self.nodes = worker_group.group_world_size or 1
        self._say_world(worker_group)
        if worker_group.group_rank == 0:
            self._starts = self._meeting.count_start()
        pids = {}
        for worker in worker_group.workers:
            own = {"LOCAL_RANK": str(worker.local_rank), "WORLD_SIZE": str(worker.world_size)}
            environment = {**self._environment(worker_group), **own}
            rank = worker.global_rank
            pids[worker.local_rank] = self._workers.start(self._command, rank, self._folder, environment)
        return pids

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        step = self._workers.read()
        ended = self._workers.ended()
        endings = [one.ending() for one in ended]
        if all(one.kind == "finished" for one in endings):
            if len(ended) < self._layout.processes:
                return RunResult(state=WorkerState.HEALTHY)
            self.ending = max(endings, key=lambda one: one.code)
            codes = {one.rank: ending.code for one, ending in zip(ended, endings, strict=True)}
            return RunResult(state=WorkerState.SUCCEEDED, return_values=codes)
        cause = root_cause([*self._workers.stopped(), *endings])
        self._workers.kill()
        return self._after(cause, step, worker_group)

    def _stop_workers(self, worker_group: WorkerGroup) -> None:
        """For other nodes to join, for which the workers write a checkpoint; after a fault elsewhere, at once."""
        assert worker_group.store is not None
        if any(worker_group.store.check([_cause(rank)]) for rank in range(self.nodes)):
            self._workers.kill()
        self._workers.stop(signal.SIGTERM, self._layout.patience.stop_s)

    def _shutdown(self, death_sig: signal.Signals = signal.SIGTERM, timeout: int = 30) -> None:
        self._workers.stop(signal.SIGTERM, self._layout.patience.stop_s)

    # Our own

    def _after(self, cause: Ending, step: int, worker_group: WorkerGroup) -> RunResult:
        """What follows from a worker's end: the run ends, or `_remaining_restarts` lets the workers start again."""
        failed = RunResult(state=WorkerState.FAILED)
        if cause.kind == "interrupted":  # by another node, which ends the run or waits to join
            self._remaining_restarts += 1
            return failed
        if cause.kind == "refused":
            return self._end(cause, failed)
        newest = self._meeting.newest_step(step)
        if newest > self._step_of_fault:
            self._remaining_restarts = self._layout.max_restarts
        self._step_of_fault = newest
        store = worker_group.store
        assert store is not None
        store.set(_cause(worker_group.group_rank or 0), cause.to_json())
        if self._remaining_restarts > 0:
            number = self._layout.max_restarts - self._remaining_restarts + 1
            at = f"from the checkpoint of step {newest:,}" if newest else "from the last checkpoint"
            say(f"{cause.text} Starting again {at} ({number} of {self._layout.max_restarts}).")
            return failed
        return self._end(self._cause_of_all(store), failed)

    def _end(self, cause: Ending, failed: RunResult) -> RunResult:
        self._remaining_restarts = 0
        self.ending = cause
        return failed

    def _cause_of_all(self, store: Store) -> Ending:
        """Of the same fault, as all nodes know it; a node without one within the patience knows nothing of it."""
        keys = [_cause(rank) for rank in range(self.nodes)]
        wait_for(store, keys, _CAUSES_S)
        found = root_cause(Ending.from_json(store.get(key)) for key in keys if store.check([key]))
        times = count(self._layout.max_restarts, "restart")
        text = (
            f"{found.text} {times} from the same checkpoint did not help." if self._layout.max_restarts else found.text
        )
        return Ending(found.kind, found.code, text)

    def _environment(self, group: WorkerGroup) -> Mapping[str, str]:
        """What torch's own launcher sets, and what its back ends need."""
        own = {
            "GROUP_RANK": str(group.group_rank),
            "GROUP_WORLD_SIZE": str(group.group_world_size),
            "LOCAL_WORLD_SIZE": str(self._layout.processes),
            "MASTER_ADDR": str(group.master_addr),
            "MASTER_PORT": str(group.master_port),
            "TORCHELASTIC_RESTART_COUNT": str(self._starts - 1),
            "TORCHELASTIC_USE_AGENT_STORE": "False",
            "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
            "OMP_NUM_THREADS": str(self._layout.threads),
        }
        if self._meeting.interface:  # gloo's own choice follows the host's name, which may lead to 127.0.1.1
            own["GLOO_SOCKET_IFNAME"] = self._meeting.interface
        chosen = ("OMP_NUM_THREADS", "GLOO_SOCKET_IFNAME", "TORCH_NCCL_ASYNC_ERROR_HANDLING")
        return own | {name: os.environ[name] for name in chosen if name in os.environ}

    def _say_world(self, group: WorkerGroup) -> None:
        if self._layout.address is None:
            return
        ranks = [worker.global_rank for worker in group.workers]
        size = group.workers[0].world_size
        own = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
        say(f"{count(self.nodes, 'node')}, {count(size, 'process', 'processes')}; this node has {own}.")


def _cause(node: int) -> str:
    """The key of a node's fault in the store of a round."""
    return f"cause/{node}"


def say(text: str) -> None:
    """A line for the person at this node."""
    print(text, file=sys.stderr, flush=True)
