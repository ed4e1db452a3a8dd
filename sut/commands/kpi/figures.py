"""From run.json to key performance indicators, in the words of the workload framework whose reports they join.

Names, order and the -1 for what is not known are that framework's. What a figure counts stands beside it: throughput
is over the timed window, a latency is of a batch in its instance, and LoadGen's own figures bear LoadGen's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sut.record import run_record
from sut.settings.resolve import RunConfig, to_flags

UNKNOWN = -1
KILLED = "INVALID RESULT: Some instances were killed"
_STREAMS = ("SingleStream", "MultiStream")
_RATE = "samples/sec"
# The framework's name of each statistic of a latency, and ours.
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


@dataclass(frozen=True)
class Kpi:
    """One line."""

    name: str
    value: str | float | int
    unit: str = ""
    is_primary: bool = False
    is_tunable: bool = False  # what was asked for, not what was found
    tooltip: str = ""


@dataclass(frozen=True)
class Report:
    """One run's lines under their headings, and what must be read before them."""

    remarks: tuple[str, ...]
    sections: Mapping[str, Sequence[Kpi]]


def report(run: Mapping[str, Any]) -> Report:
    """The report of a run.json's content; what that does not hold is -1."""
    sections = {
        "PARAMS": _params(run),
        "Workload Configuration": _workload(run),
        "Application Configuration": _application(run),
        "Metrics": _metrics(run),
        "Key KPI": _key(run),
    }
    return Report(tuple(_remarks(run)), sections)


def mode(run: Mapping[str, Any]) -> str:
    """throughput, latency or accuracy: what was asked for with --kpi, else what mode and scenario are about."""
    config = run["config"]
    if config["mode"] == "accuracy":
        return "accuracy"
    return str(config.get("kpi") or ("latency" if config["scenario"] in _STREAMS else "throughput"))


def _remarks(run: Mapping[str, Any]) -> list[str]:
    killed = [KILLED, str(run["instance_died"])] if run.get("instance_died") else []
    unfinished = ["it was ended from outside, or is still running"] if run["verdict"] == run_record.UNFINISHED else []
    return [*killed, f"result: {run['verdict']}", *unfinished, *run.get("reasons", []), *run["notices"]]


def _of(run: Mapping[str, Any], *path: str) -> Any:
    """What run.json has at `path`; -1 where there is nothing."""
    found: Any = run
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return UNKNOWN if found is None else found


def _tunables(values: Mapping[str, Any]) -> list[Kpi]:
    return [Kpi(name, str(value), is_tunable=True) for name, value in values.items()]


def _params(run: Mapping[str, Any]) -> list[Kpi]:
    known = {field.name for field in fields(RunConfig)}
    config = RunConfig(**{name: value for name, value in run["config"].items() if name in known})
    set_for_instances, found = (_of(run, *path) for path in (("topology", "environment"), ("machine", "environment")))
    variables = {**(found if found != UNKNOWN else {}), **(set_for_instances if set_for_instances != UNKNOWN else {})}
    packages = dict(_of(run, "machine", "packages"))
    return _tunables(
        {
            "CMD": " ".join(["python -m sut", *to_flags(config)]),
            "TORCH_VER": packages.pop("torch", UNKNOWN),
            "PYTHON_VER": _of(run, "machine", "python"),
            **{f"{name}_VER": version for name, version in packages.items()},
            **variables,
        }
    )


def _workload(run: Mapping[str, Any]) -> list[Kpi]:
    config = run["config"]
    return _tunables(
        {
            "WORKLOAD_NAME": f"mlperf-bert-sut {config['task']}",
            "BASE_MODEL_NAME": config["model"],
            "RECIPE_TYPE": "public",
            "FRAMEWORK": config["backend"],
            "HARDWARE": _of(run, "machine", "processor"),
            "FUNCTION": "inference",
            "MODE": mode(run),
            "PRECISION": config["precision"],
            "FPMATH_MODE": _of(config, "fpmath_mode"),
            "TORCH_MKLDNN_MATMUL_MIN_DIM": _of(config, "torch_mkldnn_matmul_min_dim"),
            "DATA_TYPE": UNKNOWN,
            "DATASET": config["dataset"],
            "BATCH_SIZE": _of(config, "batch_size"),
            "MAX_BATCH_TOKENS": config["max_batch_tokens"],
            "STEPS": _of(config, "steps"),
            "WARMUP_STEPS": _of(config, "warmup_steps"),
            "CORES_PER_INSTANCE": config["cores_per_instance"],
            "INSTANCE_NUMBER": config["instances"],
            "WEIGHT_SHARING": _of(run, "topology", "weights_shared"),
            "INPUT_TOKENS": _of(run, "sample_tokens", "mean"),
            "OUTPUT_TOKENS": UNKNOWN,
            "BEAM": UNKNOWN,
            "SEQ_LENGTH": _of(run, "sample_tokens", "longest"),
        }
    )


