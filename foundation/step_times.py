"""What steps took on this machine before, in files of the cache: how long the next one may take is never guessed.

A step is named by the values that decide how long it takes, such as "load", a model, a backend and a precision. What
cannot be read or written is not known, and that is no error.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from foundation import atomic_write, bounded_readers, cpu_info
from foundation.bounded_readers import UnreadableError
from foundation.steps import Say, doing
from foundation.typed_json import decode

_FOLDER = "step-times"
_KEPT = 5  # times of a step


@dataclass(frozen=True)
class StepTimes:
    """The times in a cache directory."""

    cache_dir: Path

    @contextmanager
    def doing(self, what: str, *step: object, sums_up: bool = True) -> Iterator[Say]:
        """As `steps.doing`, with how long the step took before; keeps what it took, unless the block raises."""
        start_s = time.monotonic()
        with doing(what, expected_s=self.expected_s(*step), sums_up=sums_up) as say:
            yield say
        self.add(time.monotonic() - start_s, *step)

    def expected_s(self, *step: object) -> float | None:
        """The median of the last times; None if the step was never made."""
        return statistics.median(found) if (found := self._read(step)) else None

    def add(self, seconds: float, *step: object) -> None:
        """The step took this long. A cache that does not exist is not made for it."""
        path = self._path(step)
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            atomic_write.write_text(path, json.dumps([*self._read(step), round(seconds, 3)][-_KEPT:]) + "\n")

    def _read(self, step: tuple[object, ...]) -> list[float]:
        try:
            return decode(list[float], bounded_readers.read_json(self._path(step), bounded_readers.SETTINGS_BYTES))
        except UnreadableError:
            return []

    def _path(self, step: tuple[object, ...]) -> Path:
        named = [platform.machine(), cpu_info.name(), os.cpu_count(), *map(str, step)]
        return self.cache_dir / _FOLDER / f"{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]}.json"
