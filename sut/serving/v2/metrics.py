"""What a node counts for Prometheus, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.13, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one node."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sut_requests", "Requests by face and outcome.", ("face", "outcome"), registry=self._registry
        )
        self._seconds = Histogram(
            "sut_request_seconds",
            "From a request's head to its answer.",
            ("face",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._samples = Counter("sut_samples", "Samples answered.", registry=self._registry)
        self._tokens = Counter("sut_tokens", "Tokens of samples answered, without padding.", registry=self._registry)

    def request(self, face: str, outcome: str, seconds: float) -> None:
        """Count a request that has ended."""
        self._requests.labels(face, outcome).inc()
        self._seconds.labels(face).observe(seconds)

    def answered(self, samples: int, tokens: int) -> None:
        """Count samples that were answered."""
        self._samples.inc(samples)
        self._tokens.inc(tokens)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