def _application(run: Mapping[str, Any]) -> list[Kpi]:
    config = run["config"]
    return _tunables(
        {
            "SCENARIO": config["scenario"],
            "SERVING_STACK": "MLPerf LoadGen",
            "MODEL_WORKERS": config["instances"],
            "REQUEST_PER_WORKER": UNKNOWN,
        }
    )


def _metrics(run: Mapping[str, Any]) -> list[Kpi]:
    batches = [
        Kpi(f"{name} Latency", _of(run, "batches", "batch_latency_ms", key), "ms") for name, key in _LATENCIES.items()
    ]
    engine = Kpi(
        "Average Engine Latency",
        _of(run, "batches", "engine_latency_ms", "mean"),
        "ms",
        tooltip="inside the engine alone",
    )
    quality_name, quality = _quality(run)
    return [
        Kpi("Total Throughput", _of(run, "batches", "samples_per_s"), _RATE, tooltip="all instances together"),
        Kpi("Throughput per Instance", _mean_rate(run), _RATE, tooltip="mean of the instances"),
        *(
            Kpi(f"Throughput of Instance {number}", one["samples_per_s"], _RATE)
            for number, one in enumerate(_instances(run))
        ),
        *batches,
        engine,
        *_loadgen(run),
        Kpi("TTT", UNKNOWN, "s"),
        Kpi("Samples", _of(run, "batches", "samples")),
        Kpi("Compute Utilization", UNKNOWN, "%"),
        Kpi("Memory Utilization", UNKNOWN, "%"),
        Kpi("FLOPs", UNKNOWN),
        Kpi("Model Quality Metric Name", quality_name),
        Kpi("Model Quality Metric Value", quality),
        Kpi("Cost Per Million Inference", UNKNOWN),
    ]


def _loadgen(run: Mapping[str, Any]) -> list[Kpi]:
    """LoadGen's own figure, and the latency of its queries in the scenarios that have one: any but Offline."""
    result = _of(run, "result")
    if result == UNKNOWN or "metric" not in result:
        return []
    found = [Kpi(f"LoadGen {result['metric'].capitalize()}", _of(result, "value"), result["unit"])]
    if run["config"]["scenario"] == "Offline":
        return found
    whole = {"Average": "mean", "Max": "max", "Min": "min"}
    found += [Kpi(f"LoadGen {name} Latency", _of(result, "latency_range_ms", key), "ms") for name, key in whole.items()]
    for percentile, ms in result.get("latency_ms", {}).items():
        found.append(Kpi(f"LoadGen P{float(percentile):g} Latency".replace("99.9", "999"), ms, "ms"))
    return found


def _key(run: Mapping[str, Any]) -> list[Kpi]:
    which = mode(run)
    total = Kpi("Throughput", _of(run, "batches", "samples_per_s"), _RATE, which == "throughput", tooltip="the total")
    mean = Kpi("Throughput per Instance", _mean_rate(run), _RATE, tooltip="mean of the instances")
    if which == "throughput":
        return [total, mean]
    if which == "accuracy":
        name, value = _quality(run)
        return [Kpi("Accuracy", value, "%", True, tooltip=str(name)), total, mean]
    return [_latency(run), total, mean]


def _latency(run: Mapping[str, Any]) -> Kpi:
    if run["config"]["scenario"] in _STREAMS:
        tooltip = f"LoadGen's estimate of the {_of(run, 'result', 'percentile'):g}th percentile of a query's latency"
        return Kpi("Latency", _of(run, "result", "value"), "ms", True, tooltip=tooltip)
    tooltip = "mean time of a sample's batch in its instance"
    return Kpi("Latency", _of(run, "batches", "batch_latency_ms", "mean"), "ms", True, tooltip=tooltip)


def _quality(run: Mapping[str, Any]) -> tuple[str | int, float]:
    """The metric that the task is judged by, and its value in percent."""
    result = _of(run, "result")
    names = [name for name in ("f1", "accuracy") if result != UNKNOWN and name in result]
    return (names[0], result[names[0]]) if names else (UNKNOWN, UNKNOWN)


def _instances(run: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = _of(run, "batches", "instances")
    return [] if found == UNKNOWN else found


def _mean_rate(run: Mapping[str, Any]) -> float:
    rates = [one["samples_per_s"] for one in _instances(run)]
    return sum(rates) / len(rates) if rates else UNKNOWN
