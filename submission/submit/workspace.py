"""The output directory of a submission: its paths, its lock, and writing files so that they are never partial.

    DIR/order.json                the request that --resume continues
    DIR/user.conf, audit.config   LoadGen's settings
    DIR/runs/<scenario>/<kind>/   each run's complete logs and step.json; an unfinished run is in `<kind>.part`
    DIR/mlperf_submission/        the tree
    DIR/mlperf_submission.*, mlperf_submission_summary.*    tarball, its sha256, summaries, commands, times, platform

A file or directory is written under a temporary name and renamed, so that one with its final name is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foundation import atomic_write
from foundation.bounded_readers import UnreadableError, read_text
from submission.rules.rounds import CHECKED_DIVISIONS
from sut.errors import RunFailedError
from sut.processes import directory_lock

NAME = "mlperf_submission"
SUFFIXES = (".tar.gz", ".tar.gz.sha256", "_summary.csv", "_summary.json", "_summary.xlsx", ".run", ".tstamps", ".md")


@dataclass(frozen=True)
class Workspace:
    """Paths below the output directory."""

    folder: Path

    @property
    def request_file(self) -> Path:
        return self.folder / "order.json"

    @property
    def user_conf(self) -> Path:
        return self.folder / "user.conf"

    @property
    def audit_config(self) -> Path:
        return self.folder / "audit.config"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def run(self, scenario: str, kind: str) -> Path:
        return self.runs / scenario / kind

    @property
    def tree(self) -> Path:
        return self.folder / NAME

    def package(self, suffix: str) -> Path:
        """The path of `mlperf_submission` with one of `SUFFIXES`."""
        assert suffix in SUFFIXES
        return self.folder / f"{NAME}{suffix}"


def tree_in(folder: Path) -> Path | None:
    """The submission tree: `folder` itself, or the tree in it if it is an output directory; None if there is none."""
    roots = (folder, Workspace(folder).tree)
    return next((root for root in roots if any((root / name).is_dir() for name in CHECKED_DIVISIONS)), None)


@contextmanager
def claimed(folder: Path) -> Iterator[tuple[Workspace, int]]:
    """Create `folder` if necessary and lock it; yields its paths and the lock's file descriptor, inherited by children.

    Raises:
        UsageError: it cannot be written, or another submission uses it.
    """
    with directory_lock.held(folder, "submission") as held:
        yield Workspace(folder), held


def temporary(path: Path) -> Path:
    """The temporary name under which `path` is written."""
    return path.with_name(f"{path.name}.part")


def read(path: Path) -> str:
    """The text of a file that belongs to a submission.

    Raises:
        RunFailedError: it was removed, or is no text any more.
    """
    try:
        return read_text(path)
    except UnreadableError as error:
        raise RunFailedError(
            f"expected {path} as its run wrote it, found {error}. To repeat the run, remove {path.parent} and type the "
            "same command with --resume."
        ) from error


def write(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name and rename it; creates its directories.

    Raises:
        RunFailedError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return atomic_write.write_bytes(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise RunFailedError(
            f"expected to write {path}, found: {error}. Free some space, then type the same command with --resume."
        ) from error


def replace_folder(part: Path, folder: Path) -> None:
    """Replace `folder` by the finished directory `part`."""
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
