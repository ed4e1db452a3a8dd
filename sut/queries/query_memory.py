"""The memory of the queries that LoadGen generates ahead of a test, refused before LoadGen tries.

LoadGen generates every query of a performance test, with a record of each sample, before it issues the first one. Too
many end in its std::bad_alloc, or in the OOM killer, which gives no reason.
"""

from __future__ import annotations

from foundation.people_numbers import gibibytes
from sut.errors import UsageError

# Of a sample, measured at the end of a test, or while the queries are generated where that takes more. A query takes
# most of it: one has all samples of Offline, eight of MultiStream.
_BYTES = {"Offline": 170, "Server": 480, "SingleStream": 550, "MultiStream": 100}
# Queries for this share of the duration, at the expected speed: LoadGen's test_settings_internal.cc (Offline) and
# loadgen.cc (a stream may be faster than expected).
_SHARES = {"Offline": 1.1, "Server": 1.0, "SingleStream": 2.0, "MultiStream": 2.0}


def generated(
    scenario: str, *, min_query_count: float, queries_per_s: float, duration_s: float, samples_per_query: int
) -> int:
    """The samples of the queries that LoadGen generates for a performance test."""
    return int(max(min_query_count, _SHARES[scenario] * queries_per_s * duration_s) * samples_per_query)


def check(scenario: str, samples: int, available: int | None) -> None:
    """Raises UsageError if these samples do not fit into `available` bytes (None: unknown)."""
    needed = samples * _BYTES[scenario]
    if available is None or needed <= available:
        return
    raise UsageError(
        f"expected about {gibibytes(needed)} of memory for the {samples:,} samples that LoadGen generates "
        f"ahead, found {gibibytes(available)} available. Lower --test-query-count, --min-duration-s or --target-qps."
    )
