"""LoadGen's detail log as the checks read it: every value of every key, and the lines that LoadGen marked as errors.

`sut.record.detail_log` reads the log of a run that just ended, where the last value of a key counts. Here a log may
come from anywhere, so all values of a key must satisfy a rule, and a broken line is a failure of the submission.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree

MARKER = ":::MLLOG"


@dataclass(frozen=True)
class LoggedValues:
    """One log; the values of a key are in the log's order."""

    path: PurePosixPath
    values: dict[str, list[Any]]
    errors: list[str]


def read(tree: Tree, path: PurePosixPath) -> LoggedValues:
    """Read a log. Raises RefusedError: it is missing, does not begin as LoadGen's does, or has a broken line."""
    text = tree.text(path)
    if not text.startswith(MARKER):  # the official checkers stop there, and check nothing else
        raise _broken(path, "a first line that LoadGen did not write" if MARKER in text else "no line of LoadGen's")
    values: dict[str, list[Any]] = {}
    errors: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(MARKER):
            key, value, is_error = _entry(path, number, line)
            values.setdefault(key, []).append(value)
            if is_error:
                errors.append(str(value))
    return LoggedValues(path, values, errors)


def _entry(path: PurePosixPath, number: int, line: str) -> tuple[str, Any, bool]:
    try:
        entry = json.loads(line.removeprefix(MARKER))
        key, value, is_error = entry["key"], entry["value"], bool(entry["metadata"]["is_error"])
        if not isinstance(key, str):
            raise TypeError("its key is not text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _broken(path, f"line {number} broken ({type(error).__name__}: {error})") from error
    return key, value, is_error


def _broken(path: PurePosixPath, found: str) -> RefusedError:
    todo = "Copy LoadGen's file again; if that one is broken too, repeat the run."
    return RefusedError(Failure(str(path), "files.broken-log", found, "LoadGen's complete detail log", todo))
