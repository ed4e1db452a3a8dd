"""`python -m sut tune`: finds the fastest settings of this machine that keep the accuracy, and writes best.toml.

python -m sut tune --minutes 5
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sut.commands.sweep import grid
from sut.commands.tune.request import Request
from sut.errors import INVALID, VALID, UsageError
from sut.settings import flags
from sut.settings.parser import Parser, new_parser
from sut.settings.settings import SETTINGS

_MORE = """Backends, precisions, instances, cores and batches: short trials of all, longer ones of the fastest, and the
accuracy of each precision that may win, once.

python -m sut tune                                           the demo, Offline
python -m sut tune --model DIR --dataset dev-v1.1.json --target bert-99 --minutes 60
python -m sut tune --scenario Server --set "instances=1 2"   these values in place of the usual ones

A backend or precision that is given is kept; so is any other flag. Exit code: 0 found, 1 no engine is accurate enough,
2 usage, 3 failed or interrupted.
"""
_LEAST_MINUTES, _MINUTES, _MOST_MINUTES = 0.1, 5.0, 10_000.0


def main(argv: Sequence[str]) -> int:
    """Tune; returns the exit code.

    Raises:
        UsageError: a setting, a value or a directory cannot be used; no run was started.
        RunFailedError: a row could not be written.
    """
    request = _read(argv)
    from sut.commands.tune import tuning  # only now, so that mistakes are reported without loading numpy

    try:
        return VALID if tuning.carry_out(request) else INVALID
    except KeyboardInterrupt:
        again = f"--resume --output-dir {shlex.quote(str(request.folder))}"
        print(f"\nEvery finished run is kept. To continue, type the same command with {again}.", file=sys.stderr)
        raise


def parser() -> Parser:
    """The command line of `tune`."""
    found = new_parser("tune", _MORE)
    add = found.add_argument
    add("--minutes", type=float, default=_MINUTES, metavar="N", help="the time that all runs may take (default: 5)")
    add("--target", dest="accuracy", metavar="WHAT", help="accuracy to keep: bert-99, bert-99.9, or percent (default: "
        "that of the demo or of the benchmark; for other models 99 %% of fp32's)")  # fmt: skip
    add("--set", action="append", default=[], metavar="NAME=VALUES", help="values of a setting to try, as in `sweep`")
    add("--output-dir", type=Path, metavar="DIR", help="best.toml, rows.jsonl and runs/ (default: below runs/)")
    add("--resume", action="store_true", help="continue the tuning in DIR; --minutes may be longer")
    flags.add(found, "tune")
    return found


def _read(argv: Sequence[str]) -> Request:
    options = parser().read(argv)
    values, toml = flags.split(options, "tune", {"log_dir": "Logs go below --output-dir."})
    if not _LEAST_MINUTES <= options.minutes <= _MOST_MINUTES:
        raise UsageError(
            f"expected --minutes from {_LEAST_MINUTES:g} to {_MOST_MINUTES:,.0f}, found {options.minutes:g}."
        )
    if options.resume and not options.output_dir:
        raise UsageError(
            "expected --output-dir DIR with --resume, found none. Type the directory of the tuning to continue."
        )
    return Request(
        axes=[_axis(text) for text in options.set],
        values=values,
        toml={name: value for name, value in toml.items() if "tune" in SETTINGS[name].verbs},
        target=options.accuracy,
        minutes=options.minutes,
        folder=options.output_dir or Path("runs") / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-tune",
        resume=options.resume,
    )


def _axis(text: str) -> grid.Axis:
    found = grid.axis(text)
    if "tune" not in SETTINGS[found.field].verbs:
        raise UsageError(f"found --set {text!r}: `tune` sets {found.field} for each of its runs. Remove it.")
    return found
