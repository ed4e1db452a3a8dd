"""Makes each run of a submission once; only a successful run has a directory with its final name.

A run writes to `<name>.part`, which is renamed when the run was successful. So after an interruption the finished runs
are kept and the others are repeated. A run with an unusable result is kept as `<name>.failed`, for its logs.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from accuracy.targets import METRICS
from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.foreign_text import printable
from foundation.typed_json import decode, encode
from submission.submit import plan, shown_run, unchanged, user_conf, workspace
from submission.submit.plan import Step
from submission.submit.request import SubmissionRequest
from submission.submit.shown_run import ShownRun
from submission.submit.workspace import Workspace
from sut.errors import FAILED, RunFailedError, SutError, UsageError
from sut.machine import limits
from sut.processes import run_process
from sut.record import run_record
from sut.record.run_record import RunRecord

STEP = "step.json"  # next to a run's logs: its command, start and end
_REPEATS = 2  # repetitions of a run that ran out of queries
_NUMBER = re.compile(r"\d[\d,.]*")
Verify = Callable[[Step, Path], None]


class RunStoppedError(SutError):
    """A run ended with an error that it already printed; `exit_code` is the run's."""

    def __init__(self, step: Step, code: int) -> None:
        super().__init__(
            f"the {step.name} run stopped. Finished runs are kept. To continue, type the same command with --resume."
        )
        self.exit_code = code if code > 0 else FAILED  # below 0: killed by that signal


class UnusableRunError(RunFailedError):
    """A run's result cannot be packed; `folder` has its logs."""

    def __init__(self, why: str, folder: Path) -> None:
        super().__init__(f"{why} Its logs are in {folder}.")
        self.folder = folder


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """The content of a finished run's step.json."""

    command: str
    started: datetime
    ended: datetime
    exit_code: int
    files: Mapping[str, str] = field(default_factory=dict)  # name → sha256 (submit.unchanged)
    settings: Mapping[str, float] = field(default_factory=dict)  # LoadGen's, from user.conf

    @property
    def seconds(self) -> float:
        return (self.ended - self.started).total_seconds()


def is_done(step: Step, output: Workspace) -> bool:
    """Whether the run was made and its files are in place."""
    return (step.folder(output) / STEP).is_file()


def carry_out(
    steps: Sequence[Step], request: SubmissionRequest, output: Workspace, lock: int, verify: Verify | None = None
) -> None:
    """Make every run that was not made before.

    Args:
        lock: file descriptor from `workspace.claimed`; each run inherits it.
        verify: called with a run's log directory before the run counts as done; raises RunFailedError to refuse it.

    Raises:
        RunStoppedError: a run ended with an error.
        UnusableRunError: a run's result cannot be packed.
        UsageError: a finished run is not what it was when it ended.
    """
    left = [step for step in steps if not is_done(step, output)]
    for step in steps:
        if step not in left:
            done = times(step, output)
            unchanged.check(step, output, done.files, done.settings)
    said: set[str] = set()
    labels = [f"[{number}/{len(left)}] {step.name}" for number, step in enumerate(left, start=1)]
    widest = max(map(len, labels), default=0)
    for number, (label, step) in enumerate(zip(labels, left, strict=True), start=1):
        shown = ShownRun(label, step.expected_s, sum(later.expected_s for later in left[number:]))
        try:
            _run_with_retries(step, request, output, lock, verify, shown)
        finally:
            shown.end()
        _show(label.ljust(widest), run_record.read(step.folder(output)), times(step, output), said)


def _show(label: str, record: RunRecord, took: StepTimes, said: set[str]) -> None:
    """Print a run's result, and remarks that were not made on another run before, with these numbers or others."""
    print(shown_run.row(label, record, took.seconds))
    for remark in shown_run.remarks(record):
        kind = _NUMBER.sub("", remark)
        if kind not in said:
            print(printable(f"      {remark}"))
        said.add(kind)
    sys.stdout.flush()


def _run_with_retries(
    step: Step, request: SubmissionRequest, output: Workspace, lock: int, verify: Verify | None, shown: ShownRun
) -> None:
    """Make a run; repeat it while its queries ran out and user.conf can get a better speed."""
    for _ in range(_REPEATS):
        try:
            return _run_once(step, request, output, lock, verify, shown)
        except UnusableRunError as error:
            line = user_conf.corrected(step, output, error.folder, run_record.read(error.folder))
            if not line:
                raise
            shown.end()
            print(f"The {step.name} run ran out of queries. Repeating it with {line}", file=sys.stderr, flush=True)
    return _run_once(step, request, output, lock, verify, shown)


def _run_once(
    step: Step, request: SubmissionRequest, output: Workspace, lock: int, verify: Verify | None, shown: ShownRun
) -> None:
    folder = step.folder(output)
    part = workspace.temporary(folder)
    shutil.rmtree(part, ignore_errors=True)
    started = _now()
    with limits.named(f"start the {step.name} run"):
        code, text = run_process.captured(
            step.flags(part), shown.update, columns=shown.columns, lock=lock, becomes=folder
        )
    if code not in (0, 1):
        shown.end()
        print(text, end="", file=sys.stderr, flush=True)
        raise RunStoppedError(step, code)
    try:
        _check(step, request, output, run_record.read(part))
        if verify:
            verify(step, part)
    except RunFailedError as error:
        failed = folder.with_name(f"{folder.name}.failed")
        workspace.replace_folder(part, failed)
        raise UnusableRunError(str(error), failed) from error
    done = StepTimes(
        command=step.command(output),
        started=started,
        ended=_now(),
        exit_code=code,
        files=unchanged.digests(part),
        settings=unchanged.settings(step),
    )
    workspace.write(part / STEP, json.dumps(encode(done), indent=2) + "\n")
    workspace.replace_folder(part, folder)


def _now() -> datetime:
    return datetime.now(UTC)


def times(step: Step, output: Workspace) -> StepTimes:
    """A finished run's step.json.

    Raises:
        UsageError: it is broken.
    """
    path = step.folder(output) / STEP
    try:
        return decode(StepTimes, bounded_readers.read_json(path))
    except UnreadableError as error:
        raise UsageError(
            f"expected the facts of a finished run in {path}, found {error}. To repeat the run, remove {path.parent}."
        ) from error


def _check(step: Step, request: SubmissionRequest, output: Workspace, found: RunRecord) -> None:
    """Refuse a run without a valid result. A trial may hold any result, the open division any accuracy."""
    good = {"VALID", "PASS"}
    if step.kind == plan.PROBE or request.short:
        good |= {"INVALID", "SCORED", "FAIL", "INCOMPLETE"}
    elif not request.is_closed:
        good |= {"SCORED", "FAIL"}
    if found.verdict in good:
        return
    why = found.reasons or [_missed(found)]
    todo = (
        ""
        if step.kind == plan.ACCURACY
        else f" Set LoadGen's settings in {output.user_conf}, then type the same command with --resume."
    )
    raise RunFailedError(
        f"expected the {step.name} run to be {' or '.join(sorted(good))}, found {found.verdict}: "
        f"{'; '.join(why)}.{todo}"
    )


def _missed(found: RunRecord) -> str:
    result = found.accuracy
    if result is None or result.target is None:
        return "no accuracy result"
    metric = result.target.metric
    return f"{METRICS.get(metric, metric)} {result.metrics.get(metric)} of the expected {result.target.value}"
