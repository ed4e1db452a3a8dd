"""Builds the tree from finished runs under a temporary name, which is renamed when the tree is complete.

Nothing is run or measured here, so the same runs always give the same tree.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation import log_files
from foundation.log_files import ACCURACY_TXT
from submission.package import accuracy_log, documents
from submission.package.weights import Weights
from submission.rules import rounds
from submission.rules.layout import ResultLayout, model_folder
from submission.rules.rounds import PERFORMANCE_FILES, TRIAL_MARKER
from submission.submit import workspace
from submission.submit.plan import ACCURACY, PERFORMANCE, TEST01, Step
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.errors import RunFailedError
from sut.record import run_record
from sut.record.run_record import RunRecord

_CODE = ("sut", "backends", "qsl", "accuracy", "submission", "foundation")
_SOURCES = ("*.py", "*.h", "*.cpp")


@dataclass(frozen=True)
class TreeInputs:
    """Everything that a tree is built from."""

    request: SubmissionRequest
    output: Workspace
    steps: Sequence[Step]  # all finished
    description: Mapping[str, str]  # of the system
    weights: Weights

    @property
    def model(self) -> str:
        """The name of the model's directories: in the open division its own."""
        request = self.request
        is_open = request.division == rounds.OPEN
        return model_folder(self.weights.name, request.benchmark) if is_open else request.benchmark

    def layout(self, scenario: str) -> ResultLayout:
        """Where the round expects the results of this scenario."""
        request = self.request
        return ResultLayout(request.round, request.division, request.submitter, request.system, self.model, scenario)

    def steps_of(self, scenario: str) -> dict[str, Step]:
        return {step.kind: step for step in self.steps if step.scenario == scenario}


def build(inputs: TreeInputs) -> Path:
    """Build the tree and replace an older one by it; returns its directory."""
    request, output = inputs.request, inputs.output
    root = workspace.temporary(output.tree)
    shutil.rmtree(root, ignore_errors=True)
    for scenario in request.scenarios:
        _scenario(inputs, root, scenario)
    layout = inputs.layout(request.scenarios[0])
    records = [run_record.read(step.folder(output)) for step in inputs.steps]
    _refuse_other_files(inputs, records)
    workspace.write(root / layout.system_json, json.dumps(dict(inputs.description), indent=2) + "\n")
    workspace.write(root / layout.calibration, documents.calibration(request, inputs.weights, records))
    if layout.model != request.benchmark:
        workspace.write(root / layout.model_mapping, json.dumps({layout.model: request.benchmark}, indent=2) + "\n")
    _code(root / layout.model_code, request)
    if request.short:
        workspace.write(root / TRIAL_MARKER, documents.trial(request))
    workspace.replace_folder(root, output.tree)
    return output.tree


def _refuse_other_files(inputs: TreeInputs, records: Sequence[RunRecord]) -> None:
    """Raise RunFailedError if a run read another model or data set than the others, or than is described."""
    for name in ("weights", "dataset", "vocab"):
        expected = inputs.weights.digest if name == "weights" else None
        for step, record in zip(inputs.steps, records, strict=True):
            found = (record.checksums or {}).get(name)
            expected = expected or found
            if found != expected and (found is not None or name == "weights"):
                folder = step.folder(inputs.output)
                raise RunFailedError(
                    f"expected the same {name} in every run and now, sha256 {expected}, found {found or 'another'} in "
                    f"{folder}. Restore the file, or remove that directory and type the same command with --resume."
                )


def _scenario(inputs: TreeInputs, root: Path, scenario: str) -> None:
    request, output, steps = inputs.request, inputs.output, inputs.steps_of(scenario)
    layout = inputs.layout(scenario)
    folders = {kind: step.folder(output) for kind, step in steps.items()}
    records = {kind: run_record.read(folder) for kind, folder in folders.items()}
    commands = {kind: step.command(output) for kind, step in steps.items()}
    _copy(folders[PERFORMANCE], root / layout.performance, PERFORMANCE_FILES)
    _copy(folders[ACCURACY], root / layout.accuracy, PERFORMANCE_FILES)
    accuracy_txt = workspace.read(folders[ACCURACY] / ACCURACY_TXT)
    missing = [mark for mark in documents.marks(request, list(records.values())) if mark not in accuracy_txt]
    accuracy_log.pack(
        folders[ACCURACY] / log_files.ACCURACY, "\n".join([accuracy_txt.rstrip(), *missing]), root / layout.accuracy
    )
    if TEST01 in steps:
        _test01(folders[TEST01], root, layout)
    text = documents.readme(request, output, scenario, inputs.weights, records, list(steps.values()))
    workspace.write(root / layout.readme, text)
    workspace.write(root / layout.measurements, documents.measurements(request, inputs.weights, records, commands))
    _copy(output.user_conf.parent, root / layout.measurements_dir, (output.user_conf.name,))


def _test01(folder: Path, root: Path, layout: ResultLayout) -> None:
    _copy(folder, root / layout.test01_performance, PERFORMANCE_FILES)
    _copy(folder, root / layout.test01, (rounds.VERIFY_ACCURACY, rounds.VERIFY_PERFORMANCE))
    accuracy_txt = workspace.read(folder / ACCURACY_TXT)
    accuracy_log.pack(folder / log_files.ACCURACY, accuracy_txt, root / layout.test01_accuracy)
    fallback = [name for name in (rounds.BASELINE, rounds.COMPLIANCE) if (folder / name).is_file()]
    _copy(folder, root / layout.test01_accuracy, fallback)


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        workspace.write(target / name, (source / name).read_bytes())


def _code(target: Path, request: SubmissionRequest) -> None:
    """Copy the sources that made the runs, from where they are installed."""
    workspace.write(target / "README.md", documents.code(request))
    for package in _CODE:
        folder = Path(str(importlib.import_module(package).__file__)).parent
        for source in sorted(path for pattern in _SOURCES for path in folder.rglob(pattern)):
            path = target / package / source.relative_to(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)  # unlike `workspace.write`, without a sync to disk for each file
