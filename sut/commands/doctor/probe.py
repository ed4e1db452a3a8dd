"""One batch of the demo on every backend: does it load here, how long does it take, are the answers the same.

Each backend is tried in a process of its own: libraries that cannot live together, or that end their process, are
common among engines.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import backends
from backends import BACKENDS
from backends.base import Backend, Batch, Options
from backends.bert.checkpoints import find_model
from backends.errors import BackendError, brief
from foundation.arrays import Float32
from qsl import demo, squad
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts

_SAMPLES = 8
_TOLERANCES = {"fp32": 1e-2, "fp16": 0.1}  # in the logits, beside the first backend's


@dataclass(frozen=True)
class Trial:
    """What came of one backend."""

    backend: str
    works: bool
    installed: bool
    batch_ms: dict[str, float]  # of each precision that ran
    refused: dict[str, str]  # of each precision that did not, why
    built: tuple[str, ...]  # precisions that run a built engine, which was not asked for here
    kernels: str = ""  # the variant of our own kernels, where the backend has some
    found: str = ""  # what was found where it does not work
    devices: str = ""  # the GPUs of a backend that runs on some
    no_device: str = ""  # why there is none for it: a machine without a GPU is not broken


@dataclass(frozen=True)
class _Answers:
    batch_ms: dict[str, float]
    refused: dict[str, str]
    logits: Float32 | None  # of the first precision
    kernels: str


def every_backend(first: str) -> tuple[Trial, ...]:
    """A trial of each backend that runs a model; the others' logits are compared with those of `first`."""
    batch = _batch()
    names = [first, *(name for name in BACKENDS if name != first and BACKENDS[name].runs_model)]
    wanted: Float32 | None = None
    trials: list[Trial] = []
    for name in names:
        trial, logits = _try(name, batch, wanted)
        wanted = logits if wanted is None else wanted
        trials.append(trial)
    return tuple(trials)


def _batch() -> Batch:
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "demo.json"
        demo.write(dataset, "dev", questions=_SAMPLES)
        features = squad.load(dataset, asset_paths.demo_model() / "vocab.txt", None).features
    return Batch.of([features.sample(index) for index in range(_SAMPLES)])


def _try(name: str, batch: Batch, wanted: Float32 | None) -> tuple[Trial, Float32 | None]:
    built = BACKENDS[name].engine_precisions
    try:
        backends.check(name)
    except BackendError as error:
        return Trial(name, False, False, {}, {}, built, found=str(error)), None
    try:
        devices = ", ".join(device.name for device in backends.accelerators(name))
    except BackendError as error:
        return Trial(name, False, True, {}, {}, built, no_device=str(error)), None
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            answers = pool.submit(_answer, name, batch).result()
        except BrokenProcessPool:
            return Trial(name, False, True, {}, {}, built, found="its process ended: the engine crashed"), None
        except Exception as error:  # noqa: BLE001 - whatever an engine raises is what there is to report
            return Trial(name, False, True, {}, {}, built, found=brief(error)), None
    found = _wrong(backends.backend_class(name).precisions[0], answers.logits, wanted)
    trial = Trial(name, not found, True, answers.batch_ms, answers.refused, built, answers.kernels, found, devices)
    return trial, answers.logits


def _wrong(precision: str, logits: Float32 | None, wanted: Float32 | None) -> str:
    """What is wrong with the answers of a backend's first precision; "" where nothing is."""
    if logits is None:
        return f"{precision} does not run"
    if not np.isfinite(logits).all():
        return f"{precision} gives answers that are not numbers"
    off = 0.0 if wanted is None else float(np.abs(logits - wanted).max())
    return f"{precision}'s logits are off by {off:.2g}" if off > _TOLERANCES[precision] else ""


def _answer(name: str, batch: Batch) -> _Answers:
    """Runs in the child."""
    kind = backends.backend_class(name)
    batch_ms: dict[str, float] = {}
    refused: dict[str, str] = {}
    logits = None
    for precision in kind.precisions:
        if precision in kind.engine_precisions:
            continue
        try:
            batch_ms[precision], found = _timed(kind(Options(precision, machine_facts.cores())), batch)
        except BackendError as error:
            refused[precision] = str(error)
            continue
        logits = found if precision == kind.precisions[0] else logits
    return _Answers(batch_ms, refused, logits, _kernels() if name == "pytorch" else "")


def _timed(backend: Backend, batch: Batch) -> tuple[float, Float32]:
    """Milliseconds of the second time, and the answers."""
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
