"""Starts a training run on this node and keeps it running: the launcher's one entry.

The agent is torch.distributed.elastic's, in this process; its workers are the same command again, which finds its rank
in the environment that torch.distributed.run would set.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

# Without it a node that joins a run fails: the agent of the first rank never writes its address for a new round.
os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.rendezvous import RendezvousClosedError, RendezvousError, RendezvousTimeoutError

from foundation.errors import FAILED, VALID
from foundation.people_numbers import count
from foundation.program import INTERRUPTS
from training.launch.agent import NodeAgent, say
from training.launch.endings import Ending
from training.launch.plan import Layout
from training.launch.rendezvous import Meeting, meet


def run(layout: Layout, command: Sequence[str], folder: Path, facts: Mapping[str, str]) -> int:
    """Run the command's processes on this node until the run ends on all nodes; returns its exit code.

    Args:
        command: of each process, such as [sys.executable, "-m", "training.pretrain", …].
        folder: the run's, for the ranks' logs; it exists, and all nodes share it.
        facts: what must be equal on all nodes, by name.

    Raises:
        UsageError, RunFailedError: as `rendezvous.meet` does.
    """
    for name in list(logging.root.manager.loggerDict):  # torch sets a level for each
        if name.startswith("torch.distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    meeting = meet(layout, facts, folder)
    if layout.address:
        say(f"waiting for {layout.nodes} nodes at {layout.address} …")
    agent = NodeAgent(layout, meeting, command, folder)
    handlers = {number: signal.signal(number, _interrupt) for number in INTERRUPTS}
    try:
        ending = _run(agent, meeting, layout)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if ending.text:
        say(f"error: {ending.text}")
    return ending.code


def _run(agent: NodeAgent, meeting: Meeting, layout: Layout) -> Ending:
    """Why the run ended, as the first node that ended it says."""
    try:
        ending = _own_ending(agent, meeting, layout)
    except SignalException as error:
        name = signal.Signals(error.sigval).name
        if layout.nodes.may_change:  # the other nodes go on
            return Ending("interrupted", FAILED, f"interrupted by {name}; the other nodes go on.")
        ending = Ending("interrupted", FAILED, f"interrupted by {name} on {socket.gethostname()}. {_GO_ON}")
    ending = meeting.end(ending)
    meeting.handler.shutdown()
    meeting.leave(agent.nodes, layout.patience.leave_s)
    return ending


_GO_ON = "The last checkpoint is whole: the same command goes on from it."


def _own_ending(agent: NodeAgent, meeting: Meeting, layout: Layout) -> Ending:
    try:
        agent.run()
    except RendezvousClosedError:  # another node has ended the run
        pass
    except RendezvousTimeoutError:
        least = count(layout.nodes.least, "node")
        text = f"expected {least} within {layout.patience.join_s} s, found fewer. Type the same command on each."
        return Ending("refused", FAILED, text)
    except (RendezvousError, RuntimeError) as error:
        known = meeting.outcome()
        text = f"lost the node at {layout.address}, which holds the rendezvous ({type(error).__name__}). {_GO_ON}"
        return known or Ending("fault", FAILED, text)
    return agent.ending or meeting.outcome() or Ending("finished", VALID)


def _interrupt(number: int, _: FrameType | None) -> None:
    """The first signal asks the workers to end with a checkpoint; another one ends them at once."""
    for again in INTERRUPTS:
        signal.signal(again, signal.default_int_handler)
    raise SignalException(f"got {number}", sigval=signal.Signals(number))
