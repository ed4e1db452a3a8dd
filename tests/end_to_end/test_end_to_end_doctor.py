"""`python -m sut doctor`: on this installation, on one of the core alone, and on one whose core does not work.

The other installations are real ones: a directory with links to some of the packages here, and an interpreter that
sees nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Run
from installation import CORE, PROJECT, link
from paths import ROOT

from foundation import installation
from foundation.rules import SEEDS
from sut.commands.doctor.command import BRINGS


def test_it_says_what_works_here(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", "--json", "--cache-dir", tmp_path / "nothing", with_case=False)
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert report["works"] and report["loadgen"]["round"] in SEEDS
    works = {trial["backend"]: trial["works"] for trial in report["backends"]}
    assert works["onnxruntime"] and works["pytorch"]
    assert all(trial["works"] or trial["no_device"] for trial in report["backends"] if trial["installed"])
    gpu = next(trial for trial in report["backends"] if trial["backend"] == "gpu")
    assert gpu["works"] != ("expected a CUDA GPU" in gpu["no_device"])  # one or the other, and neither is a defect
    assert not (tmp_path / "nothing").exists()


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    for name in CORE:
        link(folder, name)
    return folder


def doctor(packages: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, packages)))
    command = [sys.executable, "-S", "-m", "sut", "doctor", *args]
    return subprocess.run(command, cwd=packages, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_on_the_core_alone_it_says_what_each_extra_would_bring(core: Path, tmp_path: Path) -> None:
    ended = doctor(core, "--json", "--cache-dir", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    offered = [name for name in BRINGS if name in installation.here()]  # gpu: where there is one
    assert report["extras"] == dict.fromkeys(offered, False)
    assert report["installation"].endswith(f"a checkout in {ROOT}")
    assert {trial["backend"]: trial["installed"] for trial in report["backends"]} == {
        "onnxruntime": True, "pytorch": False, "openvino": False, "gpu": False,
    }  # fmt: skip
    for name in offered:
        line = next(one for one in report["missing"] if one["what"] == f"extra {name}")
        assert line["brings"].startswith(BRINGS[name])
        assert f"pip install -e '{ROOT}[{name}]'" in line["todo"]
    assert report["fetched"] == []
    shown = doctor(core, "--cache-dir", str(tmp_path)).stdout
    words = " ".join(shown.split())
    assert "python -m sut fetch bert-large-mlperf squad-dev" in words
    assert all(f"[{name}]'" in "".join(shown.split()) for name in offered)
    assert f"a checkout in {ROOT}" in words


def test_a_core_that_does_not_work_ends_with_3(core: Path, tmp_path: Path) -> None:
    for path in core.iterdir():
        (tmp_path / path.name).symlink_to(path.resolve())
    (tmp_path / "onnxruntime").unlink()
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("raise ImportError('no such library')\n", encoding="utf-8")
    ended = doctor(tmp_path)
    assert ended.returncode == 3, ended.stderr
    assert "no such library" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_the_extras_are_those_of_the_project() -> None:
    assert set(BRINGS) == set(PROJECT["optional-dependencies"]) - {"dev"}
