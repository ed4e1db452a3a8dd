"""run.json: what was run, on what, and what came of it, in one file that a program can read.

It is written as "unfinished" before the clock starts and with the verdict at the end, so that a run which was killed
can be told from one that ended.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backends import engine_directory
from sut import results, system
from sut.errors import RunFailedError
from sut.prepare import Prepared

UNFINISHED = "unfinished"


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
        "config": asdict(config),
        "samples": prepared.samples,
        "sample_tokens": {
            "mean": float(prepared.features.lengths.mean()),
            "longest": int(prepared.features.lengths.max()),
        },
        "topology": prepared.topology,
        **_engine(prepared.model.engine),
        **more,
        "machine": system.facts(),
        **({} if verdict == UNFINISHED else {"distributions": system.distributions()}),  # not before the first query
    }
    return _replace(config.logs / results.RUN, json.dumps(content, indent=2, default=str) + "\n")


def _engine(directory: Path | None) -> dict[str, Any]:
    """The key of a built engine and what it was made from, where the run has one."""
    if directory is None:
        return {}
    return {"engine": {"key": directory.name, **engine_directory.settings(directory)}}


def _replace(path: Path, text: str) -> Path:
    aside = path.with_suffix(".part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise RunFailedError(
            f"wanted to write {path}, found: {error}. Make room, or take another --log-dir."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return path
