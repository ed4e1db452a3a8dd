"""What ends a run, in one line for a person: what failed, at which step, and what is left.

Libraries raise RuntimeError for most of it, so its text is searched for; what nothing here knows is a defect and keeps
its traceback.
"""

from __future__ import annotations

from pathlib import Path

from torch import distributed

from foundation.errors import UserError
from sut.errors import RunFailedError, UsageError
from training.launch.endings import ProcessLostError

_NO_MEMORY = "expected enough memory, found none left."
_LOST = "expected all processes of the run, lost one or more. The first error of another process says why."
# Parts of messages of torch.
_NO_MEMORY_SIGNS = ("out of memory", "can't allocate memory")
_LOST_SIGNS = ("Connection closed by peer", "Connection reset by peer", "Timed out waiting", "Broken pipe", "NCCL")


def explained(error: Exception, step: int, last_checkpoint: Path | None, less_memory: str) -> Exception:
    """An error for a person, with the last good checkpoint; `error` itself where it is a defect of ours.

    `less_memory`: what to type where memory is short.
    """
    text = _text(error)
    if text is None or isinstance(error, UsageError):
        return error
    if text == _NO_MEMORY:
        text = f"{text} Type: {less_memory}."
    kept = f"The last good checkpoint is {last_checkpoint}." if last_checkpoint else "No checkpoint was written yet."
    kind = ProcessLostError if text == _LOST else RunFailedError
    return kind(f"{text} Steps done: {step}. {kept}")


def is_lost_process(error: BaseException) -> bool:
    """Whether a collective failed because another process is gone or silent."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _LOST_SIGNS)


def _text(error: Exception) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, OSError):
        return f"expected to write and read the files of the run, found: {error}."
    if isinstance(error, RuntimeError) and any(part in str(error) for part in _NO_MEMORY_SIGNS):
        return _NO_MEMORY
    return _LOST if is_lost_process(error) else None
