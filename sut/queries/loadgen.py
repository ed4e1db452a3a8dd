"""LoadGen's Python API: settings, handles, responses. The only module that imports mlperf_loadgen.

Settings are applied in LoadGen's order: the mlperf.conf embedded in the wheel, the user's user.conf, the command line
and the execution mode, then the seeds of the requested round. An audit.config is used only if it is given, never picked
up from the working directory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import mlperf_loadgen as lg
import numpy as np
import numpy.typing as npt

from foundation import rules
from foundation.arrays import Int64
from foundation.rules import SCENARIOS, Seeds
from sut.errors import RunFailedError, UsageError
from sut.queries import query_memory
from sut.record.measurements import QueryPlan
from sut.settings import user_conf
from sut.settings.loadgen_lines import NO_FILE, LoadGenFile
from sut.settings.settings import RunConfig

IssueQueries = Callable[[list[int], list[int]], None]  # response ids, QSL indexes
_NOT_IN_A_NAME = re.compile(r"[^\w .,:()\[\]+-]", re.ASCII)  # LoadGen writes a name into JSON as it is

# A trial run takes about TEST_SECONDS, or up to TEST_PATIENCE_S if that is enough for the first number of TEST_QUERIES,
# which LoadGen's early stopping needs to bound the percentile. (at least, at most; None: the QSL's size).
TEST_SECONDS, TEST_PATIENCE_S = 10, 60
TEST_QUERIES: dict[str, tuple[int, int | None]] = {
    "Offline": (24, None),
    "Server": (700, 1024),
    "SingleStream": (SCENARIOS["SingleStream"].early_stopping_queries, 1024),
    "MultiStream": (SCENARIOS["MultiStream"].early_stopping_queries, 700),
}
# The expected speed per scenario: the field of TestSettings, and its key in user.conf.
_SPEED = {
    "Offline": ("offline_expected_qps", "target_qps"),
    "Server": ("server_target_qps", "target_qps"),
    "SingleStream": ("single_stream_expected_latency_ns", "target_latency"),
    "MultiStream": ("multi_stream_expected_latency_ns", "target_latency"),
}
# Shares of the speed measured at warm-up: Offline generates more than enough samples; Server must keep up with its
# queue; streams must not run out of queries, which LoadGen generates ahead from the expected latency.
_OFFLINE_QPS, _SERVER_QPS, _ACCURACY_SERVER_QPS, _STREAM_LATENCY = 1.1, 0.3, 4.0, 0.4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """LoadGen's settings, and the values that are printed and recorded."""

    settings: Any
    min_query_count: int
    samples_per_query: int
    min_duration_s: float
    target_qps: float | None  # Offline and Server
    target_latency_s: float | None  # of Server, at its percentile

    def facts(self) -> QueryPlan:
        """All but LoadGen's own object, for the run's record."""
        return QueryPlan(**{one.name: getattr(self, one.name) for one in fields(QueryPlan)})


def plan(
    config: RunConfig,
    model_key: str,
    samples: int,
    samples_per_s: float,
    conf: LoadGenFile = NO_FILE,
    available: int | None = None,
) -> Plan:
    """LoadGen's settings for this run.

    Args:
        samples: size of the QSL.
        samples_per_s: the speed measured at warm-up, over all instances.
        conf: what `user_conf.read` found.
        available: bytes of memory that the queries may take; None: unknown.

    Raises:
        UsageError: user.conf shortens a valid run, or the queries do not fit into memory.
    """
    given = conf.settings
    official, settings = _embedded(config, model_key), _embedded(config, model_key)
    apply(settings, conf, config.scenario)
    settings.scenario = getattr(lg.TestScenario, config.scenario)
    settings.mode = lg.TestMode.AccuracyOnly if config.mode == "accuracy" else lg.TestMode.PerformanceOnly
    if "performance_sample_count_override" not in given:
        settings.performance_sample_count_override = min(samples, rules.SAMPLES)
    _set_counts(settings, given, config, samples, samples_per_s)
    _refuse_shortened(settings, official, config)
    _set_speed(settings, given, config, samples_per_s)
    if config.target_latency_ms:
        settings.server_target_latency_ns = round(config.target_latency_ms * 1e6)
    if config.round:
        for name, seed in rules.SEEDS[config.round]._asdict().items():
            setattr(settings, name, seed)
    if config.mode == "performance":
        query_memory.check(config.scenario, _generated(settings, config.scenario), available)
    return _as_plan(settings, config)


