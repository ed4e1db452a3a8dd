"""The output directory of a submission: which file lies where, who may work in it, and what is left of an earlier one.

    DIR/order.json                what was ordered: --resume goes on with it
    DIR/user.conf, audit.config   what LoadGen is given
    DIR/runs/<scenario>/<kind>/   each run's logs, whole, and step.json; `<kind>.part` is one that has not ended
    DIR/mlperf_submission/        the tree
    DIR/mlperf_submission.*, mlperf_submission_summary.*    tarball, its sha256, summaries, commands, times, platform

A file or directory is written aside and renamed, so that one with its own name is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from submission.rules.rounds import DIVISIONS
from sut.errors import RunFailedError
from sut.processes import directory_lock

NAME = "mlperf_submission"
SUFFIXES = (".tar.gz", ".tar.gz.sha256", "_summary.csv", "_summary.json", "_summary.xlsx", ".run", ".tstamps", ".md")


@dataclass(frozen=True)
class Workspace:
    """Paths below the output directory."""

    folder: Path

    @property
    def order(self) -> Path:
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
        """`mlperf_submission` with one of `SUFFIXES` behind it."""
        assert suffix in SUFFIXES
        return self.folder / f"{NAME}{suffix}"

    def clean(self) -> None:
        """Remove all that a submission writes, and nothing else."""
        for path in (self.runs, self.tree, aside(self.tree)):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.order, self.user_conf, self.audit_config, *(map(self.package, SUFFIXES))):
            path.unlink(missing_ok=True)


def tree_in(folder: Path) -> Path | None:
    """The tree that a directory is, or, being the output directory of a submission, holds."""
    roots = (folder, Workspace(folder).tree)
    return next((root for root in roots if any((root / name).is_dir() for name in DIVISIONS)), None)


@contextmanager
def claimed(folder: Path) -> Iterator[tuple[Workspace, int]]:
    """The directory `folder`, made if need be, and a lock on it that children inherit: a file descriptor.

    Raises:
        UsageError: it cannot be written, or another submission is at work there.
    """
    with directory_lock.held(folder, "submission") as held:
        yield Workspace(folder), held


def aside(path: Path) -> Path:
    """Where `path` is made."""
    return path.with_name(f"{path.name}.part")


def write(path: Path, content: str | bytes) -> Path:
    """Write a file aside, then rename it, its directories made if need be.

    Raises:
        RunFailedError: it cannot be written.
    """
    part = aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunFailedError(f"expected to write {path}, found: {error}. Make room there, then --resume.") from error
    return path


def replace_folder(part: Path, folder: Path) -> None:
    """Put a finished directory in the place of an older one."""
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
