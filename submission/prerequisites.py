"""What a submission needs before its first run: a model, the complete data set, a system description, disk space.

A failure here takes a second or two, and no run was started.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import backends
from backends.bert.model import RANDOM_PREFIX
from foundation import rules
from qsl.base import Features
from qsl.squad import SquadDataSet
from submission.package import system_description, weights
from submission.package.weights import Weights
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths

DEMO_QUESTIONS = 10_515  # of the demo's generator, seed 1: they make exactly the required number of samples
_DEMO_FILE = f"demo-{rules.SAMPLES}.json"
_BYTES_PER_LOGGED_TOKEN = 16  # two float32 in hexadecimal
_SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class Prerequisites:
    """What the checks found."""

    description: Mapping[str, str]  # of the system
    weights: Weights
    data: SquadDataSet


def check(request: SubmissionRequest, output: Workspace) -> Prerequisites:
    """Check everything that a submission needs.

    Raises:
        UsageError, DatasetError, BackendError: the first thing that is missing.
    """
    if not request.run.is_on_nodes:  # which have the engines
        backends.check(request.run.backend)
    _check_model(request)
    found = weights.describe(request.run)
    data = _data(request)
    _check_samples(request, len(data.features))
    description = system_description.describe(request, found.precision, found.notes)
    _check_room(request, output, data.features)
    return Prerequisites(description, found, data)


def _check_model(request: SubmissionRequest) -> None:
    is_fake = not backends.BACKENDS[request.run.backend].runs_model
    if is_fake and not (request.short or request.allow_fake):
        raise UsageError(
            f"expected a backend that runs a model, found {request.run.backend!r}. Type: another --backend, or "
            "--short for a trial, or --allow-fake to test the package."
        )
    if request.run.model.startswith(RANDOM_PREFIX) and not request.short:
        raise UsageError(
            f"expected a trained model, found --model {request.run.model}. Type: another --model, or "
            "--short for a trial."
        )


def _data(request: SubmissionRequest) -> SquadDataSet:
    config = request.run
    return SquadDataSet(asset_paths.dataset(config), asset_paths.vocab(config), asset_paths.cache_dir(config))


def _check_samples(request: SubmissionRequest, samples: int) -> None:
    if samples == rules.SAMPLES or request.short:
        return
    expected = f"expected the {rules.SAMPLES:,} samples that the rules require"
    if request.run.dataset is None:
        raise UsageError(
            f"{expected}, found {samples:,} in the embedded demo data set. Type: python -m qsl.demo dev "
            f"{_DEMO_FILE} --questions {DEMO_QUESTIONS}, then --dataset {_DEMO_FILE}; or --short for a trial."
        )
    raise UsageError(
        f"{expected}, found {samples:,} in {request.run.dataset}. Type: --dataset with the path of SQuAD v1.1's "
        "dev-v1.1.json, or --short for a trial."
    )


def _check_room(request: SubmissionRequest, output: Workspace, features: Features) -> None:
    logs = len(request.scenarios) * (2 if request.is_closed else 1)
    needed = _SPARE_BYTES + logs * features.total_tokens * _BYTES_PER_LOGGED_TOKEN
    free = shutil.disk_usage(output.folder).free
    if free < needed and not output.runs.exists():
        raise UsageError(
            f"expected {needed >> 20} MiB of disk space for the logs in {output.folder}, found {free >> 20} MiB free. "
            "Free some space, or type another --output-dir."
        )
