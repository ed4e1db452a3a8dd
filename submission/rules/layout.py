"""The path of every file of a submission, by round: pure functions of names, used by the builder and by the checks.

All paths are relative to the directory that holds `closed/` and `open/`: `root / layout.measurements` is the file on
disk, and a message shows the relative path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from foundation.log_files import ACCURACY_TXT
from foundation.rules import F1_TARGETS
from submission.rules.rounds import (
    BASELINE,
    COMPLIANCE,
    IGNORED_DIRECTORIES,
    OPEN,
    TAKEN_IN_NAMES,
    TEST01,
    VERIFY_ACCURACY,
    VERIFY_PERFORMANCE,
    Round,
)

RUN_1 = "run_1"


def model_folder(name: str | None, benchmark: str) -> str:
    """The name of a model's directories in the open division: its own, in letters that the checkers take.

    It is the benchmark's for a model without a name, or with one that the checkers take for something else.
    """
    own = re.sub(r"[^A-Za-z0-9_.+-]+", "-", name or "").strip("-.")
    taken = own in (*F1_TARGETS, *IGNORED_DIRECTORIES) or any(part in own for part in TAKEN_IN_NAMES)
    return benchmark if taken or not own else own


@dataclass(frozen=True)
class SubmitterLayout:
    """The paths under `<division>/<submitter>` that all systems of a submitter share."""

    round: Round
    division: str
    submitter: str

    @property
    def is_closed(self) -> bool:
        """Whether the rules of the closed division apply."""
        return self.division != OPEN

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self.division, self.submitter)

    @property
    def systems(self) -> PurePosixPath:
        return self.folder / "systems"

    def description(self, system: str) -> PurePosixPath:
        """systems/<system>.json."""
        return self.systems / f"{system}.json"

    @property
    def results(self) -> PurePosixPath:
        return self.folder / "results"

    def nameplate(self, system: str) -> PurePosixPath:
        """systems/<system>_power.yaml, the description of a system with power measurements."""
        return self.systems / f"{system}_power.yaml"

    @property
    def measured(self) -> PurePosixPath:
        """The measurements of all systems, where they are a tree of their own."""
        return self.folder / "measurements"

    @property
    def code(self) -> PurePosixPath:
        """`src` from v6.0 on, `code` before."""
        return self.folder / self.round.style.code

    @property
    def calibration(self) -> PurePosixPath:
        return self.folder / "calibration.md"

    @property
    def model_mapping(self) -> PurePosixPath:
        """Open division only: maps a model's name to the benchmark that it stands for."""
        return self.folder / "model_mapping.json"


@dataclass(frozen=True)
class ResultLayout(SubmitterLayout):
    """The paths of one result: one scenario of one model on one system."""

    system: str
    model: str
    scenario: str

    def _under(self, tree: str) -> PurePosixPath:
        return self.folder / tree / self.system / self.model / self.scenario

    @property
    def system_json(self) -> PurePosixPath:
        return self.description(self.system)

    @property
    def model_code(self) -> PurePosixPath:
        return self.code / self.model

    @property
    def model_dir(self) -> PurePosixPath:
        return self.scenario_dir.parent

    @property
    def scenario_dir(self) -> PurePosixPath:
        return self._under("results")

    @property
    def performance(self) -> PurePosixPath:
        return self.scenario_dir / "performance" / RUN_1

    @property
    def accuracy(self) -> PurePosixPath:
        return self.scenario_dir / "accuracy"

    @property
    def accuracy_txt(self) -> PurePosixPath:
        return self.accuracy / ACCURACY_TXT

    @property
    def measurements_dir(self) -> PurePosixPath:
        """The directory of measurements, user.conf and README.md."""
        return self.scenario_dir if self.round.style.together else self._under("measurements")

    @property
    def measurements(self) -> PurePosixPath:
        name = "measurements" if self.round.style.together else f"{self.system}_{self.scenario}"
        return self.measurements_dir / f"{name}.json"

    @property
    def user_conf(self) -> PurePosixPath:
        return self.measurements_dir / "user.conf"

    @property
    def readme(self) -> PurePosixPath:
        return self.measurements_dir / "README.md"

    @property
    def test01(self) -> PurePosixPath:
        parent = self.scenario_dir if self.round.style.together else self._under("compliance")
        return parent / TEST01

    @property
    def verify_accuracy(self) -> PurePosixPath:
        return self.test01 / VERIFY_ACCURACY

    @property
    def verify_performance(self) -> PurePosixPath:
        return self.test01 / VERIFY_PERFORMANCE

    @property
    def test01_performance(self) -> PurePosixPath:
        return self.test01 / "performance" / RUN_1

    @property
    def test01_accuracy(self) -> PurePosixPath:
        return self.test01 / "accuracy"

    @property
    def baseline_accuracy(self) -> PurePosixPath:
        """The accuracy run's F1 over TEST01's samples. Present only if TEST01's answers were not bit-exact."""
        return self.test01_accuracy / BASELINE

    @property
    def compliance_accuracy(self) -> PurePosixPath:
        """TEST01's F1 over the same samples. Present only if its answers were not bit-exact."""
        return self.test01_accuracy / COMPLIANCE
