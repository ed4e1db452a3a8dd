"""`sut.run` and `sut.load`: a run from Python, and the record of an earlier one.

A run is a process of its own, `python -m sut`: LoadGen has no call that stops a test, so a run that fails or is
interrupted takes its process with it; and instances are started from there, so a script or a notebook needs no
`if __name__ == "__main__"`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from foundation import live_line
from foundation.log_files import RUN
from sut.errors import INVALID, USAGE, VALID, RunFailedError, SutError, UsageError
from sut.processes import run_process
from sut.record import run_record
from sut.record.run_record import RunRecord
from sut.settings.keywords import RunSettings
from sut.settings.resolve import default_log_dir, read_toml, resolve, to_flags
from sut.settings.settings import RunConfig

_ERROR = "\nerror: "


def run(
    *, progress: bool = False, config: str | os.PathLike[str] | None = None, **settings: Unpack[RunSettings]
) -> RunRecord:
    """Make one run under LoadGen and return its record, which is also the run.json in its log directory.

    A result that is INVALID, or misses its target, is a result: see `verdict` and `reasons` of the record.

    Args:
        progress: show on sys.stderr what the command shows there, in a notebook with a live bar, too; otherwise nothing
            is printed.
        config: a TOML file of settings to start from, as for `--config`.
        settings: the flags of `python -m sut run` with underscores, such as `batch_size=8` for `--batch-size 8`; None
            is the same as leaving a setting out. docs/guide/settings.md lists them.

    Raises:
        UserError: a setting or a file that cannot be used; nothing was started, or the run ended before its test.
        RunFailedError: the run started and failed; its logs are kept.
        KeyboardInterrupt: after Ctrl-C, once the run has ended.

    >>> record = sut.run(scenario="SingleStream", backend="fake", test_query_count=64)
    >>> record.verdict, record.performance.metric, record.performance.unit
    ('VALID', 'latency', 'ms')
    """
    chosen = resolved(settings, config)
    logs = chosen.log_dir or default_log_dir(chosen)
    flags = ["run", *to_flags(chosen), *([] if chosen.log_dir else ["--log-dir", str(logs)])]
    code, text = run_process.captured(flags, _show if progress else None, columns=live_line.width())
    if code in (VALID, INVALID) and (logs / RUN).is_file():
        return run_record.read(logs)
    raise error_of(code, text)


def _show(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def load(run: str | os.PathLike[str]) -> RunRecord:
    """The record of an earlier run.

    Args:
        run: its log directory, or its run.json.

    Raises:
        UsageError: it is not there, broken, or of a newer version.
    """
    return run_record.read(Path(run))


def resolved(settings: Mapping[str, Any], config: str | os.PathLike[str] | None = None) -> RunConfig:
    """The settings of a run as given to a function of the interface. Raises UserError as `resolve` does."""
    given = {
        name: Path(value) if isinstance(value, os.PathLike) and not isinstance(value, Path) else value
        for name, value in settings.items()
    }
    return resolve(given, None if config is None else read_toml(Path(config)))


def error_of(code: int, text: str) -> SutError:
    """The error of a run that has no result, by its exit code and what it wrote: one message, or a traceback."""
    _, found, message = f"\n{text}".rpartition(_ERROR)
    if not found:
        error = RunFailedError(f"the run ended with exit code {code} and without a message.")
        error.add_note(text.strip())
        return error
    return UsageError(message.strip()) if code == USAGE else RunFailedError(message.strip())
