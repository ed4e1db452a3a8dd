"""Where the weights of a run came from and how they were transformed, for measurements.json and the documents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends import BACKENDS
from backends.bert import checkpoints
from backends.replay import REPLAY, read_spec
from sut.fetch import resolve as asset_paths
from sut.settings.settings import DEMO, RunConfig

# Per precision: the type of the weights, and how they are made from fp32.
TYPES = {"fp32": "fp32", "bf16": "bf16", "int8": "int8", "int8-dynamic": "int8"}
TRANSFORMATIONS = {
    "fp32": "none: used as in the file",
    "bf16": "rounded from fp32 to bf16 when they are loaded",
    "int8": "rounded from fp32 to int8, one scale for each output channel, balanced and calibrated; see calibration.md",
    "int8-dynamic": "rounded from fp32 to int8; activations are rounded with scales computed for each batch",
}


@dataclass(frozen=True)
class Weights:
    """A model's weights as a package describes them."""

    filename: str
    sha256: str
    bytes: int
    source: str
    retraining: str


def describe(config: RunConfig) -> Weights:
    """Describe the weights of a run; reads their files for the checksum."""
    if not BACKENDS[config.backend].runs_model:
        return _without_model(config)
    model = checkpoints.find_model(asset_paths.model_spec(config))
    paths = checkpoints.weight_files(model)
    if not paths:
        return Weights("none", checkpoints.digest(model), 0, f"{model.spec}: random numbers", "No: never trained")
    if config.model == DEMO:
        source = "this project's demo model, part of its source code: assets/demo"
        return _of_files(paths, source, "Yes: trained from scratch by this project (docs/design/demo-model.md)")
    return _of_files(paths, f"given with --model {config.model}", "No: used as in the file")


def _without_model(config: RunConfig) -> Weights:
    if config.backend == REPLAY:
        path, _ = read_spec(config.model)
        return _of_files((path,), "answers stored earlier: NO MODEL RAN", "No: no model ran")
    return Weights("none", "none", 0, f"backend {config.backend}: NO MODEL RAN", "No: no model ran")


def _of_files(paths: Sequence[Path], source: str, retraining: str) -> Weights:
    """Describe weights in files; the checksum is over all of them, in order."""
    sha = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                sha.update(part)
    size = sum(path.stat().st_size for path in paths)
    return Weights(", ".join(path.name for path in paths), sha.hexdigest(), size, source, retraining)
