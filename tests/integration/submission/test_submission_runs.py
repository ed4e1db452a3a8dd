"""Which runs count as done, and what becomes of those that do not; the runs themselves are played by a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import records

from submission.submit import plan, request, runs, user_conf
from submission.submit.plan import ACCURACY, PERFORMANCE, PROBE, TEST01, Step
from submission.submit.request import SubmissionRequest
from submission.submit.runs import RunStoppedError, carry_out
from submission.submit.workspace import Workspace
from sut.errors import RunFailedError
from sut.processes import run_process
from sut.record import run_record
from sut.record.measurements import Progress

Play = Callable[[str, int], None]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> tuple[Play, list[list[str]]]:
    """Decides how runs end from now on, and notes each one's flags."""
    made: list[list[str]] = []

    def ending(verdict: str, code: int) -> None:
        def captured(flags: list[str], _show: object, *, becomes: Path, **_: object) -> tuple[int, str]:
            assert becomes.parent == Path(flags[flags.index("--log-dir") + 1]).parent
            made.append(list(flags))
            folder = Path(flags[flags.index("--log-dir") + 1])
            folder.mkdir(parents=True)
            progress = Progress(
                issued=1000, completed=1000, tokens=1, computed_tokens=1, first_issue_s=0.0, last_answer_s=10.0
            )
            run_record.write(folder, records.record(verdict=verdict, reasons=("so it is",), progress=progress))
            values = {"result_min_duration_met": verdict != "INVALID", "power_end": "now"}
            lines = [{"key": key, "value": value, "metadata": {"is_error": False}} for key, value in values.items()]
            text = "".join(f":::MLLOG {json.dumps(line)}\n" for line in lines)
            (folder / "mlperf_log_detail.txt").write_text(text)
            return code, ""

        monkeypatch.setattr(run_process, "captured", captured)

    return ending, made


def ordered(folder: Path, *flags: str) -> tuple[SubmissionRequest, Workspace, list[Step]]:
    asked, _ = request.parse(["--submitter", "DemoOrg", "--output-dir", str(folder), *flags])
    output = Workspace(folder)
    folder.mkdir(exist_ok=True)
    output.user_conf.touch()
    return asked, output, plan.runs(asked, output, dict.fromkeys(asked.scenarios, 50.0), 10_833)


def test_the_closed_division_runs_accuracy_first_and_test01_behind_its_performance(tmp_path: Path) -> None:
    steps = ordered(tmp_path, "--division", "closed")[2]
    assert [(step.scenario, step.kind) for step in steps] == [
        ("Offline", ACCURACY), ("SingleStream", ACCURACY),
        ("Offline", PERFORMANCE), ("Offline", TEST01),
        ("SingleStream", PERFORMANCE), ("SingleStream", TEST01),
    ]  # fmt: skip
    assert all(step.config.execution_mode == "valid" and step.config.round == "v6.1" for step in steps)
    assert [step.config.audit_config is not None for step in steps] == [step.kind == TEST01 for step in steps]
    assert [step.config.target for step in steps] == ["bert-99"] * 2 + [None] * 4


def test_the_official_durations_are_expected(tmp_path: Path) -> None:
    expected = {step.name: step.expected_s for step in ordered(tmp_path, "--division", "closed")[2]}
    assert expected["Offline accuracy"] == pytest.approx(10_833 / 50, abs=10)
    assert 660 < expected["Offline performance"] == expected["Offline TEST01"] < 740
    assert 600 <= expected["SingleStream performance"] < 610


def test_user_conf_has_the_measured_speed_after_the_users_lines(tmp_path: Path) -> None:
    own = tmp_path / "own.conf"
    own.write_text("*.Offline.target_qps = 7\n")
    asked = ordered(tmp_path / "out", "--user-conf", str(own))[0]
    lines = user_conf.measured(asked, {"Offline": 100.0, "SingleStream": 100.0}).splitlines()
    assert lines[0] == "*.Offline.target_qps = 7"
    assert [line for line in lines[1:] if not line.startswith("#")] == ["*.SingleStream.target_latency = 4"]


