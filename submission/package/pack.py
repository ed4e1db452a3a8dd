"""The tarball of a tree and its sha256: packing the same tree again gives the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from submission.submit import workspace
from submission.submit.workspace import Workspace


def pack(output: Workspace, unix_s: int) -> Path:
    """Pack the tree; every file gets the modification time `unix_s` and no owner."""
    tarball = output.package(".tar.gz")
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=unix_s, filename="") as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(output.tree.rglob("*")):
            member = tarfile.TarInfo(path.relative_to(output.tree).as_posix())
            member.mtime = unix_s
            _add(tar, member, path)
    workspace.write(tarball, packed.getvalue())
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    workspace.write(output.package(".tar.gz.sha256"), f"{digest}  {tarball.name}\n")
    return tarball


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    content = path.read_bytes()
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))
