"""A submission on disk: names and sizes are listed once, contents are read on request.

Links, devices and pipes are listed separately and never opened: for every other check they do not exist.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from submission.check.failure import Failure, RefusedError
from submission.rules.rounds import MAX_FILE_BYTES, TEST01

MAX_ENTRIES = 100_000
_ROOT = PurePosixPath(".")
# What to do about a missing directory, by its name.
_RUN_AGAIN = {
    "performance": "Make the performance run of this scenario, and put its logs there.",
    "accuracy": "Make the accuracy run of this scenario, and put its logs there.",
    TEST01: "Make TEST01's run of this scenario, verify it, and put the files there.",
}


@dataclass(frozen=True)
class Tree:
    """What is below `root`; every path is relative to it."""

    root: Path
    files: dict[PurePosixPath, int]  # → bytes
    folders: frozenset[PurePosixPath]
    others: dict[PurePosixPath, str]  # neither file nor directory → what it is

    def files_in(self, folder: PurePosixPath) -> list[str]:
        return self._files_by_parent.get(folder, [])

    def folders_in(self, folder: PurePosixPath) -> list[str]:
        return self._folders_by_parent.get(folder, [])

    @cached_property
    def _files_by_parent(self) -> dict[PurePosixPath, list[str]]:
        return _by_parent(self.files)

    @cached_property
    def _folders_by_parent(self) -> dict[PurePosixPath, list[str]]:
        return _by_parent(self.folders)

    def has(self, path: PurePosixPath) -> bool:
        """Whether there is a file or a directory at `path`."""
        return path in self.files or path in self.folders

    def missing(self, path: PurePosixPath, todo: str = "Add it.") -> Failure:
        """The failure of a missing file or, if its directory is missing too, of the topmost missing directory.

        Every check gives the same record, which is shown once."""
        for folder in reversed(path.parents):
            if folder != _ROOT and folder not in self.folders:
                todo = _RUN_AGAIN.get(folder.name, "Add it.")
                return Failure(str(folder), "files.missing", "no such directory", "the directory with its files", todo)
        return Failure(str(path), "files.missing", "no such file", "the file", todo)

    def content(self, path: PurePosixPath) -> bytes:
        """A file's bytes. Raises RefusedError: it is missing, too large or cannot be read."""
        if path not in self.files:
            raise RefusedError(self.missing(path))
        if self.files[path] > MAX_FILE_BYTES:
            raise RefusedError(too_large(path, self.files[path]))
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error), "a file that can be read") from error

    def text(self, path: PurePosixPath) -> str:
        """A file's text with \\n as line end. Raises RefusedError: as `content`, or it is not UTF-8."""
        try:
            text = self.content(path).decode()
        except UnicodeDecodeError as error:
            raise _unreadable(path, str(error), "text in UTF-8") from error
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def json(self, path: PurePosixPath) -> dict[str, Any]:
        """A JSON object. Raises RefusedError: as `text`, or it is not a JSON object."""
        try:
            value = json.loads(self.text(path))
        except (ValueError, RecursionError) as error:
            raise _unreadable(path, f"invalid JSON: {error}", "a JSON object") from error
        if not is_text(json.dumps(value, ensure_ascii=False)):  # the official checkers cannot write it to their table
            raise _unreadable(path, r"half a character, such as \ud800", "text that UTF-8 can hold")
        if not isinstance(value, dict):
            raise _unreadable(path, f"JSON of type {type(value).__name__}", "a JSON object")
        return value


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold it: neither half a character from JSON nor a byte of a name that is not UTF-8."""
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False


def too_large(path: PurePosixPath, size: int) -> Failure:
    """The failure of a file above the checkers' limit."""
    return Failure(
        str(path),
        "tree.size",
        f"{size:,} bytes",
        f"at most {MAX_FILE_BYTES:,} bytes",
        "Truncate accuracy logs as the rules say, and remove files that are not part of the submission.",
    )


def _unreadable(path: PurePosixPath, found: str, expected: str) -> RefusedError:
    return RefusedError(Failure(str(path), "files.unreadable", found, expected, "Write the file again."))


def read(root: Path) -> Tree:
    """List a directory. Raises RefusedError if it has too many entries, or one that cannot be looked at."""
    try:
        return _listed(root)
    except OSError as error:  # it may not be entered, or is deeper than a path can be long
        raise _unreadable(PurePosixPath("."), str(error), "a directory that can be read") from error


def _listed(root: Path) -> Tree:
    files: dict[PurePosixPath, int] = {}
    folders: set[PurePosixPath] = set()
    others: dict[PurePosixPath, str] = {}
    for count, entry in enumerate(_entries(root)):
        if count >= MAX_ENTRIES:
            expected = f"at most {MAX_ENTRIES:,} files and directories"
            raise RefusedError(
                Failure(".", "tree.size", "more", expected, "Give the directory of the submission alone.")
            )
        path = PurePosixPath(Path(entry.path).relative_to(root).as_posix())
        if entry.is_symlink():
            others[path] = "a link"
        elif entry.is_dir():
            folders.add(path)
        elif entry.is_file():
            files[path] = entry.stat().st_size
        else:
            others[path] = "a device or a pipe"
    return Tree(root, files, frozenset(folders), others)


def _by_parent(paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, list[str]]:
    """Directory → the sorted names in it: an index, because the checks look into a large tree often."""
    found: dict[PurePosixPath, list[str]] = {}
    for path in sorted(paths):
        found.setdefault(path.parent, []).append(path.name)
    return found


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below `root`: links are not followed, and a deep tree needs no recursion."""
    waiting = [os.fspath(root)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
