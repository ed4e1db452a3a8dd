"""A pre-training run's configuration: defaults < TOML file < `--set name=value`, each checked against its row.

    config = read("1x8", ["seed=7", "train_batch_size=12"])

Nothing here opens data or a model. `1x1`, `1x8`, `2x8` and `demo` are the files below configs/pretraining.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.suggest import did_you_mean
from sut.errors import UsageError
from sut.settings.setting import Setting
from training.loop.settings import ELSEWHERE, NAMES, SETTINGS, PretrainingConfig, official_interval

SHIPPED = "pretraining"
_MOST_DROPOUT = 0.99  # near 1 what is left is divided by 0
_MOST_BATCH = 1 << 20  # 64 times the largest on record; all samples of a step are held at once
_EVALUATED = 10_000  # samples of MLPerf's evaluation
_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
_ALSO: dict[type, tuple[type, ...]] = {Path: (str,), float: (float, int)}


def read(name: str, overrides: Sequence[str] = ()) -> PretrainingConfig:
    """The configuration of a run.

    Args:
        name: of a file below configs/pretraining, without .toml, or a path.
        overrides: "name=value", the value as TOML has it; quotes around text may be left out.

    Raises:
        UsageError: no such file; an unknown name; a value that the setting does not take.
    """
    return resolve(read_file(name) | dict(map(_override, overrides)))


def shipped() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(one.name.removesuffix(".toml") for one in (files("configs") / SHIPPED).iterdir())


def read_file(name: str) -> dict[str, Any]:
    """The values in a file. Raises UsageError."""
    if name in shipped():
        return tomllib.loads((files("configs") / SHIPPED / f"{name}.toml").read_text(encoding="utf-8"))
    try:
        return bounded_readers.read_toml(Path(name), bounded_readers.SETTINGS_BYTES)
    except UnreadableError as error:
        raise UsageError(
            f"expected one of {', '.join(shipped())} or a TOML file as --config, found {name}: {error}."
            f"{did_you_mean(name, shipped())}"
        ) from error


def _override(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"expected --set name=value, found {text}. Type: --set {name}=, and a value.")
    try:
        found = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        found = {}
    return name.strip(), found["value"] if found.keys() == {"value"} else value.strip()  # not of more lines


def resolve(given: Mapping[str, Any]) -> PretrainingConfig:
    """Defaults and what was given, under names of settings or FlagPerf's. Raises UsageError."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        row = SETTINGS[_known(name)]
        values[row.name] = _value(row, value)
    config = PretrainingConfig(**values)
    _check(config)
    return config


def _known(name: str) -> str:
    """The setting of this name."""
    if name in ELSEWHERE:
        raise UsageError(f"expected no {name} in a configuration: {ELSEWHERE[name]}.")
    if name not in NAMES:
        raise UsageError(
            f"expected names of settings in the configuration, found {name}.{did_you_mean(name, NAMES)} "
            "Type: python -m training.pretrain --settings to list them."
        )
    return NAMES[name]


def _value(row: Setting, value: Any) -> Any:
    if not isinstance(value, _ALSO.get(row.kind, row.kind)) or isinstance(value, bool) != (row.kind is bool):
        raise UsageError(f"expected {row.name} as {_EXPECTED[row.kind]}, found {value!r}.")
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"expected {row.name} without a NUL character, found {value!r}.")
    if row.choices is not None and value not in (choices := row.choices({})):
        raise UsageError(
            f"expected one of {', '.join(choices)} as {row.name}, found {value}.{did_you_mean(str(value), choices)}"
        )
    if isinstance(value, int | float) and not row.is_in_range(value):
        raise UsageError(f"expected {row.name} {row.range}, found {value}.")
    return row.kind(value)


def _check(config: PretrainingConfig) -> None:
    """What no row can see alone. Raises UsageError."""
    is_closed, interval = config.division == "closed", official_interval(config.global_batch_size)
    wrong = {
        "opt_lamb_beta_1 and opt_lamb_beta_2 below 1": max(config.opt_lamb_beta_1, config.opt_lamb_beta_2) >= 1,
        f"dropout up to {_MOST_DROPOUT}": config.dropout > _MOST_DROPOUT,
        f"a global batch of at most {_MOST_BATCH:,} samples": config.global_batch_size > _MOST_BATCH,
        "target_mlm_accuracy up to 1": config.target_mlm_accuracy > 1,
        "count_from 0 or 1": config.count_from > 1,
        "start_warmup_step up to count_from, so that no rate is negative": config.start_warmup_step > config.count_from,
        "max_tokens_per_micro_batch of max_seq_length or more": config.tokens_per_micro_batch < config.max_seq_length,
        'clip = "after" with fsdp': config.clip == "before" and config.parallel == "fsdp",
        'optimizer = "lamb" in the closed division': is_closed and config.optimizer != "lamb",
        f"eval_interval_samples {interval} in the closed division": is_closed and config.evaluation_samples != interval,
        f"num_eval_examples {_EVALUATED} in the closed division": is_closed
        and config.num_eval_examples not in (None, _EVALUATED),
    }
    if found := [words for words, is_wrong in wrong.items() if is_wrong]:
        raise UsageError(f"expected {', '.join(found)}, found others in the configuration.")
