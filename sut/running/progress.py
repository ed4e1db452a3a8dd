"""The progress of a run on standard error: a live line, or a line every ten seconds.

The time left follows from tokens, not from samples: batches are formed by length, the longest first, so the rate of
samples rises until the end. Before the first answer it follows from the speed that the instances had at warm-up.
"""

from __future__ import annotations

import time
from types import TracebackType

from foundation.live_line import LiveLine
from foundation.people_numbers import clock, count
from sut.queries.loadgen import Plan
from sut.queries.scheduler import QueryCounters

_EVERY_S = 10.0  # until the first line without a terminal


class ProgressLine:
    """Shows progress inside its `with` block; `update` may be called at any rate."""

    def __init__(self, plan: Plan, counters: QueryCounters, total: int | None, samples_per_s: float = 0.0) -> None:
        """`total`: the run ends after this many samples; None: by the plan's duration and query count.

        `samples_per_s`: the speed at warm-up; 0: not known."""
        self._plan, self._counters, self._total, self._warm_up_speed = plan, counters, total, samples_per_s
        self._line = LiveLine(wait_s=_EVERY_S)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._line.end()

    def update(self) -> None:
        """Show the state of the run."""
        counters = self._counters
        if counters.first_issue_s:
            elapsed_s = time.perf_counter() - counters.first_issue_s
            left_s = self.left_s(elapsed_s)
            share = 0.0 if left_s is None else elapsed_s / max(elapsed_s + left_s, 1e-9)
            self._line.update(self._text(elapsed_s, left_s), share)

    def _text(self, elapsed_s: float, left_s: float | None) -> str:
        done = self._counters.completed
        rate = f", {done / elapsed_s:,.1f} a second" if done and elapsed_s else ""
        left = "" if left_s is None else f", about {clock(left_s)} left"
        return f"{count(done, 'sample')}{rate}, {clock(elapsed_s)}{left}"

    def left_s(self, elapsed_s: float) -> float | None:
        """Seconds to the end of the run; None without a speed."""
        counters, total = self._counters, self._samples()
        if counters.completed and elapsed_s:
            left_s = _tokens(counters, total) / counters.tokens * elapsed_s - elapsed_s
        elif self._warm_up_speed:
            left_s = total / self._warm_up_speed - elapsed_s
        else:
            return None
        least_s = 0.0 if self._total else self._plan.min_duration_s - elapsed_s
        return max(left_s, least_s, 0.0)

    def _samples(self) -> int:
        """Of the whole run, as far as is known: an accuracy run has each once, without a minimum duration."""
        return self._total or max(self._counters.issued, self._plan.min_query_count * self._plan.samples_per_query)


def _tokens(counters: QueryCounters, samples: int) -> float:
    """Tokens of the whole run: of what is planned, the real ones; of what is not issued yet, as many on average."""
    known, tokens = (
        (counters.planned, counters.planned_tokens) if counters.planned else (counters.completed, counters.tokens)
    )
    return tokens + (samples - known) * tokens / known
