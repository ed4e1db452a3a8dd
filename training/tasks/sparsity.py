"""How many weights become zero, and in which blocks. It imports no PyTorch: a command's flags name what is here."""

from __future__ import annotations

from dataclasses import dataclass

from backends.bert.config import BertConfig
from sut.errors import UsageError

# Rows and columns of a block in a weight [N, K]. block4: 4 neighbouring inputs of one output; 4x1: the reverse.
PATTERNS = {"block4": (1, 4), "4x1": (4, 1)}
SCOPES = ("layer", "global")


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """What is to become zero.

    Attributes:
        share: of each product, or of all together, by `scope`.
        pattern: one of PATTERNS.
        scope: "layer": each product has the same share; "global": the smallest blocks of all products go.
    """

    share: float
    pattern: str = "block4"
    scope: str = "layer"

    def require_fit(self, config: BertConfig) -> None:
        """Raise UsageError for products that blocks do not divide."""
        rows, columns = PATTERNS[self.pattern]
        sizes = {"hidden_size": config.hidden_size, "intermediate_size": config.intermediate_size}
        for name, size in sizes.items():
            if size % max(rows, columns):
                raise UsageError(
                    f"expected a model with a {name} that blocks of {max(rows, columns)} divide, found {size}. "
                    "Type: another --model."
                )