def test_a_finished_run_is_not_made_again(tmp_path: Path, play: tuple[Play, list[list[str]]]) -> None:
    ending, made = play
    asked, output, steps = ordered(tmp_path)
    ending("PASS", 0)
    carry_out(steps[:1], asked, output, lock=0)
    ending("VALID", 0)
    with pytest.raises(RunFailedError, match="as good as it looks"):
        carry_out([steps[1]], asked, output, 0, verify=fail)
    carry_out(steps, asked, output, lock=0)
    assert [runs.is_done(step, output) for step in steps] == [True] * 4
    assert len(made) == 1 + 1 + 3
    times = runs.times(steps[0], output)
    assert times.command == steps[0].command(output) and times.started <= times.ended


def stopwatch(folder: Path) -> tuple[SubmissionRequest, Workspace, Step]:
    """A SingleStream run configured with 500 ms per query that takes 10 ms."""
    asked, output, steps = ordered(folder)
    output.user_conf.write_text("*.SingleStream.target_latency = 500\n")
    return asked, output, steps[3]


def test_a_run_that_ran_out_of_queries_is_repeated_with_its_own_speed(
    tmp_path: Path, play: tuple[Play, list[list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    ending, made = play
    asked, output, step = stopwatch(tmp_path)
    ending("INVALID", 1)
    with pytest.raises(RunFailedError, match="so it is"):  # the second is as fast as the first: no better speed
        carry_out([step], asked, output, lock=0)
    assert len(made) == 2
    assert output.user_conf.read_text().splitlines()[-1] == "bert.SingleStream.target_latency = 4"
    assert "ran out of queries. Repeating it with bert.SingleStream.target_latency = 4" in capsys.readouterr().err
    ending("VALID", 0)
    carry_out([step], asked, output, lock=0)
    assert runs.is_done(step, output)


def test_a_speed_from_the_command_line_is_not_corrected(tmp_path: Path, play: tuple[Play, list[list[str]]]) -> None:
    ending, made = play
    asked, output, steps = ordered(tmp_path, "--target-qps", "2")
    output.user_conf.write_text("*.Offline.target_qps = 2\n")
    ending("INVALID", 1)
    with pytest.raises(RunFailedError, match="so it is"):
        carry_out([steps[2]], asked, output, lock=0)
    assert len(made) == 1


def fail(step: Step, folder: Path) -> None:
    raise RunFailedError("it is not as good as it looks.")


@pytest.mark.parametrize(
    ("flags", "number", "verdict", "is_packed"),
    [
        (["--division", "closed"], 0, "FAIL", False),
        (["--division", "closed"], 0, "SCORED", False),
        (["--division", "open"], 0, "FAIL", True),
        (["--division", "open"], 0, "INCOMPLETE", False),
        (["--division", "open"], 2, "INVALID", False),
        (["--division", "open", "--short"], 2, "INVALID", True),
        (["--division", "open", "--short"], 0, "INCOMPLETE", True),
    ],
)
def test_a_result_that_cannot_be_packed_is_kept_as_failed(
    tmp_path: Path, play: tuple[Play, list[list[str]]], flags: list[str], number: int, verdict: str, is_packed: bool
) -> None:
    play[0](verdict, 1)
    asked, output, steps = ordered(tmp_path, *flags)
    step = steps[number]
    if is_packed:
        carry_out([step], asked, output, lock=0)
        assert runs.is_done(step, output)
        return
    failed = step.folder(output).with_name(f"{step.kind}.failed")
    with pytest.raises(RunFailedError, match="so it is") as caught:
        carry_out([step], asked, output, lock=0)
    assert str(failed) in str(caught.value) and (failed / "run.json").is_file()
    assert not step.folder(output).exists()


@pytest.mark.parametrize("code", [2, 3, -9])
def test_a_run_that_does_not_end_by_itself_stops_the_submission(
    tmp_path: Path, play: tuple[Play, list[list[str]]], code: int
) -> None:
    play[0]("FAILED", code)
    asked, output, steps = ordered(tmp_path)
    with pytest.raises(RunStoppedError, match="--resume") as caught:
        carry_out(steps, asked, output, lock=0)
    assert caught.value.exit_code == (code if code > 0 else 3)
    assert not runs.is_done(steps[0], output)


def test_trial_runs_are_of_every_scenario_and_short(tmp_path: Path) -> None:
    asked = ordered(tmp_path)[0]
    probes = plan.probes(asked)
    assert [(step.scenario, step.kind) for step in probes] == [("Offline", PROBE), ("SingleStream", PROBE)]
    assert all(step.config.is_trial for step in probes)
