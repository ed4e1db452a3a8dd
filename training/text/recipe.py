"""The numbers that determine the instances: every instance is a function of them, the text and the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from training.text.errors import TextError

SPECIAL_TOKENS = 3  # [CLS], and [SEP] twice
SEED = 12345
_LEAST_LENGTH = SPECIAL_TOKENS + 2  # a token in each segment


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The flags of the reference's create_pretraining_data, with its defaults.

    Raises:
        TextError: a number is impossible.
    """

    max_seq_length: int = 128
    max_predictions: int = 20
    dupe_factor: int = 10
    seed: int = SEED
    short_seq_prob: float = 0.1
    masked_lm_prob: float = 0.15

    def __post_init__(self) -> None:
        """Check the numbers."""
        _require("--max-seq-length", self.max_seq_length, _LEAST_LENGTH, 1 << 16)
        _require("--max-predictions", self.max_predictions, 1, self.max_tokens)
        _require("--dupe-factor", self.dupe_factor, 1, 1 << 20)
        _require("--short-seq-prob", self.short_seq_prob, 0, 1)
        _require("--masked-lm-prob", self.masked_lm_prob, 0, 1)

    @property
    def max_tokens(self) -> int:
        """Tokens of text in an instance."""
        return self.max_seq_length - SPECIAL_TOKENS


def _require(flag: str, value: float, least: int, most: int) -> None:
    if not least <= value <= most:
        raise TextError(f"expected {flag} from {least:,} to {most:,}, found {value}. Type: {flag} {most}")
