"""Who may import whom, and that nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

OURS = {"sut", "backends", "qsl", "accuracy", "submission", "training", "benchmarks"}
# A package → the packages of ours that it may import beside itself.
MAY_IMPORT = {
    "qsl": set(),
    "backends": set(),
    "accuracy": {"qsl"},
    "sut": {"accuracy", "backends", "qsl"},
    "submission": {"sut", "accuracy", "backends", "qsl"},
    "training": {"sut", "accuracy", "backends", "qsl"},
    "benchmarks": {"sut", "accuracy", "backends", "qsl", "training"},
}
# A module outside ours → the files that may import it.
ONLY_IN = {
    "mlperf_loadgen": {"sut/queries/loadgen.py"},
    "onnxruntime": {"backends/onnxruntime_cpu/session.py"},  # for the backend and for calibration
    "requests": {"sut/fetch/http.py"},
    "onnx": {
        "backends/onnxruntime_cpu/graph.py",
        "backends/onnxruntime_cpu/sparsity.py",
        "backends/formats/onnx_graph_walk.py",
    },
    "openvino": {
        "backends/openvino_cpu/backend.py",
        "backends/openvino_cpu/graph.py",
        "backends/openvino_cpu/quantizer.py",
    },
    "nncf": {"backends/openvino_cpu/quantizer.py"},
}
HEAVY = (
    *("torch", "triton", "onnxruntime", "onnx", "openvino", "nncf", "transformers", "tokenizers"),
    *("mlperf_loadgen", "rich", "requests"),
)


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_what_lies_below(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    found = {(path.name, name) for path in sources(package) for name in imported(path)}
    assert {pair for pair in found if pair[1].split(".")[0] in OURS - allowed} == set()


@pytest.mark.parametrize("module", sorted(ONLY_IN))
def test_engines_and_loadgen_have_one_door_each(module: str) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in ("sut", "backends", "qsl", "accuracy", "submission")
        for path in sources(package)
        if any(name.split(".")[0] == module for name in imported(path))
    }
    assert files == ONLY_IN[module]


def test_the_scheduler_never_sees_loadgen() -> None:
    for name in (
        "queries/scheduler",
        "queries/batching",
        "queries/server_queue",
        "executors/worker",
        "executors/base",
        "executors/inline",
        "executors/processes",
    ):
        assert not any("loadgen" in module for module in imported(ROOT / "sut" / f"{name}.py")), name


@pytest.mark.parametrize(
    "package",
    ["sut", "backends", "qsl", "accuracy", "submission", "sut.settings.resolve", "sut.settings.flags", "qsl.squad"],
)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "path",
    [path for package in ("sut", "backends", "qsl", "accuracy", "submission") for path in sources(package)],
    ids=str,
)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
