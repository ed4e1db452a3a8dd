"""A file to which whole lines are appended, by one write each, over the restarts of a run.

The last line of a process that was killed may lack its end; it is cut off when the next process opens the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from sut.errors import RunFailedError

_PIECE = 1 << 16  # bytes looked at from the end, more than any line of ours


class AppendedLines:
    """The file at `path`, created if need be.

    Raises:
        RunFailedError: it cannot be written; here and in `append`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            os.truncate(self._descriptor, self._end_of_lines())
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def size(self) -> int:
        """Bytes in it."""
        return os.fstat(self._descriptor).st_size

    def start_over(self) -> None:
        """Remove all lines."""
        os.truncate(self._descriptor, 0)

    def append(self, line: str) -> None:
        """Write a line, given without its end; the next process sees all of it or nothing."""
        left = f"{line}\n".encode()
        try:
            while left:  # a full disk takes a part, and raises at the next try
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        os.close(self._descriptor)

    def _end_of_lines(self) -> int:
        size = self.size
        start = max(0, size - _PIECE)
        end = os.pread(self._descriptor, size - start, start).rfind(b"\n") + 1
        return start + end if end or not start else size

    def _unwritable(self, error: OSError) -> RunFailedError:
        return RunFailedError(
            f"expected to write {self.path}, found: {error}. Free some space, or type another output directory."
        )
