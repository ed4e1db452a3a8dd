"""Runs one batch of the demo on every backend: does it load, how long does it take, are its answers right?

Each backend runs in its own process, because engines' libraries may conflict with each other or crash the process.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import backends
from backends import BACKENDS
from backends.base import Backend, Batch, Options
from backends.bert.checkpoints import find_model
from backends.errors import BackendError, brief
from foundation.arrays import Float32
from foundation.step_times import StepTimes
from qsl import demo, squad
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts

_SAMPLES = 8
_PATIENCE_S = 300.0  # for all precisions of a backend; a first load may compile kernels
_TOLERANCES = {"fp32": 1e-2, "fp16": 0.1}  # of the logits, compared with the first backend's
_NARROW = 2.0  # of any other precision: only nonsense is a fault


@dataclass(frozen=True, kw_only=True)
class BackendProbe:
    """The result of one backend."""

    backend: str
    works: bool
    installed: bool
    batch_ms: dict[str, float]  # of each precision that ran
    refused: dict[str, str]  # precision → why it did not run
    built: tuple[str, ...]  # precisions that need a built engine and are not tried here
    kernels: str = ""  # the variant of our C++ kernels, if the backend has them
    found: str = ""  # the error, if it does not work
    devices: str = ""  # names of the GPUs that the backend uses
    no_device: str = ""  # why it has no device: a machine without a GPU is not broken


@dataclass(frozen=True)
class _ProbeAnswers:
    batch_ms: dict[str, float]
    refused: dict[str, str]
    logits: Float32 | None  # of the first precision
    kernels: str


def every_backend(first: str, times: StepTimes) -> tuple[BackendProbe, ...]:
    """Try each backend that runs a model; logits are compared with those of `first`."""
    batch = _batch()
    names = [first, *(name for name in BACKENDS.names() if name != first and _is_to_try(name))]
    expected: Float32 | None = None
    probes: list[BackendProbe] = []
    for number, name in enumerate(names, 1):
        with times.doing(f"[{number}/{len(names)}] trying backend {name}", "doctor", name):
            probed, logits = _probe(name, batch, expected)
        expected = logits if expected is None else expected
        probes.append(probed)
    return tuple(probes)


def _is_to_try(name: str) -> bool:
    """Whether it runs a model; of one that does not load, doctor says why."""
    return name not in BACKENDS.own or BACKENDS.own[name].runs_model


def _batch() -> Batch:
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "demo.json"
        demo.write(dataset, "dev", questions=_SAMPLES)
        features = squad.load(dataset, asset_paths.demo_model() / "vocab.txt", None).features
    return Batch.of([features.sample(index) for index in range(_SAMPLES)])


def _probe(name: str, batch: Batch, expected: Float32 | None) -> tuple[BackendProbe, Float32 | None]:
    try:
        built = BACKENDS[name].engine_precisions
    except Exception as error:  # noqa: BLE001 - another package's module can raise anything
        found = str(error) if isinstance(error, BackendError) else brief(error)
        return BackendProbe(
            backend=name, works=False, installed=True, batch_ms={}, refused={}, built=(), found=found
        ), None
    try:
        backends.check(name)
    except BackendError as error:
        return BackendProbe(
            backend=name, works=False, installed=False, batch_ms={}, refused={}, built=built, found=str(error)
        ), None
    try:
        devices = ", ".join(device.name for device in backends.accelerators(name))
    except BackendError as error:
        return BackendProbe(
            backend=name, works=False, installed=True, batch_ms={}, refused={}, built=built, no_device=str(error)
        ), None
    answers = _asked(name, batch)
    if isinstance(answers, str):
        return BackendProbe(
            backend=name, works=False, installed=True, batch_ms={}, refused={}, built=built, found=answers
        ), None
    found = _fault(BACKENDS[name].first_precision, answers.logits, expected)
    probed = BackendProbe(
        backend=name,
        works=not found,
        installed=True,
        batch_ms=answers.batch_ms,
        refused=answers.refused,
        built=built,
        kernels=answers.kernels,
        found=found,
        devices=devices,
    )
    return probed, answers.logits


def _asked(name: str, batch: Batch) -> _ProbeAnswers | str:
    """The answers of a backend in a process of its own, or why there are none: it raised, crashed or hung."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer_into, args=(sender, name, batch), daemon=True)
    process.start()
    sender.close()  # the child has its own: if that is closed, it has exited
    try:
        if not receiver.poll(_PATIENCE_S):
            return f"the engine hangs: no answer in {_PATIENCE_S:.0f} s"
        answers: _ProbeAnswers | str = receiver.recv()
    except EOFError:
        return "the engine crashed: its process exited"
    finally:
        process.kill()
        process.join()
    return answers


def _answer_into(sender: Connection, name: str, batch: Batch) -> None:
    """Send the answers, or the error, as text; runs in the child process."""
    try:
        sender.send(_answer(name, batch))
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is reported
        sender.send(brief(error))


def _fault(precision: str, logits: Float32 | None, expected: Float32 | None) -> str:
    """The fault in the answers of a backend's first precision, or ""."""
    if logits is None:
        return f"{precision} does not run"
    if not np.isfinite(logits).all():
        return f"{precision} gives answers that are not numbers"
    off = 0.0 if expected is None else float(np.abs(logits - expected).max())
    return f"{precision}'s logits are off by {off:.2g}" if off > _TOLERANCES.get(precision, _NARROW) else ""


def _answer(name: str, batch: Batch) -> _ProbeAnswers:
    """Try all precisions of a backend; runs in the child process."""
    kind, entry = backends.backend_class(name), BACKENDS[name]
    batch_ms: dict[str, float] = {}
    refused: dict[str, str] = {}
    logits = None
    for precision in entry.precisions:
        if precision in entry.engine_precisions:
            continue
        try:
            batch_ms[precision], found = _timed(kind(Options(precision, machine_facts.cores())), batch)
        except BackendError as error:
            refused[precision] = str(error)
            continue
        logits = found if precision == entry.first_precision else logits
    return _ProbeAnswers(batch_ms, refused, logits, _kernels() if name == "pytorch" else "")


def _timed(backend: Backend, batch: Batch) -> tuple[float, Float32]:
    """Milliseconds of the second inference, and the logits."""
    backend.load(find_model(str(asset_paths.demo_model())))
    backend.infer(batch)
    start_s = time.perf_counter()
    logits = backend.infer(batch)
    batch_ms = (time.perf_counter() - start_s) * 1e3
    backend.close()
    return batch_ms, logits


def _kernels() -> str:
    from backends.pytorch_cpu import kernels

    config = find_model(str(asset_paths.demo_model())).config
    assert config is not None
    return kernels.best(config.hidden_size, config.head_size).name
