"""The model of a run: found by its name, and checked against the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import backends
from backends import BACKENDS
from backends.access import Access
from backends.bert.checkpoints import find_model, with_config, with_signature
from backends.bert.heads import HEADS
from backends.bert.model import Model
from backends.formats import weight_types
from backends.formats.weight_types import Shares
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.nodes import credentials
from sut.running import engines
from sut.settings.settings import DEMO, RunConfig
from sut.tasks import TASKS, Task

if TYPE_CHECKING:
    from backends.onnxruntime_cpu.sparsity import GraphWeights


UNKNOWN = "unknown"  # precision of a model on a server, which the protocol does not say


def model_of(config: RunConfig, task: Task) -> Model:
    """The model of `config`, checked to have the head of `task`.

    Raises:
        UsageError, BackendError: it does not exist, or it is a model for another task.
    """
    if not BACKENDS[config.backend].runs_model:
        spec = config.backend if config.model == DEMO else config.model
        backends.read_script(config.backend, spec)
        served = backends.look_up(config.backend, spec, access(config))
        if served is None:
            return Model(spec, None, None, answers=task.head)
        model = Model(spec, None, None, graph=served.signature, served=served.facts)
        _check_head(model, task)
        return model
    model = find_model(asset_paths.model_spec(config), task.head)
    model = with_signature(model) if engines.runs_graph(config, model) else with_config(model)
    _check_head(model, task)
    return model


def _check_head(model: Model, task: Task) -> None:
    if model.head != task.head:
        fitting = next(name for name, other in TASKS.items() if other.head == model.head)
        raise UsageError(
            f"expected a model for {HEADS[task.head].title}, found {model.spec}, one for {HEADS[model.head].title} "
            f"(by its outputs, or the architectures of its config.json). Type: --task {fitting}, or another --model."
        )


def access(config: RunConfig) -> Access:
    """What a backend proves itself with to a server. Raises UsageError for a file that cannot be used."""
    own = credentials.read(config.token_file, config.tls_cert, config.tls_key, config.tls_ca)
    token = None if own.token is None else own.token.decode(errors="replace")
    return Access(token, own.ca, own.cert, own.key)


def graph_weights(model: Model) -> GraphWeights | None:
    """The weights of an .onnx file; None for other models."""
    if not model.is_graph or model.path is None:
        return None
    from backends.onnxruntime_cpu import sparsity

    return sparsity.measure(model.path)


def precision(config: RunConfig, model: Model, stored: Shares) -> str:
    """The precision that runs: of an .onnx file that runs as it is, the file's; of a server, UNKNOWN; else the
    configuration's.

    Args:
        stored: the types of the model's weights.
    """
    if model.served:
        return UNKNOWN
    narrowest = weight_types.narrowest(stored) if engines.runs_graph(config, model) else None
    return config.precision if narrowest in (None, "fp32") else narrowest
