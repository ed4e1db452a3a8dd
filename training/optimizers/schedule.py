"""The learning rate of each step, as the MLPerf reference has it.

The decay counts from step 0 and not from the end of the warm-up, so the rate jumps down where the warm-up ends: with
100 warm-up steps of 1,000 from 1.0 to 0.9. A negative `start_step` lets training begin inside the warm-up.
Source: mlcommons/training, retired_benchmarks/bert: optimization.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up, then linear decay to 0 at `max_steps`.

    Attributes:
        base: the rate at which the warm-up aims.
        start_step: at which the warm-up starts; may be negative.
        counted_from: the number of the first step. The reference counts from 0, so that a warm-up from step 0 begins
            with rate 0; NVIDIA's submissions count from 1 unless start_step is 0.
    """

    base: float
    warmup_steps: int
    max_steps: int
    start_step: int = 0
    counted_from: int = 0

    def __call__(self, step: int) -> float:
        """The rate of step 1, 2, …"""
        done = step - 1 + self.counted_from
        warm = done - self.start_step
        if warm < self.warmup_steps:
            return self.base * warm / self.warmup_steps
        return self.base * max(0.0, 1 - done / self.max_steps)
