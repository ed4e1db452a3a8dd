"""An accuracy run: its log, LoadGen's answers cut to size, and what accuracy.txt says of them.

The closed division must reach its target; the open one may say any F1, but say it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from foundation.rules import F1_TARGETS, SAMPLES
from submission.check import detail_log
from submission.check.checks import models, performance
from submission.check.checks.requirement import Requirement, equals, unmet
from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree
from submission.rules.layout import ACCURACY, DETAIL, Layout
from submission.rules.rounds import MAX_ACCURACY_LOG_BYTES, TRUNCATION_MARK

_NUMBER = r"[\d.]+"
# The checkers read a line that begins so, and nothing else on other lines.
_F1 = re.compile(rf"\{{[\"']exact_match[\"']:\s*{_NUMBER},\s*[\"']f1[\"']:\s*({_NUMBER})\}}")
_HASH = re.compile(r"hash=([0-9a-f]{64})")
_WHOLE_SET = f"{SAMPLES:,}, the whole data set"


def said(tree: Tree, where: Layout) -> Iterator[Failure]:
    """accuracy.txt, and the answers whose hash it gives."""
    hashes = {line[1] for line in map(_HASH.fullmatch, tree.text(where.accuracy_txt).split("\n")) if line}
    if len(hashes) != 1:
        wanted = "one line hash=<sha256 of the whole mlperf_log_accuracy.json, 64 digits>"
        todo = "Cut the log again, which writes the line."
        yield Failure(str(where.accuracy_txt), "accuracy.hash", f"{len(hashes)} such lines", wanted, todo)
    yield from _answers(tree, where.accuracy / ACCURACY, hashes)
    found = f1(tree, where.accuracy_txt)
    target = F1_TARGETS[models.benchmark(tree, where, where.model_dir)]
    if where.division == "closed" and found < target:
        todo = "A better model or a higher precision; or submit to the open division."
        yield Failure(str(where.accuracy_txt), "accuracy.target", f"F1 {found}", f"at least {target:.6g}", todo)


def f1(tree: Tree, path: PurePosixPath) -> float:
    """The lowest F1 that a file gives. Raises RefusedError where no line does as the checkers want it."""
    lines = map(_F1.match, tree.text(path).split("\n"))
    try:
        return min(float(line[1]) for line in lines if line)
    except ValueError as error:  # none, or one with more dots than a number has
        raise _no_f1(path) from error


def _no_f1(path: PurePosixPath) -> RefusedError:
    return RefusedError(
        Failure(
            str(path),
            "accuracy.text",
            "no line that a checker can read",
            'a line {"exact_match": …, "f1": …} from its first column on',
            "Write what `python -m accuracy` prints.",
        )
    )


def check(tree: Tree, where: Layout) -> Iterator[Failure]:
    """LoadGen's log of the run."""
    log = detail_log.read(tree, where.accuracy / DETAIL)
    todo = "Run again with --mode accuracy over the whole data set."
    table = (
        performance.scenario("accuracy.scenario", where),
        performance.mode("accuracy.mode", "AccuracyOnly"),
        *(
            Requirement("accuracy.sample-count", key, equals(SAMPLES), _WHOLE_SET, todo, if_there)
            for key, if_there in (("qsl_reported_total_count", False), ("effective_accuracy_sample_count", True))
        ),
    )
    yield from unmet(log.path, log.values, table)
    yield from performance.errors("accuracy", log)


def _answers(tree: Tree, path: PurePosixPath, hashes: set[str]) -> Iterator[Failure]:
    """The hash of a log that was cut cannot be checked; that of one that was not, can."""
    content = tree.content(path)
    if len(content) > MAX_ACCURACY_LOG_BYTES:
        wanted = f"at most {MAX_ACCURACY_LOG_BYTES:,} bytes"
        todo = "Cut it to its first and last 4,096 bytes, and keep the whole one elsewhere."
        yield Failure(str(path), "accuracy.cut", f"{len(content):,} bytes", wanted, todo)
    elif hashes and TRUNCATION_MARK not in content and hashes != {hashlib.sha256(content).hexdigest()}:
        todo = "Put back the whole log and cut it again."
        yield Failure(str(path), "accuracy.hash", "a log that was not cut, of another hash", "the hash's log", todo)
