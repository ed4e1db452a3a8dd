"""Plans the instances of a run: their number, cores and batch size, and whether they fit into memory.

The plan follows from scenario, model and machine, before an instance starts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from backends import BACKENDS
from backends.base import Accelerator
from backends.bert.model import Model
from foundation.people_numbers import count
from foundation.rules import MAX_POSITIONS, MAX_SEQ_LENGTH, SERVER_LATENCY_MS
from sut.errors import UsageError
from sut.machine import memory, topology
from sut.machine.topology import Machine, Place, Topology
from sut.settings.settings import MAX_BATCH_TOKENS, RunConfig

_SURE_OPERATIONS_PER_S = 20e9  # a lower bound for any core
_QUICK_SHARE = 0.25  # share of the target latency that the longest sample may take on one core
# Settings that engines' libraries read from the environment.
_VARIABLES = {
    "fpmath_mode": "DNNL_DEFAULT_FPMATH_MODE",
    "torch_mkldnn_matmul_min_dim": "TORCH_MKLDNN_MATMUL_MIN_DIM",
}
_THREADS_PER_CPU, _THREADS = 8, 64  # the most threads of an instance; at least _THREADS on any machine
_VERBOSE = ("ONEDNN_VERBOSE", "DNNL_VERBOSE")  # oneDNN's variable, and that of older releases


@dataclass(frozen=True)
class InstancesPlan:
    """The place of every instance, and their common settings."""

    machine: Machine
    gpus: tuple[Accelerator, ...]
    places: tuple[Place, ...]  # one for each instance
    max_batch_tokens: int
    forked: bool  # instances share what one loader has loaded

    @property
    def cores(self) -> int:
        """Cores of each instance."""
        return self.places[0].cores

    def check_memory(self, config: RunConfig, model: Model, total_tokens: int) -> None:
        """Raises UsageError if the instances do not fit into memory; `total_tokens` are the data set's."""
        batch_tokens = min(self.max_batch_tokens, (config.batch_size or 0) * MAX_SEQ_LENGTH or total_tokens)
        batch_tokens = 0 if self.gpus else batch_tokens  # activations are in the GPU's memory
        memory.check(memory.need(model, self.places, batch_tokens, forked=self.forked), memory.available())

    def facts(self, variables: Mapping[str, str]) -> Topology:
        """The plan for run.json; `variables` are set for every instance."""
        return topology.facts(self.machine, self.places, self.forked, variables, [gpu.name for gpu in self.gpus])


def plan(config: RunConfig, model: Model, gpus: tuple[Accelerator, ...]) -> InstancesPlan:
    """Instances for this scenario and model on this machine.

    Raises:
        UsageError: the machine has too few cores for the requested instances.
    """
    machine = topology.this_machine()
    _check_threads(config, len(machine.cpus))
    cores = config.cores_per_instance or _shared_cores(config, model)
    nodes = [topology.pci_node(gpu.pci_address) for gpu in gpus]
    places = topology.plan(machine, config.scenario, _instances(config, gpus), cores, near=nodes)
    return InstancesPlan(
        machine,
        gpus,
        topology.on_gpus(places, nodes),
        _batch_tokens(config, model, gpus),
        _can_fork(config) and len(places) > 1,
    )


def _check_threads(config: RunConfig, cpus: int) -> None:
    """Raises UsageError for threads that an engine would only try to create."""
    most = max(_THREADS_PER_CPU * cpus, _THREADS)
    if config.threads and config.threads > most:
        raise UsageError(
            f"expected --threads of at most {most} on a machine with {count(cpus, 'cpu')}, found {config.threads}. "
            "Lower --threads."
        )


def asked_batch_tokens(config: RunConfig) -> int:
    """Tokens of the largest batch on a CPU; a batch that is counted in samples takes the longest of them."""
    most = BACKENDS[config.backend].batch_tokens or MAX_BATCH_TOKENS
    return config.max_batch_tokens or (config.batch_size or 0) * MAX_POSITIONS or most


def environment(config: RunConfig) -> tuple[tuple[str, str], ...]:
    """(variable, value) pairs for engines' libraries, which read them when they are loaded."""
    values = {variable: getattr(config, field) for field, variable in _VARIABLES.items()}
    verbose = dict.fromkeys(_VERBOSE, 1) if config.verbose else {}
    return tuple((variable, str(value).upper()) for variable, value in (values | verbose).items() if value is not None)


def _instances(config: RunConfig, gpus: tuple[Accelerator, ...]) -> int | None:
    """The number of instances: as given, else one per GPU (one for streams); None: as many as fit on the cores."""
    if config.executor == "inline" or config.instances or not gpus:
        return 1 if config.executor == "inline" else config.instances
    return 1 if topology.CORES_PER_INSTANCE[config.scenario] is None else len(gpus)


def _batch_tokens(config: RunConfig, model: Model, gpus: tuple[Accelerator, ...]) -> int:
    if config.max_batch_tokens or config.batch_size:
        return asked_batch_tokens(config)
    return gpus[0].batch_tokens(model.config) if gpus and model.config else asked_batch_tokens(config)


def _shared_cores(config: RunConfig, model: Model) -> int | None:
    """One core per instance if instances share weights and are quick enough; None: the scenario's default."""
    shares = config.instances is None and _can_fork(config)
    return topology.ONE_CORE if shares and _is_quick_on_one_core(config, model) else None


def _can_fork(config: RunConfig) -> bool:
    """Whether instances can be forked; outside Linux, system libraries do not survive a fork."""
    return config.executor == "processes" and BACKENDS[config.backend].forkable and sys.platform == "linux"


def _is_quick_on_one_core(config: RunConfig, model: Model) -> bool:
    """Whether one core per instance is enough (docs/guide/tuning.md).

    True in Offline, where latency does not matter; in Server if the longest sample takes even a slow core only a small
    fraction of the target latency.
    """
    if config.scenario != "Server" or model.config is None:
        return config.scenario == "Offline"
    longest_s = model.config.operations_per_token * MAX_SEQ_LENGTH / _SURE_OPERATIONS_PER_S
    return longest_s <= _QUICK_SHARE * (config.target_latency_ms or SERVER_LATENCY_MS) / 1e3
