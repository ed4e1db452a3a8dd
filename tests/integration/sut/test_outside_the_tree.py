"""A backend and a task in files outside the tree, as the pages say: they run, submit and are described truly."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from paths import ROOT

from sut.fetch.resolve import demo_model
from sut.tasks import TASKS

PAGES = ROOT / "docs" / "design"
_FILE = re.compile(r"`([\w.]+\.py)`[^`]*?\n\n```python\n(.*?)```", re.DOTALL)
_ENTRY_POINTS = re.compile(r"```toml\n(.*?)```", re.DOTALL)
_COMMANDS = re.compile(r"^(?:python -m (\w+)|(pytest)) (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of both pages, and the metadata that pip would write for their entry points."""
    folder = tmp_path_factory.mktemp("package")
    lines: list[str] = []
    for page in ("adding-a-backend.md", "adding-a-task.md"):
        text = (PAGES / page).read_text(encoding="utf-8")
        for name, code in _FILE.findall(text):
            (folder / name).write_text(code, encoding="utf-8")
        groups = tomllib.loads("\n".join(_ENTRY_POINTS.findall(text)))["project"]["entry-points"]
        for group, names in groups.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in names.items())]
    info = folder / "acme_engine-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-engine\nVersion: 1.2\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def run(package: Path, folder: Path, module: str, *words: str) -> str:
    """What a command prints that ends with 0."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(package)])}
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commands(page: str) -> dict[str, list[str]]:
    """The page's commands: first word → the rest."""
    found = _COMMANDS.findall((PAGES / page).read_text(encoding="utf-8"))
    rows = [(module or plain, words.split()) for module, plain, words in found]
    named = [(words[0] if module == "sut" and words[0][:2] != "--" else module, words) for module, words in rows]
    return dict(reversed(named))  # the first of a name


def test_a_backend_by_its_page(package: Path, tmp_path: Path) -> None:
    page = commands("adding-a-backend.md")
    assert "all checks hold" in run(package, tmp_path, "sut", *page["check-backend"])
    assert "1 skipped" not in run(package, package, "pytest", "-q", "-p", "no:cacheprovider", *page["pytest"])
    spawned = ["--executor", "spawned", "--instances", "1", "--test-query-count", "10", "--log-dir", "logs"]
    run(package, tmp_path, "sut", *page["sut"][:2], *spawned)
    record = json.loads((tmp_path / "logs" / "run.json").read_text(encoding="utf-8"))
    assert record["machine"]["packages"]["acme_engine"] == "1.2"  # the module's own: that name has no distribution
    assert record["instances_ready"][0]["blas_threads"] == record["config"]["threads"]


def test_a_trial_of_another_packages_backend_describes_it(package: Path, tmp_path: Path) -> None:
    words = ["--backend", "acme", "--precision", "int4", "--test-query-count", "10"]
    page = [
        word
        for word in commands("adding-a-backend.md")["submit"]
        if word not in ("--backend", "acme_engine:AcmeBackend")
    ]
    run(package, tmp_path, "sut", *page, *words)
    texts = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*.json")}
    (system,) = (json.loads(text) for path, text in texts.items() if path.parent.name == "systems")
    assert system["framework"] == "Acme Engine 1.2"
    assert "acme-engine 1.2" in system["other_software_stack"]
    assert system["sw_notes"] == "backend acme, precision int4"
    measured = next(json.loads(text) for path, text in texts.items() if path.name == "measurements.json")
    assert measured["weight_transformations"] == "converted to int4 by the engine"
    assert [path for path, text in texts.items() if "NO MODEL RAN" in text] == []
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("README.md")]
    assert any("The code of backend acme is in acme-engine 1.2" in page for page in pages)


def test_a_search_and_the_benchmarks_try_it_without_being_told(package: Path, tmp_path: Path) -> None:
    """With the name of its entry point; a search also with its module and class."""
    code = """
from benchmarks import sut_runs
from sut.commands.sweep import grid
from sut.commands.tune.space import space
from sut.machine import topology
for axes in ((), ("backend=acme_engine:AcmeBackend fake",)):
    found = space([grid.axis(axis) for axis in axes], {}, {}, topology.this_machine())
    print([one.engine for one in found.engines if "acme" in one.engine[0]])
print([pair for pair in sut_runs.installed() if pair[0] == "acme"])
"""
    (tmp_path / "lists.py").write_text(code, encoding="utf-8")
    shown = run(package, tmp_path, "lists").splitlines()
    by_name, by_class = ([(name, one) for one in ("fp32", "int4")] for name in ("acme", "acme_engine:AcmeBackend"))
    assert shown == [str(by_name), str(by_class), str(by_name)]


def test_a_task_by_its_page(package: Path, tmp_path: Path) -> None:
    demo = TASKS["sst2"].demo
    assert demo is not None
    demo.write(tmp_path / "dev.tsv", "dev", 40)
    sentences = [line.split("\t") for line in (tmp_path / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    with (tmp_path / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "stars"), *((text, 5 * int(label)) for text, label in sentences)])
    model = demo_model("sst2")
    log = Path("logs", "mlperf_log_accuracy.json")
    files = {"my-model": str(model), "vocab.txt": str(model / "vocab.txt"), log.name: str(log)}
    page = {module: [files.get(word, word) for word in words] for module, words in commands("adding-a-task.md").items()}
    found = run(package, tmp_path, "sut", *page["sut"], "--target", "90", "--log-dir", "logs")
    assert "PASS" in found
    scored = run(package, tmp_path, "accuracy", *page["accuracy"], "--target", "90")
    assert "PASS" in scored and "40 of 40 sentences" in scored
    assert json.loads(run(package, tmp_path, "qsl", *page["qsl"], "--no-cache"))["examples"] == 40
    record = json.loads((tmp_path / "logs" / "run.json").read_text(encoding="utf-8"))
    assert record["config"]["task"] == "reviews:TASK"
    assert record["result"]["accuracy"] >= 90
