"""The instances of a prepared run on this machine."""

from __future__ import annotations

from sut.executors.base import LOAD_PATIENCE_S, Executor
from sut.executors.inline import InlineExecutor
from sut.executors.processes import ProcessExecutor
from sut.running.prepare import Prepared


def executor(prepared: Prepared) -> Executor:
    """An executor that has not been started."""
    patience_s = prepared.config.stall_timeout_s or LOAD_PATIENCE_S
    if prepared.config.executor == "inline":
        return InlineExecutor(prepared.worker, patience_s)
    return ProcessExecutor(prepared.worker, prepared.places, forked=prepared.is_forked, patience_s=patience_s)
