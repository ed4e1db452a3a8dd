"""The version and the extras are the same from a checkout and from an installed distribution."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from installation import PROJECT

from sut.machine import project


def test_a_checkout_says_what_pyproject_says() -> None:
    assert project.version() == PROJECT["version"]
    assert set(project.extras()) == set(PROJECT["optional-dependencies"])
    assert project.extras()["openvino"] == ("openvino", "nncf")


def test_an_installed_distribution_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = project.version(), project.extras()
    lines = [
        f'Requires-Dist: {requirement.partition(";")[0]}; extra == "{extra}"'
        for extra, requirements in PROJECT["optional-dependencies"].items()
        for requirement in requirements
    ]
    folder = tmp_path / "mlperf_bert_sut-1.dist-info"
    folder.mkdir()
    head = ["Metadata-Version: 2.1", f"Name: {project.NAME}", f"Version: {PROJECT['version']}"]
    (folder / "METADATA").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    found = metadata.Distribution.at(folder)
    monkeypatch.setattr(metadata, "distribution", lambda _: found)
    monkeypatch.setattr(project, "_PYPROJECT", tmp_path / "none.toml")
    project._checkout.cache_clear()
    try:
        assert (project.version(), project.extras()) == here
    finally:
        project._checkout.cache_clear()


def test_versions_look_like_versions() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", project.version())
