"""A trial of the embedded demo by `python -m sut submit`: each file of the package and what it says; check and show."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile

import pytest
from command import Case, Command, Ended, Run
from openpyxl import load_workbook
from submitted import TRIAL, out, rows, to_the_end

from submission.package.summary import FIELDS
from sut.commands import report

PACKAGE = [
    "mlperf_submission.md",
    "mlperf_submission.run",
    "mlperf_submission.tar.gz",
    "mlperf_submission.tar.gz.sha256",
    "mlperf_submission.tstamps",
    "mlperf_submission_summary.csv",
    "mlperf_submission_summary.json",
    "mlperf_submission_summary.xlsx",
]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, case: Case) -> Ended:
    """A trial of the embedded model on the small data set; seed-systems.md has one on the whole."""
    flags = (*case.data, "--test-query-count", "64", "--round", "v5.1")
    return to_the_end(Command(tmp_path_factory.mktemp("trial"), "sut", ["submit", *TRIAL, *flags]))


def test_a_trial_of_the_demo_has_every_file_and_passes_the_checks(trial: Ended, run: Run) -> None:
    assert trial.code == 0, trial.err
    assert "OK as a trial" in trial.out
    assert sorted(path.name for path in out(trial).glob("mlperf_submission*") if path.is_file()) == PACKAGE
    for path in (out(trial), out(trial, "mlperf_submission"), out(trial, "mlperf_submission.tar.gz")):
        assert run("check", path, "--round", "v5.1", with_case=False).code == 0


def test_the_tarball_is_the_tree_and_its_sha256_is_right(trial: Ended) -> None:
    packed = out(trial, "mlperf_submission.tar.gz").read_bytes()
    assert out(trial, "mlperf_submission.tar.gz.sha256").read_text().split() == [
        hashlib.sha256(packed).hexdigest(),
        "mlperf_submission.tar.gz",
    ]
    tree = out(trial, "mlperf_submission")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = {name: member.read() for name in tar.getnames() if (member := tar.extractfile(name))}
    assert found == {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert "TRIAL.md" in found


def test_the_three_summaries_have_the_27_fields_and_agree(trial: Ended) -> None:
    found = rows(trial)
    assert len(FIELDS) == 27
    assert [row["Scenario"] for row in found] == ["Offline", "SingleStream"]
    assert all(list(row) == FIELDS and row["Organization"] == "DemoOrg" and row["version"] == "v5.1" for row in found)
    assert all(row["Result"] > 0 and 0 < row["Accuracy"] <= 100 for row in found)
    with out(trial, "mlperf_submission_summary.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in found]
    head, *body = load_workbook(out(trial, "mlperf_submission_summary.xlsx")).active.iter_rows(values_only=True)
    assert [
        {name: value or "" if isinstance(row[name], str) else value for name, value in zip(head, line, strict=True)}
        for row, line in zip(found, body, strict=True)
    ] == found


def test_every_output_says_that_it_is_a_trial(trial: Ended) -> None:
    marked = [
        *PACKAGE[:2],
        "mlperf_submission.tstamps",
        "mlperf_submission_summary.csv",
        "mlperf_submission_summary.json",
    ]
    tree = out(trial, "mlperf_submission")
    texts = [out(trial, name) for name in marked] + [
        path for name in ("README.md", "accuracy.txt", "*.json") for path in tree.glob(f"open/DemoOrg/[rm]*/**/{name}")
    ]
    texts = [path for path in texts if path.name != "mlperf_log_accuracy.json"]
    assert len(texts) > 10
    for path in texts:
        assert "TRIAL" in path.read_text(), path
    assert "TRIAL" in trial.out


def test_a_report_has_all_its_runs(trial: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(out(trial)), "--format", "json"]) == 0
    found = {one["directory"]: one["record"] for one in json.loads(capsys.readouterr().out)["runs"]}
    runs = {str(path.parent): json.loads(path.read_text()) for path in out(trial, "runs").rglob("run.json")}
    assert found == runs
    assert {record["config"]["scenario"] for record in found.values()} == {"Offline", "SingleStream"}
    took = next(iter(found.values()))["operations"]
    assert took["products"] > took["attention"] > took["weight_bytes"] > 0
    assert report.main([str(out(trial)), "--format", "md"]) == 0
    text = capsys.readouterr().out
    assert text.count("trial run (--execution-mode test)") >= len(runs) and "| Products with weights |" in text


def test_the_commands_and_times_are_those_of_the_runs(trial: Ended) -> None:
    commands = [
        line for line in out(trial, "mlperf_submission.run").read_text().splitlines() if not line.startswith("#")
    ]
    assert len(commands) == 1 + 2 * 3
    assert all(line.startswith("python -m sut ") for line in commands)
    lines = [line for line in out(trial, "mlperf_submission.tstamps").read_text().splitlines() if line[0] != "#"]
    assert [line.split()[0] for line in lines] == [
        "Offline-probe", "SingleStream-probe", "Offline-accuracy", "SingleStream-accuracy",
        "Offline-performance", "SingleStream-performance",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", "mlperf_submission", "mlperf_submission.tar.gz"])
def test_show_prints_the_results(trial: Ended, run: Run, name: str) -> None:
    ended = run("show", out(trial, name), with_case=False)
    assert ended.code == 0
    for words in ("2 results", "TRIAL", "Offline", "SingleStream", "round v5.1", "model.safetensors", "F1"):
        assert words in ended.out
