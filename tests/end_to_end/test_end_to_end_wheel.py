"""What is shipped: source distribution → wheel → an empty environment that has the dependencies and no checkout."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from installation import PACKAGE_PATTERNS, PROJECT
from paths import ROOT

pytestmark = pytest.mark.timeout(300)

PACKAGES = [path for path in sorted(ROOT.iterdir()) if any(fnmatch(path.name, one) for one in PACKAGE_PATTERNS)]
NATIVE = (
    "backends/pytorch_cpu/kernels",
    "training/network/native",
    "training/text/native",
)  # folders of compiled libraries
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", PROJECT["readme"], *PROJECT["license-files"])
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
# Each module of the checkout, imported; those that come from elsewhere than the environment.
IMPORT = """
import importlib, pathlib, sys
for name in sys.argv[1:]:
    found = pathlib.Path(importlib.import_module(name).__file__)
    if pathlib.Path(sys.prefix) not in found.parents:
        print(name, found)
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints that ends well, without anything of this environment's in its path."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    checkout = folder / "checkout"
    for package in PACKAGES:
        shutil.copytree(package, checkout / package.name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, checkout / name)
    name = run(sys.executable, "-c", BUILD, "build_sdist", folder, cwd=checkout).splitlines()[-1]
    with tarfile.open(folder / name) as sdist:
        sdist.extractall(folder, filter="data")
    unpacked = folder / name.removesuffix(".tar.gz")
    return folder / run(sys.executable, "-c", BUILD, "build_wheel", folder, cwd=unpacked).splitlines()[-1]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment's interpreter."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(np.__file__).parents[1]}\n", encoding="utf-8")
    return python


def test_the_wheel_holds_the_packages_their_data_and_their_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {package.name for package in PACKAGES}
    for package in PACKAGES:
        assert f"{package.name}/py.typed" in names
    data = [path for folder in ("assets/demo", "assets/demo-sst2") for path in (ROOT / folder).iterdir()]
    for path in (*data, *(ROOT / "configs").glob("*.toml")):
        assert path.relative_to(ROOT).as_posix() in names
    libraries = [path for folder in NATIVE for path in (ROOT / folder).glob("*.so")]
    assert {path.relative_to(ROOT).as_posix() for path in libraries} <= names


def test_every_module_imports_from_the_wheel(python: Path, tmp_path: Path) -> None:
    sources = [path.relative_to(ROOT) for package in PACKAGES for path in package.rglob("*.py")]
    modules = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in sources]
    assert len(modules) > 150
    assert run(python, "-c", IMPORT, *sorted(modules), cwd=tmp_path) == ""


FLAGS = ("--test-query-count", "30", "--cache-dir", "cache", "--log-dir")


def test_the_demo_runs_from_a_directory_with_names_like_ours(python: Path, tmp_path: Path) -> None:
    for name in ("accuracy.py", "submission.py", "backends/__init__.py", "foundation/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('a file of the user')\n", encoding="utf-8")
    (tmp_path / "assets").mkdir()
    (tmp_path / "sut.toml").write_text("no settings", encoding="utf-8")
    run(python.with_name("sut"), *FLAGS, "script", cwd=tmp_path)
    run(python, "-m", "sut", *FLAGS, "module", cwd=tmp_path)
    for name in ("script", "module"):
        record = json.loads((tmp_path / name / "run.json").read_text(encoding="utf-8"))
        assert record["verdict"] == "VALID"


def test_an_extra_is_installed_by_what_it_requires(python: Path, tmp_path: Path) -> None:
    code = "from foundation import installation as i; print(i.kind(), i.here()); print(i.command('plot'))"
    kind, command = run(python, "-c", code, cwd=tmp_path).splitlines()
    assert kind.startswith("a copy in ") and "'plot'" in kind and "'bench'" not in kind
    assert command.endswith(" install 'matplotlib>=3.9'")
    run(*shlex.split(command), "--dry-run", "--no-index", "--quiet", cwd=tmp_path)  # it is among the dependencies here
