"""Turns run.json into key performance indicators in the format of a workload framework.

Names, order and -1 for an unknown value are that framework's. Throughput is over the timed window, a latency is of a
batch in its instance, and LoadGen's own figures have "LoadGen" in their names.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from accuracy.targets import METRICS
from sut.machine.facts import MachineFacts
from sut.record import node_machine
from sut.record.run_record import RunRecord
from sut.settings.resolve import to_flags
from sut.settings.settings import RunConfig

UNKNOWN = -1
KILLED = "INVALID RESULT: Some instances were killed"
_STREAMS = ("SingleStream", "MultiStream")
_RATE = "samples/sec"
# The framework's name of each latency statistic → ours.
_LATENCIES = {
    "Average": "mean",
    "Max": "max",
    "Min": "min",
    "P50": "p50",
    "P90": "p90",
    "P95": "p95",
    "P99": "p99",
    "P999": "p99.9",
}


@dataclass(frozen=True, kw_only=True)
class Kpi:
    """One figure or setting."""

    name: str
    value: str | float | int
    unit: str = ""
    is_primary: bool = False
    is_tunable: bool = False  # a setting, not a result
    tooltip: str = ""


@dataclass(frozen=True)
class KpiReport:
    """One run's figures by section, and the remarks to print before them."""

    remarks: tuple[str, ...]
    sections: Mapping[str, Sequence[Kpi]]


def report(run: RunRecord) -> KpiReport:
    """The report of a run; values that its record does not have are -1."""
    sections = {
        "PARAMS": _params(run),
        "Workload Configuration": _workload(run),
        "Application Configuration": _application(run),
        "Metrics": _metrics(run),
        "Key KPI": _key(run),
    }
    return KpiReport(tuple(_remarks(run)), sections)


def mode(config: RunConfig) -> str:
    """throughput, latency or accuracy: the value of --kpi, else by mode and scenario."""
    if config.mode == "accuracy":
        return "accuracy"
    return config.kpi or ("latency" if config.scenario in _STREAMS else "throughput")


def _remarks(run: RunRecord) -> list[str]:
    killed = [KILLED, run.instance_died] if run.instance_died else []
    unfinished = ["it was killed, or is still running"] if run.verdict == "unfinished" else []
    return [*killed, f"result: {run.verdict}", *unfinished, *run.reasons, *run.notices]


def _tunables(values: Mapping[str, object]) -> list[Kpi]:
    return [
        Kpi(name=name, value=str(UNKNOWN if value is None else value), is_tunable=True)
        for name, value in values.items()
    ]


def _machine(run: RunRecord) -> MachineFacts | None:
    """The machine that computed; of several nodes the first."""
    nodes = [node_machine.of(node.machine).facts for node in run.nodes or ()]
    return nodes[0] if nodes else run.machine


def _command(config: RunConfig) -> str:
    """The command line that repeats a run with its resolved settings."""
    tokens = None if config.network_division else config.max_batch_tokens  # the nodes'
    return shlex.join(["python", "-m", "sut", *to_flags(replace(config, log_dir=None, max_batch_tokens=tokens))])


def _params(run: RunRecord) -> list[Kpi]:
    machine = _machine(run)
    packages = dict(machine.packages) if machine else {}
    return _tunables(
        {
            "CMD": _command(run.config),
            "TORCH_VER": packages.pop("torch", None),
            "PYTHON_VER": machine.python if machine else None,
            **{f"{name}_VER": version for name, version in packages.items()},
            **(machine.environment if machine else {}),
            **(run.topology.environment if run.topology else {}),  # set for the instances, overrides the user's
        }
    )


def _workload(run: RunRecord) -> list[Kpi]:
    config, tokens, machine = run.config, run.sample_tokens, _machine(run)
    return _tunables(
        {
            "WORKLOAD_NAME": f"mlperf-bert-sut {config.task}",
            "BASE_MODEL_NAME": config.model,
            "RECIPE_TYPE": "public",
            "FRAMEWORK": config.backend,
            "HARDWARE": machine.processor if machine else None,
            "FUNCTION": "inference",
            "MODE": mode(config),
            "PRECISION": run.effective_precision,
            "FPMATH_MODE": config.fpmath_mode,
            "TORCH_MKLDNN_MATMUL_MIN_DIM": config.torch_mkldnn_matmul_min_dim,
            "DATA_TYPE": None,
            "DATASET": config.dataset,
            "BATCH_SIZE": config.batch_size,
            "MAX_BATCH_TOKENS": config.max_batch_tokens,
            "STEPS": config.steps,
            "WARMUP_STEPS": config.warmup_steps,
            "CORES_PER_INSTANCE": config.cores_per_instance,
            "INSTANCE_NUMBER": run.instances,
            "WEIGHT_SHARING": run.topology.weights_shared if run.topology else None,
            "INPUT_TOKENS": tokens.mean if tokens else None,
            "OUTPUT_TOKENS": None,
            "BEAM": None,
            "SEQ_LENGTH": tokens.longest if tokens else None,
        }
    )


