"""The machine and the software, as facts for run.json."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from backends import BACKENDS
from foundation import cpu_info, installation

_CORE = (
    installation.NAME,
    "mlcommons-loadgen",
    "numpy",
    "onnxruntime",
    "onnx",
    "safetensors",
)

# Variables that affect threads, memory and kernels; listed by name, so that no other ones get into a record.
_VARIABLES = ("LD_PRELOAD", "LRU_CACHE_CAPACITY", "MALLOC_CONF", "THP_MEM_ALLOC_ENABLE")
_PREFIXES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_", "TORCH_MKLDNN_", "TORCHINDUCTOR_")


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """The machine and the software of a run; facts that older records lack have a default."""

    architecture: str
    processor: str
    cores: int  # that the process may use
    memory_bytes: int | None = None
    operating_system: str = ""
    python: str
    commit: str | None = None
    packages: Mapping[str, str]  # relevant package → version
    environment: Mapping[str, str] = field(default_factory=dict)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def facts() -> MachineFacts:
    """Processor, cores, memory, operating system, Python and versions of the relevant packages."""
    return MachineFacts(
        **kind(),
        cores=cores(),
        memory_bytes=_memory_bytes(),
        operating_system=platform.platform(),
        python=platform.python_version(),
        commit=commit(),
        packages=versions(),
        environment=environment(),
    )


@cache
def commit() -> str | None:
    """The git commit of this code, with "-dirty" if files were changed; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed, or inside another project's checkout
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def kind() -> dict[str, str]:
    """The machine's architecture and the processor's name."""
    return {"architecture": platform.machine(), "processor": cpu_info.name() or platform.processor()}


def versions() -> dict[str, str]:
    """Versions of the core's packages and of the backends' engines, as far as they are installed.

    Of backends of other packages, only those that this process has used.
    """
    brought = dict(filter(None, map(BACKENDS.brought_by, BACKENDS)))
    found = {}
    for name in dict.fromkeys((*_CORE, *brought, *(one for backend in BACKENDS for one in engine_packages(backend)))):
        try:
            found[name] = installation.version() if name == installation.NAME else metadata.version(name)
        except metadata.PackageNotFoundError:
            found |= {name: brought[name]} if brought.get(name) else {}
    return found


def engine_packages(backend: str) -> tuple[str, ...]:
    """The distributions of a backend's engine, the engine's own first; empty if none is known."""
    entry, brought = BACKENDS[backend], BACKENDS.brought_by(backend)
    return entry.distributions or installation.extras().get(entry.extra, ()) or (brought[:1] if brought else ())


@cache
def distributions() -> dict[str, str]:
    """All installed distributions with their versions, without those that have damaged metadata."""
    found = {one.name: one.version for one in metadata.distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name and version))


def environment() -> dict[str, str]:
    """Environment variables that affect threads, memory and kernels."""
    chosen = (name for name in os.environ if name in _VARIABLES or name.startswith(_PREFIXES))
    return {name: os.environ[name] for name in sorted(chosen)}


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
