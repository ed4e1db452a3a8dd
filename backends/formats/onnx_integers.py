"""Products and tables of bytes in an ONNX graph, rewritten as what they stand for: a product, a table of floats.

SparseML converts a layer that was trained with QuantizeLinear and DequantizeLinear around its product to

    QuantizeLinear → MatMulInteger (weights uint8 around 128) → Add (int32) → Cast → Mul (input scale * weight scale)

with QLinearMatMul in attention, and its embeddings to a Gather of bytes. ONNX Runtime's quantize_dynamic has a
DynamicQuantizeLinear instead, of which the scale is known at run time only. Here both are undone, so that readers know
one quantized form; inputs that are rounded at run time are floats in it. Source of the first: neuralmagic/sparseml,
src/sparseml/exporters/transforms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from backends.formats.onnx_file import Array
from backends.formats.onnx_folding import OnnxNode
from backends.formats.onnx_graph_walk import OnnxGraph
from backends.formats.onnx_patterns import LAYOUT, constant_and_other, not_bert

PRODUCTS = {"MatMulInteger", "QLinearMatMul"}
_OTHERS = ("ConvInteger", "DynamicQuantize", "MatMulIntegerToFloat", "QAttention", "QEmbed", "QGemm", "QLinear")
_MOVES = {"Concat", "Pad", "Slice", "Split"} | LAYOUT  # operators that give the bytes that they are given


def in_floats(graph: OnnxGraph) -> OnnxGraph:
    """The same computation without products or tables of bytes.

    Raises:
        BackendError: there are some in another form than the one above; the message names it.
    """
    made = dict(graph.made_by)
    rewriter = _Rewriter(replace(graph, made_by=made), made)
    for rewrite, op in ((rewriter.product, "QLinearMatMul"), (rewriter.rescaled, "Mul"), (rewriter.dynamic, "Mul")):
        for name, node in graph.made_by.items():
            if node.op == op:
                rewrite(name, node)
    for name, node in list(made.items()):
        if node.op == "DequantizeLinear":
            rewriter.tables(name, node)
    for output in graph.outputs:
        for name, node in rewriter.graph.upstream(output):
            if node.op in PRODUCTS or node.op.startswith(_OTHERS):
                expected = "a MatMulInteger with scales that are constant, or of a DynamicQuantizeLinear, in its Mul"
                raise not_bert(rewriter.graph, name, expected)
    return rewriter.graph


class _Bytes(NamedTuple):
    """A tensor of bytes by its name, its scale, and the name of its zero point ("": none)."""

    name: str
    scale: Array
    zero_point: str


@dataclass(frozen=True)
class _Rewriter:
    graph: OnnxGraph  # reads `made`
    made: dict[str, OnnxNode]

    def product(self, name: str, node: OnnxNode) -> None:
        """QLinearMatMul: the product of two tensors of bytes, rounded again."""
        left, left_scale, left_zero, right, right_scale, right_zero, scale, zero = node.inputs
        scales = self.graph.constant(left_scale), self.graph.constant(right_scale)
        if scales[0] is not None and scales[1] is not None:
            exact = self._product(name, _Bytes(left, scales[0], left_zero), _Bytes(right, scales[1], right_zero))
            self.made[name] = OnnxNode("QuantizeLinear", (exact, scale, zero), (name,), {})

    def rescaled(self, name: str, node: OnnxNode) -> None:
        """Mul of the Cast of a MatMulInteger, with a bias or without."""
        scaled = constant_and_other(self.graph, node)
        cast = self.graph.node_of(scaled[1], "Cast") if scaled else None
        if scaled is None or cast is None:
            return
        total = self.graph.node_of(cast.inputs[0], "Add")
        biased = constant_and_other(self.graph, total) if total else None
        product = self.graph.node_of(biased[1] if biased else cast.inputs[0], "MatMulInteger")
        factors = self._factors(product, scaled[0].reshape(-1)) if product else None
        if factors is None:
            return
        exact = self._product(name, *factors[:2])
        if biased is not None:
            bias = self._constant(f"{name} bias", biased[0] * scaled[0].reshape(-1))
            self.made[name] = OnnxNode("Add", (exact, bias), (name,), {})
        elif factors[2] is not None:
            rest = self._constant(f"{name} factor", factors[2])
            self.made[name] = OnnxNode("Mul", (exact, rest), (name,), {})
        else:
            self.made[name] = OnnxNode("Identity", (exact,), (name,), {})

    def dynamic(self, name: str, node: OnnxNode) -> None:
        """Mul of the Cast of a MatMulInteger and of both inputs' scales, some of a DynamicQuantizeLinear."""
        for converted, scales in (node.inputs, node.inputs[::-1]):
            cast, factors = self.graph.node_of(converted, "Cast"), self.graph.node_of(scales, "Mul")
            product = self.graph.node_of(cast.inputs[0], "MatMulInteger") if cast else None
            if product is None or factors is None:
                continue
            rounded = [self.graph.node_of(one, "DynamicQuantizeLinear") for one in product.inputs[:2]]
            if {one.outputs[1] for one in rounded if one} == set(self.graph.variable(factors)):
                sides = (self._exact(f"{name} {i}", product, i, rounded[i], factors) for i in range(2))
                self.made[name] = OnnxNode("MatMul", tuple(sides), (name,), {})

    def _exact(self, name: str, product: OnnxNode, side: int, rounded: OnnxNode | None, factors: OnnxNode) -> str:
        """One input of a MatMulInteger in floats: what was rounded at run time, or bytes with the constant scale."""
        if rounded is not None:
            return rounded.inputs[0]
        known = constant_and_other(self.graph, factors)
        assert known is not None  # one of two scales is constant
        return self._dequantized(name, _Bytes(product.inputs[side], known[0], [*product.inputs[2:4], "", ""][side]))

    def _factors(self, node: OnnxNode, rescale: Array) -> tuple[_Bytes, _Bytes, Array | None] | None:
        """Both inputs with scales that make `rescale`, and a factor that the two lack; None if a scale is not known.

        Bytes that come from a table have steps of 1: of its scale and the weight's only the product is known.
        """
        left, right = node.inputs[:2]
        zeros = [*node.inputs[2:4], "", ""]
        scale, other = self._scale(left), self._scale(right)
        if scale is None and any(self._lookups(left)):
            scale = np.ones(1, np.float32)
        if scale is not None and self.graph.constant(right) is not None:
            return _Bytes(left, scale, zeros[0]), _Bytes(right, rescale / scale, zeros[1]), None
        if scale is None or other is None:
            return None
        factor = rescale / (scale * other)
        rest = None if np.allclose(factor, 1, rtol=1e-4) else factor
        return _Bytes(left, scale, zeros[0]), _Bytes(right, other, zeros[1]), rest

    def _scale(self, name: str) -> Array | None:
        """The scale of the QuantizeLinear that bytes come from."""
        while (node := self.graph.node(name)) is not None and node.op in LAYOUT:
            name = node.inputs[0]
        scale = self.graph.constant(node.inputs[1]) if node is not None and node.op == "QuantizeLinear" else None
        return None if scale is None else scale.reshape(-1)

    def _product(self, name: str, left: _Bytes, right: _Bytes) -> str:
        """The name of the product of both in floats."""
        exact = f"{name} product"
        names = (self._dequantized(f"{name} {which}", one) for which, one in (("left", left), ("right", right)))
        self.made[exact] = OnnxNode("MatMul", tuple(names), (exact,), {})
        return exact

    def _dequantized(self, name: str, of: _Bytes) -> str:
        scale = self._constant(f"{name} scale", of.scale)
        self.made[name] = OnnxNode("DequantizeLinear", (of.name, scale, of.zero_point), (name,), {})
        return name

    def _constant(self, name: str, value: Array) -> str:
        self.graph.constants[name] = np.asarray(value, np.float32)
        return name

    def tables(self, name: str, node: OnnxNode) -> None:
        """DequantizeLinear of rows of tables: the tables are dequantized instead."""
        for rows, gather in list(self._lookups(node.inputs[0])):
            table = f"{rows} table"
            self.made[table] = OnnxNode("DequantizeLinear", (gather.inputs[0], *node.inputs[1:]), (table,), {})
            self.made[rows] = replace(gather, inputs=(table, *gather.inputs[1:]))
            self.made[name] = OnnxNode("Identity", node.inputs[:1], (name,), {})

    def _lookups(self, name: str) -> Iterator[tuple[str, OnnxNode]]:
        """The Gathers of bytes that `name` is put together from."""
        for one, node in self.graph.upstream(name, lambda _, node: node.op not in _MOVES):
            table = self.graph.constant(node.inputs[0]) if node.op == "Gather" else None
            if table is not None and np.issubdtype(table.dtype, np.integer) and table.ndim > 1:
                yield one, node
