"""A built engine of the gpu backend: int8 or fp8 weights with all scales folded in, ready to be copied to a device.

    q = x * multiplier + zero_point          rounded and clamped to the type's range; one multiplier per channel
    y = (q @ weightᵀ) * scale + bias         one scale and bias per output channel

Zero points cost nothing at run time: their constant contribution is folded into the bias. engine.json also holds the
GEMM chosen for each product, under the GPU and the software that it was measured on (choice_cache.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.bert.architectures import require_bert
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.bert.model import Model
from backends.quantization import engine_store
from backends.quantization.engine_tensors import Arrays, EngineFormat
from backends.quantization.int8_model import engine_shapes
from foundation.arrays import Float32

INT8, FP8 = "int8", "fp8"
# Tokens at which the GEMM of a product is chosen; a batch uses the first bucket that holds it, or the last.
# They are closest where a pass of one sample ends: LoadGen's SingleStream.
BUCKETS = (64, 128, 192, 256, 320, 384, 1024, 4096, 16384)
# choice_cache.measured_on → "product@tokens" → one of gemm_variants.variants
ChoicesByGpu = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class FoldedLinear:
    """One linear layer of K inputs and N outputs, as the kernels read it."""

    weight: npt.NDArray[np.int8]  # [N, K]; for fp8, the bytes of e4m3
    scale: Float32  # [N]
    bias: Float32  # [N]
    multiplier: Float32  # [K]
    zero_point: int

    def tensors(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Its arrays as the file holds them, by name."""
        found = {**vars(self), "zero_point": np.asarray(self.zero_point, np.int8)}
        return {f"{prefix}.{name}": array for name, array in found.items()}


@dataclass(frozen=True)
class Engine:
    """The linear layers under `layers.{i}.{name}.*`; everything else float32 under its Hugging Face name."""

    config: BertConfig
    precision: str
    tensors: Arrays
    settings: Mapping[str, Any]  # how it was built, and from what
    choices: ChoicesByGpu = field(default_factory=dict)

    def linear(self, layer: int, name: str) -> FoldedLinear:
        """The linear layer `name`, one of LINEARS, of encoder layer `layer`."""
        at = f"layers.{layer}.{name}."
        arrays = {part: self.tensors[at + part] for part in ("weight", "scale", "bias", "multiplier")}
        return FoldedLinear(**arrays, zero_point=int(self.tensors[f"{at}zero_point"]))


def shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of an engine, by name."""
    neutral = engine_shapes(config)
    found = {name: shape for name, shape in neutral.items() if not name.startswith("layers.")}
    for layer in range(config.num_hidden_layers):
        for name in config.linears():
            at = f"layers.{layer}.{name}"
            rows, columns = neutral[f"{at}.weight"]
            found |= {f"{at}.weight": (rows, columns), f"{at}.scale": (rows,), f"{at}.bias": (rows,)}
            found |= {f"{at}.multiplier": (columns,), f"{at}.zero_point": ()}
    return found


FORMAT = EngineFormat("gpu.safetensors", shapes)


def write(directory: Path, engine: Engine) -> None:
    """Write the engine. Raises BackendError as `EngineFormat.write`."""
    about = {name: getattr(engine, name) for name in ("precision", "settings", "choices")}
    FORMAT.write(directory, engine.config, engine.tensors, about)


def read(directory: Path) -> Engine:
    """The engine in `directory`, its tensors mapped read-only.

    Raises:
        BackendError: there is none, or it is not complete.
    """
    config, tensors, about = FORMAT.read(directory)
    try:
        return Engine(require_bert(config, "backend gpu"), tensors=tensors, **about)
    except TypeError as error:
        raise engine_store.missing(directory, error) from error


def read_for(model: Model) -> Engine:
    """The engine that was built for `model`. Raises BackendError if none was built, or it is not complete."""
    return read(engine_store.built_for(model))
