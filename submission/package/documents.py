"""The documents of a package: README.md, measurements, calibration.md and TRIAL.md.

Their content comes from the records of the runs and the files that the runs read, never from current settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from backends import BACKENDS
from foundation.people_numbers import count
from foundation.typed_json import encode
from submission.package.weights import Weights
from submission.rules import rounds
from submission.submit import workspace
from submission.submit.plan import TEST01, Step
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.machine.facts import MachineFacts
from sut.record import node_machine
from sut.record.nodes import NodeRecord
from sut.record.run_record import RunRecord

Records = Mapping[str, RunRecord]  # by the run's kind
TRIAL = "TRIAL: few queries or samples, short runs; not an MLPerf result, never submittable"
_QUERIES = (
    "by the rules of the network division: each sample is a frame of its own of int32 token ids, over one TCP "
    "connection a node (sut/nodes/, sut/executors/remote/); nodes form the batches"
)
FAKE = "NO MODEL RAN: made to test the package, never submittable"


def marks(request: SubmissionRequest, records: Sequence[RunRecord]) -> list[str]:
    """The warnings that must appear next to every figure of this package."""
    found = [TRIAL] if request.short else []
    found += [FAKE] if request.allow_fake and any("no model ran" in str(record.notices) for record in records) else []
    for record in records:
        found += [notice for notice in record.notices if notice not in found]
    return found


def measurements(request: SubmissionRequest, weights: Weights, records: Records, commands: Mapping[str, str]) -> str:
    """The text of measurements.json: the five keys of the rules, and the settings that distinguish this result."""
    any_record = next(iter(records.values()))
    content = {
        "input_data_types": "int64",
        "retraining": weights.retraining,
        "starting_weights_filename": weights.filename,
        "weight_data_types": weights.types,
        "weight_transformations": weights.transformations,
        "weights_sha256": weights.sha256,
        "weights_source": weights.source,
        **_architecture(any_record),
        **_own(weights),
        "backend": request.run.backend,
        "precision": weights.precision,
        "instances": any_record.instances,
        "threads_per_instance": _threads(any_record),
        **({"nodes": [_node(node) for node in any_record.nodes]} if any_record.nodes else {}),
        "commands": dict(commands),
        "marks": marks(request, list(records.values())),
    }
    return json.dumps(content, indent=2) + "\n"


def _architecture(record: RunRecord) -> dict[str, str]:
    """The architecture and its size; empty for a graph that runs as it is, of which they are not known."""
    return {"model": record.geometry.description} if record.geometry else {}


def _own(weights: Weights) -> dict[str, str]:
    """What tells a model of the open division from the benchmark's: its own name, and how sparse it is."""
    known = {"model_name": weights.name, "sparsity": weights.sparsity}
    return {name: value for name, value in known.items() if value}


def readme(
    request: SubmissionRequest,
    output: Workspace,
    scenario: str,
    weights: Weights,
    records: Records,
    steps: Sequence[Step],
) -> str:
    """The text of one scenario's README.md."""
    one = next(iter(records.values()))
    dataset = one.config.dataset
    assert dataset
    facts = {
        "weights": f"{weights.filename}, {weights.bytes:,} bytes, sha256 {weights.sha256}",
        "source": weights.source,
        **_architecture(one),
        **_own(weights),
        "retraining": weights.retraining,
        "precision": f"{weights.precision}; weights: {weights.transformations}",
        "calibration": "see calibration.md" if one.engine else "none",
        "data set": f"{dataset.name}, sha256 {_sha256(dataset)}, {one.samples:,} samples",
        "backend": f"{request.run.backend}, {_versions(_machines(one)[0])}",
        "instances": f"{one.instances} of {_threads(one)} threads each",
        **_where(one),
        **({"queries": _QUERIES} if one.config.network_division else {}),
        "seeds": f"those of round {request.round.name}",
    }
    return "\n".join(
        [
            f"# {request.benchmark}, {scenario}, {request.division} division, round {request.round.name}",
            "",
            *(f"**{mark}**\n" for mark in marks(request, list(records.values()))),
            "| | |",
            "| --- | --- |",
            *(f"| {name} | {value} |" for name, value in facts.items()),
            "",
            "## Commands",
            "",
            "```",
            *(step.command(output) for step in steps),
            "```",
            "",
            "`--user-conf` refers to the `user.conf` next to this file; the code is in this package.",
            *_test01(output, steps),
            "",
        ]
    )


def _node(node: NodeRecord) -> dict[str, object]:
    machine = node_machine.of(node.machine)
    return {"name": node.name, "instances": node.instances, "threads_per_instance": machine.threads}


