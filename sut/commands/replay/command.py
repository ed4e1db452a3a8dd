"""`python -m sut replay RUN`: repeats a run from its run.json; prints the differences and both results.

The new run gets the settings that were given to the earlier one, not the resolved ones: a run of the demo uses this
version's demo, and another machine makes its own plan of instances. (The backend `replay` is unrelated: it returns
stored answers.)

    python -m sut replay runs/20260102T030405.678-Offline-performance-onnxruntime
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Set
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backends import BACKENDS
from foundation.foreign_text import printable_lines
from sut.machine import facts as machine_facts
from sut.record import run_record
from sut.record.run_record import RunRecord
from sut.reporting.differences import content, differences, sections
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import default_log_dir, given, resolve, to_flags
from sut.settings.settings import DEMO, SETTINGS, RunConfig

_MORE = """What may differ: versions, machine, files, plan, result. Exit code: that of the new run."""

_NAMES = ("then", "now")


@dataclass(frozen=True)
class Earlier:
    """A run.json that can be replayed."""

    path: Path
    record: RunRecord
    config: RunConfig  # as given to that run
    directory: Path  # the base of its relative paths
    remarks: list[str]  # notes to print before the run


def main(argv: list[str]) -> int:
    """Repeat the run; returns its exit code.

    Raises:
        UsageError: there is no run.json with the settings of a run. Also everything that a run raises.
    """
    options = parser().read(argv)
    earlier = read(options.run)
    log_dir = (options.log_dir or default_log_dir(earlier.config)).absolute()
    config = replace(earlier.config, log_dir=log_dir)
    _announce(earlier, config)
    with chdir(earlier.directory):
        if options.dry_run:
            return _dry_run(earlier, as_json=options.json)
        return (_repeat_as_json if options.json else _repeat)(earlier, config)


def parser() -> Parser:
    """The command line of `replay`."""
    found = new_parser("replay", _MORE)
    found.add_argument("run", type=Path, metavar="RUN", help="a run's log directory, or its run.json")
    found.add_argument(
        "--log-dir", type=Path, metavar="DIR", help="logs of the new run (default: a new directory below runs/)"
    )
    found.add_argument(
        "--dry-run",
        action="store_true",
        help="only print the command, and the differences that are known without a run",
    )
    found.add_argument("--json", action="store_true", help="print the differences and both results on one line of JSON")
    return found


def read(run: Path) -> Earlier:
    """Read a run, given its log directory or its run.json.

    Raises:
        UsageError: there is none, it is broken, or its settings cannot be used.
    """
    record = run_record.read(run)
    given_values = _as_given(record.config) if record.given is None else record.given
    values = {name: value for name, value in given_values.items() if name in SETTINGS and name != "log_dir"}
    directory = Path.cwd() if record.directory is None else Path(record.directory)
    remarks = list(_remarks(record, given_values.keys() - SETTINGS.keys(), directory))
    is_there = directory.is_dir()
    return Earlier(run_record.path_of(run), record, resolve(values), directory if is_there else Path.cwd(), remarks)


def _as_given(config: RunConfig) -> dict[str, Any]:
    """The given settings, from the resolved ones if a record has no others; without the paths of the demo."""
    given_values = given(config)
    if Path(given_values.get("dataset", "")).name.startswith("demo-dev-"):
        del given_values["dataset"]
    if config.model == DEMO and Path(given_values.get("vocab", "")).parent.name == DEMO:
        del given_values["vocab"]
    return given_values


def _remarks(record: RunRecord, unknown: Set[str], directory: Path) -> Iterator[str]:
    if not record.has_ended:
        why = ", ".join([record.verdict, *record.reasons])
        yield f"the earlier run did not finish ({why}): there is no result to compare with."
    if unknown:
        yield f"settings that this version does not have are ignored: {', '.join(sorted(unknown))}."
    if record.given is None:
        yield "run.json was written by an older version: instances, cores and threads are used as recorded."
    if not directory.is_dir():
        yield f"{directory}, where the earlier run was started, does not exist: its paths are resolved from here."


def _announce(earlier: Earlier, config: RunConfig) -> None:
    place = "" if earlier.directory == Path.cwd() else f"cd {shlex.quote(str(earlier.directory))} && "
    lines = [
        f"replaying {earlier.path}: {config.scenario} {config.mode}, {earlier.record.verdict}",
        *(f"note: {remark}" for remark in earlier.remarks),
        f"{place}{shlex.join(['python', '-m', 'sut', 'run', *to_flags(config)])}",
    ]
    print(printable_lines("\n".join(lines)), file=sys.stderr, flush=True)


def _dry_run(earlier: Earlier, *, as_json: bool) -> int:
    """Print the differences that are known without a run: the machine, the versions, the files."""
    from backends.bert.checkpoints import find_model
    from sut.commands.replay.table import show_differences
    from sut.fetch import resolve as asset_paths
    from sut.running import recording

    then, known = earlier.record, ["machine"]
    now = replace(then, machine=machine_facts.facts())
    if BACKENDS[earlier.config.backend].runs_model:
        model = find_model(asset_paths.model_spec(then.config))
        now = replace(now, checksums=recording.checksums(then.config, model, {}))
        known.append("checksums")
    among = sections(then, now, known)
    if as_json:
        print(json.dumps({"differences": content(then, now, _NAMES, among)["differences"]}))
    else:
        show_differences(differences(then, now, among), among)
    return 0


def _repeat(earlier: Earlier, config: RunConfig) -> int:
    from sut.commands.replay.table import show_differences, show_figures
    from sut.running import command as run_command

    code = run_command.run(config)
    now = run_record.read(config.logs)
    among = sections(earlier.record, now)
    show_differences(differences(earlier.record, now, among), among)
    show_figures(earlier.record, now)
    return code


def _repeat_as_json(earlier: Earlier, config: RunConfig) -> int:
    """The tables go to standard error."""
    with redirect_stdout(sys.stderr):
        code = _repeat(earlier, config)
    now = run_record.read(config.logs)
    print(json.dumps({"run": str(config.logs), **content(earlier.record, now, _NAMES)}))
    return code
