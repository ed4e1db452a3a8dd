"""The runs of a package: read, and refused where they are not ten complete runs of one configuration.

Every rule of MLPerf's checkers is applied here too, so that a package made where they are not installed is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.typed_json import encode
from sut.errors import UsageError
from training.package import rules
from training.records import mllog, mllog_file, run_table, training_record
from training.records.mllog_file import MllogLine
from training.records.training_record import TrainingRecord

# Fields of a record that must be the same in all runs.
_SAME = (
    *("division", "task", "hyperparameters", "target", "evaluation_samples", "max_steps", "precision", "parallel"),
    *("device", "device_name", "threads", "devices", "model", "versions"),
)
_PER_RUN = ("seed", "output", "folder", "path", "dir")  # parts of names of settings that may differ
_Check = Callable[["Run"], str | None]


@dataclass(frozen=True)
class Run:
    """A run's directory, its record, and the lines of its log."""

    folder: Path
    record: TrainingRecord
    lines: Sequence[MllogLine]

    @property
    def log(self) -> Path:
        return self.folder / mllog_file.NAME

    @property
    def seed(self) -> int:
        return self.record.seed

    @property
    def has_converged(self) -> bool:
        return self.record.status == "reached"

    @property
    def train_s(self) -> float:
        """Seconds from run_start to run_stop."""
        return (self.of("run_stop")[0].time_ms - self.of("run_start")[0].time_ms) / 1000

    def of(self, key: str) -> list[MllogLine]:
        """The lines with a key."""
        return [line for line in self.lines if line.key == key]


def read(folders: Sequence[Path]) -> list[Run]:
    """The runs in these directories.

    Raises:
        UsageError: one of them is not a training run, or has no log.
    """
    found = []
    for folder in folders:
        record = training_record.read(folder)
        at = training_record.path_of(folder).parent
        found.append(Run(at, record, mllog_file.read(at / mllog_file.NAME)))
    return found


def require(runs: Sequence[Run]) -> None:
    """Raise UsageError if these runs do not make a package."""
    if len(runs) != rules.RUNS:
        raise UsageError(f"expected {rules.RUNS} runs, found {len(runs)}. Type the directories of {rules.RUNS} runs.")
    for run in runs:
        require_sound(run)
    _require_seeds(runs)
    for run in runs[1:]:
        _require_same(runs[0], run)
    missed = [run for run in runs if not run.has_converged]
    if len(missed) > rules.MAY_MISS:
        names = ", ".join(str(run.folder) for run in missed)
        raise UsageError(
            f"expected at most {rules.MAY_MISS} run without the target, found {len(missed)}: {names}. "
            "Train them with more steps, or with other seeds."
        )


def require_sound(run: Run) -> None:
    """Raise UsageError if this run can be part of no package."""
    for check in _CHECKS:
        if problem := check(run):
            raise UsageError(f"{problem} {_HINTS.get(check, 'Leave that run out and train another one.')}")


def _require_seeds(runs: Sequence[Run]) -> None:
    known: dict[int, Run] = {}
    for run in runs:
        if run.seed in known:
            raise UsageError(
                f"expected {rules.RUNS} different seeds, found {run.seed} in {known[run.seed].folder} and in "
                f"{run.folder}. Train one of them with another --set seed=N."
            )
        known[run.seed] = run


def _require_same(first: Run, other: Run) -> None:
    before, after = _compared(first.record), _compared(other.record)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise UsageError(
                f"expected one configuration in all runs, found {name} {before.get(name)!r} in {first.folder} and "
                f"{after.get(name)!r} in {other.folder}. Train all runs with the same settings but the seed."
            )


def _compared(record: TrainingRecord) -> dict[str, object]:
    found = {name: encode(getattr(record, name)) for name in _SAME}
    for one in record.data:
        found[f"data of {one.use}"] = one.sha256 or one.samples
    return found | _settings("settings", record.settings)


def _settings(above: str, values: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _settings(f"{above}.{name}", value)
        elif not any(part in name for part in _PER_RUN):
            found[f"{above}.{name}"] = value
    return found


def _ended(run: Run) -> str | None:
    if run.record.has_ended:
        return None
    return f"expected runs that came to their end, found {run.folder}: {run_table.status(run.record)}."


def _has_target(run: Run) -> str | None:
    return None if run.record.target is not None else f"expected runs with a target, found none in {run.folder}."


def _is_benchmark(run: Run) -> str | None:
    found = [line.value for line in run.of("submission_benchmark")]
    return (
        None if found == [rules.BENCHMARK] else f"expected pre-training runs, found {run.record.task} in {run.folder}."
    )


def _keys(run: Run) -> str | None:
    for key in rules.ONCE[run.record.division]:
        if (times := len(run.of(key))) != 1:
            return f"expected {key} once in {run.log}, found it {times} times."
    missing = [key for key in rules.SOME if not run.of(key)]
    return f"expected {', '.join(missing)} in {run.log}, found none." if missing else None


def _order(run: Run) -> str | None:
    first = {key: next(at for at, line in enumerate(run.lines) if line.key == key) for key in rules.ORDER}
    found = sorted(first, key=first.__getitem__)
    if found != list(rules.ORDER):
        return f"expected {', '.join(rules.ORDER)} in this order in {run.log}, found {', '.join(found)}."
    minutes = (run.of("init_stop")[0].time_ms - run.of("init_start")[0].time_ms) / 60e3
    most = rules.MOST_INIT_MINUTES[run.record.division]
    if minutes >= most:
        return f"expected less than {most} minutes from init_start to init_stop in {run.log}, found {minutes:.0f}."
    return None


def _agrees(run: Run) -> str | None:
    """The log and the record are of one run."""
    record = run.record
    pairs = {
        "seed": (record.seed, run.of("seed")[0].value),
        "submission_division": (record.division, run.of("submission_division")[0].value),
        "train_samples": (record.samples, run.of("train_samples")[0].value),
        "status": ("success" if run.has_converged else "aborted", run.of("run_stop")[0].metadata.get("status")),
    }
    wrong = [
        f"{key} {of_log!r}, not {of_record!r}" for key, (of_record, of_log) in pairs.items() if of_record != of_log
    ]
    return f"expected the log of the run in {run.folder}, found {', '.join(wrong)}, in {run.log}." if wrong else None


def _accuracy(run: Run) -> str | None:
    values = [line.value for line in run.of("eval_accuracy") if isinstance(line.value, float | int)]
    if any("epoch_num" not in line.metadata for line in run.of("eval_accuracy")):
        return f"expected epoch_num with each eval_accuracy in {run.log}, found one without."
    least = mllog.TARGET if run.record.division == "closed" else 0.0
    if run.has_converged and not any(least <= value < 1 for value in values):
        return f"expected an eval_accuracy from {least:g} to 1 in {run.log}, found at most {max(values, default=0):g}."
    return None


def _caches(run: Run) -> str | None:
    """The checkers accept any value; the rules of the closed division do not."""
    if run.record.division == "open" or all(line.value is True for line in run.of("cache_clear")):
        return None
    return f"expected caches cleared before a run of the closed division, found cache_clear false in {run.log}."


_CHECKS: tuple[_Check, ...] = (
    _ended, _is_benchmark, _has_target, _keys, _order, _agrees, _accuracy, _caches,
)  # fmt: skip
_HINTS: Mapping[_Check, str] = {
    _ended: "Type its training command again: it goes on from its last checkpoint.",
    _has_target: "Train with a target.",
    _is_benchmark: "Type the directories of runs of training.pretrain.",
    _caches: "Train with --clear-caches.",
}
