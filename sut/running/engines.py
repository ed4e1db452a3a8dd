"""Built engines: which one a run needs, its directory, and building it if it does not exist.

An engine's key is a hash of the weights, the calibration samples, the settings and the code that builds it, so that a
run never uses an engine that was built from anything else.

    python -m sut build --precision int8 --calibration-samples 500 --seed 0
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

import backends
from backends import BACKENDS
from backends.base import Batch
from backends.bert import checkpoints
from backends.bert.checkpoints import find_model
from backends.bert.model import Model
from backends.quantization import engine_store
from backends.quantization.engine_store import About
from foundation import sealed_directory
from foundation.step_times import StepTimes
from qsl import feature_cache
from qsl.base import Features
from qsl.data_set import DataSet
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts
from sut.running import fit
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

OWN_DATA = "calibration data taken from the development set, the one that is run; see --calibration-dataset"
OpenData = Callable[[Path], DataSet]
DIGEST = "calibration_features_sha256"
_NOT_CONTENT = ("model", "calibration_dataset", "calibration_list")  # names, which are not part of the key
_SAMPLES, _RANDOM_SAMPLES = 500, 16  # of a calibration; random weights need few


def needs_engine(config: RunConfig) -> bool:
    """Whether the precision needs a built engine."""
    return config.precision in BACKENDS[config.backend].engine_precisions


def runs_graph(config: RunConfig, model: Model) -> bool:
    """Whether the backend runs an .onnx file directly; the weights are then not read."""
    return model.is_graph and config.precision in BACKENDS[config.backend].graph_precisions


def default_root(config: RunConfig) -> Path:
    """The directory of engines; each is in a subdirectory named by its key."""
    return asset_paths.cache_dir(config) / "engines"


def was_calibrated_on(directory: Path, features: Features) -> bool:
    """Whether the engine's calibration samples come from these features."""
    return engine_store.settings(directory).get(DIGEST) == features.digest()


def build(config: RunConfig, root: Path | None = None) -> Path:
    """`python -m sut build`: the engine's directory, in `root` or in the cache.

    Raises:
        UsageError, DatasetError, BackendError: a setting or file cannot be used.
    """
    backends.check(config.backend)
    if not needs_engine(config):
        built = BACKENDS[config.backend].engine_precisions
        raise UsageError(
            f"expected a --precision that needs a built engine (backend {config.backend!r} has "
            f"{', '.join(built) or 'none'}), found {config.precision}. Type another --precision."
        )
    model = checkpoints.with_config(find_model(asset_paths.model_spec(config), TASKS[config.task].head))
    return engine(config, model, data_of(config), root)


def data_of(config: RunConfig) -> OpenData:
    """A function that opens data sets with the vocabulary and cache of a configuration."""
    vocab, cache_dir = asset_paths.vocab(config), asset_paths.cache_dir(config)
    return lambda file: TASKS[config.task].open(file, vocab, cache_dir)


def ready(config: RunConfig, model: Model, open_data: OpenData, *, builds: bool = True) -> Model:
    """The model with its engine, if the precision needs one: the given one, else the one with its key.

    Args:
        open_data: opens the calibration data, with the model's vocabulary.
        builds: whether to build it if it is missing; otherwise the model has none then.

    Raises:
        UsageError: the given one is incomplete, or for other weights or another precision.
    """
    if config.engine or needs_engine(config):
        backends.check(config.backend)
    if config.engine:
        return replace(model, engine=_named(config.engine, config, model))
    if not needs_engine(config):
        return model
    return replace(model, engine=(engine if builds else existing)(config, model, open_data))


def _named(directory: Path, config: RunConfig, model: Model) -> Path:
    what = f"expected in --engine {directory} an engine for {config.backend} {config.precision}"
    if not needs_engine(config):
        raise UsageError(f"{what}, which needs none. Remove --engine, or type another --precision.")
    if not backends.engine_builder(config.backend).is_complete(directory):
        raise UsageError(f"{what}, found none that is complete. Copy it again, or type: python -m sut build.")
    if sealed_directory.is_sealed(directory) and not sealed_directory.is_intact(directory):  # 0.1.0 did not seal
        raise UsageError(f"{what}, found a damaged one: its {sealed_directory.SUMS} does not match. Copy it again.")
    if engine_store.settings(directory).get("weights_sha256") != checkpoints.digest(model):
        raise UsageError(f"{what} for the weights of {config.model}, found one for other weights.")
    return directory


