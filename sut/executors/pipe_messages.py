"""Jobs and answers as bytes in the pipe of an instance. A pickled array would cost more than the rest of the way.

Everything else that the two ends say is pickled (`Connection.send`), and begins with another byte than an answer does.
"""

from __future__ import annotations

import pickle
import struct
from multiprocessing.connection import Connection

import numpy as np

from foundation.arrays import Int64
from sut.executors.base import Answer
from sut.nodes import messages
from sut.nodes.messages import Tokens

_INDEXES, _TOKENS = b"I", b"T"  # at the end of a job, so that its numbers are aligned
_STORED = struct.Struct("<cqddq")  # an answer with its outputs in a slot
_MARK = b"A"  # a pickle begins with 0x80


def send_work(pipe: Connection, work: Int64 | Tokens) -> None:
    """Send what an instance gets of a job."""
    if isinstance(work, Tokens):
        pipe.send_bytes(messages.to_tokens(work) + _TOKENS)
    else:
        pipe.send_bytes(work.tobytes() + _INDEXES)


def receive_work(pipe: Connection) -> Int64 | Tokens:
    """What was given to `send_work`; its arrays are read-only."""
    data = pipe.recv_bytes()
    if data[-1:] == _TOKENS:
        return messages.from_tokens(data[:-1])
    return np.frombuffer(data, np.int64, len(data) // 8)


def send_answer(pipe: Connection, answer: Answer) -> None:
    """Send an answer of `AnswerSlots.put`."""
    if answer.slot_rows is None:
        pipe.send(answer)
    else:
        values = answer.computed_tokens, answer.batch_s, answer.engine_s, answer.slot_rows
        pipe.send_bytes(_STORED.pack(_MARK, *values))


def receive_answer(pipe: Connection) -> Answer:
    """What was given to `send_answer`."""
    data = pipe.recv_bytes()
    if data[:1] != _MARK:
        answer: Answer = pickle.loads(data)  # noqa: S301 - of our own process
        return answer
    _, computed_tokens, batch_s, engine_s, rows = _STORED.unpack(data)
    return Answer(None, computed_tokens, batch_s, engine_s, slot_rows=rows)
