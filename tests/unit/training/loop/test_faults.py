"""What ends a run becomes one line for a person; a defect of ours stays what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed

from sut.errors import RunFailedError, UsageError
from training.launch.endings import ProcessLostError
from training.loop import faults
from training.shards.errors import ShardError


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]"),
            ProcessLostError,
            "lost",
        ),
        (
            RuntimeError("Timed out waiting 60000ms for recv operation to complete"),
            ProcessLostError,
            "lost one or more",
        ),
        (distributed.DistBackendError("a socket"), ProcessLostError, "lost one or more"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            RunFailedError,
            "expected enough memory, found none left. Type: --batch with a lower number.",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), RunFailedError, "Type: --batch"),
        (MemoryError(), RunFailedError, "expected enough memory"),
        (OSError(28, "No space left on device", "/a/b"), RunFailedError, "No space left on device: '/a/b'"),
        (ShardError("/a/b: damaged"), RunFailedError, "/a/b: damaged"),
    ],
)
def test_known_faults_say_what_is_left(error: Exception, kind: type[Exception], words: str) -> None:
    found = faults.explained(error, 7, Path("/run/step-5"), "--batch with a lower number")
    assert type(found) is kind and words in str(found)
    assert str(found).endswith("Steps done: 7. The last good checkpoint is /run/step-5.")
    assert "No checkpoint was written yet." in str(faults.explained(error, 0, None, ""))


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 cannot be multiplied"), KeyError("a"), UsageError("b")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert faults.explained(error, 7, None, "") is error
