"""The outermost frame of a worker process: ends with its agent, reports progress and how it ended.

sys.exit(worker.run(main) if worker.is_one() else program.run(main))
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from foundation import terminal
from foundation.errors import FAILED, INVALID, VALID, UserError
from foundation.program import leave
from training.launch.endings import Ending, ProcessLostError

PIPE, AGENT, LOG = "TRAINING_REPORTS", "TRAINING_AGENT_PID", "TRAINING_LOG"  # variables that the agent sets
_PR_SET_PDEATHSIG = 1


def is_one() -> bool:
    """Whether an agent of ours has started this process."""
    return PIPE in os.environ


def run(main: Callable[[], int]) -> int:
    """Call `main`, which returns 0 or 1 where the training has ended; reports the ending, and ends the process.

    Exceptions: `UserError` ends the run on all nodes, since it would be raised again; KeyboardInterrupt says that the
    loop ended because it was asked to; after `ProcessLostError` and any other the workers are started again.
    """
    _end_with_agent()
    terminal.secure()
    faulthandler.enable()
    ending = _ending(main)
    _send(ending.to_json())
    return leave(ending.code)  # a process group whose peers are gone may wait for ever in its destructor


def wrote_checkpoint(step: int) -> None:
    """Say that the training has come to this step: restarts are counted from here. No worker: nothing happens."""
    if is_one():
        _send(json.dumps({"step": step}))


def _ending(main: Callable[[], int]) -> Ending:
    rank = os.environ.get("RANK", "0")
    try:
        code = main()
    except ProcessLostError:
        return Ending("fault", FAILED, f"rank {rank} lost another process.", is_secondary=True)
    except UserError as error:
        return Ending("refused", error.exit_code, f"rank {rank}: {_one_line(error)}")
    except KeyboardInterrupt:
        return Ending("interrupted", FAILED, "interrupted.")
    except BaseException as error:  # noqa: BLE001 - the outermost handler
        _write_traceback()
        text = f"rank {rank}: {type(error).__name__}: {_one_line(error)}"
        return Ending("fault", FAILED, f"{text} See {os.environ[LOG]}.")
    if code in (VALID, INVALID):
        return Ending("finished", code)
    return Ending("refused", code, f"rank {rank} ended with exit code {code}. See {os.environ[LOG]}.")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no message"
    return text if text.endswith(".") else f"{text}."


def _write_traceback() -> None:
    """Into the rank's log: the first rank's standard error is the terminal."""
    text = traceback.format_exc()
    with Path(os.environ[LOG]).open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write(text)


def _send(line: str) -> None:
    with suppress(OSError):  # the agent is gone, and this process is about to go
        os.write(int(os.environ[PIPE]), line.encode() + b"\n")


def _end_with_agent() -> None:
    """The kernel kills this process when the agent ends, however that ends; checkpoints are renamed into place."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[AGENT]):
        leave(FAILED)  # it ended before the kernel was asked
