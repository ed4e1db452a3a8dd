"""Where the weights of a run came from and how they were transformed, for measurements.json and the documents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from backends import BACKENDS
from backends.bert import checkpoints
from backends.bert.architectures import RANDOM_GEOMETRIES
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats import weight_types
from backends.formats.weight_types import Shares
from backends.replay import REPLAY, read_spec
from submission.package import model_card, pruned_weights
from sut.fetch import resolve as asset_paths
from sut.running import engines, model_choice
from sut.settings.settings import DEMO, RunConfig

# Per precision: how weights are made of those in the file.
_TRANSFORMATIONS = {
    "bf16": "rounded to bf16 when they are loaded",
    "fp16": "rounded to fp16 when they are loaded",
    "int8": "rounded to int8, one scale for each output channel, balanced and calibrated; see calibration.md",
    "int8-dynamic": "rounded to int8; activations are rounded with scales computed for each batch",
    "fp8": "rounded to fp8 (e4m3), one scale for each output channel; see calibration.md",
}
_AS_IT_IS = "none: used as in the file"
_USUAL_FILES = ("model", "pytorch_model")
_USUAL_FOLDERS = ("onnx", "deployment", "")  # Optimum's and SparseML's, below the model's own
_SIZES = ("model_type", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A model's weights as a package describes them."""

    filename: str
    sha256: str
    bytes: int
    source: str
    retraining: str
    precision: str  # that runs
    transformations: str
    name: str | None = None  # the model's own; None if it has none
    sparsity: str | None = None  # counted in the weights; None if they are not pruned, or not read
    digest: str | None = None  # as run.json has it; None without files

    @property
    def notes(self) -> tuple[str, ...]:
        """What distinguishes a model of one's own, for the system's description."""
        retrained = ", retrained" if self.retraining.startswith("Yes") else ""
        named = (f"model {self.name}{retrained}",) if self.name else ()
        return (*named, self.sparsity.partition(";")[0]) if self.sparsity else named

    @property
    def types(self) -> str:
        """Their type when they run, in the rules' words: int8, not int8-dynamic."""
        return self.precision.partition("-")[0]


def describe(config: RunConfig) -> Weights:
    """Describe the weights of a run; reads their files for the checksum."""
    if not BACKENDS[config.backend].runs_model:
        return _without_model(config)
    model = checkpoints.find_model(asset_paths.model_spec(config))
    paths = checkpoints.weight_files(model)
    stored = weight_types.of_files(paths)
    digest = checkpoints.digest(model)
    found = replace(
        _source(config, model, paths),
        precision=model_choice.precision(config, model, stored),
        transformations=_transformations(config, model, stored),
        sparsity=None if engines.runs_graph(config, model) else pruned_weights.describe(model),
        digest=digest if paths else None,
    )
    return found if paths else replace(found, filename="none", sha256=digest)


def _source(config: RunConfig, model: Model, paths: Sequence[Path]) -> Weights:
    if not paths:
        return _of_files(paths, f"{model.spec}: random numbers", "No: never trained")
    if config.model == DEMO:
        source = "this project's demo model, part of its source code: assets/demo"
        return _of_files(paths, source, "Yes: trained from scratch by this project (docs/design/demo-model.md)")
    folder = paths[0].resolve().parent
    card = model_card.read(folder)
    if card is None:
        found = _of_files(paths, f"given with --model {config.model}", "No: used as in the file")
        return found if _is_the_benchmarks(model) else replace(found, name=_own_name(model))
    found = _of_files(paths, f"trained by the submitter, given with --model {config.model}", f"Yes: {card.training}")
    return replace(found, name=_own_name(model))


def _own_name(model: Model) -> str:
    """The name of the file, or of its directory where files of all models have this name."""
    assert model.path
    stem = model.path.name.partition(".")[0]
    folders = (one.name for one in model.path.absolute().parents if one.name not in _USUAL_FOLDERS)
    return next(folders, stem) if stem in _USUAL_FILES else stem


def _is_the_benchmarks(model: Model) -> bool:
    """True for BERT-Large, and for a model that does not say what it is without being read."""
    config = model.config
    if config is None and model.is_graph:
        with suppress(BackendError):  # the run says what is wrong with it
            graph = checkpoints.with_signature(model).graph
            config = graph.geometry if graph else None
    large = RANDOM_GEOMETRIES["bert-large"]
    return config is None or all(getattr(config, name) == getattr(large, name) for name in _SIZES)


def _transformations(config: RunConfig, model: Model, stored: Shares) -> str:
    narrowest = weight_types.narrowest(stored) or "fp32"
    done = [] if narrowest == "fp32" else [f"read as fp32 from {narrowest} in the file"]
    if engines.takes_ranges_of(config, model):
        done.append(f"rounded to {config.precision} with the scales in the file")
    elif config.precision != "fp32":
        done.append(_TRANSFORMATIONS.get(config.precision, f"converted to {config.precision} by the engine"))
    return _AS_IT_IS if engines.runs_graph(config, model) or not done else ", then ".join(done)


def _without_model(config: RunConfig) -> Weights:
    retraining = "No: no model ran"
    if config.backend == REPLAY:
        path, _ = read_spec(config.model)
        return _of_files((path,), "answers stored earlier: NO MODEL RAN", retraining)
    if BACKENDS[config.backend].served:
        source, retraining = f"on a server, {config.model}: not known here", "unknown: the model is on a server"
    else:
        source = f"backend {config.backend}: NO MODEL RAN"
    return replace(_of_files((), source, retraining), filename="none", sha256="none")


def _of_files(paths: Sequence[Path], source: str, retraining: str) -> Weights:
    """Describe weights in files; the checksum is over all of them, in order."""
    sha = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                sha.update(part)
    size = sum(path.stat().st_size for path in paths)
    names = ", ".join(path.name for path in paths)
    return Weights(
        filename=names, sha256=sha.hexdigest(), bytes=size, source=source, retraining=retraining,
        precision="fp32", transformations=_AS_IT_IS,
    )  # fmt: skip
