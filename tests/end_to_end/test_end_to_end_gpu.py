"""`python -m sut --backend gpu` where it cannot run: one line, at once; and what can be done without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Case, Ended, Run, assert_refused
from installation import CORE, link
from paths import ROOT

from backends.errors import BackendError
from backends.gpu import device, engine

try:
    device.find()
    pytest.skip("there is a GPU", allow_module_level=True)
except BackendError:
    pass

VERSION = """__version__ = "2.99.0"
cuda = {cuda!r}
"""


@pytest.mark.parametrize("precision", ["fp16", "fp8"])
def test_without_a_gpu_a_run_ends_at_once_in_one_line(run: Run, precision: str) -> None:
    pytest.importorskip("torch"), pytest.importorskip("triton")
    ended = run("--backend", "gpu", "--precision", precision, "--model", "no such model")
    assert_refused(ended, "expected a CUDA GPU", "found none", "--backend pytorch")
    assert not ended.runs
    assert len(ended.err.splitlines()) == 1


def test_an_engine_is_built_without_a_gpu(run: Run, case: Case) -> None:
    pytest.importorskip("torch"), pytest.importorskip("triton")
    what = ("--backend", "gpu", "--precision", "fp8", "--calibration-dataset", case.dataset, "--calibration-samples", 4)
    ended = run("build", *case.data, *what, with_case=False)
    assert ended.code == 0, ended.err
    built = engine.read(Path(ended.out.strip()))
    assert built.precision == "fp8" and set(built.choices) == {"default"}
    assert run("build", *case.data, *what, with_case=False).out == ended.out
    assert_refused(run("build", "--backend", "gpu", "--precision", "fp16", with_case=False), "fp8, int8", "fp16")


def test_a_run_on_an_emulated_gpu_with_two_jobs_in_one_graph(run: Run, case: Case) -> None:
    """Single samples run as CUDA graphs, and an instance has two under way: neither may get the other's answer."""
    pytest.importorskip("torch"), pytest.importorskip("triton")
    what = (
        "--backend",
        "gpu",
        "--precision",
        "fp16",
        "--mode",
        "accuracy",
        "--batch-size",
        1,
        "--test-query-count",
        12,
    )
    ended = run(*case.flags, *what, "--test-query-count", 12, module="emulated_gpu", path=(ROOT / "tests" / "support",))
    record = ended.record()
    assert record["result"]["of_answered"] == 100, ended.err
    assert record["topology"]["gpus"] == ["Emulated GPU"] and record["topology"]["instances"][0]["gpu"] == 0


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    for name in CORE:
        link(folder, name)
    return folder


def pretend(core: Path, folder: Path, **packages: str) -> Path:
    """The core next to packages that hold only a version.py: nothing here may import them."""
    for path in core.iterdir():
        (folder / path.name).symlink_to(path.resolve())
    for name, version in packages.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('too early')\n", encoding="utf-8")
        (folder / name / "version.py").write_text(version, encoding="utf-8")
    return folder


def ended(packages: Path) -> Ended:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, packages)))
    command = [sys.executable, "-S", "-m", "sut", "--backend", "gpu", "--precision", "fp16"]
    done = subprocess.run(command, cwd=packages, env=env, capture_output=True, text=True, check=False, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr, packages)


def test_without_torch_or_triton_it_says_what_to_install(core: Path, tmp_path: Path) -> None:
    assert_refused(ended(core), "torch", "pip install ", "[gpu]'")
    torch_alone = pretend(core, tmp_path, torch=VERSION.format(cuda="13.0"))
    assert_refused(ended(torch_alone), "triton", "pip install ", "[gpu]'")


@pytest.mark.parametrize(("cuda", "words"), [(None, "built without CUDA"), ("13.0", "no NVIDIA driver")])
def test_it_says_whether_the_driver_is_missing_or_torchs_cuda(
    core: Path, tmp_path: Path, cuda: str | None, words: str
) -> None:
    message = assert_refused(ended(pretend(core, tmp_path, torch=VERSION.format(cuda=cuda), triton="")), words)
    assert ("built without CUDA" in message) == (cuda is None)


def test_the_benchmark_ends_in_one_line_too(run: Run) -> None:
    pytest.importorskip("torch"), pytest.importorskip("triton")
    assert_refused(run(module="benchmarks.gpu"), "expected a CUDA GPU")
