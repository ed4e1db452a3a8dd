"""run.json: the settings, the machine and the result of a run, in a file for programs.

Only this module knows the file's keys: they are the fields of these dataclasses. A record is written as "unfinished"
before the test and with the verdict after it, so that a killed run can be recognised. Version 1 has no
`record_version` and can still be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from backends.bert.architectures import Geometry
from backends.served import ServerFacts
from foundation import atomic_write, bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.log_files import RUN
from foundation.people_numbers import figure
from foundation.typed_json import OTHERS, UNLESS_NONE, decode, encode
from sut.errors import RunFailedError, UsageError
from sut.machine.facts import MachineFacts
from sut.machine.topology import Topology
from sut.record.measurements import Batches, InstanceReady, MarkedTimes, Progress, QueryPlan, SampleTokens
from sut.record.nodes import ClusterRecord, NodeRecord
from sut.record.operations import Operations
from sut.record.results import AccuracyResult, PeakResult, PerformanceResult, Result
from sut.record.timeline import Timeline
from sut.settings.settings import RunConfig

VERSION = 2
Verdict = Literal["unfinished", "VALID", "INVALID", "PASS", "FAIL", "SCORED", "INCOMPLETE", "PEAK", "FAILED"]
_MOST_BYTES = 64 << 20


class _Printer(Protocol):
    def text(self, text: str, /) -> object: ...  # IPython's


@dataclass(frozen=True)
class Engine:
    """A built engine: its key, and the settings that it was built from."""

    key: str
    settings: Mapping[str, object] = field(metadata=OTHERS)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run. Values that are not known yet, or were not recorded by an older version, are None or empty."""

    record_version: int = VERSION
    verdict: Verdict
    submittable: bool = False
    notices: tuple[str, ...] = ()  # to be shown with every figure
    warnings: tuple[str, ...] | None = field(default=None, metadata=UNLESS_NONE)  # why a figure may be too low
    random_weights: bool = False
    zero_weights_share: float | None = None  # of an .onnx file
    precision: str | None = field(default=None, metadata=UNLESS_NONE)  # that ran; see `effective_precision`
    weight_types: Mapping[str, float] | None = field(default=None, metadata=UNLESS_NONE)  # in the files → their share
    given: Mapping[str, bool | int | float | str | None] | None = field(default=None, metadata=UNLESS_NONE)
    directory: str | None = field(default=None, metadata=UNLESS_NONE)  # the base of relative paths in `given`
    config: RunConfig  # with all choices resolved
    samples: int | None = field(default=None, metadata=UNLESS_NONE)  # size of the QSL
    sample_tokens: SampleTokens | None = field(default=None, metadata=UNLESS_NONE)
    topology: Topology | None = field(default=None, metadata=UNLESS_NONE)
    geometry: Geometry | None = field(default=None, metadata=UNLESS_NONE)  # None: not known
    engine: Engine | None = field(default=None, metadata=UNLESS_NONE)
    server: ServerFacts | None = field(default=None, metadata=UNLESS_NONE)  # that runs the model
    checksums: Mapping[str, str] | None = field(
        default=None, metadata=UNLESS_NONE
    )  # sha256 of the files that were read
    reasons: tuple[str, ...] = ()  # why it is invalid
    result: Result | None = field(default=None, metadata=UNLESS_NONE)
    # 95 % of the target's metric over the answered samples, in percent, as its scorer defines it
    accuracy_interval: tuple[float, float] | None = field(default=None, metadata=UNLESS_NONE)
    first_query_unix_s: float | None = field(default=None, metadata=UNLESS_NONE)
    instances_ready: tuple[InstanceReady, ...] | None = field(default=None, metadata=UNLESS_NONE)
    plan: QueryPlan | None = field(default=None, metadata=UNLESS_NONE)
    progress: Progress | None = field(default=None, metadata=UNLESS_NONE)
    operations: Operations | None = field(default=None, metadata=UNLESS_NONE)
    batches: Batches | None = field(default=None, metadata=UNLESS_NONE)
    timeline: Timeline | None = field(default=None, metadata=UNLESS_NONE)
    nodes: tuple[NodeRecord, ...] | None = field(default=None, metadata=UNLESS_NONE)
    cluster: ClusterRecord | None = field(default=None, metadata=UNLESS_NONE)
    roi: MarkedTimes | None = None
    instance_died: str | None = None
    machine: MachineFacts | None = field(default=None, metadata=UNLESS_NONE)
    # All installed distributions; version 1 has null for one with damaged metadata.
    distributions: Mapping[str, str | None] | None = field(default=None, metadata=UNLESS_NONE)

    def _repr_pretty_(self, printer: _Printer, cycle: bool) -> None:
        """What IPython and a notebook show of it: a few lines in place of all that the file holds."""
        del cycle  # nothing in it holds the record
        printer.text(summary(self))

    @property
    def effective_precision(self) -> str:
        """The precision that ran: the setting, or what an .onnx file that runs as it is has."""
        return self.precision or self.config.precision

    @property
    def instances(self) -> int | None:
        """How many ran; those on nodes are not in the settings."""
        return self.config.instances or len(self.instances_ready or ()) or None

    @property
    def performance(self) -> PerformanceResult | None:
        return self.result if isinstance(self.result, PerformanceResult) else None

    @property
    def accuracy(self) -> AccuracyResult | None:
        return self.result if isinstance(self.result, AccuracyResult) else None

    @property
    def peak(self) -> PeakResult | None:
        return self.result if isinstance(self.result, PeakResult) else None

    @property
    def has_ended(self) -> bool:
        """Whether the run has a complete result: False if it was killed, is still running, or failed."""
        return self.verdict not in ("unfinished", "FAILED")


