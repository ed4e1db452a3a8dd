"""Facts of this machine under the keys of a system description: read from /proc, /sys and os-release.

A fact that cannot be read is absent, not guessed, and the user must give it. On macOS a few facts come from sysctl.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from foundation import cpu_info
from sut.machine import facts as machine_facts

_CPUS, _BLOCKS, _NETS = "sys/devices/system/cpu", "sys/block", "sys/class/net"
_GIB = 1 << 30
_SYSCTL = {
    "host_processor_model_name": "machdep.cpu.brand_string",
    "host_processors_per_node": "hw.packages",
    "host_processor_core_count": "hw.physicalcpu",
}
_GPU_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


def read(root: Path = Path("/")) -> dict[str, str]:
    """The keys of a system description that can be read from the machine below `root`."""
    found = {
        "host_processor_model_name": cpu_info.name(root),
        "host_processors_per_node": _count(_topology(root, "physical_package_id")),
        "host_processor_core_count": _cores(root),
        "host_processor_frequency": _frequency(root),
        "host_processor_caches": _caches(root),
        "host_memory_capacity": _memory(root),
        "host_storage_capacity": _storage_capacity(root),
        "host_storage_type": _storage_type(root),
        "host_network_card_count": _network_cards(root),
        "operating_system": _operating_system(root),
    }
    return (_macos() if root == Path("/") else {}) | {key: value for key, value in found.items() if value}


def _macos() -> dict[str, str]:
    if sys.platform != "darwin":
        return {}
    done = subprocess.run(
        ["sysctl", "-n", *_SYSCTL.values(), "hw.memsize"], capture_output=True, text=True, check=False
    )
    *values, memory_bytes = done.stdout.splitlines() or [""]
    memory = {"host_memory_capacity": f"{int(memory_bytes) / _GIB:.1f} GiB"} if memory_bytes.isdigit() else {}
    return dict(zip(_SYSCTL, values, strict=False)) | memory


def numa_nodes(root: Path = Path("/")) -> int:
    """NUMA nodes of the machine below `root`, at least 1."""
    return len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or 1


def gpus() -> list[str]:
    """Name and memory of each NVIDIA GPU; empty if there is no driver."""
    if shutil.which(_GPU_QUERY[0]) is None:
        return []
    try:
        done = subprocess.run(_GPU_QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _count(values: Iterable[str]) -> str:
    return str(len(set(values)) or "")


def _topology(root: Path, name: str) -> list[str]:
    found = (_text(path / "topology" / name) for path in sorted((root / _CPUS).glob("cpu[0-9]*")))
    return [value for value in found if value]


def _cores(root: Path) -> str:
    """Cores of one processor, without hyper-threads."""
    packages, siblings = _topology(root, "physical_package_id"), _topology(root, "thread_siblings_list")
    return str(len(set(siblings)) // len(set(packages))) if packages and siblings else ""


def _frequency(root: Path) -> str:
    most_khz = _text(root / _CPUS / "cpu0/cpufreq/cpuinfo_max_freq")
    if most_khz.isdigit():
        return f"{int(most_khz) / 1e6:.2f} GHz at most"
    now_mhz = cpu_info.mhz(root)
    return f"{now_mhz / 1e3:.2f} GHz" if now_mhz else ""


def _caches(root: Path) -> str:
    found = []
    for index in sorted((root / _CPUS / "cpu0/cache").glob("index*")):
        level, kind, size = (_text(index / name) for name in ("level", "type", "size"))
        suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
        if level and size:
            found.append(f"L{level}{suffix} {size} (cpus {_text(index / 'shared_cpu_list')})")
    return ", ".join(found)


def _memory(root: Path) -> str:
    lines = [line.split() for line in _text(root / "proc/meminfo").splitlines()]
    kib = next((int(fields[1]) for fields in lines if fields[:1] == ["MemTotal:"]), 0)
    return f"{kib * 1024 / _GIB:.1f} GiB" if kib else ""


def _disks(root: Path) -> dict[str, int]:
    """Name → bytes of each physical disk."""
    found = {}
    for path in sorted((root / _BLOCKS).glob("*")):
        size = _text(path / "size")
        if "virtual" not in path.resolve().parts and size.isdigit() and int(size):
            found[path.name] = int(size) * 512
    return found


def _storage_capacity(root: Path) -> str:
    total = sum(_disks(root).values())
    return f"{total / _GIB:.0f} GiB" if total else ""


def _storage_type(root: Path) -> str:
    return " + ".join(sorted({_kind(root, name) for name in _disks(root)}))


def _kind(root: Path, name: str) -> str:
    if name.startswith("nvme"):
        return "NVMe SSD"
    if name.startswith(("vd", "xvd")):
        return "virtual disk"
    return "HDD" if _text(root / _BLOCKS / name / "queue/rotational") == "1" else "SSD"


def _network_cards(root: Path) -> str:
    cards = [path for path in (root / _NETS).glob("*") if "virtual" not in path.resolve().parts]
    return str(len(cards)) if cards else ""


def _operating_system(root: Path) -> str:
    lines = [line.partition("=") for line in _text(root / "etc/os-release").splitlines()]
    name = next((value.strip('"') for key, _, value in lines if key == "PRETTY_NAME"), platform.system())
    return f"{name}, {platform.system()} {platform.release()}"


def as_markdown(root: Path = Path("/")) -> list[str]:
    """The machine's facts for the .md file of a package, one line each."""
    facts = machine_facts.facts()
    lines = [f"- {key.replace('_', ' ')}: {value}" for key, value in read(root).items()]
    lines.append(f"- NUMA nodes: {numa_nodes(root)}; cores that the runs may use: {facts.cores}")
    lines += [f"- GPU, not used by these runs: {gpu}" for gpu in gpus()]
    versions = ", ".join(f"{name} {version}" for name, version in facts.packages.items())
    lines.append(f"- Python {facts.python} on {facts.architecture}: {versions}")
    return lines
