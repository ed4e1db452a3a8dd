"""run.json: what was run, on what, and what came of it, in one file that a program can read.

It is written as "unfinished" before the clock starts and with the verdict at the end, so that a run which was killed
can be told from one that ended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backends.bert import checkpoints
from backends.bert.model import Model
from backends.quantization import engine_store
from sut.errors import RunFailedError
from sut.machine import facts as machine_facts
from sut.record import detail_log
from sut.run.prepare import Prepared
from sut.settings.resolve import RunConfig, given

UNFINISHED, FAILED = "unfinished", "FAILED"


def write(prepared: Prepared, verdict: str, **more: Any) -> Path:
    """Write run.json aside, then rename it.

    Args:
        verdict: one of unfinished, VALID, INVALID, PASS, FAIL, SCORED, INCOMPLETE, FAILED.
        more: what else is known by now, as JSON can hold it.

    Raises:
        RunFailedError: it cannot be written.
    """
    config = prepared.config
    content = {
        "verdict": verdict,
        "submittable": not prepared.notices and verdict in ("VALID", "PASS"),
        "notices": prepared.notices,
        "random_weights": prepared.model.is_random,
        "zero_weights_share": prepared.zero_weights,
        "given": given(prepared.asked),
        "directory": str(Path.cwd()),  # what paths in `given` start from
        "config": asdict(config),
        "samples": prepared.samples,
        "sample_tokens": {
            "mean": float(prepared.features.lengths.mean()),
            "longest": int(prepared.features.lengths.max()),
        },
        "topology": asdict(prepared.topology),
        **_engine(prepared.model.engine),
        **(
            {}
            if verdict in (UNFINISHED, FAILED)
            else {"checksums": checksums(config, prepared.model, prepared.data.digests())}
        ),
        **more,
        "machine": asdict(machine_facts.facts()),
        **(
            {} if verdict == UNFINISHED else {"distributions": machine_facts.distributions()}
        ),  # not before the first query
    }
    return _replace(config.logs / detail_log.RUN, json.dumps(content, indent=2, default=str) + "\n")


def checksums(config: RunConfig, model: Model, known: Mapping[Path, str]) -> dict[str, str]:
    """sha256 of every file that a prepared run names, and of its weights where they lie in files.

    It is taken when a run is over, so that no start waits for it, and not of one that failed, which should end.

    Args:
        known: the sha256 of files that were read, which is theirs as the run saw them.
    """
    found = {}
    with suppress(OSError):  # one went away since: the result stands all the same
        for field, path in asdict(config).items():
            if isinstance(path, Path) and path.is_file():
                found[field] = known.get(path) or hashlib.sha256(path.read_bytes()).hexdigest()
        if model.path is not None:
            found["weights"] = checkpoints.digest(model)
    return found


def _engine(directory: Path | None) -> dict[str, Any]:
    """The key of a built engine and what it was made from, where the run has one."""
    if directory is None:
        return {}
    return {"engine": {"key": directory.name, **engine_store.settings(directory)}}


def _replace(path: Path, text: str) -> Path:
    aside = path.with_suffix(".part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise RunFailedError(
            f"expected to write {path}, found: {error}. Make room, or take another --log-dir."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return path
