"""What a package says of how its results came about: README.md, measurements, calibration.md and TRIAL.md.

Each word comes from the runs' own records and from the files that they read, so that it is true of these very runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends import BACKENDS
from submission.package.weights import TRANSFORMATIONS, TYPES, Weights
from submission.submit import test01
from submission.submit.plan import TEST01, Step
from submission.submit.request import Order
from submission.submit.workspace import Workspace

Records = Mapping[str, Mapping[str, Any]]  # a run's kind → its run.json
TRIAL = "TRIAL: few queries or samples, short runs; not an MLPerf result, never submittable"
FAKE = "NO MODEL RAN: made to test the package, never submittable"


def marks(order: Order, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What must stand beside every figure of this package."""
    found = [TRIAL] if order.short else []
    found += [FAKE] if order.allow_fake and any("no model ran" in str(record["notices"]) for record in records) else []
    for record in records:
        found += [str(notice) for notice in record["notices"] if notice not in found]
    return found


def measurements(order: Order, weights: Weights, records: Records, commands: Mapping[str, str]) -> str:
    """measurements.json: the rules' five keys, and what else tells one run from another."""
    any_record = next(iter(records.values()))
    precision = order.run.precision
    content = {
        "input_data_types": "int64",
        "retraining": weights.retraining,
        "starting_weights_filename": weights.filename,
        "weight_data_types": TYPES.get(precision, precision),
        "weight_transformations": TRANSFORMATIONS.get(precision, precision),
        "weights_sha256": weights.sha256,
        "weights_source": weights.source,
        "backend": order.run.backend,
        "precision": precision,
        "instances": any_record["config"]["instances"],
        "threads_per_instance": any_record["config"]["threads"],
        "commands": dict(commands),
        "marks": marks(order, list(records.values())),
    }
    return json.dumps(content, indent=2) + "\n"


def readme(
    order: Order, place: Workspace, scenario: str, weights: Weights, records: Records, steps: Sequence[Step]
) -> str:
    """README.md of one scenario."""
    one = next(iter(records.values()))
    dataset = Path(one["config"]["dataset"])
    facts = {
        "weights": f"{weights.filename}, {weights.bytes:,} bytes, sha256 {weights.sha256}",
        "source": weights.source,
        "retraining": weights.retraining,
        "precision": f"{order.run.precision}; {TRANSFORMATIONS.get(order.run.precision, order.run.precision)}",
        "calibration": "see calibration.md" if "engine" in one else "none",
        "data set": f"{dataset.name}, sha256 {_sha256(dataset)}, {one['samples']:,} samples",
        "backend": f"{order.run.backend}, {_versions(one)}",
        "instances": f"{one['config']['instances']} of {one['config']['threads']} threads each",
        "machine": f"{one['machine']['processor']}, {one['machine']['cores']} cores",
        "seeds": f"those of round {order.round.name}",
    }
    return "\n".join(
        [
            f"# {order.benchmark}, {scenario}, {order.division} division, round {order.round.name}",
            "",
            *(f"**{mark}**\n" for mark in marks(order, list(records.values()))),
            "| | |",
            "| --- | --- |",
            *(f"| {name} | {value} |" for name, value in facts.items()),
            "",
            "## Commands",
            "",
            "```",
            *(step.command(place) for step in steps),
            "```",
            "",
            "`user.conf` beside this file is what `--user-conf` names; the code is in this package.",
            *_test01(place, steps),
            "",
        ]
    )


def _test01(place: Workspace, steps: Sequence[Step]) -> list[str]:
    folder = next((step.folder(place) for step in steps if step.kind == TEST01), None)
    if folder is None:
        return []
    texts = [
        (folder / name).read_text(encoding="utf-8") for name in (test01.VERIFY_ACCURACY, test01.VERIFY_PERFORMANCE)
    ]
    lines = ["", "## TEST01", "", "```", *(text.rstrip() for text in texts), "```"]
    if (folder / test01.BASELINE).is_file():
        lines += ["", "Answers are not bit-exact between runs, whose batches differ: F1 over TEST01's samples decides."]
    return lines


def calibration(order: Order, records: Sequence[Mapping[str, Any]]) -> str:
    """calibration.md."""
    engine = next((record["engine"] for record in records if "engine" in record), None)
    if engine is None:
        text = f"No calibration: the runs are in {order.run.precision}, and no value was found from data beforehand."
        return f"# Calibration\n\n{text}\n"
    rows = [f"| {name} | {value} |" for name, value in engine.items()]
    method = BACKENDS[order.run.backend].maker.partition(":")[0].replace(".", "/")
    text = (
        "No calibration: the scales are those that the model itself brings, learned when it was trained."
        if "ranges_from" in engine
        else "Weights have a scale for each output channel; activations have ranges that were found on the samples "
        f"below, once, before any run. The method is in the code of this package: {method}.py."
    )
    return "\n".join(["# Calibration", "", text, "", "| | |", "| --- | --- |", *rows, ""])


def trial(order: Order) -> str:
    """TRIAL.md, at the root of a trial's tree."""
    return "\n".join(
        [
            "# A trial, not a submission",
            "",
            f"{TRIAL}.",
            "",
            "It shows that a machine, a model and this package work together. Its runs last seconds where the rules "
            "want ten minutes, and it may hold fewer samples than the data set has. Leave out --short for one that "
            "counts.",
            "",
            f"Submitter {order.submitter}, round {order.round.name}, {order.benchmark} on {order.system}.",
            "",
        ]
    )


def code(order: Order) -> str:
    """README.md of the source code."""
    return "\n".join(
        [
            f"# The code behind {order.benchmark} of {order.submitter}",
            "",
            "The Python sources that made the runs, as they were installed. `pip install .` in a checkout of the "
            "project brings the weights of its demo model along; a model of one's own is named with `--model`.",
            "",
            "Each scenario's README.md has the commands that its results were made with.",
            "",
        ]
    )


def _versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in record["machine"]["packages"].items())


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unknown: the file has gone"
