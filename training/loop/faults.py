"""What ends a run, in one line for a person: what failed, at which step, and what is left.

Libraries raise RuntimeError for most of it, so its text is searched for; what nothing here knows is a defect and keeps
its traceback.
"""

from __future__ import annotations

from pathlib import Path

from foundation.errors import UserError
from sut.errors import RunFailedError, UsageError
from training.launch.endings import ProcessLostError

_NO_MEMORY = "expected enough memory, found none left. Type: --set max_tokens_per_micro_batch= with a lower number."
_LOST = "expected all processes of the run, lost one or more. The first error of another process says why."
# Part of a message of torch → what to say of it.
_KNOWN = {
    "out of memory": _NO_MEMORY,
    "can't allocate memory": _NO_MEMORY,
    "Connection closed by peer": _LOST,
    "Connection reset by peer": _LOST,
    "Timed out waiting": _LOST,
    "Broken pipe": _LOST,
    "NCCL": _LOST,
}


def explained(error: Exception, step: int, last_checkpoint: Path | None) -> Exception:
    """An error for a person, with the last good checkpoint; `error` itself where it is a defect of ours."""
    text = _text(error)
    if text is None or isinstance(error, UsageError):
        return error
    kept = f"The last good checkpoint is {last_checkpoint}." if last_checkpoint else "No checkpoint was written yet."
    kind = ProcessLostError if text == _LOST else RunFailedError
    return kind(f"{text} Steps done: {step}. {kept}")


def _text(error: Exception) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, OSError):
        return f"expected to write and read the files of the run, found: {error}."
    if isinstance(error, RuntimeError):
        return next((said for part, said in _KNOWN.items() if part in str(error)), None)
    return None
