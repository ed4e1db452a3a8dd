"""LoadGen, seen from Python: settings, handles, answers. The only importer of mlperf_loadgen.

Settings are applied in LoadGen's own order: the mlperf.conf embedded in the wheel, then the user's user.conf, then what
the command line and the execution mode say. An audit.config that happens to lie in the working directory is never read.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg
import numpy as np
import numpy.typing as npt

from sut.config import SCENARIOS, RunConfig
from sut.errors import RunFailedError, UsageError

OFFICIAL_MIN_DURATION_MS = 600_000
PERFORMANCE_SAMPLE_COUNT = 10_833
MODEL_KEYS = ("bert",)  # one key for bert-99 and bert-99.9
# LoadGen's keys that a user.conf may set; it passes over any other without a word.
USER_CONF_KEYS = (
    "min_duration",
    "max_duration",
    "min_query_count",
    "max_query_count",
    "target_qps",
    "target_latency",
    "target_latency_percentile",
    "coalesce_queries",
    "max_async_queries",
    "samples_per_query",
    "performance_sample_count_override",
    "performance_issue_unique",
    "performance_issue_same",
    "performance_issue_same_index",
    "print_timestamps",
    "accuracy_log_probability",
    "accuracy_log_rng_seed",
    "accuracy_log_sampling_target",
    "sample_concatenate_permutation",
)
# A trial run takes about TEST_SECONDS; or up to TEST_PATIENCE_S where that buys the queries of TEST_QUERIES' first
# column, without which LoadGen's early stopping cannot call the percentile sure. (at least, at most; None: the QSL).
TEST_SECONDS, TEST_PATIENCE_S = 10, 60
TEST_QUERIES: dict[str, tuple[int, int | None]] = {
    "Offline": (24, None),
    "Server": (700, 1024),
    "SingleStream": (64, 1024),
    "MultiStream": (662, 700),
}
# Which TestSettings field says how fast the SUT is, per scenario.
_SPEED_FIELD = {
    "Offline": "offline_expected_qps",
    "Server": "server_target_qps",
    "SingleStream": "single_stream_expected_latency_ns",
    "MultiStream": "multi_stream_expected_latency_ns",
}
# Of the speed measured at warm-up: Offline asks for more than enough samples; a Server must keep up with its queue;
# the streams must not run out of queries, which LoadGen makes ahead from the expected latency.
_OFFLINE_QPS, _SERVER_QPS, _ACCURACY_SERVER_QPS, _STREAM_LATENCY = 1.1, 0.4, 4.0, 0.4


@dataclass(frozen=True)
class Plan:
    """Settings ready for LoadGen, and what of them a person wants to see."""

    settings: Any
    min_query_count: int
    samples_per_query: int
    min_duration_s: float
    target_qps: float | None  # Offline and Server


def plan(config: RunConfig, model_key: str, samples: int, samples_per_s: float) -> Plan:
    """LoadGen's settings for this run.

    Args:
        samples: how many the QSL has.
        samples_per_s: the speed measured at warm-up, over all instances.

    Raises:
        UsageError: user.conf cannot be read, has an unknown key, or makes a valid run invalid.
    """
    official = _from_embedded(config, model_key)
    settings = _from_embedded(config, model_key)
    if config.user_conf:
        _apply_user_conf(settings, config, model_key)
    settings.scenario = getattr(lg.TestScenario, config.scenario)
    settings.mode = lg.TestMode.AccuracyOnly if config.mode == "accuracy" else lg.TestMode.PerformanceOnly
    if settings.performance_sample_count_override == PERFORMANCE_SAMPLE_COUNT:
        settings.performance_sample_count_override = min(samples, PERFORMANCE_SAMPLE_COUNT)
    _set_counts(settings, official, config, samples, samples_per_s)
    _set_speed(settings, official, config, samples_per_s)
    return _as_plan(settings, config)


def _from_embedded(config: RunConfig, model_key: str) -> Any:
    settings = lg.TestSettings()
    if settings.FromConfig("", model_key, config.scenario, 0) != 0:
        raise RunFailedError(
            "LoadGen could not read its embedded mlperf.conf; is mlcommons-loadgen 6.0 installed whole?"
        )
    return settings


def _apply_user_conf(settings: Any, config: RunConfig, model_key: str) -> None:
    assert config.user_conf is not None
    if settings.FromConfig(str(config.user_conf), model_key, config.scenario, 2) != 0:
        raise UsageError(
            f"wanted LoadGen's 'model.scenario.key = value' lines in {config.user_conf}, LoadGen refused it."
        )


def check_user_conf(path: Path) -> None:
    """See that LoadGen reads every line of a user.conf.

    Raises:
        UsageError: one that it would pass over or refuse, with its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"wanted LoadGen's settings in {path}, found: {error}. Check --user-conf.") from error
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            _check_user_conf_line(f"{path} line {number}", words)


