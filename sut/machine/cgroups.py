"""The limits of this process's cgroups: CPU time and memory.

Cgroups nest (v1 or v2); the effective limit is the minimum over all ancestors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

_CGROUPS = "sys/fs/cgroup"
_NO_LIMIT = 1 << 60  # bytes; cgroups v1 reports a larger number if there is no limit


def cores(root: Path) -> float | None:
    """The limit in cores; None without a limit. `root` has the kernel's /sys and /proc."""
    return _least(root, "cpu", _cores_v2, _cores_v1)


def memory_bytes(root: Path) -> float | None:
    """The memory limit in bytes; None without a limit."""
    return _least(root, "memory", _memory_v2, _memory_v1)


def _least(
    root: Path, controller: str, newer: Callable[[Path], float | None], older: Callable[[Path], float | None]
) -> float | None:
    granted = [newer(group) for group in _groups(root, "")] + [older(group) for group in _groups(root, controller)]
    return min((found for found in granted if found is not None), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """This process's group and its ancestors; in a container the root is the group itself, and its path does not exist.

    `controller` is "" for cgroups v2, where one tree has all controllers.
    """
    for line in text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", maxsplit=2)
        if controller in controllers.split(","):
            inner = Path() if ".." in group else Path(group.lstrip("/"))
            for mount in (controllers, controller) if controller else ("", "unified"):
                yield from (root / _CGROUPS / mount / part for part in (inner, *inner.parents))


def text(path: Path) -> str:
    """The content of a kernel file; "" if it does not exist."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _cores_v2(group: Path) -> float | None:
    return _cores_of(text(group / "cpu.max").split())


def _cores_v1(group: Path) -> float | None:
    return _cores_of([text(group / "cpu.cfs_quota_us"), text(group / "cpu.cfs_period_us")])


def _cores_of(fields: list[str]) -> float | None:
    """Cores from `quota period` in µs; None (no limit) for "max", -1 and an empty file."""
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit() and int(fields[1]):
        return int(fields[0]) / int(fields[1])
    return None


def _memory_v2(group: Path) -> float | None:
    return _bytes_of(text(group / "memory.max"))


def _memory_v1(group: Path) -> float | None:
    return _bytes_of(text(group / "memory.limit_in_bytes"))


def _bytes_of(text_: str) -> float | None:
    return float(text_) if text_.isdigit() and int(text_) < _NO_LIMIT else None
