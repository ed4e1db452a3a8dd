"""Ten runs as a package: what is built, and what is refused with a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import training_events as made
import training_runs
from mlperf_logging.compliance_checker import mlp_compliance
from mlperf_logging.package_checker.seed_checker import SeedChecker
from mlperf_logging.system_desc_checker import system_desc_checker

from sut.errors import UsageError
from training.loop import config
from training.package import command, official, rules, runs, system_description, tree
from training.package.runs import Run

SHORT = (0.34, 0.7212)  # the convergence of real runs is for the RCP checker


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return training_runs.ten(tmp_path_factory.mktemp("closed"), scores=SHORT)


@pytest.fixture(scope="module")
def package(ten: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    found = runs.read(ten)
    described = system_description.describe(found[0].record, "Acme", training_runs.system(folder))
    tree.build(found, described, "box", folder / "out")
    return folder / "out"


def test_each_log_is_accepted_by_the_compliance_checker(package: Path) -> None:
    logs = sorted((package / "results" / "box" / "bert").iterdir())
    assert [log.name for log in logs] == [f"result_{number}.txt" for number in range(10)]
    for log in logs:
        checker = mlp_compliance.make_checker("training", "5.0.0", quiet=False, werror=True)
        assert mlp_compliance.main(str(log), "training_5.0.0/common.yaml", checker)[0]


def test_the_seeds_are_accepted_by_the_seed_checker(package: Path) -> None:
    logs = sorted(map(str, (package / "results" / "box" / "bert").iterdir()))
    assert SeedChecker("5.0.0").check_seeds(logs)
    assert not SeedChecker("5.0.0").check_seeds([*logs, logs[0]])


def test_the_system_is_accepted_by_its_checker(package: Path) -> None:
    path = package / "systems" / "box.json"
    assert system_desc_checker.check_system_desc(str(path), "training", "5.0.0")[0]
    found = json.loads(path.read_text())
    assert len(found) == 33
    assert found["status"] == "Research, Development, or Internal (RDI)"
    assert (found["submitter"], found["division"], found["accelerator_model_name"]) == ("Acme", "closed", "N/A")


def test_a_package_holds_how_it_was_made(package: Path) -> None:
    code = package / "benchmarks" / "bert" / "implementations" / "pytorch"
    assert "| 9 | 10 | reached | 150,080 |" in (code / "README.md").read_text()
    assert config.read(str(code / "config.toml")).train_batch_size == 56
    assert (code / "training" / "records" / "mllog.py").is_file()


def test_a_package_replaces_an_earlier_one_and_nothing_else(package: Path, ten: list[Path]) -> None:
    found = runs.read(ten)
    (package / "results" / "old").mkdir()
    tree.build(found, {}, "box", package)
    assert not (package / "results" / "old").exists()
    (package.parent / "mine.txt").touch()
    with pytest.raises(
        UsageError, match=r"expected an empty directory or an earlier package in .*, found box\.toml, mi"
    ):
        tree.build(found, {}, "box", package.parent)
    described = system_description.describe(found[0].record, "Acme", package.parent / "box.toml")
    tree.build(found, described, "box", package)


def with_line(old: str, new: str) -> Callable[[Path], None]:
    """Change the log of a run."""

    def change(folder: Path) -> None:
        log = folder / "mllog.txt"
        content = log.read_text()
        assert re.search(old, content)
        log.write_text(re.sub(old, new, content, count=1))

    return change


LINE = r".*\n"
# What is wrong with the last of ten runs → the reason.
WRONG: dict[str, tuple[dict[str, Any], Callable[[Path], None] | None, str]] = {
    "a seed twice": ({"seed": 3}, None, "expected 10 different seeds, found 3 in"),
    "another batch": (
        {"hyperparameters": replace(made.LAMB, global_batch_size=256)},
        None,
        "expected one configuration in all runs, found hyperparameters",
    ),
    "another setting": ({"settings": {"train_batch_size": 56, "dropout": 0.1}}, None, r"found settings\.dropout None"),
    "other devices": ({"devices": 4}, None, "found devices 8 in .* and 4 in"),
    "the other division": ({"division": "open"}, None, "found division 'closed' in"),
    "no clear caches": ({"cleared": None}, None, "found cache_clear false in .*Train with --clear-caches"),
    "a killed run": ({}, lambda folder: _edit(folder, status="unfinished"), "expected runs that came to their end"),
    "a failed run": ({}, lambda folder: _edit(folder, status="failed"), "found .*: FAILED"),
    "another task": ({"task": "sst2", "division": "open"}, None, "expected pre-training runs, found sst2"),
    "no run_stop": ({}, with_line(f'{LINE[:-2]}"run_stop"{LINE}', ""), "expected run_stop once in .*, found it 0"),
    "a key twice": ({}, with_line(f'({LINE[:-2]}"seed"{LINE})', r"\1\1"), "expected seed once in .*, found it 2 times"),
    "another run's log": ({}, with_line('("key": "seed", "value": )10', r"\g<1>11"), "found seed 11, not 10, in"),
    "a target that the log does not reach": ({}, with_line("0.7212", "0.7112"), "expected an eval_accuracy from 0.72"),
    "an order that is none": (
        {},
        with_line(f'({LINE[:-2]}"init_stop"{LINE})({LINE[:-2]}"run_start"{LINE})', r"\2\1"),
        "expected init_start, init_stop, run_start, block_start, run_stop in this order",
    ),
}  # fmt: skip


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", WRONG)
def test_a_run_that_does_not_fit_is_refused_with_its_reason(tmp_path: Path, ten: list[Path], name: str) -> None:
    changes, edit, reason = WRONG[name]
    bad = training_runs.run(tmp_path / "bad", **{"seed": 10, "scores": SHORT, **changes})
    if edit:
        edit(bad)
    with pytest.raises(UsageError, match=reason):
        runs.require(runs.read([*ten[:9], bad]))


@pytest.mark.parametrize("number", [0, 9, 11])
def test_there_must_be_ten(ten: list[Path], number: int) -> None:
    with pytest.raises(UsageError, match=f"expected 10 runs, found {number}"):
        runs.require(runs.read((ten * 2)[:number]))


@pytest.mark.parametrize(("missed", "accepted"), [(1, True), (2, False)])
def test_one_run_may_miss_the_target(tmp_path: Path, ten: list[Path], missed: int, accepted: bool) -> None:
    late = [training_runs.run(tmp_path / str(seed), seed=seed, scores=(0.3, 0.5)) for seed in range(21, 21 + missed)]
    found: list[Run] = runs.read([*ten[missed:], *late])
    if accepted:
        runs.require(found)
    else:
        with pytest.raises(UsageError, match="expected at most 1 run without the target, found 2"):
            runs.require(found)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"cooling": ""}, r'found none for 1\. Add:\n    cooling = ""  # air, liquid'),
        ({"status": "sold"}, "expected one of available, cloud, preview, rdi as status"),
        ({"colour": "red"}, "found an unknown key 'colour'"),
        ({"submitter": "Another"}, "expected submitter 'Acme'"),
    ],
)
def test_a_system_description_that_is_wrong_is_refused(
    tmp_path: Path, ten: list[Path], facts: dict[str, str], reason: str
) -> None:
    record = runs.read(ten[:1])[0].record
    with pytest.raises(UsageError, match=reason):
        system_description.describe(record, "Acme", training_runs.system(tmp_path, **facts))


def test_an_accelerator_is_described_as_far_as_the_runs_know_it(tmp_path: Path) -> None:
    run = training_runs.run(tmp_path / "run", device="cuda", device_name="NVIDIA H200", devices=16, nodes=2)
    record = runs.read([run])[0].record
    with pytest.raises(UsageError, match='accelerator_interconnect = ""'):
        system_description.describe(record, "Acme", training_runs.system(tmp_path))
    keys = [key for key in rules.SYSTEM_KEYS if key.startswith("accelerator_")]
    found = system_description.describe(
        record, "Acme", training_runs.system(tmp_path, **{key: "x" for key in keys if "model" not in key})
    )
    assert (found["accelerators_per_node"], found["number_of_nodes"]) == ("8", "2")
    assert found["accelerator_model_name"] == "NVIDIA H200"


def test_a_user_without_the_checkers_gets_their_command() -> None:
    assert " ".join(official.command("out")) == "-m mlperf_logging.package_checker out training 5.0.0 --werror"


def test_a_mistake_is_one_line_and_makes_no_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--submitter", "Acme", "--system", str(training_runs.system(tmp_path)), "--output", str(tmp_path / "out")]
    assert command.main([str(tmp_path), *words]) == 2
    assert capsys.readouterr().err.startswith("error: expected the record of a training run in")
    assert not (tmp_path / "out").exists()
