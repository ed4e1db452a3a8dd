"""The part of a task that concerns its data: which data set, scored by what. `sut.tasks` has the whole rows.

So that features can be described and logs scored without a run, of other packages' tasks as well
(docs/design/adding-a-task.md). Rows are text, which is imported on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from foundation.plugged_table import PluggedTable
from qsl.base import DatasetError

if TYPE_CHECKING:
    from qsl.data_set import DataSet

GROUP = "sut.tasks"  # of entry points
HELP = "; or one of another package by its name, or package.module:NAME"


@dataclass(frozen=True, kw_only=True)
class DataTask:
    """The data set and the scorer of a task, each "module:name"."""

    data_set: str  # a qsl.data_set.DataSet
    scorer: str  # (LoadGen's accuracy log, the data set) → accuracy.score.Score
    metric: str  # the metric of targets, one of the score's

    def open(self, dataset: Path, vocab: Path, cache_dir: Path | None) -> DataSet:
        """The data set in a file. It is read on first use, which may raise DatasetError."""
        found: DataSet = resolve_name(self.data_set)(dataset, vocab, cache_dir)
        return found


def _row(spec: str, found: object) -> DataTask:
    if not isinstance(found, DataTask):
        raise DatasetError(f"expected {spec} to be a sut.tasks.Task, found {type(found)}.")
    return found


_OURS = {
    "squad": DataTask(data_set="qsl.squad:SquadDataSet", scorer="accuracy.squad:score_run", metric="f1"),
    "sst2": DataTask(data_set="qsl.sst2:Sst2DataSet", scorer="accuracy.sst2:score_run", metric="accuracy"),
}
DATA_TASKS: PluggedTable[DataTask] = PluggedTable(_OURS, what="task", group=GROUP, read=_row, error=DatasetError)
