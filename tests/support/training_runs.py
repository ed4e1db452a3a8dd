"""Made-up training runs on disk: ten runs with ten seeds, as `training.package` takes them."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import training_events as made

from training.records import mllog_file
from training.records.mllog import ComplianceLog
from training.records.record_writer import RecordWriter

FACTS = {
    "status": "rdi",
    "system_name": "A machine",
    "host_processors_per_node": "1",
    "host_processor_core_count": "2",
    "host_processor_vcpu_count": "2",
    "host_memory_capacity": "16 GiB",
    "host_memory_configuration": "2 x 8 GB",
    "host_storage_type": "SSD",
    "host_storage_capacity": "1 TB",
    "host_networking": "N/A",
    "host_networking_topology": "N/A",
    "cooling": "air",
    "system_type": "edge",
}
OPEN: dict[str, Any] = {"division": "open", "target": 0.3}


def run(folder: Path, cleared: str | None = "page cache", **changes: Any) -> Path:
    """A complete run in `folder`."""
    folder.mkdir(parents=True)
    seed = changes.setdefault("seed", 1)
    clock = count(1_700_000_000_000 + 1000 * seed, 1000)
    log = ComplianceLog(folder / mllog_file.NAME, cleared=cleared, now_ms=lambda: next(clock))
    scores = changes.pop("scores", made.SCORES)
    made.send(made.whole(scores, **changes), log, RecordWriter(folder))
    return folder


def ten(folder: Path, **changes: Any) -> list[Path]:
    """Ten complete runs."""
    return [run(folder / f"seed-{seed}", seed=seed, **changes) for seed in range(1, 11)]


def system(folder: Path, **facts: str) -> Path:
    """The facts of a system as TOML; "" removes one."""
    path = folder / "box.toml"
    lines = [f'"{key}" = "{value}"' for key, value in (FACTS | facts).items() if value]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
