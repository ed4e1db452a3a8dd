"""A backend in other processes, as instances have it: spawned, and forked from one that loaded it with one thread."""

from __future__ import annotations

import multiprocessing as mp
import signal
from multiprocessing.connection import Connection

from backends.base import Backend, Batch
from backends.contract.subject import ContractError, Subject
from backends.errors import brief
from foundation.arrays import Float32

_PATIENCE_S = 300
SPAWNED, FORKED = "a process of its own", "a process forked from it"


def answers(subject: Subject, batch: Batch) -> dict[str, Float32]:
    """The answers to a batch, by the kind of process.

    Raises:
        ContractError: a process raised, died or hung.
    """
    found = {}
    receiver, sender = mp.Pipe(duplex=False)
    process = mp.get_context("spawn").Process(target=_spawned, args=(subject, batch, sender))
    process.start()
    sender.close()
    try:
        for where in (SPAWNED, *([FORKED] if subject.entry.forkable else [])):
            found[where] = _received(receiver, where)
    finally:
        process.kill()
        process.join()
    return found


def _received(receiver: Connection, where: str) -> Float32:
    try:
        if not receiver.poll(_PATIENCE_S):
            raise ContractError(f"expected answers in {where}, found none in {_PATIENCE_S} s: it hangs")
        message: Float32 | str = receiver.recv()
    except EOFError:
        raise ContractError(f"expected answers in {where}, found that it died") from None
    if isinstance(message, str):
        raise ContractError(f"expected answers in {where}, found {message}")
    return message


def _spawned(subject: Subject, batch: Batch, sender: Connection) -> None:
    signal.alarm(2 * _PATIENCE_S)  # a process that hangs ends, too
    try:
        with subject.loaded(threads=1 if subject.entry.forkable else None) as backend:
            if subject.entry.forkable:
                _send_from_fork(subject, backend, batch, sender)
            else:
                sender.send(backend.infer(batch))
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is the finding
        sender.send(brief(error))


def _send_from_fork(subject: Subject, backend: Backend, batch: Batch, sender: Connection) -> None:
    """The fork comes first: the loader of a run never computes."""
    inner, outer = mp.Pipe(duplex=False)
    process = mp.get_context("fork").Process(target=_forked, args=(backend, subject.options.threads, batch, outer))
    process.start()
    outer.close()
    try:
        forked: Float32 | str = inner.recv()
    except EOFError:
        forked = "that it died"
    process.join()
    sender.send(backend.infer(batch))
    sender.send(forked)


def _forked(backend: Backend, threads: int, batch: Batch, sender: Connection) -> None:
    signal.alarm(_PATIENCE_S)
    try:
        backend.use_threads(threads)
        sender.send(backend.infer(batch))
    except Exception as error:  # noqa: BLE001 - as above
        sender.send(brief(error))
