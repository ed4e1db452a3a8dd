"""Fills the record of a run: written as unfinished before the test, and with the verdict after it.

Slow parts (checksums, the list of installed distributions) are added after the test, so they do not delay the start.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path

from backends.bert import checkpoints
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats import weight_types
from backends.quantization import engine_store
from foundation import file_stamps, program
from foundation.bounded_readers import UnreadableError, read_bytes
from qsl import tokenizer_files
from sut.executors.base import Executor, Ready
from sut.executors.fleet.executor import FleetExecutor
from sut.machine import facts as machine_facts
from sut.queries import timeline
from sut.queries.loadgen import Plan
from sut.queries.scheduler import Scheduler
from sut.record import node_machine, operations, run_record
from sut.record.measurements import InstanceReady, Progress, SampleTokens
from sut.record.nodes import NodeRecord
from sut.record.results import Result
from sut.record.run_record import Engine, RunRecord, Verdict
from sut.running.prepare import Prepared
from sut.running.region_of_interest import RegionOfInterest
from sut.settings.resolve import given
from sut.settings.settings import SETTINGS, RunConfig


def begin(prepared: Prepared) -> RunRecord:
    """Write the unfinished record and return it. Raises RunFailedError if it cannot be written."""
    lengths = prepared.features.lengths
    record = RunRecord(
        verdict="unfinished",
        notices=prepared.notices,
        warnings=prepared.warnings or None,
        random_weights=prepared.model.is_random,
        zero_weights_share=prepared.zero_weights,
        precision=prepared.precision,
        given=given(prepared.asked),
        directory=_directory(),
        config=prepared.config,
        samples=prepared.samples,
        sample_tokens=SampleTokens(float(lengths.mean()), int(lengths.max())),
        topology=prepared.topology,
        geometry=prepared.model.geometry,
        engine=_engine(prepared.model.engine),
        server=prepared.model.served,
        machine=replace(machine_facts.facts(), environment=prepared.environment),
    )
    run_record.write(prepared.config.logs, record)
    return record


def _directory() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed under a run with an absolute --log-dir
        return None


def _engine(directory: Path | None) -> Engine | None:
    return None if directory is None else Engine(directory.name, engine_store.settings(directory))


def with_instances(record: RunRecord, ready: Sequence[Ready]) -> RunRecord:
    """The record with the measurements of the instances."""
    return replace(record, instances_ready=tuple(InstanceReady(**asdict(one)) for one in ready))


def with_measurements(
    record: RunRecord, plan: Plan, scheduler: Scheduler, executor: Executor, roi: RegionOfInterest | None
) -> RunRecord:
    """The record with LoadGen's settings and the counts of the timed window, after the test."""
    progress = scheduler.progress
    columns = scheduler.batch_times.columns()
    return replace(
        with_nodes(with_progress(record, scheduler), executor),
        first_query_unix_s=time.time() - (time.perf_counter() - progress.first_issue_s),
        plan=plan.facts(),
        batches=scheduler.batch_times.facts(executor.instances, progress.window_s),
        timeline=timeline.of(columns, executor.instances, progress.first_issue_s, progress.window_s),
        roi=roi.facts() if roi else None,
    )


def with_nodes(record: RunRecord, executor: Executor) -> RunRecord:
    """The record with what each node did so far, if the instances are on nodes."""
    if not isinstance(executor, FleetExecutor):
        return record
    nodes = executor.record()
    return replace(record, nodes=nodes, cluster=executor.cluster, engine=record.engine or _nodes_engine(nodes))


def _nodes_engine(nodes: Sequence[NodeRecord]) -> Engine | None:
    """The built engine of the nodes, which is the same on all."""
    key = next((node.engine for node in nodes), None)
    return Engine(key, node_machine.of(nodes[0].machine).engine) if key else None


def with_progress(record: RunRecord, scheduler: Scheduler) -> RunRecord:
    """The record with the counts so far."""
    counters = {one.name: getattr(scheduler.progress, one.name) for one in fields(Progress)}
    progress, geometry = Progress(**counters), record.geometry
    ready = record.instances_ready or ()
    took = operations.of(geometry, record.effective_precision, progress, ready) if geometry else None
    return replace(record, progress=progress, operations=took)


def finish(
    record: RunRecord, prepared: Prepared, verdict: Verdict, result: Result, reasons: Sequence[str] = ()
) -> RunRecord:
    """Write the record of a finished run, which nothing interrupts from then on, and return it.

    Raises:
        RunFailedError: it cannot be written.
    """
    paths = asdict(prepared.config)
    found = checksums(prepared.config, prepared.model, known(prepared))
    if changed := file_stamps.changed(prepared.stamps):  # what was hashed just now is not what ran
        found = {name: one for name, one in found.items() if name != "weights" and paths.get(name) not in changed}
    ended = replace(
        record, checksums=found, weight_types=_weight_types(prepared.model), result=result, notices=prepared.notices
    )
    program.ignore_interrupts()
    return _end(ended, verdict, tuple(reasons))


def _weight_types(model: Model) -> Mapping[str, float] | None:
    with suppress(OSError, BackendError):  # the files were removed meanwhile
        return weight_types.of_files(checkpoints.weight_files(model)) or None
    return None


def fail(record: RunRecord, reason: str) -> RunRecord:
    """Write the record of a failed run and return it."""
    return _end(record, "FAILED", (reason,))


def _end(record: RunRecord, verdict: Verdict, reasons: tuple[str, ...]) -> RunRecord:
    ended = replace(
        record,
        verdict=verdict,
        submittable=not record.notices and verdict in ("VALID", "PASS"),
        reasons=reasons,
        distributions=machine_facts.distributions(),
    )
    run_record.write(record.config.logs, ended)
    return ended


def known(prepared: Prepared) -> dict[Path, str]:
    """sha256 of the files that were read by this process, of the bytes that it read."""
    config = prepared.config
    found = dict(prepared.data.digests())
    for path, file in ((config.user_conf, prepared.user_conf), (config.audit_config, prepared.audit_config)):
        if path is not None and file.sha256 is not None:
            found[path] = file.sha256
    return found


def checksums(config: RunConfig, model: Model, known: Mapping[Path, str]) -> dict[str, str]:
    """sha256 of every file in the settings of a prepared run, of the tokenizer's, and of its weights if it has files.

    Args:
        known: the sha256 of files that were hashed when the run read them.
    """
    found = {}
    settings = [config.vocab.with_name(name) for name in tokenizer_files.SETTINGS] if config.vocab else []
    for field, path in (*asdict(config).items(), *((path.stem, path) for path in settings if path != config.vocab)):
        if isinstance(path, Path) and not (field in SETTINGS and SETTINGS[field].secret):
            with suppress(UnreadableError):  # removed meanwhile, or never read by this run: its result is still valid
                found[field] = known.get(path) or hashlib.sha256(read_bytes(path)).hexdigest()
    if model.path is not None:
        with suppress(OSError, BackendError):
            found["weights"] = checkpoints.digest(model)
    return found
