"""What becomes zero together, and how much of it. It imports no PyTorch: a command's flags name what is here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from backends.bert.config import SOURCES, BertConfig
from sut.errors import UsageError

# Rows and columns of a block in a weight [N, K]. block4: 4 neighbouring inputs of one output; 4x1: the reverse.
BLOCKS = {"block4": (1, 4), "4x1": (4, 1)}
STRUCTURED = "structured"  # whole heads and inner neurons
PATTERNS = (*BLOCKS, STRUCTURED)
SCOPES = ("layer", "global")


@dataclass(frozen=True)
class Part:
    """A parameter [N, K], a bias being [N, 1], in blocks of `rows` × `columns`."""

    name: str
    rows: int
    columns: int


@dataclass(frozen=True)
class Unit:
    """Pieces that are each zero in all parts or in none: piece i is block i of every part.

    Attributes:
        kind: "weights", "heads" or "neurons"; pieces of one kind can be compared.
    """

    name: str
    kind: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """What is to become zero.

    Attributes:
        share: of each unit, or of all units of a kind together, by `scope`.
        pattern: one of PATTERNS.
        scope: "layer": each unit has the same share; "global": the smallest pieces of all units go.
    """

    share: float
    pattern: str = "block4"
    scope: str = "layer"

    @property
    def pieces(self) -> str:
        """What the share is of, in words."""
        return "heads and neurons" if self.pattern == STRUCTURED else "weights"

    def units(self, config: BertConfig) -> tuple[Unit, ...]:
        """All of an encoder, layer by layer: its products, or its layers' heads and neurons."""
        if self.pattern == STRUCTURED:
            return tuple(unit for layer in range(config.num_hidden_layers) for unit in _of_layer(config, layer))
        return tuple(Unit(name, "weights", (Part(name, *BLOCKS[self.pattern]),)) for name in prunable(config))

    def require_fit(self, config: BertConfig) -> None:
        """Raise UsageError for products that blocks do not divide, or a share that leaves no head."""
        if self.pattern == STRUCTURED:
            self._require_heads(config)
            return
        size = max(BLOCKS[self.pattern])
        for name, found in (("hidden_size", config.hidden_size), ("intermediate_size", config.intermediate_size)):
            if found % size:
                raise UsageError(
                    f"expected a model with a {name} that blocks of {size} divide, found {found}. "
                    "Type: another --model."
                )

    def _require_heads(self, config: BertConfig) -> None:
        layers = config.num_hidden_layers if self.scope == "global" else 1
        heads = layers * config.num_attention_heads
        if round(self.share * heads) == heads:
            most = (heads - 1) / heads
            raise UsageError(
                f"expected a --sparsity that leaves one of {heads} heads, found {self.share:g}. "
                f"Type: --sparsity {int(100 * most) / 100:g}"
            )


def prunable(config: BertConfig) -> Iterator[str]:
    """The names of an encoder's weight matrices, layer by layer."""
    for layer in range(config.num_hidden_layers):
        for sources in SOURCES.values():
            yield from (f"{config.layer_name(layer)}{source}.weight" for source in sources)


def _of_layer(config: BertConfig, layer: int) -> Iterator[Unit]:
    """Its heads: rows of query, key and value, and the columns that read them. Its neurons: a row and a column each."""
    at, hidden = config.layer_name(layer), config.hidden_size
    for kind, size, writers, reader in (
        ("heads", config.head_size, SOURCES["qkv"], "attention.output.dense"),
        ("neurons", 1, SOURCES["ffn_inner"], "output.dense"),
    ):
        weights = [Part(f"{at}{source}.weight", size, hidden) for source in writers]
        biases = [Part(f"{at}{source}.bias", size, 1) for source in writers]
        yield Unit(f"{at}{kind}", kind, (*weights, *biases, Part(f"{at}{reader}.weight", hidden, size)))
