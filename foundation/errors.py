"""The root of every error that a person can act on.

A message says what was expected, what was found, and what to type. Each package derives its own kinds from `UserError`;
`sut.errors` draws the whole tree. Anything else that is raised is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

VALID, INVALID, USAGE, FAILED = 0, 1, 2, 3  # exit codes


class UserError(Exception):
    """Shown as one message without a traceback; `exit_code` is the exit code of the command."""

    exit_code = USAGE
