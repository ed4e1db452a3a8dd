"""Making the runs, each once: a run that ended as it must has a directory with its own name, any other has not.

A run works in `<name>.part` and is renamed when it is over and good, so an interruption at any moment leaves what is
finished, and repeats the rest. One that ended badly is kept as `<name>.failed`, for its logs.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from submission.submit import plan, user_conf, workspace
from submission.submit.plan import Step
from submission.submit.request import Order
from submission.submit.workspace import Workspace
from sut.errors import FAILED, RunFailedError, SutError
from sut.processes import run_process
from sut.record import detail_log
from sut.run.progress import clock

STEP = "step.json"  # beside a run's logs: its command, start and end
_REPEATS = 2  # of a run that ran out of queries
Verify = Callable[[Step, Path], None]


class RunStoppedError(SutError):
    """A run ended with an error that it has told itself; `exit_code` is the run's."""

    def __init__(self, step: Step, code: int) -> None:
        super().__init__(f"the {step.name} run stopped; nothing that was finished is lost, --resume goes on.")
        self.exit_code = code if code > 0 else FAILED  # below 0: killed by that signal


class UnfitRunError(RunFailedError):
    """A run was made, and its result cannot be packed; `folder` has its logs."""

    def __init__(self, why: str, folder: Path) -> None:
        super().__init__(f"{why} Its logs are in {folder}.")
        self.folder = folder


def is_done(step: Step, place: Workspace) -> bool:
    return (step.folder(place) / STEP).is_file()


def carry_out(steps: Sequence[Step], order: Order, place: Workspace, lock: int, verify: Verify | None = None) -> None:
    """Make every run that is not done yet.

    Args:
        lock: what `workspace.claimed` gave; each run holds it too.
        verify: looks at a run's logs, in that directory, before it counts as done; raises where they are not good.

    Raises:
        RunStoppedError: a run could not be made.
        UnfitRunError: a run was made and its result cannot be packed.
    """
    left = [step for step in steps if not is_done(step, place)]
    for number, step in enumerate(left, start=1):
        after_s = sum(later.expected_s for later in left[number:])
        print(_headline(number, len(left), step, after_s), file=sys.stderr, flush=True)
        _make_good(step, order, place, lock, verify)


def _headline(number: int, of: int, step: Step, after_s: float) -> str:
    rest = f", then {clock(after_s)} of runs are left" if after_s else ""
    return f"\n[{number}/{of}] {step.name}: about {clock(step.expected_s)}{rest}"


def _make_good(step: Step, order: Order, place: Workspace, lock: int, verify: Verify | None) -> None:
    """Make a run, and again while its queries ran out and LoadGen can be told a better speed."""
    for _ in range(_REPEATS):
        try:
            return _make(step, order, place, lock, verify)
        except UnfitRunError as error:
            line = user_conf.corrected(step, place, error.folder, record(error.folder))
            if not line:
                raise
            print(f"\nThe {step.name} run ran out of queries. Again, with {line}", file=sys.stderr, flush=True)
    return _make(step, order, place, lock, verify)


def _make(step: Step, order: Order, place: Workspace, lock: int, verify: Verify | None) -> None:
    folder = step.folder(place)
    part = workspace.aside(folder)
    shutil.rmtree(part, ignore_errors=True)
    started = _now()
    code = run_process.run(step.flags(part), lock)
    if code not in (0, 1):
        raise RunStoppedError(step, code)
    try:
        _check(step, order, place, record(part))
        if verify:
            verify(step, part)
    except RunFailedError as error:
        failed = folder.with_name(f"{folder.name}.failed")
        workspace.replace_folder(part, failed)
        raise UnfitRunError(str(error), failed) from error
    facts = {"command": step.command(place), "started": started, "ended": _now(), "exit_code": code}
    workspace.write(part / STEP, json.dumps(facts, indent=2) + "\n")
    workspace.replace_folder(part, folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def record(folder: Path) -> dict[str, Any]:
    """A run's run.json."""
    found: dict[str, Any] = json.loads((folder / detail_log.RUN).read_text(encoding="utf-8"))
    return found


def facts(step: Step, place: Workspace) -> dict[str, Any]:
    """A finished run's step.json."""
    found: dict[str, Any] = json.loads((step.folder(place) / STEP).read_text(encoding="utf-8"))
    return found


def _check(step: Step, order: Order, place: Workspace, found: dict[str, Any]) -> None:
    """A package holds valid runs; a trial may hold what came of it, and the open division any accuracy."""
    good = {"VALID", "PASS"}
    if step.kind == plan.PROBE or order.short:
        good |= {"INVALID", "SCORED", "FAIL", "INCOMPLETE"}
    elif not order.is_closed:
        good |= {"SCORED", "FAIL"}
    if found["verdict"] in good:
        return
    why = found.get("reasons") or [_missed(found)]
    todo = (
        ""
        if step.kind == plan.ACCURACY
        else f" LoadGen's knobs are in {place.user_conf}: set them there, then --resume."
    )
    raise RunFailedError(
        f"expected the {step.name} run to be {' or '.join(sorted(good))}, found {found['verdict']}: "
        f"{'; '.join(why)}.{todo}"
    )


def _missed(found: dict[str, Any]) -> str:
    result = found.get("result") or {}
    target = (result.get("target") or {}).get("value")
    return f"F1 {result.get('f1')} of the expected {target}"
