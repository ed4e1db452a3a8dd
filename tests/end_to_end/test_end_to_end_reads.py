"""What each process of a run opens and imports: the data set once in the main process, never in an instance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from command import Case, Run

# Python runs it at the start of every process of the run, and it writes down what that process opens and imports.
_WITNESS = """
import os, sys

def witness(event, args):
    if event in ("open", "import") and isinstance(args[0], str):
        os.write(LOG, f"{os.getpid()} {event} {args[0]}\\n".encode())

LOG = os.open(PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(witness)
"""
_NOT_FOR_INSTANCES = ("accuracy", "qsl.squad", "qsl.sst2", "qsl.demo", "qsl.wordpiece", "qsl.data_set", "sut.tasks")


def witnessed(log: Path, event: str) -> Counter[tuple[str, str]]:
    """How often each (process id, name) stands in the log."""
    lines = (line.split(" ", 2) for line in log.read_text(encoding="utf-8").splitlines())
    return Counter((pid, name) for pid, what, name in lines if what == event)


@pytest.mark.parametrize("executor", ["processes", "spawned"])
def test_a_data_set_is_read_once_and_by_no_instance(run: Run, case: Case, tmp_path: Path, executor: str) -> None:
    log, folder = tmp_path / "witness.txt", tmp_path / "witness"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"PATH = {str(log)!r}\n{_WITNESS}", encoding="utf-8")
    flags = ["--mode", "accuracy", "--backend", "fake", "--instances", 2, "--executor", executor]
    ended = run(*flags, path=(folder,))
    assert ended.code == 0, ended.err
    opened, imported = witnessed(log, "open"), witnessed(log, "import")
    reads = {
        name: [pid for pid, other in opened.elements() if other == str(name)] for name in (case.dataset, case.vocab)
    }
    (main,) = reads[case.dataset]
    assert reads[case.vocab] == [main]
    instances = {pid for pid, name in opened if name.endswith("input_ids.npy")} - {main}
    assert len(instances) == (2 if executor == "spawned" else 1)  # a loader opens it for those that it forks
    unwanted = {(pid, name) for pid, name in imported if name.startswith(_NOT_FOR_INSTANCES)}
    assert {pid for pid, _ in unwanted} == {main}
