"""`python -m training.package RUN…`: ten runs with ten seeds → a package in MLPerf's layout, checked.

    DIR/results/<system>/bert/result_0.txt … result_9.txt
    DIR/systems/<system>.json                    33 facts
    DIR/benchmarks/bert/implementations/pytorch  sources, configuration, README

<system> is the name of the TOML file without its suffix. Exit codes: 0 accepted, 1 refused by an official checker.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from foundation.errors import INVALID, VALID, UserError
from foundation.people_numbers import clock, count
from sut.errors import UsageError
from training.package import official, rules, runs, system_description, tree
from training.package.runs import Run

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main(argv: Sequence[str] | None = None) -> int:
    """Build and check a package; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        return _package(options.runs, options.submitter, options.system, options.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _package(folders: Sequence[Path], submitter: str, toml: Path, output: Path) -> int:
    if not _NAME.fullmatch(toml.stem):
        raise UsageError(f"expected a name of letters, digits, '.', '_' and '-' for --system, found {toml.stem!r}.")
    found = runs.read(folders)
    runs.require(found)
    description = system_description.describe(found[0].record, submitter, toml)
    tree.build(found, description, toml.stem, output)
    print(_summary(found), f"package: {output}", sep="\n")
    return _check(output)


def _check(output: Path) -> int:
    if not official.is_installed():
        print(f"Our own checks accept it. MLPerf's are not installed; type: {official.INSTALL}")
        print(f"    {shlex.join(['python', *official.command(str(output))])}")
        return VALID
    checked = official.check(output)
    print(f"MLPerf's checkers: {'accepted' if checked.accepted else 'REFUSED'}")
    print("".join(f"    {remark}\n" for remark in checked.remarks), end="")
    return VALID if checked.accepted else INVALID


def _summary(found: Sequence[Run]) -> str:
    """MLPerf's result: the mean time without the fastest and the slowest run; one without the target is the slowest."""
    seconds = [one.train_s for one in sorted(found, key=lambda one: (not one.has_converged, one.train_s))]
    converged = sum(run.has_converged for run in found)
    return (
        f"{count(len(found), 'run')}, {converged} reached the target {found[0].record.target:g}; "
        f"mean time without the fastest and the slowest {clock(fmean(seconds[1:-1]))}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.package", description="Packages ten training runs in MLPerf's layout and checks them."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=f"a run's directory; {rules.RUNS} of them")
    parser.add_argument("--submitter", required=True, help="who submits")
    parser.add_argument("--system", required=True, type=Path, metavar="FILE", help="TOML file with the system's facts")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="directory for the package")
    return parser
