"""user.conf: the settings of LoadGen that a user may change, and which of them a valid run may have.

It is read once; LoadGen gets its values, never the file.
"""

from __future__ import annotations

from foundation.rules import SCENARIOS
from foundation.suggest import nearest
from sut.errors import UsageError
from sut.settings import loadgen_lines
from sut.settings.loadgen_lines import NO_FILE, Key, LoadGenFile, Value
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

_STREAMS = ("SingleStream", "MultiStream")
_PREFIXES = {"Offline": "offline", "Server": "server", "SingleStream": "single_stream", "MultiStream": "multi_stream"}

_FLAG, _COUNT, _LIMIT = Value(0, 1), Value(1, 10**12), Value(0, 10**12)
_MS, _PER_SECOND = Value(0, 10**10), Value(1e-6, 10**9, is_whole=False)
_LATENCY_MS, _PERCENT = Value(1e-6, 10**7, is_whole=False), Value(0.01, 99.999, is_whole=False)


def _any(field: str, value: Value) -> Key:
    return Key(dict.fromkeys(SCENARIOS, field), value)


# Which keys LoadGen takes from a user.conf, in which scenarios, and what it makes of them.
KEYS: dict[str, Key] = {
    "target_qps": Key({"Offline": "offline_expected_qps", "Server": "server_target_qps"}, _PER_SECOND),
    "target_latency": Key(
        {**{one: f"{_PREFIXES[one]}_expected_latency_ns" for one in _STREAMS}, "Server": "server_target_latency_ns"},
        _LATENCY_MS,
        scale=10**6,
        value_in={"Server": Value(1, 10**7)},
    ),
    "target_latency_percentile": Key(
        {one: f"{_PREFIXES[one]}_target_latency_percentile" for one in (*_STREAMS, "Server")}, _PERCENT, scale=0.01
    ),
    "coalesce_queries": Key({"Server": "server_coalesce_queries"}, _FLAG),
    "max_async_queries": Key({"Server": "server_max_async_queries"}, Value(0, 2**31 - 1)),
    "samples_per_query": Key({"MultiStream": "multi_stream_samples_per_query"}, Value(1, 10**6)),
    "min_duration": _any("min_duration_ms", _MS),
    "max_duration": _any("max_duration_ms", _MS),
    "min_query_count": _any("min_query_count", _COUNT),
    "max_query_count": _any("max_query_count", _LIMIT),
    "performance_sample_count_override": _any("performance_sample_count_override", _LIMIT),
    "performance_issue_unique": _any("performance_issue_unique", _FLAG),
    "performance_issue_same": _any("performance_issue_same", _FLAG),
    "performance_issue_same_index": _any("performance_issue_same_index", _LIMIT),
    "print_timestamps": _any("print_timestamps", _FLAG),
    "accuracy_log_rng_seed": _any("accuracy_log_rng_seed", Value(0, 2**64 - 1)),
    "accuracy_log_sampling_target": _any("accuracy_log_sampling_target", _LIMIT),
    "sample_concatenate_permutation": _any("sample_concatenate_permutation", _FLAG),
}
# What a valid run may set; the benchmark fixes the rest. Server's target_latency is a limit that it fixes; in the
# streams target_latency is an estimate, which a user may set.
_TUNING = ("target_qps", "coalesce_queries", "max_async_queries", "min_duration", "min_query_count", "print_timestamps")


def read(config: RunConfig, model_key: str, samples: int | None = None, *, pipes: bool = False) -> LoadGenFile:
    """The settings in `config.user_conf` for this run's model and scenario; none without a file.

    Args:
        samples: size of the QSL, if it is known.
        pipes: whether it may be a pipe: only where it is read once.

    Raises:
        UsageError: a line that LoadGen would ignore, misread or refuse, or one that a valid run may not have.
    """
    if config.user_conf is None:
        return NO_FILE
    found = loadgen_lines.read(
        config.user_conf, KEYS, model_key, config.scenario, file="a user.conf", flag="--user-conf", pipes=pipes
    )
    _check_models(found)
    _check_indexes(found, samples or _LIMIT.most)
    for key, one in found.settings.items():
        allowed = key in _TUNING or (key == "target_latency" and config.scenario in _STREAMS)
        if not config.is_trial and not allowed:
            raise UsageError(f"found {key} in {one.where}; a valid run keeps the official value. Remove the line.")
    return found


def _check_models(found: LoadGenFile) -> None:
    """A line for another benchmark's model is no mistake; one for a mistyped model of ours is."""
    known = [task.model_key for task in TASKS.values()]  # bert for bert-99 and bert-99.9, too
    for model, where in found.models.items():
        near = nearest(model, known, similar=0.5)
        if near and model not in known:
            raise UsageError(f"found model {model!r} in {where}, which LoadGen calls {near!r}.")


def _check_indexes(found: LoadGenFile, samples: float) -> None:
    """Numbers that index the QSL: LoadGen believes them, and crashes."""
    override = found.settings.get("performance_sample_count_override")
    if override and override.value > samples:
        raise UsageError(
            f"expected performance_sample_count_override up to {samples:,}, the data set's samples, in "
            f"{override.where}, found {override.value:,}."
        )
    same, unique, index = (found.settings.get(f"performance_issue_{name}") for name in ("same", "unique", "same_index"))
    if not same or not same.value:
        return
    if unique and unique.value:
        raise UsageError(
            f"expected one of performance_issue_same and performance_issue_unique as 1, found both in {same.where} and "
            f"{unique.where}. Remove one."
        )
    count = override.value if override and override.value else samples
    if index and index.value >= count:
        raise UsageError(
            f"expected performance_issue_same_index below {count:,}, the samples that LoadGen loads, in {index.where}, "
            f"found {index.value:,}."
        )