def _machines(record: RunRecord) -> list[MachineFacts]:
    """The machines that computed, as far as they are known; at least this one."""
    found = [node_machine.of(node.machine).facts for node in record.nodes or ()]
    assert record.machine
    return [facts for facts in found if facts] or [record.machine]


def _threads(record: RunRecord) -> int | str | None:
    """Threads of an instance; several numbers where nodes differ."""
    if not record.nodes:
        return record.config.threads
    each = dict.fromkeys(node_machine.of(node.machine).threads for node in record.nodes)
    known = [str(one) for one in each if one is not None]
    if not known:
        return record.config.threads or "unknown"
    return int(known[0]) if len(known) == 1 else " or ".join(known)


def _where(record: RunRecord) -> dict[str, str]:
    """The rows of the machines: the one of all, or the nodes and LoadGen's."""
    assert record.machine
    if not record.nodes:
        return {"machine": _machine(record.machine)}
    rows = {f"node {node.name}": f"{count(node.instances, 'instance')}; {_machine_of(node)}" for node in record.nodes}
    return rows | {"LoadGen's machine": _machine(record.machine)}


def _machine_of(node: NodeRecord) -> str:
    facts = node_machine.of(node.machine).facts
    return _machine(facts) if facts else "an unknown machine"


def _machine(facts: MachineFacts) -> str:
    return f"{facts.processor}, {facts.cores} cores"


def _test01(output: Workspace, steps: Sequence[Step]) -> list[str]:
    folder = next((step.folder(output) for step in steps if step.kind == TEST01), None)
    if folder is None:
        return []
    texts = [workspace.read(folder / name) for name in (rounds.VERIFY_ACCURACY, rounds.VERIFY_PERFORMANCE)]
    lines = ["", "## TEST01", "", "```", *(text.rstrip() for text in texts), "```"]
    if (folder / rounds.BASELINE).is_file():
        lines += [
            "",
            "Answers are not bit-exact because batches differ between runs: F1 over TEST01's samples decides.",
        ]
    return lines


def calibration(request: SubmissionRequest, weights: Weights, records: Sequence[RunRecord]) -> str:
    """The text of calibration.md."""
    engine = next((record.engine for record in records if record.engine), None)
    if engine is None:
        text = f"No calibration: the runs are in {weights.precision}, which needs no ranges from data."
        if weights.precision != request.run.precision:
            text = (
                f"No calibration by this package: the graph runs as it is in {weights.filename}, which is in "
                f"{weights.precision}. How its values were found is for the submitter to describe here."
            )
        return f"# Calibration\n\n{text}\n"
    rows = [f"| {name} | {value} |" for name, value in encode(engine).items()]
    text = (
        "No calibration: the scales are part of the model and were learned in its training."
        if "ranges_from" in engine.settings
        else "Weights have one scale per output channel; the ranges of activations were measured on the samples "
        f"below, once, before the runs. The method is in {_method(request.run.backend)}."
    )
    return "\n".join(["# Calibration", "", text, "", "| | |", "| --- | --- |", *rows, ""])


def _method(backend: str) -> str:
    module = BACKENDS[backend].builder.partition(":")[0]
    if module.partition(".")[0] != "backends":
        return f"{module}, of {brought_by(backend)}"
    return f"the code of this package: {module.replace('.', '/')}.py"


def brought_by(backend: str) -> str:
    """The package that has a backend from outside, with its version; "" for one of ours."""
    found = BACKENDS.brought_by(backend)
    return " ".join(filter(None, found)) if found else ""


def trial(request: SubmissionRequest) -> str:
    """The text of TRIAL.md, at the root of a trial's tree."""
    return "\n".join(
        [
            "# A trial, not a submission",
            "",
            f"{TRIAL}.",
            "",
            "It shows that a machine, a model and this package work together. Its runs last seconds, the rules "
            "require ten minutes, and it may hold fewer samples than the data set. For a submission, run without "
            "--short.",
            "",
            f"Submitter {request.submitter}, round {request.round.name}, {request.benchmark} on {request.system}.",
            "",
        ]
    )


def code(request: SubmissionRequest) -> str:
    """The text of the source code's README.md."""
    return "\n".join(
        [
            f"# The code behind {request.benchmark} of {request.submitter}",
            "",
            "The Python sources that made the runs, as installed. `pip install .` in a checkout of the project also "
            "installs the weights of its demo model; use `--model` for another model.",
            "",
            "Each scenario's README.md lists the commands that made its results.",
            "",
            *_code_elsewhere(request.run.backend),
        ]
    )


def _code_elsewhere(backend: str) -> list[str]:
    package = brought_by(backend)
    return [f"The code of backend {backend} is in {package}, which is not in this directory.", ""] if package else []


def _versions(machine: MachineFacts) -> str:
    return ", ".join(f"{name} {version}" for name, version in machine.packages.items())


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unknown: the file no longer exists"
