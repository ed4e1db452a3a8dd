"""fp16's loss scale: gradients below 2⁻²⁴ would be 0, so the loss is multiplied before the backward pass.

The scale halves where gradients overflow, and the step changes no weight; it doubles after 2,000 good steps. The global
gradient norm shows an overflow on all ranks alike, so there is nothing to agree on, and sharded parameters need nothing
of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from sut.errors import RunFailedError

FIRST = 2.0**16
_LEAST, _MOST = 1.0, 2.0**24
_GOOD_STEPS = 2000


@dataclass
class LossScale:
    """Attributes: value: that of the next step; 1 for other precisions than fp16, where `is_dynamic` is False."""

    is_dynamic: bool
    value: float = 1.0
    good_steps: int = 0
    skipped: int = 0

    def overflowed(self, where: str) -> None:
        """The step's gradients were not finite. Raises RunFailedError where no smaller scale is left."""
        self.skipped, self.good_steps = self.skipped + 1, 0
        self.value /= 2
        if self.value < _LEAST:
            raise RunFailedError(
                f"expected finite gradients in fp16, found overflows down to a loss scale of 1 at {where}. "
                f"Type: --set precision=bf16, or a lower learning_rate."
            )

    def passed(self) -> None:
        """The step's gradients were finite."""
        self.good_steps += 1
        if self.good_steps % _GOOD_STEPS == 0:
            self.value = min(_MOST, 2 * self.value)


def of(precision: str) -> LossScale:
    """A new run's."""
    return LossScale(is_dynamic=True, value=FIRST) if precision == "fp16" else LossScale(is_dynamic=False)