def engine(config: RunConfig, model: Model, open_data: OpenData, root: Path | None = None) -> Path:
    """The directory of the engine for `config`, in `root` or the cache; built if it is missing or incomplete."""
    inputs = _inputs(config, model, open_data)
    directory = _directory(config, model, inputs, root)
    if not _is_whole(config, directory):
        _build(config, model, inputs, directory)
    return directory


def existing(config: RunConfig, model: Model, open_data: OpenData) -> Path | None:
    """The directory of the engine for `config` in the cache; None if it has to be built first."""
    directory = _directory(config, model, _inputs(config, model, open_data), None)
    return directory if _is_whole(config, directory) else None


def _directory(config: RunConfig, model: Model, inputs: _EngineInputs, root: Path | None) -> Path:
    builder = backends.engine_builder(config.backend)
    content = {name: value for name, value in inputs.about.items() if name not in _NOT_CONTENT}
    return (root or default_root(config)) / feature_cache.key(builder.settings(model), content, *builder.sources)


def _is_whole(config: RunConfig, directory: Path) -> bool:
    return backends.engine_builder(config.backend).is_complete(directory) and sealed_directory.is_intact(directory)


def _build(config: RunConfig, model: Model, inputs: _EngineInputs, directory: Path) -> None:
    builder = backends.engine_builder(config.backend)
    if _can_be_written(directory):
        print(f"the engine in {directory} is damaged or not complete", file=sys.stderr)
    print(f"building the {config.precision} engine in {directory}", file=sys.stderr)
    times = StepTimes(asset_paths.cache_dir(config))
    step = ("build", config.backend, config.precision, model.spec, len(inputs.samples), machine_facts.cores())
    with times.doing(f"{config.precision} engine", *step) as say:
        builder.build(
            directory,
            model,
            inputs.samples,
            {**inputs.about, **builder.settings(model), "built_on": machine_facts.kind()},
            machine_facts.cores(),
            lambda part, done, total: say(f"{part}: {done:,} of {total:,}"),
        )


def _can_be_written(directory: Path) -> bool:
    """Check before a build of minutes that its result can be written; returns whether another engine is there.

    Raises:
        UsageError: it cannot.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory.parent):
            return directory.exists()
    except OSError as error:
        raise UsageError(
            f"expected to write an engine to {directory}, found: {error}. Type another --cache-dir."
        ) from error


@dataclass(frozen=True)
class _EngineInputs:
    """The inputs of an engine in addition to its builder's settings."""

    samples: list[Batch]  # for calibration; empty if the model has its own ranges
    about: About  # the facts in engine.json and run.json


def takes_ranges_of(config: RunConfig, model: Model) -> bool:
    """Whether the engine gets the model's own ranges, instead of a calibration's."""
    asked = config.calibration_dataset or config.calibration_list or config.calibration_samples
    takes = needs_engine(config) and backends.engine_builder(config.backend).takes_ranges
    return takes and not asked and checkpoints.has_ranges(model)


def _inputs(config: RunConfig, model: Model, open_data: OpenData) -> _EngineInputs:
    weights = {"model": model.spec, "weights_sha256": checkpoints.digest(model), "precision": config.precision}
    if takes_ranges_of(config, model):
        return _EngineInputs([], weights | {"ranges_from": "the model itself"})
    data = open_data(asset_paths.calibration_dataset(config))
    features = data.features
    fit.check(model, data.vocabulary, features)
    if config.calibration_list:
        chosen = data.listed(config.calibration_list)
        drawn: About = {"calibration_list": str(config.calibration_list), "calibration_indices": chosen}
    else:
        count = config.calibration_samples or (_RANDOM_SAMPLES if model.is_random else _SAMPLES)
        chosen = _choose(features, count, config.calibration_seed)
        drawn = {"calibration_seed": config.calibration_seed}
    about = {
        **weights,
        "calibration_dataset": str(data.file.path),
        DIGEST: features.digest(),
        "calibration_samples": len(chosen),
        **drawn,
    }
    return _EngineInputs([Batch.of([features.sample(index)]) for index in chosen], about)


def _choose(features: Features, count: int, seed: int) -> list[int]:
    draw = np.random.default_rng(seed)
    return sorted(draw.choice(len(features), min(count, len(features)), replace=False).tolist())
