"""`python -m sut replay RUN`: an earlier run again, out of its run.json; what differs, and both results side by side.

The run is made from what was given to the earlier one, not from what that resolved to: a run of the demo stays one, and
another machine makes its own plan of instances. (The backend called replay is another thing: it gives stored answers.)

    python -m sut replay runs/20260102T030405.678-Offline-performance-onnxruntime
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from backends import BACKENDS
from sut.errors import UsageError
from sut.machine import facts as machine_facts
from sut.record import detail_log, run_record
from sut.settings.resolve import DEMO, RunConfig, default_log_dir, resolve, to_flags

_DESCRIPTION = """Make an earlier run again and say what differs: versions, machine, files, plan, result.

Exit code: that of the run which is made now.
"""
# What of two run.json is compared, beside the figures.
_SECTIONS = ("machine", "distributions", "checksums", "engine", "topology", "config", "samples", "random_weights")
_OWN = ("config.log_dir",)  # differs always
_Record = dict[str, Any]


@dataclass(frozen=True)
class Earlier:
    """A run.json that can be replayed."""

    path: Path
    record: _Record
    config: RunConfig  # as given then
    directory: Path  # what its paths start from
    remarks: list[str]  # what a person should know before


def main(argv: list[str]) -> int:
    """Do what `argv` says; returns the run's exit code.

    Raises:
        UsageError: there is no run.json, or none that says what was run. Whatever else a run raises.
    """
    options = _parser().parse_args(argv)
    earlier = read(options.run)
    log_dir = (options.log_dir or default_log_dir(earlier.config)).absolute()
    config = replace(earlier.config, log_dir=log_dir)
    _announce(earlier, config)
    with chdir(earlier.directory):
        return _dry_run(earlier) if options.dry_run else _again(earlier, config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sut replay",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's log directory, or its run.json")
    parser.add_argument("--log-dir", type=Path, metavar="DIR", help="of the new run (default: a new one below runs/)")
    parser.add_argument("--dry-run", action="store_true", help="only the command, and what differs before it runs")
    return parser


def read(run: Path) -> Earlier:
    """The run.json that `run` is, or holds.

    Raises:
        UsageError: there is none, it is not JSON, or no run of ours, or its settings are none that can be run.
    """
    path = run / detail_log.RUN if run.is_dir() else run
    try:
        found = json.loads(path.read_bytes())
        said = dict(found["given"] if "given" in found else _as_given(found["config"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"expected a run's log directory or its {detail_log.RUN}, found none at {run} "
            f"({type(error).__name__}: {error})."
        ) from error
    known = {field.name for field in fields(RunConfig)}
    values = {name: value for name, value in said.items() if name in known and name != "log_dir"}
    directory = Path(found.get("directory") or Path.cwd())
    remarks = list(_remarks(found, {name: value for name, value in said.items() if name not in known}, directory))
    return Earlier(path, found, resolve(values), directory if directory.is_dir() else Path.cwd(), remarks)


def _as_given(config: Mapping[str, Any]) -> _Record:
    """Out of a resolved configuration, where a run.json has nothing else: what the demo stands for is left out."""
    said = {name: value for name, value in config.items() if value is not None}
    if Path(said.get("dataset", "")).name.startswith("demo-dev-"):
        del said["dataset"]
    if said.get("model", DEMO) == DEMO and Path(said.get("vocab", "")).parent.name == DEMO:
        del said["vocab"]
    return said


def _remarks(found: _Record, unknown: _Record, directory: Path) -> Iterator[str]:
    if found.get("verdict") in (run_record.UNFINISHED, run_record.FAILED):
        why = "; ".join(found.get("reasons", []))
        yield f"that run did not end: {found['verdict']}{why and ', ' + why}. There is no result to compare with."
    if unknown:
        yield f"settings that this version does not have are left out: {', '.join(sorted(unknown))}."
    if "given" not in found:
        yield "that run.json is of an older version: instances, cores and threads are taken as they were then."
    if not directory.is_dir():
        yield f"{directory}, where that run was started, is gone: its paths are looked for from here."


def _announce(earlier: Earlier, config: RunConfig) -> None:
    found = earlier.record
    print(f"replaying {earlier.path}: {config.scenario} {config.mode}, {found.get('verdict')}", file=sys.stderr)
    for remark in earlier.remarks:
        print(f"note: {remark}", file=sys.stderr)
    place = "" if earlier.directory == Path.cwd() else f"cd {shlex.quote(str(earlier.directory))} && "
    print(f"{place}{shlex.join(['python', '-m', 'sut', 'run', *to_flags(config)])}", file=sys.stderr, flush=True)


def _dry_run(earlier: Earlier) -> int:
    """What can be known without a run: the machine, the versions, the files that were read then."""
    from backends.bert.checkpoints import find_model
    from sut.commands.replay.table import show_differences
    from sut.fetch import resolve as asset_paths

    resolved = resolve(_known(earlier.record["config"])) if "config" in earlier.record else earlier.config
    now: _Record = {"machine": asdict(machine_facts.facts())}
    if BACKENDS[resolved.backend].runs_model:
        now["checksums"] = run_record.checksums(resolved, find_model(asset_paths.model_spec(resolved)), {})
    show_differences(differences(earlier.record, now), sections(earlier.record, now))
    return 0


def _known(config: Mapping[str, Any]) -> _Record:
    known = {field.name for field in fields(RunConfig)}
    return {name: value for name, value in config.items() if name in known and value is not None}


def _again(earlier: Earlier, config: RunConfig) -> int:
    from sut.commands.replay.table import show_differences, show_figures
    from sut.run import command as run_command

    code = run_command.run(config)
    now = json.loads((config.logs / detail_log.RUN).read_bytes())
    show_differences(differences(earlier.record, now), sections(earlier.record, now))
    show_figures(earlier.record, now)
    return code


def sections(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What both record, and can be compared."""
    return [name for name in _SECTIONS if name in then and name in now]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two run.json, by dotted name: (then, now), None where one has no such fact.

    A section that one of them lacks is left out: it was not recorded, or is not known yet.
    """
    both = sections(then, now)
    before = dict(_flat({name: then[name] for name in both}))
    after = dict(_flat({name: now[name] for name in both}))
    names = dict.fromkeys([*before, *after])
    pairs = {name: (before.get(name), after.get(name)) for name in names if name not in _OWN}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(facts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value
