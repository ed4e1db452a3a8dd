"""order.json and step.json: a submission goes on with its own request alone, and a broken file is a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from submission.submit import plan, request, request_file, runs
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.errors import UsageError

ARGV = ("--submitter", "DemoOrg", "--short")


def asked(folder: Path, *flags: str) -> SubmissionRequest:
    return request.parse([*ARGV, "--output-dir", str(folder), *flags])[0]


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
    with pytest.raises(UsageError, match=r"order\.json.*--clean"):
        request_file.refuse_another(asked(tmp_path), Workspace(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", '{"command": "a", "started": "2026-01-02", "ended": 1, "exit_code": 0}'])
def test_a_broken_step_is_one_clear_error(tmp_path: Path, content: str) -> None:
    step = plan.probes(asked(tmp_path))[0]
    step.folder(Workspace(tmp_path)).mkdir(parents=True)
    (step.folder(Workspace(tmp_path)) / runs.STEP).write_text(content)
    with pytest.raises(UsageError, match=r"step\.json.*found"):
        runs.times(step, Workspace(tmp_path))
