"""What each process of a run opens and imports: the data set once in the main process, never in an instance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Witnessed:
    """A run's processes: which of them opened the data set and the vocabulary, and what each imported."""

    readers: list[str]  # process ids, one for each time that either file was opened
    mappers: set[str]  # process ids that opened cached features
    importers: set[str]  # process ids that imported what only the main process needs


def witness(run: Run, case: Case, folder: Path, *flags: object) -> Witnessed:
    log, site = folder / "witness.txt", folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"PATH = {str(log)!r}\n{_WITNESS}", encoding="utf-8")
    ended = run("--mode", "accuracy", "--backend", "fake", "--instances", 2, *flags, path=(site,))
    assert ended.code == 0, ended.err
    opened, imported = witnessed(log, "open"), witnessed(log, "import")
    files = (str(case.dataset), str(case.vocab))
    return Witnessed(
        [pid for pid, name in opened.elements() if name in files],
        {pid for pid, name in opened if name.endswith("input_ids.npy")},
        {pid for pid, name in imported if name.startswith(_NOT_FOR_INSTANCES)},
    )


@pytest.mark.parametrize(("executor", "processes"), [("processes", 1), ("spawned", 2)])
def test_a_data_set_is_read_once_and_by_no_instance(
    run: Run, case: Case, tmp_path: Path, executor: str, processes: int
) -> None:
    """A loader opens the features for the instances that it forks."""
    found = witness(run, case, tmp_path, "--executor", executor)
    main, again = found.readers  # the data set and the vocabulary
    assert main == again and found.importers == {main}
    assert len(found.mappers - {main}) == processes


def test_without_a_cache_instances_are_sent_the_features(run: Run, case: Case, tmp_path: Path) -> None:
    found = witness(run, case, tmp_path, "--executor", "spawned", "--cache-dir", "/proc/no-directory")
    main, again = found.readers
    assert main == again and found.importers == {main} and found.mappers == set()
