"""An instance's life, in its own process; and the loader's, which forks instances that share one copy of the weights.

A group of one is an instance. A group of more begins as a loader: it loads features and backend once, with one thread,
so that nothing is lost in a fork, and forks the instances; then it only waits for their ends and says how each died.

    main process ── jobs, answers ──▶ instance    a pipe each; its end is how an instance hears that it is to end
    main process ◀─── notes ───────── loader      how instances died; its end tells the loader to end them

Ctrl-C reaches the whole terminal and is the main process's business, so all of these ignore it. None outlives the main
process, whatever kills that: the loader and lone instances watch it, and forked instances watch their loader.
"""

from __future__ import annotations

import ctypes
import multiprocessing as mp
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from backends.base import Pending
from sut.errors import RunFailedError
from sut.executors.answer_slots import Slots
from sut.executors.base import JOBS_PER_INSTANCE, Answer
from sut.executors.worker import Worker, WorkerSpec
from sut.machine.topology import Place

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_CLOSE_S = 1.0  # how long forked instances may take to end by themselves
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_MOST_MMAP_THRESHOLD = 32 << 20  # the largest that glibc takes
_LOOK_UP_S = 0.1  # how often a loader at work looks whether it is still wanted


@dataclass(frozen=True)
class Ended:
    """The loader's note on an instance that is no more."""

    number: int  # within the group
    pid: int
    exit_code: int


@dataclass(frozen=True)
class Link:
    """An instance's end of what joins it to the main process."""

    pipe: Connection
    slots: Slots


def live(spec: WorkerSpec, places: Sequence[Place], links: Sequence[Link], notes: Connection) -> None:
    """What a spawned process does, until its pipes end. One link for each place."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    if len(places) == 1:
        places[0].pin()
        _end_with_parent()
        _print_aside(spec)
        _live_alone(replace(spec, options=replace(spec.options, gpu=places[0].gpu)), links[0])
    else:
        _load_and_fork(spec, places, links, notes)


def _live_alone(spec: WorkerSpec, link: Link) -> None:
    with suppress(EOFError, OSError):  # the main process has closed its end, or is gone
        try:
            worker = Worker(spec)
        except Exception as error:  # noqa: BLE001 - it is raised again in the main process
            link.pipe.send(_portable(error))
            return
        _work(worker, link)


def _load_and_fork(spec: WorkerSpec, places: Sequence[Place], links: Sequence[Link], notes: Connection) -> None:
    on_node = {cpu for place in places for cpu in place.cpus}
    replace(places[0], cpus=tuple(on_node)).pin()
    with _ending_with_parent():
        try:
            worker = Worker(replace(spec, options=replace(spec.options, threads=1)))
        except Exception as error:  # noqa: BLE001 - it is raised again in the main process
            notes.send(_portable(error))
            return
    fork = mp.get_context("fork")
    children: list[BaseProcess] = []
    for number, place in enumerate(places):
        child = fork.Process(target=_live_forked, args=(worker, number, place, links, notes, spec.options.threads))
        child.start()
        children.append(child)
    for link in links:
        link.pipe.close()
    _watch(children, notes)


def _live_forked(
    worker: Worker, number: int, place: Place, links: Sequence[Link], notes: Connection, threads: int
) -> None:
    """The ends of its siblings' pipes go, or nobody would see those siblings end."""
    for other in (*links[:number], *links[number + 1 :]):
        other.pipe.close()
    notes.close()
    place.pin()
    _end_with_parent()
    _print_aside(worker.spec)
    worker.use_threads(threads)
    with suppress(EOFError, OSError):
        _work(worker, links[number])


def _print_aside(spec: WorkerSpec) -> None:
    """Let what the engine prints go to a file of this process's own."""
    if spec.verbose_dir:
        path = spec.verbose_dir / f"engine-{os.getpid()}.txt"
        aside = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(aside, 1)
        os.close(aside)


def _watch(children: Sequence[BaseProcess], notes: Connection) -> None:
    """Note each end, until all have ended or the main process wants or has its own."""
    alive = dict(enumerate(children))
    main = mp.parent_process()
    assert main is not None
    stirred: Sequence[object] = ()
    while alive and notes not in stirred and main.sentinel not in stirred:
        stirred = wait([notes, main.sentinel, *(child.sentinel for child in alive.values())])
        for number in [number for number, child in alive.items() if child.sentinel in stirred]:
            child = alive.pop(number)
            child.join()
            with suppress(OSError):
                notes.send(Ended(number, child.pid or 0, child.exitcode or 0))
    until_s = time.monotonic() + _CLOSE_S
    for child in alive.values():
        child.join(max(0.0, until_s - time.monotonic()))
        child.kill()
        child.join()


def _work(worker: Worker, link: Link) -> None:
    """Warm up, wait until all instances have, be timed beside them, then answer job after job."""
    pipe = link.pipe
    _keep_memory()
    try:
        worker.warm_up()
        pipe.send(None)
        pipe.recv()
        pipe.send(worker.measure())
    except (EOFError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - it is raised again in the main process
        pipe.send(_portable(error))
        return
    under_way: deque[Pending[Answer]] = deque()
    try:
        while True:
            if _is_next_first(pipe, under_way):
                under_way.append(worker.begin(pipe.recv()))
            else:
                pipe.send(_sent(link.slots, under_way.popleft().answers()))
    finally:
        worker.close()


def _is_next_first(pipe: Connection, under_way: deque[Pending[Answer]]) -> bool:
    """True when another job is to be begun before the oldest one's answers are taken: an engine that computes by itself
    is then never idle. Until either comes this thread has nothing to do, and no time to lose."""
    if not under_way or len(under_way) >= JOBS_PER_INSTANCE:
        return not under_way
    while not under_way[0].is_ready():
        if pipe.poll():
            return True
    return False


def _keep_memory() -> None:
    """What a batch gives back is kept for the next one: by default glibc returns large blocks to the kernel, which
    then clears every page again for every batch. Set after loading, whose leftovers should be returned."""
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MOST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _sent(slots: Slots, answer: Answer) -> Answer:
    """The answer in the form in which it goes through the pipe."""
    return slots.put(answer if answer.error is None else answer._replace(error=_portable(answer.error)))


def _portable(error: Exception) -> Exception:
    """The error itself where it survives pickling, else its words."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    except Exception:  # noqa: BLE001 - whatever pickling trips over, the words travel
        return RunFailedError(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    """From now on, in the midst of a batch too, where a pipe's end goes unseen."""
    threading.Thread(target=_leave_after_parent, args=(None,), daemon=True).start()


@contextmanager
def _ending_with_parent() -> Iterator[None]:
    """The same for a while: afterwards there is no other thread than this one, which may then fork."""
    over = threading.Event()
    watcher = threading.Thread(target=_leave_after_parent, args=(over,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _leave_after_parent(over: threading.Event | None) -> None:
    parent = mp.parent_process()
    assert parent is not None
    while over is None or not over.is_set():
        if wait([parent.sentinel], None if over is None else _LOOK_UP_S):
            os._exit(1)
