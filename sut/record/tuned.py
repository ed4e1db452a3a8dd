"""What `sut tune` found on this machine: a small file in the cache for each machine, model, data set and scenario.

A later run that is far slower than this says so. Everything compared was measured here: without a tuning there is no
file, and nothing is said.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from foundation import atomic_write, bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode, encode
from sut.record.results import PeakResult, PerformanceResult
from sut.record.run_record import RunRecord

FAR = 1.5  # times as fast: below that, the machine's own drift may be the reason
_FOLDER = "tuned"
_SAME = ("backend", "precision", "instances", "cores_per_instance", "threads", "max_batch_tokens", "batch_size")


@dataclass(frozen=True, kw_only=True)
class TunedRecord:
    """The best that a tuning found. `given` are the settings of best.toml, `chosen` all that decide the speed."""

    version: int = 1
    found: datetime
    processor: str
    cores: int
    model: str
    scenario: str
    given: Mapping[str, bool | int | float | str | None]
    chosen: Mapping[str, bool | int | float | str | None]
    metric: str
    unit: str
    value: float
    accuracy: Mapping[str, float] = field(default_factory=dict)
    peak_gops: float | None = None  # the machine's peak at the model's matrix products
    share_of_peak: float | None = None
    best_toml: str

    @property
    def engine(self) -> str:
        return f"{self.chosen['backend']} {self.chosen['precision']}"


def chosen(record: RunRecord) -> dict[str, bool | int | float | str | None]:
    """The settings of a run that decide its speed."""
    return {name: getattr(record.config, name) for name in _SAME} | {"precision": record.effective_precision}


def path(record: RunRecord, cache_dir: Path) -> Path:
    """Where the best of this machine for the run's model, data set and scenario is."""
    config, machine, sums = record.config, record.machine, record.checksums or {}
    assert machine is not None
    same = [machine.architecture, machine.processor, machine.cores, config.task, config.scenario]
    same += [sums.get("weights", config.model), sums.get("dataset", ""), config.target_latency_ms]
    digest = hashlib.sha256(json.dumps(same).encode()).hexdigest()[:32]
    return cache_dir / _FOLDER / f"{digest}.json"


def write(path: Path, found: TunedRecord) -> None:
    """Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write.write_text(path, json.dumps(encode(found), indent=2) + "\n")


def read(path: Path) -> TunedRecord | None:
    """What was written there; None if nothing was, or another version wrote it."""
    try:
        return decode(TunedRecord, bounded_readers.read_json(path, bounded_readers.SETTINGS_BYTES))
    except UnreadableError:
        return None


def hint(record: RunRecord, best: TunedRecord | None) -> str | None:
    """One line for a run that is far slower than the best of this machine; None for any other."""
    times = None if best is None else _times(record, best)
    if best is None or times is None or times < FAR:
        return None
    day = f"{best.found.astimezone():%Y-%m-%d}"
    if chosen(record) == best.chosen:
        return f"the same settings were {times:.1f} times as fast here on {day}: is the machine busy?"
    is_there = bounded_readers.is_file(Path(best.best_toml))
    todo = shlex.join(["python", "-m", "sut", *(["--config", best.best_toml] if is_there else ["tune"])])
    return f"{best.engine} was {times:.1f} times as fast here (sut tune, {day}). Type: {todo}"


def _times(record: RunRecord, best: TunedRecord) -> float | None:
    """How many times as fast the best is; None if the two cannot be compared, as a Server run at a fixed rate."""
    result = record.result
    if not isinstance(result, PerformanceResult | PeakResult) or not result.value or result.unit != best.unit:
        return None
    return result.value / best.value if best.unit == "ms" else best.value / result.value
