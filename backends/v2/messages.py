"""The messages of the protocol as data, the same for gRPC and HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from backends.v2.tensors import Tensor


@dataclass(frozen=True)
class InferRequest:
    """Inputs for a model, and the names of the outputs that are asked for; none: all."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()
    id: str = ""
    binary: frozenset[str] = frozenset()  # of the outputs that are asked for; HTTP's alone
    all_binary: bool = False  # those that are not named, likewise


@dataclass(frozen=True)
class InferResponse:
    """Outputs of a model."""

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    id: str = ""


@dataclass(frozen=True)
class ServerMetadata:
    """What a server says of itself."""

    name: str = ""
    version: str = ""
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorMetadata:
    """An input or output of a model; a size of -1 is free."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} {list(self.shape)}"


@dataclass(frozen=True)
class ModelMetadata:
    """What a server says of a model."""

    name: str
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    versions: tuple[str, ...] | None = ()
    platform: str = ""
