"""LoadGen's accuracy log on its way into a package: cut as the rules want it, the hash of the whole one kept.

A whole log is tens of megabytes of hexadecimal; a package holds its first and last bytes, and in accuracy.txt the
sha256 of all of it, so that the whole log, kept beside the package, can be asked for later.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from submission.rules.layout import ACCURACY_TXT
from submission.rules.rounds import MAX_ACCURACY_LOG_BYTES, TRUNCATE_KEEP_BYTES, TRUNCATION_MARK
from submission.submit import workspace


def digest(log: Path) -> str:
    """sha256 of the whole log, in hexadecimal."""
    with log.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def truncated(log: Path) -> bytes:
    """The log's first and last bytes around a marker; all of it where it is small enough as it is."""
    size = log.stat().st_size
    with log.open("rb") as file:
        if size <= MAX_ACCURACY_LOG_BYTES:
            return file.read()
        head = file.read(TRUNCATE_KEEP_BYTES)
        file.seek(size - TRUNCATE_KEEP_BYTES)
        return head + TRUNCATION_MARK + file.read()


def pack(log: Path, accuracy_txt: str, folder: Path) -> None:
    """Write the cut log and accuracy.txt, with the whole log's hash as its last line, into `folder`."""
    workspace.write(folder / log.name, truncated(log))
    workspace.write(folder / ACCURACY_TXT, f"{accuracy_txt.rstrip()}\nhash={digest(log)}\n")
