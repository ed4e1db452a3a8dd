"""The files that a run reads: the data set as features, the vocabulary, LoadGen's audit settings; each checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backends.bert.model import Model
from qsl.base import Features
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.run import model_choice
from sut.settings.resolve import RunConfig
from sut.tasks import Task


@dataclass(frozen=True)
class Inputs:
    """The data of a run, and where it is read from."""

    dataset: Path
    vocab: Path
    cache_dir: Path
    features: Features
    samples: int  # size of the QSL: all features, or in an accuracy trial the first few


def read(config: RunConfig, task: Task, model: Model) -> Inputs:
    """The data set as features that fit the model; in accuracy mode, one that can be scored.

    Raises:
        UsageError, DatasetError, BackendError: what cannot be used.
    """
    dataset, vocab, cache_dir = asset_paths.dataset(config), asset_paths.vocab(config), asset_paths.cache_dir(config)
    model_choice.check_vocabulary(model, vocab)
    features = task.load(dataset, vocab, cache_dir)
    model_choice.check_lengths(model, features)
    samples = len(features)
    if config.mode == "accuracy":
        task.check(dataset)
        samples = min(samples, config.test_query_count or samples)
    return Inputs(dataset, vocab, cache_dir, features, samples)


def check_audit(config: RunConfig) -> None:
    """Raises UsageError for an audit.config that is not there: LoadGen passes over one that it cannot open."""
    if config.audit_config and not config.audit_config.is_file():
        raise UsageError(
            f"expected LoadGen's audit settings in {config.audit_config}, found no file. See --audit-config."
        )
