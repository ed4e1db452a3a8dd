"""Opens and checks the files that a run reads: the data set and the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from backends.bert.model import Model
from qsl.data_set import DataSet
from sut.fetch import resolve as asset_paths
from sut.running import fit
from sut.settings.settings import RunConfig
from sut.tasks import Task


@dataclass(frozen=True)
class Inputs:
    """The data of a run."""

    data: DataSet
    samples: int  # size of the QSL: all features, or the first --test-query-count of an accuracy trial


def read(config: RunConfig, task: Task, model: Model) -> Inputs:
    """Open the data set and check that it fits the model and, in accuracy mode, can be scored.

    Raises:
        UsageError, DatasetError, BackendError: a setting or file cannot be used.
    """
    data = task.open(asset_paths.dataset(config), asset_paths.vocab(config), asset_paths.cache_dir(config))
    fit.check_vocabulary(model, data.vocabulary)  # before the features, which take time to build
    fit.check(model, data.vocabulary, data.features)
    samples = len(data.features)
    if config.mode == "accuracy":
        data.check_scorable()
        samples = min(samples, config.test_query_count or samples)
    return Inputs(data, samples)
