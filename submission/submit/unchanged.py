"""Whether a finished run is still what it was when it ended: its files, and LoadGen's settings for it in user.conf.

step.json holds both, so that a package never has a log that was cut short later, or settings that no run had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from submission.submit import plan
from submission.submit.plan import Step
from submission.submit.workspace import Workspace
from sut.errors import UsageError
from sut.settings import user_conf
from sut.tasks import TASKS

# A setting that is an estimate: LoadGen generates queries by it. `submit` itself corrects it between two runs.
_ESTIMATES = {"Offline": "target_qps", "SingleStream": "target_latency", "MultiStream": "target_latency"}


def digests(folder: Path) -> dict[str, str]:
    """sha256 of each file in the directory. Raises OSError."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def settings(step: Step) -> dict[str, float]:
    """LoadGen's settings in user.conf that a performance run's result depends on; none of other runs.

    Raises:
        UsageError: a line of user.conf cannot be used.
    """
    config = step.config
    found = user_conf.read(config, TASKS[config.task].model_key).settings
    if step.kind not in (plan.PERFORMANCE, plan.TEST01):
        return {}
    return {name: one.value for name, one in found.items() if name != _ESTIMATES.get(config.scenario)}


def check(step: Step, output: Workspace, files: Mapping[str, str], then: Mapping[str, float]) -> None:
    """Compare a finished run with its step.json.

    Args:
        files, then: the `digests` and the `settings` that it had.

    Raises:
        UsageError: something differs.
    """
    folder = step.folder(output)
    again = f"To repeat the run, remove {folder}, then type the same command with --resume."
    try:
        found = digests(folder)
    except OSError as error:
        raise UsageError(f"expected the files of the {step.name} run in {folder}, found: {error}. {again}") from error
    if changed := [name for name, sha256 in files.items() if found.get(name) != sha256]:
        raise UsageError(f"expected {folder / changed[0]} as the {step.name} run left it, found another file. {again}")
    now = settings(step)
    if differing := [name for name in {**now, **then} if now.get(name) != then.get(name)]:
        was, given = (f"{values[differing[0]]:g}" if differing[0] in values else "none" for values in (then, now))
        raise UsageError(
            f"expected {differing[0]} {was} in {step.config.user_conf}, as in the {step.name} run, found {given}. "
            f"Restore it. {again}"
        )