def summary(record: RunRecord) -> str:
    """What ran, the verdict with its reasons, the figure, what is to be shown with it, and where the rest is."""
    config = record.config
    what = f"{config.scenario} {config.mode}: {config.task}, {config.model} on {config.backend}"
    return "\n".join(
        [
            f"{what} {record.effective_precision}",
            f"{record.verdict}  {_figure(record.result)}".rstrip(),
            *(f"why: {one}" for one in record.reasons),
            *(f"note: {one}" for one in record.notices),
            *(f"warning: {one}" for one in record.warnings or ()),
            f"logs: {config.log_dir}",
        ]
    )


def _figure(result: Result | None) -> str:
    if isinstance(result, AccuracyResult):
        found = ", ".join(f"{name} {value:.2f}" for name, value in result.metrics.items())
        return f"{found}, of {result.samples_answered:,} of {result.total_sample_count:,} samples"
    return "" if result is None or result.value is None else f"{figure(result.value)} {result.unit}"


@dataclass(frozen=True)
class _Head:
    record_version: int = 1
    kind: str = "inference"  # "training" in a record of that


def path_of(run: Path) -> Path:
    """The path of run.json, given a log directory or the file itself."""
    return run / RUN if run.is_dir() else run


def read(run: Path) -> RunRecord:
    """The record of `run`, a run's log directory or its run.json.

    Raises:
        UsageError: it does not exist, is broken (the message names the value), or of a newer version.
    """
    path = path_of(run)
    try:
        return parse(bounded_readers.read_json(path, _MOST_BYTES))
    except UnreadableError as error:
        raise UsageError(
            f"expected the record of a run in {path}, found {error}. Type a run's log directory or its {RUN}."
        ) from error


def parse(content: object) -> RunRecord:
    """The record, given the file's JSON.

    Raises:
        UnreadableError: it is not the record of a run.
    """
    head = decode(_Head, content)
    if head.kind != "inference":
        raise UnreadableError(f"the record of a {head.kind} run")
    version = head.record_version
    if not 1 <= version <= VERSION:
        raise UnreadableError(f"version {version}; this release reads versions up to {VERSION}")
    return replace(decode(RunRecord, content), record_version=version)


def write(log_dir: Path, record: RunRecord) -> Path:
    """Write run.json atomically: readers see the earlier record or this one, never a part.

    Raises:
        RunFailedError: it cannot be written.
    """
    path = log_dir / RUN
    try:
        return atomic_write.write_text(path, json.dumps(encode(record), indent=2) + "\n")
    except OSError as error:
        raise RunFailedError(
            f"expected to write {path}, found: {error}. Free some space, or type another --log-dir."
        ) from error


def flat(record: RunRecord) -> dict[str, object]:
    """Every value by its dotted path in run.json, such as config.threads."""
    found: dict[str, object] = {}
    _flatten(encode(record), "", found)
    return found


def _flatten(value: Mapping[str, object], above: str, found: dict[str, object]) -> None:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            _flatten(inner, f"{above}{name}.", found)
        else:
            found[above + name] = inner
