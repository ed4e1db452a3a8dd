"""Measurements of a run: instances, queries, batches, and their times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foundation.typed_json import UNLESS_NONE


@dataclass(frozen=True)
class SampleTokens:
    """The lengths of the data set's samples, in tokens."""

    mean: float
    longest: int


@dataclass(frozen=True)
class InstanceReady:
    """An instance's measurements of its last warm-up batches."""

    load_s: float
    samples_per_s: float
    batch_s: float
    token_s: float
    packed: bool
    blas_threads: int | None = field(default=None, metadata=UNLESS_NONE)
    remark: str | None = field(default=None, metadata=UNLESS_NONE)  # such as how many products are sparse
    # What the engine multiplies, if that is less than the geometry has: weights of products, channels in attention.
    product_weights: int | None = field(default=None, metadata=UNLESS_NONE)
    attention_channels: int | None = field(default=None, metadata=UNLESS_NONE)


@dataclass(frozen=True)
class QueryPlan:
    """The settings given to LoadGen."""

    min_query_count: int
    samples_per_query: int
    min_duration_s: float
    target_qps: float | None = None  # Offline and Server
    target_latency_s: float | None = None  # of Server, at its percentile


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The scheduler's counters. Times are of a clock with an arbitrary origin: only differences are meaningful."""

    issued: int
    completed: int
    tokens: int
    computed_tokens: int
    squared_tokens: int | None = field(default=None, metadata=UNLESS_NONE)  # the sum of samples' squared lengths
    first_issue_s: float
    last_answer_s: float

    @property
    def window_s(self) -> float:
        """Seconds from the first query to the last response; 0 without one."""
        return max(self.last_answer_s - self.first_issue_s, 0.0)

    @property
    def samples_per_s(self) -> float | None:
        return self.completed / self.window_s if self.window_s else None


@dataclass(frozen=True)
class Work:
    """The batches of the timed window."""

    batches: int
    samples: int
    samples_per_s: float
    busy_s: float  # in the instance, from indexes to answers
    engine_s: float  # of that, inside the backend


@dataclass(frozen=True, kw_only=True)
class Batches(Work):
    """The batches of all instances. Latencies are times of samples' batches in instances: mean to p99.9."""

    window_s: float
    batch_latency_ms: Mapping[str, float] = field(default_factory=dict)
    engine_latency_ms: Mapping[str, float] = field(default_factory=dict)
    instances: tuple[Work, ...]  # per instance


@dataclass(frozen=True)
class MarkedTimes:
    """The times of the marks for trace tools, in seconds since 1970."""

    begin_unix_s: float | None = field(default=None, metadata=UNLESS_NONE)
    end_unix_s: float | None = field(default=None, metadata=UNLESS_NONE)
