"""What an earlier submission left in the output directory: continued, removed, or refused.

order.json proves that files are a submission's. Nothing is removed or replaced without it, and nothing that could be a
user's own with it: runs of other commands, or a user.conf that was there before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from foundation.rules import SCENARIOS
from submission.submit import request_file, test01, user_conf, workspace
from submission.submit.request import ResumeOptions, SubmissionRequest
from submission.submit.workspace import Workspace
from sut.errors import UsageError


def check(request: SubmissionRequest, options: ResumeOptions, output: Workspace) -> None:
    """Refuse a directory that holds another submission, or this one without --resume or --clean.

    Raises:
        UsageError: it does, or it holds files with the names of a submission and no order.json.
    """
    if not output.request_file.exists():
        if found := next(filter(Path.exists, _files(output)), None):
            raise UsageError(
                f"expected no submission in {output.folder}, or one with its order.json, found {found.name} without "
                "it. Move it away, or type another --output-dir."
            )
    elif options.clean:
        request_file.read(output)
    elif options.resume:
        request_file.refuse_another(request, output)
    else:
        raise UsageError(
            f"found a submission in {output.folder}. Type: --resume to continue it, --clean to remove it and start "
            "again, or another --output-dir."
        )


def remove(output: Workspace) -> None:
    """Remove a submission whose order.json `check` has read; order.json goes last."""
    if not output.request_file.exists():
        return
    for path in _files(output):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for path, mark in ((output.user_conf, user_conf.MARK), (output.audit_config, test01.AUDIT_CONFIG)):
        if path.is_file() and mark in path.read_text(encoding="utf-8", errors="replace"):
            path.unlink()
    with suppress(OSError):  # runs of other commands
        output.runs.rmdir()
    output.request_file.unlink()


def _files(output: Workspace) -> Iterator[Path]:
    """Files and directories with names that only a submission uses."""
    yield from (output.runs / scenario for scenario in SCENARIOS)
    yield from (output.tree, workspace.temporary(output.tree))
    yield from map(output.package, workspace.SUFFIXES)
