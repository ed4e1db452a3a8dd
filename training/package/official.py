"""MLPerf's own checkers on a package, where `mlperf-logging` is installed.

They run on a copy, since one of them writes into the results. Their exit codes say nothing: the text decides.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation import held_directory
from training.package import rules

_PACKAGE = "mlperf_logging"
INSTALL = "pip install mlperf-logging==4.1.68"
_ACCEPTED = "PACKAGE CHECKER FOUND NO ERRORS, SUCCESS !"
_REMARK = re.compile(r"(?:WARNING|ERROR|INFO(?= - RCP Test)) - (.*)")


@dataclass(frozen=True)
class Checked:
    """What the package checker said.

    Attributes:
        remarks: its warnings and errors, also of an accepted package, such as for one run without the target; and how
            the samples to the target compare with the reference's.
    """

    accepted: bool
    remarks: Sequence[str]


def is_installed() -> bool:
    """Whether the checkers can be imported."""
    return importlib.util.find_spec(_PACKAGE) is not None


def command(root: str) -> list[str]:
    """The package checker's words. It runs the compliance checker; in the closed division the seed and RCP ones too."""
    return ["-m", f"{_PACKAGE}.package_checker", root, "training", rules.RULESET, "--werror"]


def check(root: Path) -> Checked:
    """Run the checkers on the package in `root`."""
    with held_directory.temporary("package") as folder:
        for part in ("results", "systems"):
            shutil.copytree(root / part, folder / "package" / part)
        words = [sys.executable, *command("package")]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    remarks = [found[1].strip() for line in text.splitlines() if (found := _REMARK.match(line))]
    if has_crashed := "Traceback (most recent call last)" in text:
        remarks.append(text.strip().splitlines()[-1])
    return Checked(_ACCEPTED in text and not has_crashed, tuple(dict.fromkeys(remarks)))
