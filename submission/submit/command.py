"""`python -m sut submit`: from one command to a package, and on from wherever an earlier one was interrupted.

order.py   what was asked           plan.py    which runs, how long     runs.py    each once, in a process of its own
test01.py  compliance               build.py   the tree                 check.py   would the official checkers take it
pack.py    tarball                  summary.py the 27 fields            reports.py commands, times, platform
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from submission.check import command as check_command
from submission.package import build, documents, pack, side_files, summary
from submission.submit import plan, prerequisites, request, runs, test01, user_conf, workspace
from submission.submit.plan import Step
from submission.submit.prerequisites import Met
from submission.submit.request import Order, Wishes
from submission.submit.workspace import Workspace
from sut.errors import INVALID, VALID, RunFailedError, UsageError
from sut.fetch import resolve as asset_paths
from sut.tasks import score_squad

_ONLY_ONCE = ("--resume", "--clean", "--dry-run")  # say how to work, not what on


def main(argv: list[str]) -> int:
    """The verb `submit`."""
    asked, wishes = request.parse(argv)
    try:
        return _dry_run(asked) if wishes.dry_run else _submit(asked, wishes, argv)
    except runs.RunStoppedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nNothing that was finished is lost: the same command with --resume goes on.", file=sys.stderr)
        raise


def _dry_run(asked: Order) -> int:
    """The trial runs, in a directory that is gone afterwards, and the plan."""
    with TemporaryDirectory(prefix="submit-") as folder, workspace.claimed(Path(folder)) as (place, lock):
        met = prerequisites.check(asked, place)
        speeds = _speeds(asked, place, lock)
        steps = plan.runs(asked, Workspace(asked.output_dir), speeds, len(met.features))
    plan.show(asked, Workspace(asked.output_dir), steps, speeds, user_conf.measured(asked, speeds), set())
    return VALID


def _submit(asked: Order, wishes: Wishes, argv: Sequence[str]) -> int:
    with workspace.claimed(asked.output_dir) as (place, lock):
        if wishes.clean:
            place.clean()
        _refuse_another(asked, wishes, place)
        met = prerequisites.check(asked, place)
        if not place.order.exists():
            command = shlex.join(["python", "-m", "sut", "submit", *(word for word in argv if word not in _ONLY_ONCE)])
            workspace.write(place.order, json.dumps({"command": command, "order": _plain(asked)}, indent=2) + "\n")
        speeds = _speeds(asked, place, lock)
        steps = _planned(asked, place, met, speeds)
        runs.carry_out(steps, asked, place, lock, lambda step, folder: _verify(step, folder, asked, place, met))
        try:
            return _package(asked, place, met, steps)
        except OSError as error:
            raise RunFailedError(
                f"expected to write the package in {place.folder}, found: {error}. --resume."
            ) from error


def _refuse_another(asked: Order, wishes: Wishes, place: Workspace) -> None:
    """A directory holds one order; another is never mixed with its runs."""
    if not place.order.exists():
        return
    if not wishes.resume:
        raise UsageError(
            f"found a submission in {place.folder}. Say --resume to go on with it, --clean to remove it and start "
            "anew, or take another --output-dir."
        )
    earlier = json.loads(place.order.read_text(encoding="utf-8"))["order"]
    differing = [name for name, value in _plain(asked).items() if earlier.get(name) != value]
    if differing:
        found = ", ".join(f"{name} {_plain(asked)[name]!r} for {earlier.get(name)!r}" for name in differing)
        raise UsageError(f"--resume goes on with the order that was begun in {place.folder}; found {found}.")


def _plain(asked: Order) -> dict[str, Any]:
    """The order as JSON holds it, the fields of its run beside the others."""
    fields = asdict(asked)
    fields |= {f"run.{name}": value for name, value in fields.pop("run").items()} | {"round": asked.round.name}
    found: dict[str, Any] = json.loads(json.dumps(fields, default=str))
    return found


def _speeds(asked: Order, place: Workspace, lock: int) -> dict[str, float]:
    """Queries a second of each scenario, measured now unless that is done."""
    probes = plan.probes(asked)
    runs.carry_out(probes, asked, place, lock)
    return {step.scenario: plan.queries_per_s(runs.record(step.folder(place))) for step in probes}


def _planned(asked: Order, place: Workspace, met: Met, speeds: dict[str, float]) -> list[Step]:
    """The plan, shown, and the files that LoadGen reads, which stay as the first runs had them."""
    for path, text in ((place.user_conf, user_conf.measured(asked, speeds)), (place.audit_config, test01.AUDIT_CONFIG)):
        if not path.exists():
            workspace.write(path, text)
    steps = plan.runs(asked, place, speeds, len(met.features))
    done = {step.name for step in steps if runs.is_done(step, place)}
    plan.show(asked, place, steps, speeds, place.user_conf.read_text(encoding="utf-8"), done)
    return steps


def _verify(step: Step, folder: Path, asked: Order, place: Workspace, met: Met) -> None:
    if step.kind != plan.TEST01:
        return
    config = asked.run
    paths = asset_paths.dataset(config), asset_paths.vocab(config), asset_paths.cache_dir(config)
    test01.verify(
        folder,
        accuracy=place.run(step.scenario, plan.ACCURACY),
        performance=place.run(step.scenario, plan.PERFORMANCE),
        scenario=step.scenario,
        benchmark=asked.benchmark,
        samples=len(met.features),
        score=lambda log: score_squad(log, *paths),
    )


def _package(asked: Order, place: Workspace, met: Met, steps: list[Step]) -> int:
    """Tree, checks, and all that lies beside the tree; no tarball of a tree that fails a check."""
    for suffix in workspace.SUFFIXES:
        place.package(suffix).unlink(missing_ok=True)
    build.build(build.Parts(asked, place, steps, met.description, met.weights))
    verdict = check_command.check(place.tree, asked.round.name)
    print()
    check_command.show(verdict)
    if not verdict.holds:
        print(f"\nNothing was packed. The tree is {place.tree}, its runs are in {place.runs}.", file=sys.stderr)
        return INVALID
    last = max(datetime.fromisoformat(runs.facts(step, place)["ended"]) for step in steps)
    rows = summary.write(place, last)
    marks = documents.marks(asked, [runs.record(step.folder(place)) for step in steps])
    side_files.write(asked, place, [*plan.probes(asked), *steps], marks)
    pack.pack(place, int(last.timestamp()))
    side_files.show(place, rows, marks)
    return VALID
