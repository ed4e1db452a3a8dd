"""This project as it is installed: its version, its extras, and the commands that install what is missing.

pyproject.toml of a checkout comes before the installed metadata, because those of an editable installation are as old
as the installation. The project is in no package index, so no command here asks one for it: in a checkout an extra is
installed from there, elsewhere by what it requires.
"""

from __future__ import annotations

import platform
import re
import shlex
import shutil
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "mlperf-bert-sut"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_ROOT = Path(__file__).resolve().parents[1]
_DISTRIBUTION = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""\s*;.*extra\s*==\s*["']([\w-]+)["'].*""")
_ON_GPU = "gpu"  # the extra that needs PyTorch with CUDA
_ONLY_IN_A_CHECKOUT = ("bench", "dev")  # what they are for is in no wheel
_ON_ARM = "torch<2.11"  # the last of PyTorch's wheels for ARM without CUDA


def version() -> str:
    """Such as 0.2.0."""
    return str(_project()["version"]) if checkout() else metadata.version(NAME)


def requirements() -> dict[str, tuple[str, ...]]:
    """What each extra installs, by the extra's name, as pip takes it, such as "torch>=2.6"; of the core, by ""."""
    if checkout():
        lines = {"": _project()["dependencies"], **_project()["optional-dependencies"]}
        return {name: tuple(line.partition(";")[0].strip() for line in found) for name, found in lines.items()}
    found: dict[str, tuple[str, ...]] = {"": ()}
    for line in metadata.requires(NAME) or []:
        extra = _EXTRA.search(line)
        name = extra[1] if extra else ""
        found[name] = (*found.get(name, ()), line.partition(";")[0].strip())
    return found


def extras() -> dict[str, tuple[str, ...]]:
    """The distributions that each extra installs, by the extra's name."""
    return {name: tuple(map(_name, lines)) for name, lines in requirements().items() if name}


def here() -> tuple[str, ...]:
    """The extras that are of use in this installation, on this machine."""
    unfit = () if checkout() else _ONLY_IN_A_CHECKOUT
    return tuple(name for name in extras() if name not in unfit and (name != _ON_GPU or has_nvidia()))


def checkout() -> Path | None:
    """The checkout that this code is in; None if it was copied into an environment, as a wheel is."""
    return _ROOT if _project() else None


def kind() -> str:
    """How it is installed, in words."""
    if not checkout():
        return f"a copy in {_ROOT}"
    return f"{'editable, ' if _is_editable() else 'not installed: '}a checkout in {_ROOT}"


@dataclass(frozen=True)
class Target:
    """What an extra is installed on, as far as it matters to PyTorch."""

    system: str  # linux, darwin
    architecture: str  # x86_64, aarch64, arm64
    has_nvidia: bool  # the driver of a GPU
    has_torch: bool

    @classmethod
    def here(cls) -> Target:
        return cls(sys.platform, platform.machine(), has_nvidia(), find_spec("torch") is not None)


def command(extra: str, on: Target | None = None) -> str:
    """What to type to install an extra, in the current directory and into this environment.

    Where there is no NVIDIA GPU, PyTorch comes first, in its build for CPUs: pip alone takes one with CUDA, several GB.
    """
    needed = requirements()[extra]
    torch = next((line for line in needed if _name(line) == "torch"), None)
    alone = _torch_for_cpus(torch, on or Target.here()) if torch and extra != _ON_GPU else []
    rest = ["-e", f"{_place()}[{extra}]"] if checkout() else [line for line in needed if not alone or line != torch]
    return " && ".join(shlex.join([*_pip(), "install", *words]) for words in (alone, rest) if words)


def repair(distribution: str) -> str:
    """What to type to install a distribution of the core again."""
    line = next((line for line in requirements()[""] if _name(line) == distribution), distribution)
    return shlex.join([*_pip(), "install", "--force-reinstall", line])


def build_again() -> str:
    """What to type to compile the native libraries of this installation."""
    if checkout():
        compiler = "" if shutil.which("g++") else "apt install g++, then "
        return compiler + shlex.join([*_pip(), "install", "--no-deps", "-e", _place()])
    return "pip install --force-reinstall --no-deps with the checkout or wheel that it came from, built where g++ is"


def has_nvidia() -> bool:
    """Whether the driver of an NVIDIA GPU is there."""
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def _pip() -> list[str]:
    """pip of this environment: by its short name where that is the same."""
    ours = Path(sysconfig.get_path("scripts")) / "pip"
    found = shutil.which("pip")
    return ["pip"] if found and Path(found) == ours else [sys.executable, "-m", "pip"]


def _torch_for_cpus(requirement: str, on: Target) -> list[str]:
    """The words after `pip install` for PyTorch without CUDA; none where the usual one has none, or is installed."""
    if on.system != "linux" or on.has_nvidia or on.has_torch:
        return []
    if on.architecture == "aarch64":
        return [] if "==" in requirement else [f"{requirement},{_ON_ARM.removeprefix('torch')}"]
    return [requirement, "--index-url", CPU_INDEX]


def _place() -> str:
    return "." if Path.cwd() == _ROOT else str(_ROOT)


def _is_editable() -> bool:
    """By any of its distributions: in a checkout the first is the *.egg-info that a build leaves there."""
    found = metadata.distributions(name=NAME)
    return any('"editable": true' in (one.read_text("direct_url.json") or "") for one in found)


@cache
def _project() -> dict[str, Any]:
    """[project] of a checkout's pyproject.toml; empty for an installed package."""
    path = _ROOT / "pyproject.toml"
    if not path.is_file():
        return {}
    project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return project if project.get("name") == NAME else {}


def _name(requirement: str) -> str:
    found = _DISTRIBUTION.match(requirement)
    assert found is not None  # pip would not have installed it
    return found[0]
