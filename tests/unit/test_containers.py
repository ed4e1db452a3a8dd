"""The container's recipe against pyproject.toml: what can be checked without building an image."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECIPE = (ROOT / "containers" / "Containerfile").read_text(encoding="utf-8")
STEPS = [line.partition(" ")[::2] for line in RECIPE.replace("\\\n", " ").splitlines() if re.match("[A-Z]+ ", line)]


def steps(word: str) -> list[str]:
    return [rest for name, rest in STEPS if name == word]


def test_all_that_the_wheel_is_built_from_is_copied_and_exists() -> None:
    copied = {source for rest in steps("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]}
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    files = {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml", "setup.py"}
    assert packages | files <= copied
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize(
    ("extras", "requirements", "words"),
    (
        ("", "", ["dist/it.whl"]),
        ("pytorch", "", ["dist/it.whl[pytorch]"]),
        ("pytorch,openvino", "torch<2.11", ["dist/it.whl[pytorch,openvino]", "torch<2.11"]),
    ),
)
def test_pip_gets_the_requested_requirements(tmp_path: Path, extras: str, requirements: str, words: list[str]) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "it.whl").touch()
    [install] = [rest for rest in steps("RUN") if "pip install" in rest]
    line = install.replace("/opt/sut/bin/python -m pip", "printf '%s\\n'")
    env = {"EXTRAS": extras, "REQUIREMENTS": requirements}
    done = subprocess.run(["sh", "-ec", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == ["install", "--no-cache-dir", *words]


def test_extras_that_the_docs_name_are_the_projects() -> None:
    docs = (ROOT / "docs" / "guide" / "containers.md").read_text(encoding="utf-8") + RECIPE
    named = {extra for words in re.findall(r"EXTRAS=([a-z,]+)", docs) for extra in words.split(",")}
    assert named and named <= set(PROJECT["project"]["optional-dependencies"])


def test_both_stages_run_one_python_that_the_project_supports() -> None:
    [version] = [rest.removeprefix("PYTHON=") for rest in steps("ARG") if rest.startswith("PYTHON=")]
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, least.split(".")))
    assert [rest.split()[0] for rest in steps("FROM")] == ["python:${PYTHON}-slim"] * 2


def test_it_starts_the_command_and_not_as_root() -> None:
    words = [name for name, _ in STEPS]
    assert steps("ENTRYPOINT") == ['["python", "-m", "sut"]']
    assert steps("USER") == ["sut"] and words.index("USER") < words.index("ENTRYPOINT")
