"""`python -m sut submit`: makes the runs of a submission and packs them; resumes after an interruption.

request → prerequisites → plan → runs (each in its own process; test01 verifies compliance) → package.build (the tree)
→ check (by the official rules) → package.summary, package.side_files, package.pack (the tarball).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from accuracy import squad
from foundation import held_directory
from foundation.steps import doing
from submission import prerequisites, show
from submission.check import command as check_command
from submission.check import tree
from submission.package import build, documents, pack, side_files, summary
from submission.prerequisites import Prerequisites
from submission.submit import earlier, plan, request_file, runs, test01, user_conf, workspace
from submission.submit.plan import Step
from submission.submit.request import ResumeOptions, SubmissionRequest, parse
from submission.submit.workspace import Workspace
from sut.errors import INVALID, VALID, RunFailedError
from sut.record import run_record

Facts = Mapping[str, object]  # what --json prints


def main(argv: list[str]) -> int:
    """The verb `submit`."""
    request, options = parse(argv)
    try:
        with redirect_stdout(sys.stderr) if options.json else nullcontext():
            code, facts = _dry_run(request) if options.dry_run else _submit(request, options, argv)
    except runs.RunStoppedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nFinished runs are kept. To continue, type the same command with --resume.", file=sys.stderr)
        raise
    if options.json:
        print(json.dumps(facts))
    return code


def _dry_run(request: SubmissionRequest) -> tuple[int, Facts]:
    """Make the trial runs in a temporary directory and show the plan."""
    with held_directory.temporary("submit") as folder, workspace.claimed(folder) as (output, lock):
        ready = _checked(request, output)
        speeds = _speeds(request, output, lock)
        steps = plan.runs(request, Workspace(request.output_dir), speeds, len(ready.data.features))
    plan.show(request, Workspace(request.output_dir), steps, speeds, user_conf.measured(request, speeds), set())
    return VALID, {"plan": [plan.facts(step, speeds) for step in steps]}


def _checked(request: SubmissionRequest, output: Workspace) -> Prerequisites:
    with doing("checking the model, the data set and the disk"):
        return prerequisites.check(request, output)


def _submit(request: SubmissionRequest, options: ResumeOptions, argv: Sequence[str]) -> tuple[int, Facts]:
    with workspace.claimed(request.output_dir) as (output, lock):
        earlier.check(request, options, output)
        ready = _checked(request, output)
        if options.clean:
            earlier.remove(output)
        if not output.request_file.exists():
            request_file.write(request, output, argv)
        speeds = _speeds(request, output, lock)
        steps = _planned(request, output, ready, speeds)
        runs.carry_out(steps, request, output, lock, lambda step, folder: _verify(step, folder, request, output, ready))
        try:
            return _package(request, output, ready, steps)
        except OSError as error:
            raise RunFailedError(
                f"expected to write the package in {output.folder}, found: {error}. "
                "Type the same command with --resume."
            ) from error


def _speeds(request: SubmissionRequest, output: Workspace, lock: int) -> dict[str, float]:
    """Queries per second of each scenario, measured by the trial runs unless they were made before."""
    probes = plan.probes(request)
    runs.carry_out(probes, request, output, lock)
    return {step.scenario: plan.queries_per_s(run_record.read(step.folder(output))) for step in probes}


def _planned(
    request: SubmissionRequest, output: Workspace, ready: Prerequisites, speeds: dict[str, float]
) -> list[Step]:
    """Plan and show the runs. Files that LoadGen reads are written only once: all runs use the same ones."""
    for path, text in (
        (output.user_conf, user_conf.measured(request, speeds)),
        (output.audit_config, test01.AUDIT_CONFIG),
    ):
        if not path.exists():
            workspace.write(path, text)
    steps = plan.runs(request, output, speeds, len(ready.data.features))
    done = {step.name for step in steps if runs.is_done(step, output)}
    plan.show(request, output, steps, speeds, workspace.read(output.user_conf), done)
    return steps


def _verify(step: Step, folder: Path, request: SubmissionRequest, output: Workspace, ready: Prerequisites) -> None:
    if step.kind != plan.TEST01:
        return
    test01.verify(
        folder,
        accuracy=output.run(step.scenario, plan.ACCURACY),
        performance=output.run(step.scenario, plan.PERFORMANCE),
        scenario=step.scenario,
        benchmark=request.benchmark,
        samples=len(ready.data.features),
        score=lambda log: squad.score_run(log, ready.data),
    )


def _package(
    request: SubmissionRequest, output: Workspace, ready: Prerequisites, steps: list[Step]
) -> tuple[int, Facts]:
    """Build and check the tree, then write the tarball and its side files; a tree that fails a check is not packed."""
    for suffix in workspace.SUFFIXES:
        output.package(suffix).unlink(missing_ok=True)
    with doing("building the package and checking it"):
        build.build(build.TreeInputs(request, output, steps, ready.description, ready.weights))
        verdict = check_command.check(output.tree, request.round.name)
    print()
    check_command.show(verdict)
    facts = {"check": check_command.record(output.tree, verdict)}
    if not verdict.holds:
        print(
            f"\nThe package was not written. The tree is {output.tree}, its runs are in {output.runs}.", file=sys.stderr
        )
        return INVALID, {"package": None, **facts}
    last = max(runs.times(step, output).ended for step in steps)
    results = summary.write(output, last)
    marks = documents.marks(request, [run_record.read(step.folder(output)) for step in steps])
    side_files.write(request, output, [*plan.probes(request), *steps], marks)
    pack.pack(output, int(last.timestamp()))
    side_files.show(output, results, marks)
    shown = show.content(output.folder, tree.read(output.tree))
    return VALID, {"package": str(output.package(".tar.gz")), **facts, **shown}
