"""The version, the extras and the commands that install them, from a checkout and from an installed distribution."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from installation import PROJECT
from paths import ROOT

from foundation import installation
from foundation.installation import Target

EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
SERVER = Target("linux", "x86_64", has_nvidia=False, has_torch=False)
CPU = "--index-url https://download.pytorch.org/whl/cpu"
_WITHOUT_PLACE = re.compile(r"\S*pip |\S*python\S* -m pip ")


def words(command: str) -> str:
    """A command without the place of pip, which depends on the environment."""
    return _WITHOUT_PLACE.sub("pip ", command)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution instead of the checkout, with the metadata that pip writes."""
    lines = [f"Requires-Dist: {line}" for line in PROJECT["dependencies"]]
    lines += [
        f'Requires-Dist: {requirement}{" and" if ";" in requirement else ";"} extra == "{extra}"'
        for extra, requirements in EXTRAS.items()
        for requirement in requirements
    ]
    folder = tmp_path / "mlperf_bert_sut-1.dist-info"
    folder.mkdir()
    head = ["Metadata-Version: 2.1", f"Name: {installation.NAME}", f"Version: {PROJECT['version']}"]
    (folder / "METADATA").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    found = metadata.Distribution.at(folder)
    monkeypatch.setattr(metadata, "distribution", lambda _: found)
    monkeypatch.setattr(installation, "_ROOT", tmp_path)
    installation._project.cache_clear()
    yield tmp_path
    installation._project.cache_clear()


def test_a_checkout_says_what_pyproject_says() -> None:
    assert installation.version() == PROJECT["version"]
    assert set(installation.extras()) == set(EXTRAS)
    assert installation.extras()["openvino"] == ("openvino", "nncf")
    assert installation.kind().endswith(f"a checkout in {ROOT}")
    assert {"bench", "dev"} <= set(installation.here())


def test_an_editable_checkout_is_known_next_to_what_its_build_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout `python -m` finds *.egg-info first, which does not say how it was installed."""
    for name, file, text in (
        ("a/mlperf_bert_sut.egg-info", "PKG-INFO", ""),
        ("b/mlperf_bert_sut-1.dist-info", "direct_url.json", '{"dir_info": {"editable": true}}'),
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / file).write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.path", [str(tmp_path / "a"), str(tmp_path / "b")])
    assert installation.kind() == f"editable, a checkout in {ROOT}"
    monkeypatch.setattr("sys.path", [str(tmp_path / "a")])
    assert installation.kind() == f"not installed: a checkout in {ROOT}"


def test_an_installed_distribution_says_the_same(request: pytest.FixtureRequest) -> None:
    here = installation.version(), installation.requirements()
    folder = request.getfixturevalue("copy")
    assert (installation.version(), installation.requirements()) == here
    assert installation.kind() == f"a copy in {folder}"
    assert not {"bench", "dev"} & set(installation.here())


@pytest.mark.parametrize(
    ("extra", "on", "expected"),
    [
        ("serve", SERVER, "pip install -e '.[serve]'"),
        ("pytorch", SERVER, f"pip install 'torch>=2.6' {CPU} && pip install -e '.[pytorch]'"),
        ("pytorch", Target("linux", "x86_64", True, False), "pip install -e '.[pytorch]'"),
        ("pytorch", Target("linux", "x86_64", False, True), "pip install -e '.[pytorch]'"),
        ("pytorch", Target("darwin", "arm64", False, False), "pip install -e '.[pytorch]'"),
        ("pytorch", Target("linux", "aarch64", False, False),
         "pip install 'torch>=2.6,<2.11' && pip install -e '.[pytorch]'"),
        ("bench", Target("linux", "aarch64", False, False), "pip install -e '.[bench]'"),
        ("gpu", SERVER, "pip install -e '.[gpu]'"),
    ],
)  # fmt: skip
def test_in_a_checkout(extra: str, on: Target, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert words(installation.command(extra, on)) == expected
    monkeypatch.chdir(tmp_path)
    assert f"-e '{ROOT}[{extra}]'" in installation.command(extra, on)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("pytorch", f"pip install 'torch>=2.6' {CPU}"),
        ("plot", "pip install 'matplotlib>=3.9'"),
        ("openvino", "pip install 'openvino>=2026.2,<2027' 'nncf>=3.2,<4'"),
        ("gpu", "pip install 'torch>=2.8' 'triton>=3.4'"),
    ],
)
@pytest.mark.usefixtures("copy")
def test_elsewhere_no_index_is_asked_for_this_project(extra: str, expected: str) -> None:
    assert words(installation.command(extra, SERVER)) == expected
    commands = [installation.command(extra), installation.repair("onnxruntime"), installation.build_again()]
    assert [command for command in commands if installation.NAME in command] == []


def test_a_part_of_the_core_is_repaired_by_its_own_name() -> None:
    assert words(installation.repair("onnxruntime")) == "pip install --force-reinstall 'onnxruntime>=1.20'"


def test_versions_look_like_versions() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", installation.version())
