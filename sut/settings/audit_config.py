"""audit.config: the settings of a compliance run, of which only those that log answers are taken.

LoadGen reads any setting from this file, after all others: a shorter run, another mode. So nothing but what TEST01
needs is accepted, and LoadGen gets a copy of the lines that were checked.
"""

from __future__ import annotations

from foundation.rules import SCENARIOS
from sut.errors import UsageError
from sut.settings import loadgen_lines
from sut.settings.loadgen_lines import NO_FILE, Key, LoadGenFile, Value
from sut.settings.settings import RunConfig


def _any(value: Value) -> Key:
    return Key(dict.fromkeys(SCENARIOS, ""), value)


# LoadGen's modes are 0 submission, 1 accuracy, 2 performance, 3 find peak performance.
_KEYS = {
    "mode": _any(Value(2, 2)),
    "accuracy_log_rng_seed": _any(Value(0, 2**64 - 1)),
    "accuracy_log_sampling_target": _any(Value(0, 10**12)),
}


def read(config: RunConfig) -> LoadGenFile:
    """The settings in `config.audit_config` for this run's scenario; none without a file.

    Raises:
        UsageError: the file cannot be read, or has a line that LoadGen ignores or that changes what is measured.
    """
    if config.audit_config is None:
        return NO_FILE
    found = loadgen_lines.read(
        config.audit_config,
        _KEYS,
        "*",
        config.scenario,
        file="an audit.config of TEST01",
        flag="--audit-config",
        pipes=True,
    )
    for model, where in found.models.items():
        if model != "*":
            raise UsageError(f"expected '*' as the model in {where}, the only one that LoadGen reads, found {model!r}.")
    return found


def text(settings: LoadGenFile) -> str:
    """The same settings as a file for LoadGen; "" without any."""
    return "".join(f"*.*.{key} = {one.value}\n" for key, one in settings.settings.items())
