"""Truncates LoadGen's accuracy log for a package, as the rules require, and records the hash of the complete log.

A complete log is tens of megabytes of hexadecimal. The package holds its first and last bytes, and accuracy.txt its
sha256, so that the complete log, which is kept outside the package, can be verified later.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from foundation.log_files import ACCURACY_TXT
from submission.rules.rounds import MAX_ACCURACY_LOG_BYTES, TRUNCATE_KEEP_BYTES, TRUNCATION_MARK
from submission.submit import workspace


def digest(log: Path) -> str:
    """sha256 of the complete log, in hexadecimal."""
    with log.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def truncated(log: Path) -> bytes:
    """The log's first and last bytes around a marker, or all of it if it is small enough."""
    size = log.stat().st_size
    with log.open("rb") as file:
        if size <= MAX_ACCURACY_LOG_BYTES:
            return file.read()
        head = file.read(TRUNCATE_KEEP_BYTES)
        file.seek(size - TRUNCATE_KEEP_BYTES)
        return head + TRUNCATION_MARK + file.read()


def pack(log: Path, accuracy_txt: str, folder: Path) -> None:
    """Write the truncated log and accuracy.txt, with the complete log's hash as its last line, into `folder`."""
    workspace.write(folder / log.name, truncated(log))
    workspace.write(folder / ACCURACY_TXT, f"{accuracy_txt.rstrip()}\nhash={digest(log)}\n")
