"""The outermost frame of a program: how an exception that was not caught ends.

A defect of ours keeps its traceback and ends with exit code 3, not with Python's 1, which means an invalid result.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from foundation import terminal
from foundation.errors import FAILED

# Ctrl-C, a request to end, and a terminal that is closed.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = "\nerror: interrupted."
_LESS = "Raise the limit (ulimit -v, the container's), or lower --instances, --max-batch-tokens or --threads."


def run(main: Callable[[], int | None], was_interrupted: Callable[[], bool] = lambda: False) -> int:
    """Call `main` with standard streams that never raise; returns its exit code, 0 if it returns none.

    Args:
        was_interrupted: whether a signal came: what it interrupts may raise another error, as an import in C does.
    """
    terminal.secure()
    try:
        return main() or 0
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
    except MemoryError as error:
        print(f"error: expected more memory, found none left ({str(error) or 'MemoryError'}). {_LESS}", file=sys.stderr)
    except Exception:  # noqa: BLE001 - the outermost handler
        if was_interrupted():
            print(_INTERRUPTED, file=sys.stderr)
        else:
            traceback.print_exc()
    return leave(FAILED)


def ignore_interrupts() -> None:
    """From now on nothing interrupts this process: its result is known."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


def leave(code: int) -> NoReturn:
    """Exit without finalising the interpreter, in which native threads may still wait."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
