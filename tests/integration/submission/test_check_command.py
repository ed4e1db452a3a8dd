"""`python -m sut check`: whole trees, trials, what is printed, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from breakages import OFFLINE, keys, logged, performance_log
from paths import ROOT
from submission_tree import Built, Trees

from foundation.people_numbers import count
from foundation.rules import SCENARIOS
from submission import show
from submission.check import tree
from submission.check.command import SHOWN_FILES, lines, main
from submission.check.verdict import examine
from submission.package import contents, side_files
from submission.rules import rounds
from submission.submit.workspace import Workspace
from sut.__main__ import main as sut_main
from sut.errors import INVALID, USAGE, VALID


def short(built: Built) -> Built:
    """As an open trial leaves it: a minute, few samples, no verdict of VALID."""
    log = performance_log(built.layout(OFFLINE))
    values = {"effective_min_duration_ms": 0, "effective_samples_per_query": 64, "result_validity": "INVALID"}
    logged(**values)(built, log)
    return built


@pytest.mark.parametrize("round_name", rounds.ROUNDS)
@pytest.mark.parametrize(
    ("division", "scenarios"),
    [("closed", ()), ("open", ()), ("open", tuple(SCENARIOS)), *(("open", (name,)) for name in SCENARIOS)],
)
def test_whole_trees_are_ok(
    whole: Trees, round_name: str, division: str, scenarios: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    built = whole(round_name, division, scenarios)
    assert main([str(built.root), "--round", round_name]) == VALID
    results = count(len(scenarios) or len(built.verdict().results), "result")
    assert capsys.readouterr().out == f"{round_name}, {results}: OK\n"


def test_both_divisions_in_one_tree(fresh: Trees, whole: Trees) -> None:
    built = fresh("v6.1", "closed")
    (whole("v6.1", "open").copy(built.root / "other").root / "open").rename(built.root / "open")
    (built.root / "other").rmdir()
    assert built.verdict().holds
    assert len(built.verdict().results) == 3


def test_results_that_may_have_more_files(fresh: Trees) -> None:
    built = fresh("v6.1", "closed")
    where = built.layout(OFFLINE)
    for folder in (where.performance, where.accuracy, where.test01_performance, where.test01_accuracy):
        built.write(folder / "mlperf_log_trace.json", "")
        built.write(folder / "results.json", "{}")
    built.write(where.performance / "mlperf_log_accuracy.json", "[\n]\n")
    built.write(where.folder / "documentation" / "notes.md", "x")
    for name in ("README.md", "paper.pdf"):
        built.write(where.folder.parent.parent / name, "x")
    assert built.verdict().holds


def test_the_output_has_every_figure(fresh: Trees, capsys: pytest.CaptureFixture[str]) -> None:
    built = short(fresh("v6.1", "open"))
    assert main([str(built.root)]) == INVALID
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == str(performance_log(built.layout(OFFLINE)))
    assert "  performance.duration: found effective_min_duration_ms = 0; expected at least 600,000" in printed
    assert printed[-1] == "v6.1, 1 result: REFUSED, 3 failures in 1 file"


def test_json_has_each_failure_as_a_record(fresh: Trees, capsys: pytest.CaptureFixture[str]) -> None:
    built = short(fresh("v6.1", "open"))
    assert main([str(built.root), "--json"]) == INVALID
    found = json.loads(capsys.readouterr().out)
    assert (found["round"], found["holds"], found["is_trial"], found["waived"]) == ("v6.1", False, False, [])
    assert found["results"] == [str(built.layout(OFFLINE).scenario_dir)]
    assert {tuple(one) for one in found["failures"]} == {("file", "rule", "found", "wanted", "todo")}


@pytest.mark.parametrize(
    ("name", "is_lost"),
    [
        ('the "best", box', True),
        ('19" rack, black', True),
        ('the "best" box', False),
        ('a box of 19"', True),
        ("a, b", False),
        ("two\nlines", False),
    ],
)
def test_quotes_that_lose_results_in_the_final_report_are_a_warning(
    fresh: Trees, name: str, is_lost: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    built = fresh("v6.1", "open")
    keys(system_name=name)(built, built.layout(OFFLINE).system_json)
    assert main([str(built.root)]) == VALID
    assert ("report.quotes: found system_name = " in capsys.readouterr().out) is is_lost


def test_a_trial_is_named_as_one(fresh: Trees, capsys: pytest.CaptureFixture[str]) -> None:
    built = short(fresh("v6.1", "open"))
    (built.root / rounds.TRIAL_MARKER).write_text("x", encoding="utf-8")
    assert main([str(built.root)]) == VALID
    printed = capsys.readouterr().out
    assert "official rules on length and counts were not applied" in printed
    assert "performance.duration: found effective_min_duration_ms = 0" in printed
    assert printed.splitlines()[-1] == "v6.1, 1 result: OK as a trial run; not submittable (3 failures waived)"
    assert main([str(built.root), "--official"]) == INVALID
    assert "performance.validity" in capsys.readouterr().out


def test_a_trial_by_flag_needs_no_marker(fresh: Trees) -> None:
    built = short(fresh("v6.1", "open"))
    assert main([str(built.root)]) == INVALID
    assert main([str(built.root), "--trial"]) == VALID


def test_a_trial_that_breaks_no_rule_is_a_submission(fresh: Trees, capsys: pytest.CaptureFixture[str]) -> None:
    built = fresh("v6.1", "open")
    (built.root / rounds.TRIAL_MARKER).write_text("x", encoding="utf-8")
    assert main([str(built.root)]) == VALID
    assert capsys.readouterr().out.endswith("none of them\nv6.1, 1 result: OK\n")


def test_a_trial_keeps_all_other_rules(fresh: Trees) -> None:
    built = short(fresh("v6.1", "open"))
    (built.root / built.layout(OFFLINE).readme).unlink()
    assert main([str(built.root), "--trial"]) == INVALID


def test_the_closed_division_has_no_trials(fresh: Trees) -> None:
    built = short(fresh("v6.1", "closed"))
    (built.root / rounds.TRIAL_MARKER).write_text("x", encoding="utf-8")
    assert main([str(built.root), "--trial"]) == INVALID
    assert built.verdict().waived == ()


def test_a_tarball_is_checked_as_its_tree(whole: Trees, tmp_path: Path) -> None:
    built = whole("v6.1", "closed")
    for name, mode in (("a.tar.gz", "w:gz"), ("a.tar", "w")):
        with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
            tar.add(built.root / "closed", "closed")
        assert main([str(tmp_path / name)]) == VALID


@pytest.mark.parametrize("args", [["nothing-there"], [".", "--round", "v6.2"], [".", "--round", "6.1"]])
def test_usage(args: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "docs")
    assert sut_main(["check", *args]) == USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: expected ")
    assert "v6.1" in error or "Is the path right?" in error


def test_show_prints_json_for_scripts(fresh: Trees, capsys: pytest.CaptureFixture[str]) -> None:
    built = fresh("v6.1", "open")
    assert show.main([str(built.root), "--json"]) == VALID
    found = json.loads(capsys.readouterr().out)
    assert not found["trial"] and found["results"][0]["scenario"] == OFFLINE
    assert found["results"][0]["value"] > 0 and found["results"][0]["unit"] == "samples/s"


def test_an_f1_of_0_is_a_number(fresh: Trees, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = contents.read(tree.read(fresh("v6.1", "open").root))
    side_files.show(Workspace(tmp_path), [replace(result, f1=0.0), replace(result, f1=None)], [])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-1] for row in rows[1:3]] == ["0.000", "score"]


def test_names_that_are_not_text_are_shown(fresh: Trees) -> None:
    built = fresh("v6.1", "open")
    name = b"\xff\x1b[2J\n notes".decode(errors="surrogateescape")
    (built.root / name).write_text("x", encoding="utf-8")
    "\n".join(lines(built.verdict())).encode()
    assert all(line.isprintable() for line in lines(built.verdict()))
    assert [one.file for one in built.verdict().failures] == [name]


def test_a_tree_of_failures_is_not_shown_whole(fresh: Trees, capsys: pytest.CaptureFixture[str]) -> None:
    built = fresh("v6.1", "open")
    for number in range(SHOWN_FILES + 1):
        built.write(built.layout(OFFLINE).code / f"{number} .py", "x")
    assert main([str(built.root)]) == INVALID
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 * SHOWN_FILES + 2
    assert printed[-1] == "v6.1, 1 result: REFUSED, 101 failures in 101 files"


def test_the_command_is_quick_to_say_what_it_does() -> None:
    code = "import sys; import sut.__main__; print(*[name for name in sys.modules if name.startswith('submission')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    done = subprocess.run(
        [sys.executable, "-m", "sut", "check", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--round" in done.stdout


def test_a_caller_may_ask_for_the_verdict_itself(whole: Trees) -> None:
    built = whole("v5.0", "open")
    from submission.check import tree

    assert examine(tree.read(built.root), built.round).holds
