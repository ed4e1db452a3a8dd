"""Runs all checks in a process of their own, so that an engine that crashes or hangs is one line of the report."""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal

from backends.base import Backend
from backends.contract.checks import CHECKS
from backends.contract.subject import ContractError, NotApplicableError, Subject
from backends.errors import BackendError, brief

_PATIENCE_S = 1800.0  # for one check of a large model
_LOADING = "load"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    verdict: Literal["ok", "FAIL", "not applicable"]
    text: str  # what the check is about, or what it found
    is_last: bool = False  # nothing can be checked after it


def of(subject: Subject) -> Iterator[Finding]:
    """A finding for loading, and one for each check, as soon as it is known; none after a process that died."""
    receiver, sender = mp.Pipe(duplex=False)
    process = mp.get_context("spawn").Process(target=_check, args=(subject, sender))
    process.start()
    sender.close()
    try:
        for name in (_LOADING, *CHECKS):
            finding = _received(receiver, name)
            yield finding
            if finding.is_last:
                return
    finally:
        process.kill()
        process.join()


def _received(receiver: Connection, check: str) -> Finding:
    try:
        if not receiver.poll(_PATIENCE_S):
            return Finding(check, "FAIL", f"expected an answer in {_PATIENCE_S:g} s, found none: it hangs", True)
        found: Finding = receiver.recv()
    except EOFError:
        return Finding(check, "FAIL", "expected an answer, found that the process died", True)
    return found


def _check(subject: Subject, sender: Connection) -> None:
    """Send all findings; runs in the child process."""
    try:
        with subject.loaded() as backend:
            sender.send(Finding(_LOADING, "ok", "The engine loads the model"))
            for name in CHECKS:
                sender.send(_found(name, subject, backend))
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is the finding
        text = str(error) if isinstance(error, BackendError) else f"expected no error, found {brief(error)}"
        sender.send(Finding(_LOADING, "FAIL", text, True))


def _found(name: str, subject: Subject, backend: Backend) -> Finding:
    check = CHECKS[name]
    try:
        check(subject, backend)
    except NotApplicableError as error:
        return Finding(name, "not applicable", str(error))
    except ContractError as error:
        return Finding(name, "FAIL", str(error))
    except Exception as error:  # noqa: BLE001 - as above
        return Finding(name, "FAIL", f"expected no error, found {brief(error)}")
    return Finding(name, "ok", str(check.__doc__))
