"""What the cgroups around this process grant: cores' worth of time, and memory.

A process is in a group of groups, each with limits of its own, in either of the kernel's two layouts; what counts is
the least of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

_CGROUPS = "sys/fs/cgroup"
_NO_LIMIT = 1 << 60  # bytes; the older layout writes a number beyond any machine where there is none


def cores(root: Path) -> float | None:
    """Cores that are granted; None: all there are. `root` has the kernel's /sys and /proc."""
    return _least(root, "cpu", _cores_v2, _cores_v1)


def memory_bytes(root: Path) -> float | None:
    """Memory that is granted; None: all there is."""
    return _least(root, "memory", _memory_v2, _memory_v1)


def _least(
    root: Path, controller: str, newer: Callable[[Path], float | None], older: Callable[[Path], float | None]
) -> float | None:
    granted = [newer(group) for group in _groups(root, "")] + [older(group) for group in _groups(root, controller)]
    return min((found for found in granted if found is not None), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """This process's group and those around it; in a container the root is the group itself, and its path is not there.

    `controller` is "" for the newer layout, where one tree has all of them.
    """
    for line in text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", maxsplit=2)
        if controller in controllers.split(","):
            inner = Path() if ".." in group else Path(group.lstrip("/"))
            for mount in (controllers, controller) if controller else ("", "unified"):
                yield from (root / _CGROUPS / mount / part for part in (inner, *inner.parents))


def text(path: Path) -> str:
    """What a file of the kernel's says; "" where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _cores_v2(group: Path) -> float | None:
    return _cores_of(text(group / "cpu.max").split())


def _cores_v1(group: Path) -> float | None:
    return _cores_of([text(group / "cpu.cfs_quota_us"), text(group / "cpu.cfs_period_us")])


def _cores_of(words: list[str]) -> float | None:
    """`quota period` in µs; "max", -1 and nothing at all grant everything."""
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
        return int(words[0]) / int(words[1])
    return None


def _memory_v2(group: Path) -> float | None:
    return _bytes_of(text(group / "memory.max"))


def _memory_v1(group: Path) -> float | None:
    return _bytes_of(text(group / "memory.limit_in_bytes"))


def _bytes_of(word: str) -> float | None:
    return float(word) if word.isdigit() and int(word) < _NO_LIMIT else None
