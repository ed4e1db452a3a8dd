"""The tables of a report as data: rows of (label, JSON pointer in run.json, form of `values.FORMS`)."""

from __future__ import annotations

from collections.abc import Sequence

from sut.reporting.model import Row, Table
from sut.reporting.values import MISSING

FACTS = (
    ("Throughput", "/batches/samples_per_s", "rate"),
    ("99th percentile", "/result/latency_ms/99.00", "ms"),
    ("Target latency", "/plan/target_latency_s", "s as ms"),
    ("95 % interval", "/accuracy_interval", "interval"),
    ("Exact match", "/result/exact_match", "percent"),
    ("Answered samples", "/result/samples_answered", "plain"),
    ("Target", "/result/target/value", "plain"),
    ("Timed window", "/batches/window_s", "s"),
    ("Instances", "/config/instances", "plain"),
    ("Threads each", "/config/threads", "plain"),
)
LATENCY = (
    ("Least", "/result/latency_range_ms/min", "ms"),
    ("Mean", "/result/latency_range_ms/mean", "ms"),
    *((f"p{float(p):g}", f"/result/latency_ms/{p}", "ms") for p in ("50.00", "90.00", "95.00", "97.00")),
    ("p99", "/result/latency_ms/99.00", "ms"),
    ("p99.9", "/result/latency_ms/99.90", "ms"),
    ("Most", "/result/latency_range_ms/max", "ms"),
    ("Target latency", "/plan/target_latency_s", "s as ms"),
)
IN_BATCHES = tuple(
    (label, f"/batches/{kind}_latency_ms/{key}", "ms")
    for kind, prefix in (("batch", ""), ("engine", "Engine: "))
    for key, label in ((name, f"{prefix}{name}") for name in ("min", "mean", "p50", "p90", "p99", "p99.9", "max"))
)
SPEED = (
    ("Samples issued", "/progress/issued", "plain"),
    ("Samples answered", "/progress/completed", "plain"),
    ("Timed window", "/batches/window_s", "s"),
    ("Samples a second", "/batches/samples_per_s", "rate"),
    ("target_qps", "/plan/target_qps", "plain"),
    ("Queries at least", "/plan/min_query_count", "plain"),
    ("Samples per query", "/plan/samples_per_query", "plain"),
    ("Seconds at least", "/plan/min_duration_s", "s"),
)
BATCHES = (
    ("Batches", "/batches/batches", "plain"),
    ("Samples", "/batches/samples", "plain"),
    ("Tokens", "/progress/tokens", "plain"),
    ("Computed tokens", "/progress/computed_tokens", "plain"),
    ("Mean tokens of a sample", "/sample_tokens/mean", "plain"),
    ("Longest sample, tokens", "/sample_tokens/longest", "plain"),
    ("Tokens of a batch at most", "/config/max_batch_tokens", "plain"),
)
TIME = (
    ("Timed window", "/batches/window_s", "s"),
    ("In batches, all instances", "/batches/busy_s", "s"),
    ("Of that, inside the engine", "/batches/engine_s", "s"),
)
OPERATIONS = (
    ("Products with weights", "/operations/products", "operations"),
    ("Attention", "/operations/attention", "operations"),
    ("Weights of the products", "/operations/weight_bytes", "megabytes"),
)
ACCURACY = (
    ("Exact match", "/result/exact_match", "percent"),
    ("F1", "/result/f1", "percent"),
    ("Accuracy", "/result/accuracy", "percent"),
    ("Over what was answered", "/result/of_answered", "percent"),
    ("95 % interval of it", "/accuracy_interval", "interval"),
    ("Samples answered", "/result/samples_answered", "plain"),
    ("Samples of the data set", "/result/total_sample_count", "plain"),
    ("Target", "/result/target/name", "plain"),
    ("Its value", "/result/target/value", "plain"),
)
MODEL = (
    ("Model", "/config/model", "plain"),
    ("Backend", "/config/backend", "plain"),
    ("Precision", "/precision", "plain"),
    ("Weights in the files", "/weight_types", "plain"),
    ("Zero weights", "/zero_weights_share", "share"),
    ("Random weights", "/random_weights", "plain"),
    ("Engine", "/engine/key", "plain"),
    ("Server", "/server/name", "plain"),
)
MACHINE = (
    ("Processor", "/machine/processor", "plain"),
    ("Architecture", "/machine/architecture", "plain"),
    ("Cores", "/machine/cores", "plain"),
    ("Memory", "/machine/memory_bytes", "bytes"),
    ("GPUs", "/topology/gpus", "plain"),
    ("Pinned", "/topology/pinned", "plain"),
    ("Weights shared", "/topology/weights_shared", "plain"),
    ("Operating system", "/machine/operating_system", "plain"),
    ("Python", "/machine/python", "plain"),
    ("Commit", "/machine/commit", "plain"),
)


def of(title: str, labels: Sequence[str], found: Sequence[Row], *, is_long: bool = False) -> tuple[Table, ...]:
    """A table of the runs that have one of these values; none if no run has."""
    known = [number for number in range(len(labels)) if any(row.cells[number].text != MISSING for row in found)]
    shown = tuple(Row(row.label, tuple(row.cells[number] for number in known)) for row in found)
    headings = tuple(labels[number] for number in known)
    return (Table(title=title, headings=headings, rows=shown, is_long=is_long),) if known else ()
