"""`python -m sut check-backend NAME`: runs the contract's checks on a backend with a model of your choice.

The checks are those of our own tests (`backends.contract`), in a process that may crash.

    python -m sut check-backend my_engine:MyBackend --model my-model --precision int8
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

import backends
from backends import BACKENDS
from backends.base import Options
from backends.contract import findings
from backends.contract.subject import Subject
from foundation import terminal
from sut.errors import INVALID, VALID, UsageError
from sut.machine import facts as machine_facts
from sut.running import engines, model_choice
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import resolve
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

_MORE = """python -m sut check-backend my_engine:MyBackend                      with the demo's model
python -m sut check-backend my_engine:MyBackend --model my-model --precision int8

Exit code 0: all checks hold; 1: one does not."""
_COLOURS = {"ok": "green", "FAIL": "bold red", "not applicable": "dim"}


def main(argv: Sequence[str]) -> int:
    """The verb `check-backend`."""
    args = parser().read(argv)
    asked = {name: value for name, value in vars(args).items() if value is not None}
    if "precision" not in asked:
        asked["precision"] = BACKENDS[args.backend].first_precision
    config = resolve(asked)
    subject = _subject(config)
    print(f"{config.backend} {config.precision}, {config.model}, {subject.options.threads} threads", flush=True)
    failed = 0
    for finding in findings.of(subject):
        failed += finding.verdict == "FAIL"
        _show(finding)
    print("all checks hold" if not failed else f"failed: {failed}; see docs/design/adding-a-backend.md")
    return INVALID if failed else VALID


def parser() -> Parser:
    """The command line of `check-backend`."""
    found = new_parser("check-backend", _MORE)
    found.add_argument("backend", metavar="NAME", help="as --backend of a run: a name, or package.module:Class")
    found.add_argument("--model", metavar="WHAT", help="as --model of a run (default: the demo's)")
    found.add_argument("--task", metavar="NAME", help="as --task of a run (default: squad)")
    found.add_argument("--precision", metavar="NAME", help="default: the first of the backend's row")
    found.add_argument("--threads", metavar="N", type=int, help="default: the cores of this machine")
    found.add_argument("--cache-dir", metavar="DIR", type=Path, help="as --cache-dir of a run, for built engines")
    return found


def _subject(config: RunConfig) -> Subject:
    """The backend with its model, and with its engine if the precision needs one."""
    if not BACKENDS[config.backend].runs_model:
        raise UsageError(f"expected a backend that runs a model here, found {config.backend}. Type another one.")
    backends.check(config.backend)
    backends.accelerators(config.backend)
    model = engines.ready(config, model_choice.model_of(config, TASKS[config.task]), engines.data_of(config))
    return Subject(config.backend, model, Options(config.precision, config.threads or machine_facts.cores()))


def _show(finding: findings.Finding) -> None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=len("not applicable"))
    grid.add_column(width=15)
    grid.add_column(overflow="fold")
    grid.add_row(finding.verdict, finding.check, finding.text, style=_COLOURS[finding.verdict])
    terminal.console().print(grid)
