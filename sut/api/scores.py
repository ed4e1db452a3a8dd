"""`sut.score`: exact match and F1, or accuracy, from LoadGen's accuracy log."""

from __future__ import annotations

import os
from pathlib import Path

from accuracy.score import Score
from foundation.log_files import ACCURACY, RUN
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.record import run_record
from sut.settings.resolve import resolve
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

Location = str | os.PathLike[str]


def score(
    log: Location, *, task: str | None = None, dataset: Location | None = None, vocab: Location | None = None
) -> Score:
    """Score an accuracy log; no model is run.

    Args:
        log: the log directory of a run in accuracy mode, or LoadGen's mlperf_log_accuracy.json.
        task: of the log, such as "squad"; None: that of the run.json next to the log, else "squad".
        dataset: a path or a name of `python -m sut assets`; None: that of the run.json next to the log.
        vocab: the model's vocabulary, likewise.

    Returns:
        `metrics` in percent over the whole data set, `predictions` by question id or sample index, and whether every
        sample was answered (`is_complete`).

    Raises:
        UserError: a file that cannot be used, or that does not fit the log.

    >>> record = sut.run(mode="accuracy", test_query_count=20, log_dir="scored")
    >>> sut.score("scored").metrics == record.accuracy.metrics
    True
    """
    path = Path(log)
    path = path / ACCURACY if path.is_dir() else path
    config = _config(path.with_name(RUN), task, dataset, vocab)
    data = TASKS[config.task].open(
        asset_paths.dataset(config), asset_paths.vocab(config), asset_paths.cache_dir(config)
    )
    return TASKS[config.task].score(path, data)


def _config(run: Path, task: str | None, dataset: Location | None, vocab: Location | None) -> RunConfig:
    """The task and the files of the run that the log is from, as far as they are not given."""
    given = {name: str(value) for name, value in (("dataset", dataset), ("vocab", vocab)) if value is not None}
    if not run.is_file():
        if dataset is None:
            raise UsageError(f"expected dataset=… for a log without a {RUN} next to it, found none. Name the data set.")
        return resolve({"task": task, **given})
    record = run_record.read(run)
    own = record.config
    at = Path(record.directory or ".")
    files = {"dataset": own.dataset, "vocab": own.vocab, "cache_dir": own.cache_dir}
    there = {name: at / path for name, path in files.items() if path is not None}
    return resolve({"task": task or own.task, **there, **given})
