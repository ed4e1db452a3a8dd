"""The settings of a run: defaults < preset < TOML < flags, each checked against its row before anything starts.

Nothing here opens a model, starts a process or writes a file. A flag that was not given is absent: a default never
overrides a TOML file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.suggest import did_you_mean
from sut.errors import UsageError
from sut.settings import presets, target
from sut.settings.combinations import check
from sut.settings.setting import Setting, flag
from sut.settings.settings import DEMO, SETTINGS, RunConfig

_EXPECTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
RUNS = Path("runs")  # below the current directory: where runs go that name no other place
# TOML and JSON have no paths, and write a whole number without a point.
_ALSO: dict[type, tuple[type, ...]] = {Path: (Path, str), float: (float, int)}


class TomlSettings(dict[str, Any]):
    """The settings in a TOML file, and its path, for messages."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        super().__init__(values)
        self.path = path


def resolve(flags: Mapping[str, Any], toml: Mapping[str, Any] | None = None) -> RunConfig:
    """The configuration of a run.

    Args:
        flags: only what was given on the command line, under the names of the settings.
        toml: what `read_toml` found in a file, or None.

    Raises:
        UsageError: an unknown key, a word that is not one of the choices, a number out of range.
        UnknownTargetError: an accuracy that no target has.
    """
    asked = dict(toml or {}) | {name: value for name, value in flags.items() if value is not None}
    given = {**_preset(asked), **asked}
    _refuse_unknown(given)
    values = {name: row.default for name, row in SETTINGS.items()}
    for name, row in SETTINGS.items():
        if name in given:
            with _named(toml, name in (toml or {}) and flags.get(name) is None):
                values[name] = _value(row, given[name], values)
        elif row.choices_of:
            _check_default(row, values)
    config = RunConfig(**values, explicit=tuple(given))
    check(config)
    target.parse(config)
    return config


@contextmanager
def _named(toml: Mapping[str, Any] | None, is_from_file: bool) -> Iterator[None]:
    """An error of a value that comes from a file says so."""
    try:
        yield
    except UsageError as error:
        if not is_from_file or not isinstance(toml, TomlSettings):
            raise
        raise UsageError(f"in {toml.path}: {error}") from error


def _preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the preset sets. Its calibration data belong to its own data set, not to another one that was given."""
    if "preset" not in given:
        return {}
    values = presets.settings(_value(SETTINGS["preset"], given["preset"], {}))
    if "dataset" in given:
        values.pop("calibration_dataset", None)
    return values


def _check_default(row: Setting, before: Mapping[str, Any]) -> None:
    """Raise UsageError where the choices, which depend on another setting, do not have the row's default."""
    choices = row.choices(before) if row.choices is not None else ()
    if row.default not in choices:
        raise UsageError(
            f"expected a {row.flag}{_because(row, before)}, found none (default: {row.default}). Choose from "
            f"{', '.join(choices)}."
        )


def _because(row: Setting, before: Mapping[str, Any]) -> str:
    return f" for {row.choices_of} {before[row.choices_of]!r}" if row.choices_of else ""


def _value(row: Setting, value: Any, before: Mapping[str, Any]) -> Any:
    """`value` in the row's type and spelling; `before` has the settings above it.

    Raises:
        UsageError: the row does not take it.
    """
    if row.joined and isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"expected {row.flag} without a NUL character, found {value!r}.")
    if row.plugged is not None and ":" in str(value):
        row.plugged(str(value))
        return str(value)
    if row.choices is not None:
        return choose(row.name, str(value), row.choices(before), _because(row, before))
    if not isinstance(value, _ALSO.get(row.kind, row.kind)) or isinstance(value, bool) != (row.kind is bool):
        raise UsageError(f"expected {row.flag} as {_EXPECTED[row.kind]}, found {value!r}.")
    if isinstance(value, int | float) and not row.is_in_range(value):
        raise UsageError(f"expected {row.flag} {row.range}, found {value}.")
    return _path(row.name, str(value)) if row.kind is Path else value


def spelt(name: str, value: Any) -> Any:
    """A value of a setting that depends on no other, in its type and spelling. Raises UsageError, BackendError."""
    return _value(SETTINGS[name], value, {})


def _path(name: str, value: str) -> Path | None:
    """The embedded data set has a name so that a flag can override a preset's data set with it."""
    return None if (name, value) == ("dataset", DEMO) else Path(value)


def choose(name: str, value: str, choices: Iterable[str], of: str = "") -> str:
    """The one of `choices` that `value` is, in any case of letters. Raises UsageError, which suggests the nearest."""
    by_lower = {choice.lower(): choice for choice in choices}
    if value.lower() in by_lower:
        return by_lower[value.lower()]
    parts, hint = ", ".join(by_lower.values()), did_you_mean(value, by_lower.values())
    raise UsageError(f"unknown {flag(name)} {value!r}{of} (choose from {parts}).{hint}")


def given(config: RunConfig) -> dict[str, Any]:
    """The settings that were given or differ from their defaults, in values of JSON; `resolve` takes them again.

    A preset is spelt out, since its name would bring back what a flag had overridden.
    """
    given_values = {name: getattr(config, name) for name, row in SETTINGS.items() if row.repeated}
    kept = {
        name: value
        for name, value in given_values.items()
        if name in config.explicit or value != SETTINGS[name].default
    }
    return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items() if value is not None}


def beyond_defaults(given_values: Mapping[str, Any]) -> dict[str, Any]:
    """`given` without values that equal their defaults: two runs with the same rest are the same run."""
    return {
        name: value for name, value in given_values.items() if name not in SETTINGS or value != SETTINGS[name].default
    }


def to_flags(config: RunConfig) -> list[str]:
    """The flags that resolve to `config`."""
    parts: list[str] = []
    for name, value in given(config).items():
        if value is not False:
            parts += [flag(name)] if value is True else [flag(name), _typed(value)]
    return parts


def _typed(value: object) -> str:
    """A value as a person types it: 2000000, not 2000000.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def read_toml(path: Path) -> TomlSettings:
    """The settings in a file or, since it is read once for a command, a pipe.

    Raises:
        UsageError: it cannot be read, or has an unknown key.
    """
    try:
        values = bounded_readers.read_toml(path, bounded_readers.SETTINGS_BYTES, pipes=True)
    except UnreadableError as error:
        raise UsageError(f"expected settings as TOML in {path}, found {error}. Check --config.") from error
    _refuse_unknown(values, f" in {path}")
    return TomlSettings(values, path)


def _refuse_unknown(values: Iterable[str], where: str = "") -> None:
    for name in values:
        if name not in SETTINGS:
            hint = did_you_mean(name, SETTINGS) or f" Known: {', '.join(SETTINGS)}."
            raise UsageError(f"found an unknown setting {name!r}{where}.{hint}")


def default_log_dir(config: RunConfig, now: datetime | None = None) -> Path:
    """runs/<UTC time>-<scenario>-<mode>-<backend>, below the current directory."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    return RUNS / f"{stamp}-{config.scenario}-{config.mode}-{config.backend.rpartition(':')[2]}"
