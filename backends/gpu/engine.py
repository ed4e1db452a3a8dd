"""A built engine of the gpu backend: int8 or fp8 weights with everything folded in, ready to be copied to a device.

    q = x * multiplier + zero_point          rounded and held to the type's range; multiplier one a channel
    y = (q @ weightᵀ) * scale + bias         scale and bias one an output channel

A zero point costs nothing at run time: what it adds to every sum is known beforehand and lies in the bias. engine.json
also holds which kernel was chosen for which product, by the name of the GPU that it was measured on (choice.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from backends.bert.config import BertConfig
from backends.bert.model import Model
from backends.errors import BackendError
from backends.quantization import engine_store
from backends.quantization.engine_store import JSON
from backends.quantization.int8_model import LINEARS, Arrays, engine_shapes, map_tensors
from foundation.arrays import Float32
from foundation.bounded_readers import SETTINGS_BYTES, read_json

INT8, FP8 = "int8", "fp8"
# Tokens at which a product's way is chosen; a batch belongs to the first that holds it, or to the last.
BUCKETS = (64, 128, 384, 1024, 4096, 16384)
TENSORS = "gpu.safetensors"
Choices = Mapping[str, Mapping[str, str]]  # GPU → "product@tokens" → kernel


@dataclass(frozen=True)
class FoldedLinear:
    """One linear layer of K inputs and N outputs."""

    weight: npt.NDArray[np.int8]  # [N, K]; fp8's bytes for fp8
    scale: Float32  # [N]
    bias: Float32  # [N]
    multiplier: Float32  # [K]
    zero_point: int

    def tensors(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """What the file holds of it, by name."""
        found = {**vars(self), "zero_point": np.asarray(self.zero_point, np.int8)}
        return {f"{prefix}.{name}": array for name, array in found.items()}


@dataclass(frozen=True)
class Engine:
    """The linear layers under `layers.{i}.{name}.*`; everything else float32 under its Hugging Face name."""

    config: BertConfig
    precision: str
    tensors: Arrays
    settings: Mapping[str, Any]  # how it was made, and from what
    choices: Choices = field(default_factory=dict)

    def linear(self, layer: int, name: str) -> FoldedLinear:
        """One of LINEARS."""
        at = f"layers.{layer}.{name}."
        arrays = {part: self.tensors[at + part] for part in ("weight", "scale", "bias", "multiplier")}
        return FoldedLinear(**arrays, zero_point=int(self.tensors[f"{at}zero_point"]))


def shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of an engine: name → shape."""
    neutral = engine_shapes(config)
    found = {name: shape for name, shape in neutral.items() if not name.startswith("layers.")}
    for layer in range(config.num_hidden_layers):
        for name in LINEARS:
            at = f"layers.{layer}.{name}"
            rows, columns = neutral[f"{at}.weight"]
            found |= {f"{at}.weight": (rows, columns), f"{at}.scale": (rows,), f"{at}.bias": (rows,)}
            found |= {f"{at}.multiplier": (columns,), f"{at}.zero_point": ()}
    return found


def write(directory: Path, engine: Engine) -> None:
    """Write the engine; where another process was first, its engine stays.

    Raises:
        BackendError: the disk does not take it.
    """

    def fill(aside: Path) -> Mapping[str, Any]:
        safetensors.numpy.save_file(dict(engine.tensors), aside / TENSORS)
        known = {name: getattr(engine, name) for name in ("precision", "settings", "choices")}
        return {"config": asdict(engine.config), **known}

    engine_store.write(directory, fill, is_complete)


def is_complete(directory: Path) -> bool:
    """True where `read` would succeed."""
    try:
        read(directory)
    except BackendError:
        return False
    return True


def read(directory: Path) -> Engine:
    """The engine in `directory`, its tensors mapped read-only.

    Raises:
        BackendError: there is none, or it is not whole.
    """
    try:
        about = read_json(directory / JSON, SETTINGS_BYTES)
        config = BertConfig(**about.pop("config"))
        found = Engine(config, tensors=map_tensors(directory / TENSORS), **about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise engine_store.missing(directory, error) from error
    if {name: tensor.shape for name, tensor in found.tensors.items()} != shapes(config):
        raise BackendError(f"expected a whole engine in {directory}, found tensors of another model. Type: python -m "
                           f"sut build.")  # fmt: skip
    return found


def read_for(model: Model) -> Engine:
    """The engine that was built for `model`. Raises BackendError when none was, or it is not whole."""
    return read(engine_store.built_for(model))
