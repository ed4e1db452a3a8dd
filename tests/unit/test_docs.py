"""The pages: every link, path and command in them exists, lines are short, and the README stays a front page."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

import pytest
from paths import ROOT

from sut.commands.help import parser_of
from sut.settings.verbs import VERBS

_PACKAGES = ("sut", "backends", "qsl", "accuracy", "submission", "foundation", "training", "benchmarks")
_OF_OTHERS = ("pip", "pytest", "venv")
_COMMAND = re.compile(r"python -m ([\w.]+\w)(?: ([a-z]+)\b)?")
_DOTTED = re.compile(rf"`((?:{'|'.join(_PACKAGES)})\.[\w.]+)[`(:]")
_PATH = re.compile(r"`([\w.-]+/[\w./-]*)`")
_SCRIPT = re.compile(r"(?:^|`)sut ([a-z]+)\b", re.MULTILINE)
_SUT = re.compile(r"python -m sut(?: ([a-z]+))?([^`]*)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_FLAGS_OF_OTHERS = {
    *("--cpus", "--cpuset-cpus", "--memory", "--privileged", "--shm-size", "--user"),  # docker
    "--ruleset",  # MLPerf's compliance checker
    *("--bs", "--loop", "--tgt"),  # systems that seed-systems.md compares with
}
_MAKE = re.compile(r"(?:`|^|entry: )make ([a-z][\w-]*)", re.MULTILINE)
_PAGE = re.compile(r"\bdocs/[\w/-]+\.(?:md|log)\b")
_SOURCES = (".py", ".toml", ".sh", ".h", ".cpp")
_MADE = {"runs", "build", "dist"}  # by commands, in some checkouts
_TOP = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - _MADE
_FORMER = "CHANGELOG.md"  # names what is gone
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
_NOW = [page for page in PAGES if page.name != _FORMER]
every_page = pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
every_page_of_today = pytest.mark.parametrize("page", sorted(_NOW), ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_lines_are_short(page: Path) -> None:
    assert [line for line in _text(page).splitlines() if len(line) > 120] == []


@every_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", _text(page))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_an_extra_is_installed_by_one_line_everywhere() -> None:
    """From the checkout: the project is in no package index (foundation.installation)."""
    ours = (path for name in _PACKAGES for path in (ROOT / name).rglob("*.py"))
    assert [path for path in (*PAGES, *ours) if "mlperf-bert-sut[" in path.read_text(encoding="utf-8")] == []


@every_page_of_today
def test_paths_in_backquotes_exist(page: Path) -> None:
    ours = [path for path in _PATH.findall(_text(page)) if path.partition("/")[0] in _TOP]
    assert [path for path in ours if not (ROOT / path).exists()] == []


@every_page_of_today
def test_dotted_names_in_backquotes_exist(page: Path) -> None:
    names = [
        name
        for name in _DOTTED.findall(_text(page))
        if not name.endswith((".txt", ".md", ".json", ".png", ".svg", ".py"))
    ]
    assert [name for name in names if not _is_module_or_member(name)] == []


@every_page_of_today
def test_commands_exist(page: Path) -> None:
    found = _COMMAND.findall(_text(page))
    modules = [module for module, _ in found if module not in _OF_OTHERS and not _runs(module)]
    named = [verb for module, verb in found if module == "sut" and verb] + _SCRIPT.findall(_text(page))
    verbs = [verb for verb in named if verb not in VERBS]
    assert (modules, verbs) == ([], [])


@every_page_of_today
def test_flags_of_commands_exist(page: Path) -> None:
    lines = _text(page).replace("\\\n", " ").splitlines()
    found = [(match[1], match[2]) for line in lines for match in _SUT.finditer(line.partition(" # ")[0])]
    unknown = {
        (verb, flag)
        for first, rest in found
        for verb in [first if first in VERBS else "run"]
        for flag in set(_FLAG.findall(rest)) - _flags(verb)
    }
    assert unknown == set()


@every_page_of_today
def test_flags_in_backquotes_exist(page: Path) -> None:
    of_verbs = {flag for verb in VERBS for flag in _flags(verb)}
    of_modules = {
        flag for folder in _PACKAGES for path in (ROOT / folder).rglob("*.py") for flag in _quoted_flags(path)
    }
    named = set(re.findall(r"`(--[a-z][a-z-]+)", _text(page)))
    assert named - of_verbs - of_modules - _FLAGS_OF_OTHERS == set()


def test_pages_that_the_code_names_exist() -> None:
    folders = [*_PACKAGES, "configs", "containers", "tests"]
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in _SOURCES]
    named = {(path, name) for path in [ROOT / "Makefile", *sources] for name in _PAGE.findall(_text(path))}
    assert named and [(str(path), name) for path, name in named if not (ROOT / name).is_file()] == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    named_by = [*PAGES, ROOT / ".pre-commit-config.yaml", ROOT / ".ci" / "run"]
    named = {name for path in named_by for name in _MAKE.findall(_text(path))}
    assert named and named <= targets


def test_the_readme_is_a_front_page() -> None:
    assert len(_text(ROOT / "README.md").splitlines()) <= 150


def test_the_readme_shows_the_rooms_that_there_are() -> None:
    tree = _text(ROOT / "README.md").partition("## Where things are")[2].split("```")[1]
    sut = re.findall(r"^  (\w+)/ ", tree.partition("\nsut/")[2].partition("\nsubmission/")[0], re.MULTILINE)
    assert all((ROOT / name).is_dir() for name in re.findall(r"^(\w+)/ ", tree, re.MULTILINE))
    assert set(sut) == {path.parent.name for path in (ROOT / "sut").glob("*/__init__.py")}


@pytest.mark.parametrize("room", ("guide", "design", "results"))
def test_every_page_is_listed_in_its_room(room: str) -> None:
    listed = set(re.findall(r"\]\(([^)/]+)\)", _text(ROOT / "docs" / room / "README.md")))
    assert {path.name for path in (ROOT / "docs" / room).iterdir()} - {"README.md"} <= listed


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@functools.cache
def _flags(verb: str) -> set[str]:
    """What `python -m sut VERB --help` lists."""
    return set(parser_of(verb).shown)


@functools.cache
def _quoted_flags(path: Path) -> set[str]:
    return set(re.findall(r'"(--[a-z][a-z-]+)"', _text(path)))


def _file(module: str) -> Path | None:
    """Where a module of ours is; a package is its directory."""
    path = ROOT.joinpath(*module.split("."))
    return path if path.is_dir() else path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


def _runs(module: str) -> bool:
    """`python -m module` does something: a package with `__main__`, or a module that says what to do when run."""
    path = _file(module)
    if path is None:
        package = module.partition(".")[0]
        return package not in _PACKAGES and importlib.util.find_spec(package) is not None
    return (path / "__main__.py").is_file() if path.is_dir() else '__name__ == "__main__"' in _text(path)


def _is_module_or_member(name: str) -> bool:
    if _file(name):
        return True
    module, _, member = name.rpartition(".")
    path = _file(module)
    source = path and (path / "__init__.py" if path.is_dir() else path)
    defined = rf'^(?:(?:def|class)? ?{member}\b|    "{member}",$)'  # or in an `__all__`
    return source is not None and re.search(defined, _text(source), re.MULTILINE) is not None
