"""user.conf: the lines that LoadGen reads, and an error for each that it would silently ignore.

LoadGen reads `model.scenario.key = value`, with `*` for any model or scenario. It ignores a key that it does not know,
a line without blanks around "=", and a model name that no benchmark has.
"""

from __future__ import annotations

from pathlib import Path

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.rules import SCENARIOS
from foundation.suggest import did_you_mean, nearest
from sut.errors import UsageError
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

_MODEL_KEYS = tuple(task.model_key for task in TASKS.values())  # bert for bert-99 and bert-99.9, too
# Which keys LoadGen takes from a user.conf, and for which scenarios.
_ANY = frozenset(SCENARIOS)
_STREAMS = frozenset(("SingleStream", "MultiStream"))
KEYS: dict[str, frozenset[str]] = {
    "target_qps": frozenset(("Offline", "Server")),
    "target_latency": _STREAMS | {"Server"},
    "target_latency_percentile": _STREAMS | {"Server"},
    "coalesce_queries": frozenset(("Server",)),
    "max_async_queries": frozenset(("Server",)),
    "samples_per_query": frozenset(("MultiStream",)),
    "min_duration": _ANY,
    "max_duration": _ANY,
    "min_query_count": _ANY,
    "max_query_count": _ANY,
    "performance_sample_count_override": _ANY,
    "performance_issue_unique": _ANY,
    "performance_issue_same": _ANY,
    "performance_issue_same_index": _ANY,
    "print_timestamps": _ANY,
    "accuracy_log_probability": _ANY,
    "accuracy_log_rng_seed": _ANY,
    "accuracy_log_sampling_target": _ANY,
    "sample_concatenate_permutation": _ANY,
}
# What a valid run may set; the benchmark fixes the rest. Server's target_latency is a limit that it fixes; in the
# streams target_latency is an estimate, which a user may set.
_TUNING = ("target_qps", "coalesce_queries", "max_async_queries", "min_duration", "min_query_count", "print_timestamps")


def read(config: RunConfig, model_key: str) -> dict[str, str]:
    """The keys that `config.user_conf` sets for this run's model and scenario; empty without a file.

    Raises:
        UsageError: a line that LoadGen would ignore or refuse, or one that a valid run may not have.
    """
    if config.user_conf is None:
        return {}
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(config.user_conf), start=1):
        fields = line.split()
        if fields and not fields[0].startswith("#"):
            where = f"{config.user_conf} line {number}"
            model, scenario, key = _check(where, fields)
            if model in ("*", model_key) and scenario in ("*", config.scenario) and config.scenario in KEYS[key]:
                found[key] = fields[2]
                _check_valid(config, where, key)
    return found


def _lines(path: Path) -> list[str]:
    try:
        return bounded_readers.read_text(path, bounded_readers.SETTINGS_BYTES).splitlines()
    except UnreadableError as error:
        raise UsageError(f"expected LoadGen's settings in {path}, found {error}. Check --user-conf.") from error


def _check(where: str, fields: list[str]) -> tuple[str, str, str]:
    """The line's model, scenario and key."""
    parts = fields[0].split(".")
    if len(fields) != 3 or fields[1] != "=" or fields[2].startswith("-") or len(parts) != 3:
        expected = "'model.scenario.key = value', blanks around '=', a number of 0 or more and nothing behind it,"
        raise UsageError(f"expected {expected} in {where}, found {' '.join(fields)!r}.")
    model, scenario, key = parts
    near = nearest(model, _MODEL_KEYS, similar=0.5)
    if near and model not in _MODEL_KEYS:  # a line for another benchmark's model is no mistake
        raise UsageError(f"found model {model!r} in {where}, which LoadGen calls {near!r}.")
    for word, known in ((scenario, ("*", *SCENARIOS)), (key, tuple(KEYS))):
        if word not in known:
            hint = did_you_mean(word, known) or f" Known: {', '.join(known)}."
            raise UsageError(f"found {word!r} in {where}, which LoadGen does not read from a user.conf.{hint}")
    if scenario != "*" and scenario not in KEYS[key]:
        raise UsageError(f"found {key} for {scenario} in {where}; LoadGen reads it for {', '.join(sorted(KEYS[key]))}.")
    return model, scenario, key


def _check_valid(config: RunConfig, where: str, key: str) -> None:
    allowed = key in _TUNING or (key == "target_latency" and config.scenario in _STREAMS)
    if not config.is_trial and not allowed:
        raise UsageError(f"found {key} in {where}; a valid run keeps the official value. Remove the line.")