def _check_user_conf_line(where: str, words: list[str]) -> None:
    """LoadGen passes over a line without blanks around "=", and refuses a comment behind a value, without a word."""
    parts = words[0].split(".")
    if len(words) != 3 or words[1] != "=" or words[2].startswith("-") or len(parts) != 3:
        wanted = "'model.scenario.key = value', blanks around '=', a number of 0 or more and nothing behind it,"
        raise UsageError(f"wanted {wanted} in {where}, found {' '.join(words)!r}.")
    near_key = difflib.get_close_matches(parts[0], MODEL_KEYS, n=1, cutoff=0.5)
    if near_key and parts[0] not in MODEL_KEYS:  # a line for another benchmark's model is no mistake
        raise UsageError(f"found model {parts[0]!r} in {where}, which LoadGen calls {near_key[0]!r}.")
    for word, known in ((parts[1], ("*", *SCENARIOS)), (parts[2], USER_CONF_KEYS)):
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
            raise UsageError(f"found {word!r} in {where}, which LoadGen does not read from a user.conf. {hint}")


def _set_counts(settings: Any, official: Any, config: RunConfig, samples: int, samples_per_s: float) -> None:
    if config.min_duration_s is not None:
        settings.min_duration_ms = round(config.min_duration_s * 1e3)
    if not config.is_trial:
        if settings.min_duration_ms < OFFICIAL_MIN_DURATION_MS or settings.min_query_count < official.min_query_count:
            raise UsageError("a user.conf may not lower min_duration or min_query_count of a valid run; take them out.")
        return
    if config.min_duration_s is None and settings.min_duration_ms == official.min_duration_ms:
        settings.min_duration_ms = 0
    if config.test_query_count:
        settings.min_query_count = config.test_query_count
    elif settings.min_query_count == official.min_query_count:
        settings.min_query_count = _trial_queries(config.scenario, samples, samples_per_s)


def _trial_queries(scenario: str, samples: int, samples_per_s: float) -> int:
    least, most = TEST_QUERIES[scenario]
    samples_per_query = 8 if scenario == "MultiStream" else 1
    pace = samples_per_s * (_SERVER_QPS if scenario == "Server" else 1) / samples_per_query
    fitting = max(1, min(int(pace * TEST_SECONDS), most or samples))
    return max(least, fitting) if least <= pace * TEST_PATIENCE_S else fitting


def _set_speed(settings: Any, official: Any, config: RunConfig, samples_per_s: float) -> None:
    """target_qps or the expected latency: from the flag, else from user.conf, else from the measured speed."""
    name = _SPEED_FIELD[config.scenario]
    qps = config.target_qps
    if qps is None and getattr(settings, name) != getattr(official, name):
        return
    if name.endswith("_ns"):
        batch = settings.multi_stream_samples_per_query if config.scenario == "MultiStream" else 1
        settings_value = 1e9 / qps if qps else _STREAM_LATENCY * 1e9 * batch / samples_per_s
    elif config.scenario == "Offline":
        settings_value = qps or _OFFLINE_QPS * samples_per_s
    else:
        share = _ACCURACY_SERVER_QPS if config.mode == "accuracy" else _SERVER_QPS
        settings_value = qps or share * samples_per_s
    setattr(settings, name, settings_value)


def _as_plan(settings: Any, config: RunConfig) -> Plan:
    qps = {"Offline": settings.offline_expected_qps, "Server": settings.server_target_qps}.get(config.scenario)
    samples_per_query = settings.multi_stream_samples_per_query if config.scenario == "MultiStream" else 1
    return Plan(settings, settings.min_query_count, samples_per_query, settings.min_duration_ms / 1e3, qps)


def start_test(
    settings: Any,
    log_dir: Path,
    *,
    samples: int,
    issue_queries: Callable[[list[tuple[int, int]]], None],
    load_query_samples: Callable[[list[int]], None],
) -> None:
    """Run one test; returns when LoadGen is done. `log_dir` must exist. The GIL is released while LoadGen works."""
    log_settings = lg.LogSettings()
    log_settings.enable_trace = False
    log_output = lg.LogOutputSettings()
    log_output.outdir = str(log_dir)
    log_output.copy_summary_to_stdout = False
    log_settings.log_output = log_output
    performance_samples = min(samples, PERFORMANCE_SAMPLE_COUNT)
    with _qsl(samples, performance_samples, load_query_samples) as qsl, _sut(issue_queries) as sut:
        lg.StartTestWithLogSettings(sut, qsl, settings, log_settings, "")


@contextmanager
def _sut(issue_queries: Callable[[list[tuple[int, int]]], None]) -> Iterator[Any]:
    handle = lg.ConstructSUT(lambda samples: issue_queries([(one.id, one.index) for one in samples]), lambda: None)
    try:
        yield handle
    finally:
        lg.DestroySUT(handle)


@contextmanager
def _qsl(total: int, performance: int, load_query_samples: Callable[[list[int]], None]) -> Iterator[Any]:
    handle = lg.ConstructQSL(total, performance, load_query_samples, lambda indexes: None)
    try:
        yield handle
    finally:
        lg.DestroyQSL(handle)


def complete(ids: Sequence[int], outputs: npt.NDArray[np.float32], lengths: Sequence[int]) -> None:
    """Hand answers to LoadGen: `outputs` float32 [T, 2], C-contiguous; answer i has `lengths[i]` rows.

    LoadGen copies what it logs before this returns, so `outputs` need not live longer.
    """
    row_bytes = outputs.strides[0]
    at = outputs.ctypes.data
    responses = []
    for id, length in zip(ids, lengths, strict=True):
        responses.append(lg.QuerySampleResponse(id, at, length * row_bytes))
        at += length * row_bytes
    lg.QuerySamplesComplete(responses)
