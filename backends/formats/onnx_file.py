"""An .onnx file and the files that hold its larger tensors, opened without the `onnx` package's own reader of these.

That reader refuses links and hard links, which Hugging Face's cache and `cp -l` make. Here a location must be a path
below the graph's directory by its name; what it leads to may be anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path, PurePosixPath
from typing import Any

import numpy.typing as npt

from backends.errors import BackendError, brief
from foundation import file_kinds
from foundation.bounded_readers import UnreadableError, require_regular

Array = npt.NDArray[Any]


def parse(path: Path) -> Any:
    """The ModelProto; tensors in other files are not read.

    Raises:
        BackendError: it is not an ONNX graph, or one without nodes or outputs.
    """
    import onnx

    try:
        require_regular(path)
        proto = onnx.load(path, load_external_data=False)
    except UnreadableError as error:
        raise _not_a_graph(path, str(error)) from error
    except Exception as error:
        found = file_kinds.at(path) or f"another file, or one cut short ({brief(error)})"
        raise _not_a_graph(path, found) from error
    if not proto.graph.node or not proto.graph.output:
        raise _not_a_graph(path, file_kinds.at(path) or "one without nodes or outputs")
    names = (one.name for one in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer))
    if not all(isinstance(name, str) for name in (*names, *(name for node in proto.graph.node for name in node.input))):
        raise _not_a_graph(path, "names that are not UTF-8")  # protobuf then has bytes
    for node in proto.graph.node:
        if len(node.input) < _INPUTS.get(node.op_type, 0) or not node.output:
            raise _not_a_graph(path, f"a {node.op_type} with {len(node.input)} inputs and {len(node.output)} outputs")
    return proto


# Operator → the inputs that it has at least, of the operators that readers take apart.
_INPUTS = dict.fromkeys(("Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Dropout", "Sqrt"), 1)
_INPUTS |= dict.fromkeys(("Add", "Mul", "Sub", "Div", "Pow", "MatMul", "Gemm", "Gather", "LayerNormalization"), 2)
_INPUTS |= dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "MatMulInteger"), 2) | {"QLinearMatMul": 8}
_INPUTS |= dict.fromkeys(("Split", "Slice", "Shape", "Softmax", "Concat", "Expand"), 1) | {"OneHot": 3}


def _not_a_graph(path: Path, found: str) -> BackendError:
    return BackendError(f"expected an ONNX graph in {path}, found {found}. Copy or fetch it again.")


def files(path: Path) -> tuple[Path, ...]:
    """The file, and those that hold its larger tensors; only the file itself if it is no graph."""
    try:
        graph = parse(path).graph
    except BackendError:
        return (path,)
    where = {location for tensor in _tensors(graph) if (location := _external(tensor).get("location"))}
    below = [path.parent / one for one in sorted(where) if _is_below(one)]
    return (path, *(one for one in below if one.is_file()))


def embedded(path: Path) -> bytes:
    """The graph as one message with all of its tensors inside, for an engine that does not open the other files.

    Raises:
        BackendError: as `array` does, or the message would be larger than the 2 GB that it may have.
    """
    proto = parse(path)
    for tensor in _tensors(proto.graph):
        if external := _external(tensor):
            tensor.raw_data = _read(path, external)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    try:
        return bytes(proto.SerializeToString())
    except ValueError as error:
        raise BackendError(
            f"expected the weights of {path} in files, found links to more than 2 GB. Copy them: cp -rL."
        ) from error


def has_op(path: Path, operators: Set[str]) -> bool:
    """True if the graph has a node with one of these operators; False if the file is not a graph."""
    try:
        return any(node.op_type in operators for node in parse(path).graph.node)
    except BackendError:
        return False


def array(tensor: Any, path: Path) -> Array:
    """The values of a TensorProto of the graph in `path`.

    Raises:
        BackendError: they are cut short, missing, or outside the graph's directory.
    """
    import onnx

    try:
        external = _external(tensor)
        if external:
            whole = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            whole.raw_data = _read(path, external)
            tensor = whole
        return onnx.numpy_helper.to_array(tensor)
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(
            f"expected the tensor {tensor.name} in {path}, found it cut short: {brief(error)}. Copy or fetch it again."
        ) from error


def shape(tensor: Any) -> tuple[int, ...]:
    """The shape of a TensorProto, without its values."""
    return tuple(tensor.dims)


def _read(path: Path, external: dict[str, str]) -> bytes:
    location = external["location"]
    if not _is_below(location):
        raise BackendError(
            f"expected the weights of {path} below its directory, found {location!a}. Export the model again."
        )
    file = path.parent / location
    if not file.is_file():
        raise BackendError(f"expected the weights of {path} in {file}, found no file. Copy or fetch it as well.")
    start = int(external.get("offset", 0))
    with file.open("rb") as content:
        content.seek(start)
        left = max(0, file.stat().st_size - start)
        return content.read(min(int(external.get("length", left)), left))


def _is_below(location: str) -> bool:
    inside = PurePosixPath(location)
    return bool(inside.parts) and not inside.is_absolute() and ".." not in inside.parts and "\0" not in location


def _external(tensor: Any) -> dict[str, str]:
    import onnx

    is_outside = tensor.data_location == onnx.TensorProto.EXTERNAL
    return {entry.key: entry.value for entry in tensor.external_data} if is_outside else {}


def _tensors(graph: Any) -> Iterator[Any]:
    """The tensors of a graph: its initializers, those in attributes of nodes, and those of graphs in attributes."""
    waiting = [graph]
    for one in waiting:
        yield from one.initializer
        for attribute in (attribute for node in one.node for attribute in node.attribute):
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            waiting.extend([*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs])