def _generated(settings: Any, scenario: str) -> int:
    field, key = _SPEED[scenario]
    speed = getattr(settings, field)
    return query_memory.generated(
        scenario,
        min_query_count=settings.min_query_count,
        queries_per_s=1e9 / max(speed, 1) if key == "target_latency" else speed,
        duration_s=settings.min_duration_ms / 1e3,
        samples_per_query=_samples_per_query(settings, scenario),
    )


def own_seeds() -> Seeds:
    """The seeds that this LoadGen uses by default."""
    settings = _embedded(RunConfig(), "bert")
    return Seeds(*(getattr(settings, name) for name in Seeds._fields))


def _embedded(config: RunConfig, model_key: str) -> Any:
    settings = lg.TestSettings()
    if settings.FromConfig("", model_key, config.scenario, 0) != 0:
        raise RunFailedError(
            "expected LoadGen to read its embedded mlperf.conf, found that it cannot. "
            "Type: pip install --force-reinstall mlcommons-loadgen"
        )
    return settings


def apply(settings: Any, conf: LoadGenFile, scenario: str) -> None:
    """Set the values of a user.conf in LoadGen's TestSettings, as LoadGen does when it reads the file itself."""
    for name, one in conf.settings.items():
        key = user_conf.KEYS[name]
        field = key.fields[scenario]
        kind = type(getattr(settings, field))  # LoadGen's binding accepts no other
        setattr(settings, field, kind(one.value * key.scale))


def _set_counts(settings: Any, given: Container[str], config: RunConfig, samples: int, samples_per_s: float) -> None:
    """Set duration and queries: from the flag, else user.conf, else a trial's own or the official values."""
    if config.min_duration_s is not None:
        settings.min_duration_ms = round(config.min_duration_s * 1e3)
    elif config.is_trial and "min_duration" not in given:
        settings.min_duration_ms = 0
    if config.test_query_count:
        settings.min_query_count = config.test_query_count
    elif config.is_trial and "min_query_count" not in given:
        settings.min_query_count = _trial_queries(settings, config.scenario, samples, samples_per_s)


def _trial_queries(settings: Any, scenario: str, samples: int, samples_per_s: float) -> int:
    least, most = TEST_QUERIES[scenario]
    pace = samples_per_s * (_SERVER_QPS if scenario == "Server" else 1) / _samples_per_query(settings, scenario)
    fitting = max(1, min(int(pace * TEST_SECONDS), most or samples))
    return max(least, fitting) if least <= pace * TEST_PATIENCE_S else fitting


def _refuse_shortened(settings: Any, official: Any, config: RunConfig) -> None:
    shortened = (
        settings.min_duration_ms < rules.MIN_DURATION_S * 1000 or settings.min_query_count < official.min_query_count
    )
    if shortened and not config.is_trial:
        raise UsageError(
            "expected a user.conf that keeps min_duration and min_query_count of a valid run, found lower values. "
            "Remove them."
        )


def _set_speed(settings: Any, given: Container[str], config: RunConfig, samples_per_s: float) -> None:
    """Set target_qps or the expected latency: from the flag, else user.conf, else the measured speed."""
    field, key = _SPEED[config.scenario]
    qps = config.target_qps
    if qps is None and key in given:
        return
    is_latency = key == "target_latency"
    if qps is None:
        speed = measured_speed(config, samples_per_s / _samples_per_query(settings, config.scenario))[1]
    else:
        speed = 1e3 / qps if is_latency else qps
    setattr(settings, field, speed * 1e6 if is_latency else speed)


def measured_speed(config: RunConfig, queries_per_s: float) -> tuple[str, float]:
    """The setting of LoadGen for a measured speed: its key in user.conf and its value (latencies: ms).

    Args:
        queries_per_s: samples per second in Offline.
    """
    key = _SPEED[config.scenario][1]
    if key == "target_latency":
        return key, _STREAM_LATENCY * 1e3 / queries_per_s
    return key, _share_of_measured(config) * queries_per_s


def _share_of_measured(config: RunConfig) -> float:
    if config.scenario == "Offline":
        return _OFFLINE_QPS
    return _ACCURACY_SERVER_QPS if config.mode == "accuracy" else _SERVER_QPS


