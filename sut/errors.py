"""The tree of errors, with their exit codes.

    UserError (foundation.errors)                       2   a message for a person; no traceback
    ├── DatasetError (qsl.base)                         2   a data set or a vocabulary
    ├── BackendError (backends.errors)                  2   a backend or a model
    ├── AccuracyLogError (accuracy.log)                 2   LoadGen's accuracy log
    ├── UnknownTargetError (accuracy.targets)           2   --target
    └── SutError                                        3   of `sut` and above
        ├── UsageError                                  2   flags, files or settings that cannot be used
        ├── NodeError (sut.nodes.errors)                3   a node cannot be reached, or its connection ended
        │   ├── UnreachableError (sut.nodes.errors)     3   nothing listens there
        │   ├── SilentPeerError (sut.nodes.errors)      3   a peer that closed without a word
        │   └── ProtocolError (sut.nodes.errors)        3   bytes that are not the protocol
        ├── FetchError                                  3   `fetch` could not download a file: network, publisher, disk
        ├── RunFailedError                              3   the run started and failed: a backend raised, a kill
        │   └── UnusableRunError (submission.submit.runs)  3   a submission cannot use the run
        ├── RowStoppedError (sut.commands.compare.runs)  the exit code of the run that stopped
        └── RunStoppedError (submission.submit.runs)     likewise

0 is a valid result, 1 a result that is invalid or misses its accuracy. Each message says what was expected, what was
found and what to type; anything outside this tree is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

from foundation.errors import FAILED, INVALID, USAGE, VALID, UserError

__all__ = ["FAILED", "INVALID", "USAGE", "VALID", "FetchError", "RunFailedError", "SutError", "UsageError", "UserError"]


class SutError(UserError):
    """An error of `sut` itself, or of a package above it."""

    exit_code = FAILED


class UsageError(SutError):
    """A flag, a file or a setting that cannot be used."""

    exit_code = USAGE


class FetchError(SutError):
    """A model or a data set could not be fetched; a partial file is kept, and the same command continues."""


class RunFailedError(SutError):
    """The run started and failed: its logs are kept, its result is invalid."""
