"""What can go wrong, and the exit code that says so.

    SutError
    ├── UsageError                    2   flags, files or settings that cannot be used
    │     beside it, raised by the packages below `sut` and shown the same way:
    │       qsl.base.DatasetError           a data set or a vocabulary
    │       backends.base.BackendError      a backend or a model
    │       accuracy.log.AccuracyLogError   LoadGen's accuracy log
    │       accuracy.targets.UnknownTargetError
    ├── FetchError                    3   what `fetch` was to bring did not come: network, publisher, disk
    └── RunFailedError                3   the run began and could not end: a backend raised, an instance died, Ctrl-C

0 is a valid result, 1 a result that is invalid or misses its accuracy. Each message says what was wanted, what was
found and what to type; anything outside this tree is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

VALID, INVALID, USAGE, FAILED = 0, 1, 2, 3


class SutError(Exception):
    """An error that a person can act on; `exit_code` is what the command ends with."""

    exit_code = FAILED


class UsageError(SutError):
    """Something asked for cannot be used."""

    exit_code = USAGE


class FetchError(SutError):
    """A model or a data set could not be brought; what has come of it is kept, and the same command continues."""


class RunFailedError(SutError):
    """The run began and did not end: its logs are kept, its result is invalid."""


def user_errors() -> tuple[type[Exception], ...]:
    """The types that end in one message and no traceback; imported late, since `--help` needs none of them."""
    from accuracy.log import AccuracyLogError
    from accuracy.targets import UnknownTargetError
    from backends.base import BackendError
    from qsl.base import DatasetError

    return (SutError, DatasetError, BackendError, AccuracyLogError, UnknownTargetError)


def exit_code(error: Exception) -> int:
    """The exit code for one of `user_errors()`."""
    return error.exit_code if isinstance(error, SutError) else USAGE
