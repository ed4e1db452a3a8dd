"""A backend that is loaded in this process, without LoadGen and executors."""

from __future__ import annotations

import os

import backends
from backends.base import Backend, Options
from backends.bert.model import Model
from sut.machine import facts as machine_facts
from sut.running import instances_plan, model_choice
from sut.settings.settings import RunConfig


def loaded(config: RunConfig, model: Model) -> Backend:
    """The backend of `config` with `model`, which has its engine if the precision needs one; by default on all cores.

    Raises:
        BackendError: the engine is not installed, or cannot run the model.
    """
    os.environ.update(instances_plan.environment(config))
    options = Options(
        config.precision,
        config.threads or machine_facts.cores(),
        config.fpmath_mode or "strict",
        access=model_choice.access(config),
    )
    backend = backends.backend_class(config.backend)(options)
    backend.load(model)
    return backend
