"""The command line of `python -m sut submit` as a frozen `SubmissionRequest`, checked before any run starts.

The flags of a run (`--backend`, `--model`, `--dataset` …) are those of `python -m sut` and are parsed by its parser;
those that a submission sets itself (scenario, mode, lengths, seeds, log directories) are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.rules import F1_TARGETS, SCENARIOS
from submission.rules import rounds
from submission.rules.rounds import Round
from sut.errors import UsageError
from sut.settings import flags
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import choose, resolve
from sut.settings.settings import RunConfig

_MORE = """Runs, compliance, tree, checks, tarball and summaries.

python -m sut submit --short --submitter NAME --output-dir DIR          a trial of the embedded demo, in minutes
python -m sut submit --submitter NAME --division closed --model DIR --dataset dev-v1.1.json --output-dir DIR

Exit code: 0 packed, 1 a check fails, 2 usage, 3 a run failed or its result cannot be packed.
See docs/guide/submission.md.
"""
# Flags of a run that a submission sets for each of its runs → what to type instead.
_INSTEAD = {
    "scenario": "--scenarios lists the scenarios to run.",
    "mode": "Both modes are run.",
    "execution_mode": "--short makes trial runs.",
    "log_dir": "The logs of all runs go below --output-dir.",
    "min_duration_s": "--short makes shorter runs.",
    "target": "--benchmark sets the accuracy to reach.",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
# The scenarios of BERT in the edge suite; the closed division requires both.
_SCENARIOS = tuple(reversed(rounds.REQUIRED_SCENARIOS))


@dataclass(frozen=True, kw_only=True)
class SubmissionRequest:
    """One submission. `run` holds the flags of its runs; its scenario, mode and lengths are not used."""

    submitter: str
    division: str
    round: Round
    scenarios: tuple[str, ...]
    benchmark: str  # bert-99 or bert-99.9
    system: str  # the name of systems/<system>.json
    system_toml: Path  # the facts that a person fills in; may be missing in a trial
    output_dir: Path
    short: bool
    allow_fake: bool
    run: RunConfig

    @property
    def is_closed(self) -> bool:
        return self.division == "closed"


@dataclass(frozen=True)
class ResumeOptions:
    """How to proceed with a request: resume, only plan, or remove the earlier one; and what to print."""

    resume: bool
    dry_run: bool
    clean: bool
    json: bool


def parse(argv: Sequence[str]) -> tuple[SubmissionRequest, ResumeOptions]:
    """Parse the command line.

    Raises:
        UsageError: a flag or a value that cannot be used.
    """
    own = parser().read(argv)
    values, toml = flags.split(own, "submit", _INSTEAD)
    chosen = rounds.find(own.round)
    request = SubmissionRequest(
        submitter=_name("submitter", own.submitter, rounds.TAKEN_IN_NAMES),
        division=_division(own.division),
        round=chosen,
        scenarios=_scenarios(own.scenarios),
        benchmark=choose("benchmark", own.benchmark, F1_TARGETS),
        system=_name("system", own.system, rounds.TAKEN_IN_SYSTEMS),
        system_toml=own.system_toml or Path("configs", "systems", f"{own.system}.toml"),
        output_dir=own.output_dir,
        short=own.short,
        allow_fake=own.allow_fake,
        run=resolve(values | {"round": chosen.name}, toml),
    )
    _check(request, own)
    return request, ResumeOptions(own.resume, own.dry_run, own.clean, own.json)


def parser() -> Parser:
    """The command line of `submit`."""
    found = new_parser("submit", _MORE)
    add = found.add_argument
    add("--submitter", required=True, metavar="NAME", help="your organisation, as in the name of its directory")
    add("--division", default="open", metavar="NAME", help="open (default) or closed")
    add("--category", default="edge", metavar="NAME", help="edge: the only suite with BERT since v5.0")
    add("--round", default=rounds.LATEST, metavar="NAME", help=f"{', '.join(rounds.ROUNDS)} (default: %(default)s)")
    add("--scenarios", default=",".join(_SCENARIOS), metavar="A,B", help=f"default: {','.join(_SCENARIOS)}")
    add("--benchmark", default="bert-99", metavar="NAME", help="bert-99 (default) or bert-99.9: the accuracy to reach")
    add("--system", default="this-machine", metavar="ID", help="the system's short name (default: this-machine)")
    add("--system-toml", type=Path, metavar="FILE", help="facts that the machine does not report (default: "
        "configs/systems/ID.toml)")  # fmt: skip
    add("--output-dir", type=Path, required=True, metavar="DIR", help="where the package and all runs go")
    add("--short", action="store_true", help="a trial: few queries, open division, marked as one everywhere")
    add("--resume", action="store_true", help="continue an interrupted submission")
    add("--dry-run", action="store_true", help="only measure the speed and show the plan")
    add("--json", action="store_true", help="print the results, or the plan, on one line; the rest to standard error")
    add("--clean", action="store_true", help="remove the submission in DIR and start again")
    add("--allow-fake", action="store_true", help="pack runs of a backend without a model: for tests of the package")
    flags.add(found, "submit")
    return found


def _name(field: str, text: str, not_in_it: Sequence[str]) -> str:
    taken = [part for part in not_in_it if part in text]
    if taken:
        raise UsageError(
            f"expected a --{field} without {taken[0]}, which an official checker takes for something else, found "
            f"{text!r}. Type: --{field} {text.replace(taken[0], '').strip('-_.+') or 'NAME'}."
        )
    if _NAME.fullmatch(text):
        return text
    raise UsageError(
        f"expected a --{field} of letters, digits, '-', '_', '.' and '+', found {text!r}. Type another --{field}."
    )


def _division(text: str) -> str:
    if text.lower() == rounds.NETWORK:
        raise UsageError(
            "expected --division open for results over a network: the network division has datacenter benchmarks, and "
            "BERT is none since round v5.0. Type: --division open --network-division"
        )
    return choose("division", text, rounds.DIVISIONS)


def _scenarios(text: str) -> tuple[str, ...]:
    found = [choose("scenarios", name, SCENARIOS) for name in text.split(",")]
    return tuple(dict.fromkeys(found))


def _check(request: SubmissionRequest, own: Any) -> None:
    if request.run.task != "squad":
        raise UsageError(f"expected task squad (MLPerf's BERT), found --task {request.run.task}. Remove it.")
    if own.category.lower() != "edge":
        raise UsageError(f"expected --category edge, found {own.category!r}: no other suite has BERT since round v5.0.")
    if own.resume and own.clean:
        raise UsageError("--resume continues the earlier submission and --clean removes it. Type only one of them.")
    if request.is_closed and request.short:
        raise UsageError("found --short with --division closed. Type: --division open; a trial cannot be closed.")
    if own.system_toml and not own.system_toml.is_file():
        raise UsageError(f"expected a system description in {own.system_toml}, found no file. Check --system-toml.")
    if request.is_closed and request.run.network_division:
        raise UsageError(
            "found --network-division with --division closed, which has no results over a network. Type: --division "
            "open, or --executor remote alone, with which nodes and LoadGen are one system."
        )
    missing = set(rounds.REQUIRED_SCENARIOS) - set(request.scenarios)
    if request.is_closed and missing:
        raise UsageError(
            f"expected {' and '.join(rounds.REQUIRED_SCENARIOS)} for the closed division, "
            f"found --scenarios {','.join(request.scenarios)}. Remove --scenarios."
        )
    extra = set(request.scenarios) - set(rounds.REQUIRED_SCENARIOS)
    if request.is_closed and extra:
        raise UsageError(
            f"expected only scenarios of the closed division, found {' and '.join(sorted(extra))}. Remove --scenarios."
        )
    if request.run.test_query_count and not request.short:
        raise UsageError("found --test-query-count without --short. Remove it: a submission needs the official counts.")
