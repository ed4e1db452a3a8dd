"""One thing that is wrong with a submission, as data: where, what is done to it, and the rule that must say so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from submission_tree import ACCURACY_TXT, MODEL, SUBMITTER, SYSTEM, Built, rewrite

from foundation.log_files import DETAIL
from submission.rules import rounds
from submission.rules.layout import ResultLayout

OFFLINE, STREAM = "Offline", "SingleStream"
OLDER = "v5.1"  # a round of the older layout
Where = Callable[[ResultLayout], PurePosixPath]
Break = Callable[[Built, PurePosixPath], None]


@dataclass(frozen=True)
class Breakage:
    """`act` is done to the file at `where`; then `rule` (or a family) alone is reported, there or at `reported`."""

    name: str
    rule: str
    where: Where
    act: Break
    scenario: str = OFFLINE
    reported: Where | None = None

    def check(self, built: Built) -> None:
        where = built.layout(self.scenario)
        self.act(built, self.where(where))
        found = built.verdict().failures
        assert {one.rule if "." in self.rule else one.family for one in found} == {self.rule}, found
        assert {one.file for one in found} == {str((self.reported or self.where)(where))}
        assert all(one.found and one.wanted and one.todo for one in found)


def by_round(breakages: Iterable[Breakage]) -> list[tuple[str, Breakage]]:
    """(round, breakage): each in the latest round; of the older, all seeds, and each rule once for each of its files.

    Rounds differ in where files lie, in seeds and in calibration (submission/rules/rounds.py), not in how one is read.
    """
    told = list(breakages)
    where = ResultLayout(rounds.find(OLDER), "closed", SUBMITTER, SYSTEM, MODEL, OFFLINE)
    once = {(one.rule, one.where(where), one.name if "seed" in one.rule else ""): one for one in reversed(told)}
    return [(rounds.LATEST, one) for one in told] + [(OLDER, one) for one in reversed(once.values())]


def named_by_round(case: tuple[str, Breakage]) -> str:
    return f"{case[0]} {case[1].name}"


def performance_log(where: ResultLayout) -> PurePosixPath:
    return where.performance / DETAIL


def accuracy_log(where: ResultLayout) -> PurePosixPath:
    return where.accuracy / DETAIL


def compliance_log(where: ResultLayout) -> PurePosixPath:
    return where.test01_performance / DETAIL


def answers(where: ResultLayout) -> PurePosixPath:
    return where.accuracy / "mlperf_log_accuracy.json"


def in_folder(folder: str, name: str) -> Where:
    """A file that is not part of the layout."""
    return lambda where: getattr(where, folder) / name


def at(name: str) -> Where:
    """A path that Layout knows."""
    return lambda where: getattr(where, name)


def named(path: str) -> Where:
    return lambda where: PurePosixPath(path)


def gone(built: Built, path: PurePosixPath) -> None:
    target = built.root / path
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()


def says(content: str | bytes) -> Break:
    """The file holds this instead."""
    return lambda built, path: built.write(path, content)


def replaced(old: str, new: str) -> Break:
    def act(built: Built, path: PurePosixPath) -> None:
        text = (built.root / path).read_text(encoding="utf-8")
        assert old in text
        built.write(path, text.replace(old, new))

    return act


def preceded(text: str) -> Break:
    """The file begins with this."""
    return lambda built, path: built.write(path, text + (built.root / path).read_text(encoding="utf-8"))


def keys(**values: Any) -> Break:
    """A JSON object's keys; None takes one out."""

    def act(built: Built, path: PurePosixPath) -> None:
        found = {**json.loads((built.root / path).read_text(encoding="utf-8")), **values}
        built.write(path, json.dumps({key: value for key, value in found.items() if value is not None}))

    return act


def logged(**values: Any) -> Break:
    """LoadGen's values in a detail log; None takes the key out."""

    def act(built: Built, path: PurePosixPath) -> None:
        built.write(path, rewrite((built.root / path).read_text(encoding="utf-8"), values))

    return act


def link(built: Built, path: PurePosixPath) -> None:
    (built.root / path).symlink_to("README.md")


def pipe(built: Built, path: PurePosixPath) -> None:
    os.mkfifo(built.root / path)


def folder(built: Built, path: PurePosixPath) -> None:
    (built.root / path).mkdir(parents=True)


def large(built: Built, path: PurePosixPath) -> None:
    with (built.root / path).open("wb") as file:
        file.truncate(rounds.MAX_FILE_BYTES + 1)


def cut_short(built: Built, path: PurePosixPath) -> None:
    text = (built.root / path).read_text(encoding="utf-8")
    built.write(path, text[: text.index("effective_scenario") + 30])


def errored(built: Built, path: PurePosixPath) -> None:
    text = (built.root / path).read_text(encoding="utf-8")
    built.write(path, text.replace('"is_error": false', '"is_error": true', 1))


def fallback(ours: str, theirs: str) -> Break:
    """TEST01's answers differ, and its F1 decides: the run's own, and TEST01's. For TEST01's accuracy directory."""

    def act(built: Built, path: PurePosixPath) -> None:
        built.write(path.parent / "verify_accuracy.txt", "TEST FAIL\n")
        for name, f1 in (("baseline_accuracy.txt", ours), ("compliance_accuracy.txt", theirs)):
            built.write(path / name, ACCURACY_TXT.replace("90.5", f1))

    return act