def _application(run: RunRecord) -> list[Kpi]:
    return _tunables(
        {
            "SCENARIO": run.config.scenario,
            "SERVING_STACK": "MLPerf LoadGen",
            "MODEL_WORKERS": run.instances,
            "REQUEST_PER_WORKER": None,
        }
    )


def _metrics(run: RunRecord) -> list[Kpi]:
    batches, quality = run.batches, _quality(run)
    latencies = batches.batch_latency_ms if batches else {}
    engine = batches.engine_latency_ms if batches else {}
    instances = batches.instances if batches else ()
    return [
        _kpi("Total Throughput", batches.samples_per_s if batches else None, _RATE, tooltip="all instances together"),
        _kpi("Throughput per Instance", _mean_rate(run), _RATE, tooltip="mean of the instances"),
        *(_kpi(f"Throughput of Instance {number}", one.samples_per_s, _RATE) for number, one in enumerate(instances)),
        *(_kpi(f"{name} Latency", latencies.get(key), "ms") for name, key in _LATENCIES.items()),
        _kpi("Average Engine Latency", engine.get("mean"), "ms", tooltip="inside the engine only"),
        *_loadgen(run),
        _kpi("TTT", None, "s"),
        _kpi("Samples", batches.samples if batches else None),
        _kpi("Compute Utilization", None, "%"),
        _kpi("Memory Utilization", None, "%"),
        _kpi("FLOPs", None),
        _kpi("Model Quality Metric Name", quality.metric if quality else None),
        _kpi("Model Quality Metric Value", quality.percent if quality else None),
        _kpi("Cost Per Million Inference", None),
    ]


def _kpi(name: str, value: float | str | None, unit: str = "", is_primary: bool = False, tooltip: str = "") -> Kpi:
    return Kpi(name=name, value=UNKNOWN if value is None else value, unit=unit, is_primary=is_primary, tooltip=tooltip)


def _loadgen(run: RunRecord) -> list[Kpi]:
    """LoadGen's own figure, and its query latencies in all scenarios but Offline."""
    result = run.performance or run.peak
    if result is None:
        return []
    found = [_kpi(f"LoadGen {result.metric.capitalize()}", result.value, result.unit)]
    if run.config.scenario == "Offline":
        return found
    latencies, range_ms = (
        (run.performance.latency_ms, run.performance.latency_range_ms) if run.performance else ({}, {})
    )
    found += [
        _kpi(f"LoadGen {name} Latency", range_ms.get(_LATENCIES[name]), "ms") for name in ("Average", "Max", "Min")
    ]
    for percentile, ms in latencies.items():
        found.append(_kpi(f"LoadGen P{float(percentile):g} Latency".replace("99.9", "999"), ms, "ms"))
    return found


def _key(run: RunRecord) -> list[Kpi]:
    which, batches = mode(run.config), run.batches
    rate = batches.samples_per_s if batches else None
    total = _kpi("Throughput", rate, _RATE, which == "throughput", tooltip="the total")
    mean = _kpi("Throughput per Instance", _mean_rate(run), _RATE, tooltip="mean of the instances")
    if which == "throughput":
        return [total, mean]
    if which == "accuracy":
        quality = _quality(run)
        name, value = (quality.metric, quality.percent) if quality else (str(UNKNOWN), None)
        return [_kpi("Accuracy", value, "%", True, tooltip=name), total, mean]
    return [_latency(run), total, mean]


def _latency(run: RunRecord) -> Kpi:
    if run.config.scenario in _STREAMS:
        result = run.performance
        percentile = result.percentile if result and result.percentile is not None else UNKNOWN
        tooltip = f"LoadGen's estimate of the {percentile:g}th percentile of a query's latency"
        return _kpi("Latency", result.value if result else None, "ms", True, tooltip=tooltip)
    mean_ms = run.batches.batch_latency_ms.get("mean") if run.batches else None
    return _kpi("Latency", mean_ms, "ms", True, tooltip="mean time of a sample's batch in its instance")


@dataclass(frozen=True)
class Quality:
    """The accuracy metric of a task and its value."""

    metric: str
    percent: float


def _quality(run: RunRecord) -> Quality | None:
    metrics = run.accuracy.metrics if run.accuracy else {}
    return next((Quality(name, metrics[name]) for name in (*METRICS, *metrics) if name in metrics), None)


def _mean_rate(run: RunRecord) -> float | None:
    rates = [one.samples_per_s for one in run.batches.instances] if run.batches else []
    return sum(rates) / len(rates) if rates else None
