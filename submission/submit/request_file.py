"""order.json: the request of an output directory and its command line.

--resume continues only that request, so that a package never has runs of two requests.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode
from submission.submit import workspace
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.errors import UsageError
from sut.settings import settings

_ONLY_ONCE = ("--resume", "--clean", "--dry-run", "--json")  # how to proceed, not part of the request


@dataclass(frozen=True)
class RequestFile:
    """The content of order.json; the fields of the request's run are named run.<field>."""

    command: str
    order: Mapping[str, object]


def read(output: Workspace) -> RequestFile:
    """Read order.json of an output directory.

    Raises:
        UsageError: it is missing or broken.
    """
    try:
        return decode(RequestFile, bounded_readers.read_json(output.request_file, bounded_readers.SETTINGS_BYTES))
    except UnreadableError as error:
        raise UsageError(
            f"expected the request of a submission in {output.request_file}, found {error}. "
            "Type another --output-dir, or remove the submission yourself."
        ) from error


def write(request: SubmissionRequest, output: Workspace, argv: Sequence[str]) -> None:
    """Write order.json. Raises RunFailedError if it cannot be written."""
    command = shlex.join(["python", "-m", "sut", "submit", *(word for word in argv if word not in _ONLY_ONCE)])
    content = asdict(RequestFile(command, _plain(request)))
    workspace.write(output.request_file, json.dumps(content, indent=2) + "\n")


def refuse_another(request: SubmissionRequest, output: Workspace) -> None:
    """Raises UsageError if the runs of `output` belong to another request."""
    earlier = read(output).order
    now = _plain(request)
    differing = [name for name, value in now.items() if earlier.get(name) != value]
    if differing:
        found = ", ".join(f"{name} {now[name]!r} (was {earlier.get(name)!r})" for name in differing)
        raise UsageError(
            f"expected the flags of the submission in {output.folder}, found {found}. "
            "Type the flags of that submission with --resume, or another --output-dir. A submission that another "
            "version of this package began is finished with that version."
        )


def _plain(request: SubmissionRequest) -> Mapping[str, object]:
    """The request as JSON values."""
    fields = {name: value for name, value in asdict(request).items() if name != "run"} | {"round": request.round.name}
    fields |= {f"run.{name}": value for name, value in settings.values(request.run).items()}
    found: dict[str, object] = json.loads(json.dumps(fields, default=str))
    return found
