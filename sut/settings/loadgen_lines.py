"""Lines of LoadGen's settings files, user.conf and audit.config: each is checked as LoadGen reads it.

LoadGen reads `model.scenario.key = value`, with `*` for any model or scenario. It ignores a key that it does not know
and a model that no benchmark has, and reads as much of a value as it understands: 1e5 is 1 where it expects a whole
number. Here such a line is an error that names it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.rules import SCENARIOS
from foundation.suggest import did_you_mean
from sut.errors import UsageError

_BLANKS = re.compile(r"[ \t\v\f\r]+")  # what separates words for LoadGen; a no-break space does not
_SHOWN = 40  # characters of what was found
_FORM = "'model.scenario.key = value', blanks around '=', a number of 0 or more and nothing behind it,"


@dataclass(frozen=True)
class Value:
    """The values that a key takes: numbers of a form and range."""

    least: float
    most: float
    is_whole: bool = True

    def parse(self, text: str) -> float | None:
        """The number, an int if it is whole; None if LoadGen would read another one, or cannot use it."""
        if not (_WHOLE if self.is_whole else _NUMBER).fullmatch(text):
            return None
        value = int(text) if self.is_whole else float(text)
        return value if self.least <= value <= self.most else None

    def __str__(self) -> str:
        kind = "a whole number in decimal digits" if self.is_whole else "a number"
        return f"{kind} from {self.least:,} to {self.most:,}"


_WHOLE = re.compile(r"0|[1-9][0-9]{0,19}")
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Key:
    """What LoadGen does with a key: the field of its TestSettings in each scenario that has one, and the unit."""

    fields: Mapping[str, str]  # scenario → field
    value: Value
    scale: float = 1  # of the field's unit in the file's
    value_in: Mapping[str, Value] | None = None  # another form in some scenarios

    def value_of(self, scenario: str) -> Value:
        return (self.value_in or {}).get(scenario, self.value)


@dataclass(frozen=True)
class Setting:
    """One value that counts for a run, and the line that has it."""

    where: str
    value: float


@dataclass(frozen=True)
class LoadGenFile:
    """A settings file as it was read."""

    settings: Mapping[str, Setting]  # by key: those for the run's model and scenario
    sha256: str | None  # of its bytes; None without a file
    models: Mapping[str, str]  # every model of a line, * and other benchmarks' included → the line


NO_FILE = LoadGenFile({}, None, {})


@dataclass(frozen=True)
class _Line:
    where: str
    model: str
    scenario: str
    key: str
    text: str
    value: float = 0


def read(
    path: Path, keys: Mapping[str, Key], model: str, scenario: str, *, file: str, flag: str, pipes: bool = False
) -> LoadGenFile:
    """The settings in `path` for a model and a scenario; a line that names them comes before one with `*`.

    Args:
        keys: those that LoadGen reads from such a file.
        file: its kind, for messages.
        pipes: whether it may be a pipe, which can be read once only.

    Raises:
        UsageError: the file cannot be read, or LoadGen would ignore or misread a line.
    """
    try:
        content = bounded_readers.read_bytes(path, bounded_readers.SETTINGS_BYTES, pipes=pipes)
        text = content.decode("utf-8-sig")
    except (UnreadableError, UnicodeDecodeError) as error:
        reason = "text that is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise UsageError(f"expected LoadGen's settings in {path}, found {reason}. Check {flag}.") from error
    found: dict[tuple[str, str, str], _Line] = {}
    models: dict[str, str] = {}
    for line in _lines(path, text):
        models.setdefault(line.model, line.where)
        if line.model not in ("*", model):  # another benchmark's, with keys of its own
            continue
        _check_names(line, keys, file)
        name = (line.model, line.scenario, line.key)
        if name in found:
            raise UsageError(f"found {'.'.join(name)} in {line.where}, and in {found[name].where}. Remove one.")
        found[name] = replace(line, value=_value(line, keys, scenario))
    return LoadGenFile(_chosen(found.values(), keys, model, scenario), hashlib.sha256(content).hexdigest(), models)


def _lines(path: Path, text: str) -> Iterator[_Line]:
    """The lines that are settings, by their form."""
    for number, line in enumerate(text.split("\n"), start=1):
        words = [word for word in _BLANKS.split(line) if word]
        if words and not words[0].startswith("#"):
            yield _parse(f"{path} line {number}", words)


def _chosen(lines: Collection[_Line], keys: Mapping[str, Key], model: str, scenario: str) -> dict[str, Setting]:
    """The setting of each key: from a line for this model and scenario, else for any model, any scenario, anything."""
    settings: dict[str, Setting] = {}
    for name in (("*", "*"), (model, "*"), ("*", scenario), (model, scenario)):
        for line in lines:
            if (line.model, line.scenario) == name and scenario in keys[line.key].fields:
                settings[line.key] = Setting(line.where, line.value)
    return settings


def _parse(where: str, words: list[str]) -> _Line:
    for character in "".join(words):
        if not "!" <= character <= "~":
            name = unicodedata.name(character, "a control character").lower()
            raise UsageError(f"expected {_FORM} in {where}, found U+{ord(character):04X} ({name}). Type it again.")
    parts = words[0].split(".")
    if len(words) != 3 or words[1] != "=" or words[2].startswith("-") or len(parts) != 3:
        raise UsageError(f"expected {_FORM} in {where}, found {' '.join(words)[:_SHOWN]!r}.")
    return _Line(where, parts[0], parts[1], parts[2], words[2])


def _check_names(line: _Line, keys: Mapping[str, Key], file: str) -> None:
    for word, known in ((line.scenario, ("*", *SCENARIOS)), (line.key, tuple(keys))):
        if word not in known:
            hint = did_you_mean(word, known) or f" Known: {', '.join(known)}."
            raise UsageError(f"found {word!r} in {line.where}, which LoadGen does not read from {file}.{hint}")
    fields = keys[line.key].fields
    if line.scenario != "*" and line.scenario not in fields:
        known_in = ", ".join(sorted(fields))
        raise UsageError(f"found {line.key} for {line.scenario} in {line.where}; LoadGen reads it for {known_in}.")


def _value(line: _Line, keys: Mapping[str, Key], scenario: str) -> float:
    """The line's value, as its own scenario takes it, or the run's if it is for any."""
    value = keys[line.key].value_of(scenario if line.scenario == "*" else line.scenario)
    found = value.parse(line.text)
    if found is None:
        raise UsageError(f"expected {value} for {line.key} in {line.where}, found {line.text[:_SHOWN]!r}.")
    return found
