"""The notices of a run: warnings that appear next to every figure, so that none is mistaken for more than it is."""

from __future__ import annotations

from accuracy.targets import Target
from backends import BACKENDS
from backends.bert import checkpoints, heads
from backends.bert.model import Model
from qsl.data_set import DataSet
from sut.running import engines
from sut.settings.settings import RunConfig
from sut.tasks import Task

RANDOM = "random weights: for speed only, the answers mean nothing"


def of(config: RunConfig, model: Model, task: Task, judged: Target | None, data: DataSet) -> tuple[str, ...]:
    """The notices of a run with a resolved configuration; a run with any of them cannot be submitted."""
    found = {
        "trial run (--execution-mode test): not submittable": config.is_trial,
        RANDOM: model.is_random,
        engines.OWN_DATA: model.engine is not None and engines.was_calibrated_on(model.engine, data.features),
        _nameless(model): bool(_nameless(model)),
        BACKENDS[config.backend].notice: not BACKENDS[config.backend].runs_model,
        **({} if config.is_trial else _off_the_benchmark(config, task, judged, data)),
    }
    return tuple(notice for notice, applies in found.items() if applies)


def _nameless(model: Model) -> str:
    """That the names of a classifier's outputs do not say which one is negative; "" if they do, or there are none."""
    names = checkpoints.class_names(model)
    if heads.class_order(names) is not None:
        return ""
    shown = ", ".join(map(ascii, names))
    return f"the model calls its classes {shown}: the first is taken for negative (id2label in its config.json)"


def _off_the_benchmark(config: RunConfig, task: Task, judged: Target | None, data: DataSet) -> dict[str, bool]:
    """Why a valid run is still not an MLPerf run."""
    if not task.targets:
        return {"not an MLPerf task: not submittable": True}
    own_target = config.mode == "accuracy" and (judged is None or judged.name not in task.targets)
    return {
        "not the benchmark's data set: not submittable": data.file.sha256 != task.dataset_sha256,
        "not one of the benchmark's accuracy targets: not submittable": own_target,
    }
