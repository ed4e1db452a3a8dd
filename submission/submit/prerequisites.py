"""What a submission needs before its first run: a model that may be submitted, a whole data set, a system, room.

What fails here fails in a second or two, with nothing started.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import backends
from backends.bert.model import RANDOM_PREFIX
from foundation import rules
from qsl.base import Features
from submission.package import system_description, weights
from submission.package.weights import Weights
from submission.submit.request import Order
from submission.submit.workspace import Workspace
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.tasks import TASKS

DEMO_QUESTIONS = 10_515  # of the demo's generator, seed 1: they have as many samples as the rules want
_DEMO_FILE = f"demo-{rules.SAMPLES}.json"
_BYTES_PER_LOGGED_TOKEN = 16  # two float32 in hexadecimal
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class Met:
    """What was found when all was there."""

    description: Mapping[str, str]  # of the system
    weights: Weights
    features: Features


def check(order: Order, place: Workspace) -> Met:
    """Look at everything that a submission needs.

    Raises:
        UsageError, DatasetError, BackendError: the first thing that is missing.
    """
    backends.check(order.run.backend)
    _check_model(order)
    found = weights.describe(order.run)
    features = _features(order)
    _check_samples(order, len(features))
    description = system_description.describe(order)
    _check_room(order, place, features)
    return Met(description, found, features)


def _check_model(order: Order) -> None:
    is_fake = not backends.BACKENDS[order.run.backend].runs_model
    if is_fake and not (order.short or order.allow_fake):
        raise UsageError(
            f"backend {order.run.backend!r} runs no model: its results are no submission. Take another --backend, or "
            "say --short for a trial, or --allow-fake to test the package itself."
        )
    if order.run.model.startswith(RANDOM_PREFIX) and not order.short:
        raise UsageError(
            f"--model {order.run.model} has random weights, which no submission has. Say --short for a trial."
        )


def _features(order: Order) -> Features:
    config = order.run
    return TASKS[config.task].load(
        asset_paths.dataset(config), asset_paths.vocab(config), asset_paths.cache_dir(config)
    )


def _check_samples(order: Order, samples: int) -> None:
    if samples == rules.SAMPLES or order.short:
        return
    wanted = f"expected the {rules.SAMPLES:,} samples that the rules ask for"
    if order.run.dataset is None:
        raise UsageError(
            f"{wanted}, found {samples:,} in the embedded demo data set. Make as many: python -m qsl.demo dev "
            f"{_DEMO_FILE} --questions {DEMO_QUESTIONS}, and give --dataset {_DEMO_FILE}; or --short for a trial."
        )
    raise UsageError(
        f"{wanted}, as SQuAD v1.1's dev-v1.1.json has, found {samples:,} in {order.run.dataset}. Give that with "
        "--dataset, or --short for a trial."
    )


def _check_room(order: Order, place: Workspace, features: Features) -> None:
    logs = len(order.scenarios) * (2 if order.is_closed else 1)
    needed = _SPARE_BYTES + logs * features.total_tokens * _BYTES_PER_LOGGED_TOKEN
    free = shutil.disk_usage(place.folder).free
    if free < needed and not place.runs.exists():
        raise UsageError(
            f"expected {needed >> 20} MiB of disk for the logs in {place.folder}, found {free >> 20} MiB free. "
            "Make room, or take another --output-dir."
        )
