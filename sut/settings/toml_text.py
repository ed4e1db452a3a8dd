"""Settings as the text of a TOML file, which `--config` takes; the standard library only reads TOML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sut.errors import UsageError
from sut.settings.resolve import given
from sut.settings.settings import SETTINGS, RunConfig


def text(values: Mapping[str, object], comments: Iterable[str] = ()) -> str:
    """A line for each setting, after the comments. Values: text, numbers, bools.

    Raises:
        UsageError: a value has a byte that is not UTF-8, which TOML cannot hold.
    """
    lines = [f"# {line}" for one in comments for line in one.splitlines()]
    return "".join(f"{line}\n" for line in [*lines, *(f"{name} = {_value(name, values[name])}" for name in values)])


def of_run(config: RunConfig) -> str:
    """What was given for a run, its preset spelt out, and every other setting as a comment with its default."""
    values = given(config)
    others = (row for row in SETTINGS.values() if row.name not in values and row.repeated)
    shown = (f"{row.name}: {row.otherwise}" for row in others)
    return text(values) + text({}, ["", "Not given, with their defaults:", *shown] if values else shown)


def _value(name: str, value: object) -> str:
    """JSON's text, escapes and numbers are TOML's, but for DEL and for code points beyond the first 65,536."""
    found = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if not found.isascii():
        try:
            found.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"expected {name} in UTF-8, which TOML needs, found {value!a}.") from error
    return found
