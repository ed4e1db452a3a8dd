"""What a process of several prints of an error."""

from __future__ import annotations

import pytest

from foundation.errors import UserError
from sut.errors import RunFailedError, UsageError
from training.launch.endings import ProcessLostError
from training.tasks.recipe_flags import said

ALONE: dict[str, str] = {}
FIRST = {"RANK": "0", "LOCAL_RANK": "0"}
OTHER = {"RANK": "3", "LOCAL_RANK": "3"}
NEXT_NODE = {"RANK": "8", "LOCAL_RANK": "0"}


@pytest.mark.parametrize(
    ("error", "environment", "expected"),
    [
        (UsageError("a"), ALONE, "error: a"),
        (UsageError("a"), FIRST, "error: a"),
        (UsageError("a"), OTHER, None),
        (UsageError("a"), NEXT_NODE, "error: rank 8: a"),
        (RunFailedError("b"), OTHER, "error: rank 3: b"),
        (ProcessLostError("c"), FIRST, "error: c"),
        (ProcessLostError("c"), OTHER, None),
    ],
)
def test_one_process_says_what_all_find_and_each_its_own_fault(
    error: UserError, environment: dict[str, str], expected: str | None
) -> None:
    assert said(error, environment) == expected
