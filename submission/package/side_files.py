"""The files next to the tarball: the exact commands (.run), start and end of each part (.tstamps), the platform (.md).

Also prints the results at the end of `submit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from foundation import terminal
from foundation.people_numbers import figure
from foundation.typed_json import encode
from submission.package import summary
from submission.package.contents import PackedResult
from submission.submit import request_file, runs, workspace
from submission.submit.plan import Step
from submission.submit.request import SubmissionRequest
from submission.submit.runs import StepTimes
from submission.submit.workspace import Workspace
from sut.machine import description


def write(request: SubmissionRequest, output: Workspace, steps: Sequence[Step], marks: Sequence[str]) -> None:
    """Write the three files; `marks` are the warnings that must appear next to every figure."""
    times = {step.name: runs.times(step, output) for step in steps}
    workspace.write(output.package(".run"), _commands(output, marks, times))
    workspace.write(output.package(".tstamps"), _times(marks, times))
    workspace.write(output.package(".md"), _platform(request, marks))


def _commands(output: Workspace, marks: Sequence[str], times: Mapping[str, StepTimes]) -> str:
    command = request_file.read(output).command
    runs_of_it = [line for name, one in times.items() for line in (f"# {name}", one.command)]
    head = [*(f"# {mark}" for mark in marks), "# The submission", command, "# The runs that it made"]
    return "\n".join([*head, *runs_of_it]) + "\n"


def _times(marks: Sequence[str], times: Mapping[str, StepTimes]) -> str:
    lines = [*(f"# {mark}" for mark in marks), "# part, start, end, seconds"]
    for name, one in times.items():
        lines.append(f"{name.replace(' ', '-')} {encode(one.started)} {encode(one.ended)} {one.seconds:.1f}")
    return "\n".join(lines) + "\n"


def _platform(request: SubmissionRequest, marks: Sequence[str]) -> str:
    head = [
        f"# {request.system}: the platform of {request.submitter}'s {request.benchmark}, round {request.round.name}",
        "",
    ]
    if request.run.node:
        head += [f"This is LoadGen's machine. The nodes are described in systems/{request.system}.json.", ""]
    warnings = [line for mark in marks for line in (f"**{mark}**", "")]
    return "\n".join([*head, *warnings, *description.as_markdown()]) + "\n"


def show(output: Workspace, results: Sequence[PackedResult], marks: Sequence[str]) -> None:
    """Print the results and the path of the package."""
    console = terminal.console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("scenario", "result", "", "F1"):
        table.add_column(heading, justify="right" if heading in ("result", "F1") else "left")
    for one in results:
        scenario = one.layout.scenario
        value = "no figure" if one.value is None else figure(one.value)
        table.add_row(scenario, value, summary.UNITS[scenario], "no score" if one.f1 is None else f"{one.f1:.3f}")
    console.print(table)
    for mark in marks:
        console.print(mark)
    console.print(f"runs: {output.runs}", soft_wrap=True)
    console.print(f"packed: {output.package('.tar.gz')}", soft_wrap=True)