def _samples_per_query(settings: Any, scenario: str) -> int:
    return int(settings.multi_stream_samples_per_query) if scenario == "MultiStream" else 1


def _as_plan(settings: Any, config: RunConfig) -> Plan:
    qps = {"Offline": settings.offline_expected_qps, "Server": settings.server_target_qps}.get(config.scenario)
    samples_per_query = _samples_per_query(settings, config.scenario)
    latency_s = settings.server_target_latency_ns / 1e9 if config.scenario == "Server" else None
    return Plan(
        settings=settings,
        min_query_count=settings.min_query_count,
        samples_per_query=samples_per_query,
        min_duration_s=settings.min_duration_ms / 1e3,
        target_qps=qps,
        target_latency_s=latency_s,
    )


def start_test(
    settings: Any,
    log_dir: Path,
    *,
    samples: int,
    issue_queries: IssueQueries,
    load_query_samples: Callable[[list[int]], None],
    flush_queries: Callable[[], None] = lambda: None,
    audit_config: str = "",
    sut_name: Callable[[], str] | None = None,
) -> None:
    """Run one test; returns when LoadGen is done. `log_dir` must exist. The GIL is released while LoadGen runs.

    Args:
        audit_config: the text of an audit.config; "" for none.
        sut_name: called each time that LoadGen asks for the SUT's name; must not raise. None: LoadGen's own name.
    """
    log_settings = lg.LogSettings()
    log_settings.enable_trace = False
    log_output = lg.LogOutputSettings()
    log_output.outdir = str(log_dir)
    log_output.copy_summary_to_stdout = False
    log_settings.log_output = log_output
    performance_samples = min(samples, rules.SAMPLES)
    with (
        _file(audit_config) as audit,
        _qsl(samples, performance_samples, load_query_samples) as qsl,
        _sut(issue_queries, flush_queries, sut_name) as sut,
    ):
        lg.StartTestWithLogSettings(sut, qsl, settings, log_settings, audit)


@contextmanager
def _file(text: str) -> Iterator[str]:
    """The name of a temporary file with this text; "" for none."""
    if not text:
        yield ""
        return
    with NamedTemporaryFile("w", suffix=".config", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


@contextmanager
def _sut(
    issue_queries: IssueQueries, flush_queries: Callable[[], None], name: Callable[[], str] | None
) -> Iterator[Any]:
    """A handle of LoadGen's "fast" SUT, which passes two lists of numbers instead of one object per sample.

    The name of that one is fixed: a SUT with a name of its own is a QDL, which has no fast variant.
    """
    if name is None:
        handle, destroy = lg.ConstructFastSUT(issue_queries, flush_queries), lg.DestroyFastSUT
    else:
        handle, destroy = lg.ConstructQDL(_of_samples(issue_queries), flush_queries, _logged(name)), lg.DestroyQDL
    try:
        yield handle
    finally:
        destroy(handle)


def _of_samples(issue_queries: IssueQueries) -> Callable[[list[Any]], None]:
    return lambda samples: issue_queries([one.id for one in samples], [one.index for one in samples])


def _logged(name: Callable[[], str]) -> Callable[[], str]:
    """The name without characters that would break LoadGen's log."""
    return lambda: _NOT_IN_A_NAME.sub("_", name())


@contextmanager
def _qsl(total: int, performance: int, load_query_samples: Callable[[list[int]], None]) -> Iterator[Any]:
    handle = lg.ConstructQSL(total, performance, load_query_samples, lambda indexes: None)
    try:
        yield handle
    finally:
        lg.DestroyQSL(handle)


def complete(ids: Int64, outputs: npt.NDArray[np.float32], rows: Int64) -> None:
    """Report responses to LoadGen: `outputs` float32[R, 2], of which response i has `rows[i]` rows.

    LoadGen copies what it logs before this returns, so `outputs` need not live longer.
    """
    answers = np.ascontiguousarray(outputs)  # LoadGen gets addresses and reads contiguous memory
    sizes = rows * (answers.shape[1] * answers.itemsize)
    addresses = answers.ctypes.data + np.cumsum(sizes) - sizes
    lg.QuerySamplesComplete(list(map(lg.QuerySampleResponse, ids.tolist(), addresses.tolist(), sizes.tolist())))
