"""order.json and step.json: a submission goes on with its own request alone, and a broken file is a clear error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundation.typed_json import encode
from submission.command import main
from submission.submit import earlier, plan, request, request_file, runs, test01, unchanged, user_conf
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.errors import UsageError, UserError

ARGV = ("--submitter", "DemoOrg", "--short")


def asked(folder: Path, *flags: str) -> SubmissionRequest:
    return request.parse([*ARGV, "--output-dir", str(folder), *flags])[0]


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        *(("--system", name) for name in ("box.json", "my.json-box", "TEST05-box", "a b", "../box", "")),
        *(("--submitter", name) for name in ("TEST05", "a b", "../box", "")),
    ],
)
def test_names_that_check_refuses_are_refused_before_a_run(tmp_path: Path, flag: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"expected a {flag} "):
        asked(tmp_path, flag, name)


def test_the_name_to_type_instead_is_no_flag(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Type: --system box\.$"):
        asked(tmp_path, "--system", "TEST05-box")


def test_the_same_request_goes_on_and_another_is_named(tmp_path: Path) -> None:
    output = Workspace(tmp_path)
    request_file.write(asked(tmp_path), output, [*ARGV, "--resume"])
    assert request_file.read(output).command == "python -m sut submit --submitter DemoOrg --short"
    request_file.refuse_another(asked(tmp_path), output)
    with pytest.raises(UsageError, match=r"run\.backend 'fake' \(was 'onnxruntime'\)"):
        request_file.refuse_another(asked(tmp_path, "--backend", "fake"), output)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"command": 3, "order": {}}', '{"command": "a", "order": []}'])
def test_a_broken_request_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "order.json").write_text(content)
    with pytest.raises(UsageError, match=r"order\.json.*--output-dir"):
        request_file.refuse_another(asked(tmp_path), Workspace(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", '{"command": "a", "started": "2026-01-02", "ended": 1, "exit_code": 0}'])
def test_a_broken_step_is_one_clear_error(tmp_path: Path, content: str) -> None:
    step = plan.probes(asked(tmp_path))[0]
    step.folder(Workspace(tmp_path)).mkdir(parents=True)
    (step.folder(Workspace(tmp_path)) / runs.STEP).write_text(content)
    with pytest.raises(UsageError, match=r"step\.json.*found"):
        runs.times(step, Workspace(tmp_path))


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock"}


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a user's own")


OWN = ("runs/mine/run.json", "user.conf", "audit.config", "notes.md")
MADE = (
    "runs/Offline/accuracy/run.json",
    "runs/Server/probe.part/x",
    "mlperf_submission/open/x",
    "mlperf_submission.md",
)


@pytest.mark.parametrize("order", [None, "{}", "[" * 100_000])
@pytest.mark.parametrize("made", [(), MADE[:1], MADE[2:3], MADE[3:]])
def test_without_a_readable_order_nothing_is_removed(tmp_path: Path, order: str | None, made: tuple[str, ...]) -> None:
    write(tmp_path, *OWN, *made)
    if order is not None:
        (tmp_path / "order.json").write_text(order)
    before = tree(tmp_path)
    with pytest.raises(UserError):
        main([*ARGV, "--output-dir", str(tmp_path), "--clean", "--model", "nowhere"])
    assert tree(tmp_path) == before


def test_a_mistake_removes_nothing(tmp_path: Path) -> None:
    request_file.write(asked(tmp_path), Workspace(tmp_path), ARGV)
    write(tmp_path, *OWN, *MADE)
    before = tree(tmp_path)
    with pytest.raises(UserError, match="nowhere"):
        main([*ARGV, "--output-dir", str(tmp_path), "--clean", "--model", "nowhere"])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_is_removed_is_the_submission(tmp_path: Path, is_ours: bool) -> None:
    output = Workspace(tmp_path)
    request_file.write(asked(tmp_path), output, ARGV)
    write(tmp_path, *OWN, *MADE)
    if is_ours:
        output.user_conf.write_text(f"*.Offline.target_qps = 5\n{user_conf.MARK}\n")
        output.audit_config.write_text(test01.AUDIT_CONFIG)
    earlier.remove(output)
    kept = OWN[::3] if is_ours else OWN
    assert tree(tmp_path) == {"runs", "runs/mine", *kept}


def finished(folder: Path, conf: str) -> tuple[plan.Step, Workspace]:
    """An Offline performance run with this user.conf, and the output directory in which it has ended."""
    output = Workspace(folder)
    output.user_conf.write_text(conf)
    step = plan.runs(asked(folder), output, {"Offline": 10.0}, 24)[1]
    write(step.folder(output), "mlperf_log_detail.txt", "run.json")
    ended = datetime(2026, 1, 2, tzinfo=UTC)
    done = runs.StepTimes(
        command="", started=ended, ended=ended, exit_code=0, files=unchanged.digests(step.folder(output)),
        settings=unchanged.settings(step),
    )  # fmt: skip
    (step.folder(output) / runs.STEP).write_text(json.dumps(encode(done)))
    return step, output


def resume(step: plan.Step, output: Workspace) -> None:
    runs.carry_out([step], asked(output.folder), output, lock=-1)


CONF = "*.Offline.target_qps = 10\n*.Offline.min_query_count = 30\n"


@pytest.mark.parametrize("more", ["", "# edited\n", "bert.Offline.target_qps = 20\n", "*.Server.target_qps = 1\n"])
def test_a_finished_run_is_not_repeated(tmp_path: Path, more: str) -> None:
    step, output = finished(tmp_path, CONF)
    output.user_conf.write_text(CONF + more)
    resume(step, output)


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ("nonsense", "user\\.conf"),
        (CONF.replace("30", "40"), "min_query_count 30 .* found 40"),
        ("", "min_query_count 30 .* found none"),
        (f"{CONF}*.*.min_duration = 9\n", "min_duration none .* found 9"),
    ],
)
def test_settings_that_the_run_did_not_have_are_refused(tmp_path: Path, conf: str, words: str) -> None:
    step, output = finished(tmp_path, CONF)
    output.user_conf.write_text(conf)
    with pytest.raises(UsageError, match=words):
        resume(step, output)


@pytest.mark.parametrize("content", ["a user", None])
def test_a_damaged_log_is_refused(tmp_path: Path, content: str | None) -> None:
    step, output = finished(tmp_path, CONF)
    log = step.folder(output) / "mlperf_log_detail.txt"
    log.unlink() if content is None else log.write_text(content)
    with pytest.raises(UsageError, match=r"mlperf_log_detail\.txt as the Offline performance run left it.* remove "):
        resume(step, output)
