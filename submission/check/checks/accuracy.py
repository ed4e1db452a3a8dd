"""Checks of an accuracy run: its log, the truncated log of answers, and accuracy.txt.

The closed division must reach its target; the open division may have any F1, but must give it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from foundation.log_files import ACCURACY, DETAIL
from foundation.rules import F1_TARGETS, SAMPLES
from submission.check import detail_log
from submission.check.checks import models, performance
from submission.check.checks.requirement import Requirement, equals, unmet
from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout
from submission.rules.rounds import MAX_ACCURACY_LOG_BYTES, TRUNCATION_MARK

_NUMBER = r"[\d.]+"
# The official checkers read only lines that begin like this.
_F1 = re.compile(rf"\{{[\"']exact_match[\"']:\s*{_NUMBER},\s*[\"']f1[\"']:\s*({_NUMBER})\}}")
_HASH = re.compile(r"hash=([0-9a-f]{64})")
_WHOLE_SET = f"{SAMPLES:,}, the whole data set"


def check_accuracy_txt(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """accuracy.txt, and the log of answers that belongs to its hash."""
    hashes = {line[1] for line in map(_HASH.fullmatch, tree.text(layout.accuracy_txt).split("\n")) if line}
    if len(hashes) != 1:
        expected = "one line hash=<sha256 of the complete mlperf_log_accuracy.json, 64 digits>"
        todo = "Truncate the log again, which writes the line."
        yield Failure(str(layout.accuracy_txt), "accuracy.hash", f"{len(hashes)} lines with a hash", expected, todo)
    yield from _answers(tree, layout.accuracy / ACCURACY, hashes)
    found = f1(tree, layout.accuracy_txt)
    target = F1_TARGETS[models.benchmark(tree, layout, layout.model_dir)]
    if layout.is_closed and found < target:
        todo = "Use a better model or a higher precision, or submit to the open division."
        yield Failure(str(layout.accuracy_txt), "accuracy.target", f"F1 {found}", f"at least {target:.6g}", todo)


def f1(tree: Tree, path: PurePosixPath) -> float:
    """The lowest F1 in a file. Raises RefusedError if no line has the form that the official checkers read."""
    lines = map(_F1.match, tree.text(path).split("\n"))
    try:
        return min(float(line[1]) for line in lines if line)
    except ValueError as error:  # no line, or a number with two dots
        raise _no_f1(path) from error


def _no_f1(path: PurePosixPath) -> RefusedError:
    return RefusedError(
        Failure(
            str(path),
            "accuracy.text",
            "no line that a checker can read",
            'a line that begins with {"exact_match": …, "f1": …}',
            "Put the output of `python -m accuracy` there.",
        )
    )


def check(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """LoadGen's detail log of the run."""
    log = detail_log.read(tree, layout.accuracy / DETAIL)
    todo = "Run again with --mode accuracy over the whole data set."
    table = (
        performance.scenario("accuracy.scenario", layout),
        performance.mode("accuracy.mode", "AccuracyOnly"),
        *(
            Requirement("accuracy.sample-count", key, equals(SAMPLES), _WHOLE_SET, todo, is_optional)
            for key, is_optional in (("qsl_reported_total_count", False), ("effective_accuracy_sample_count", True))
        ),
    )
    yield from unmet(log.path, log.values, table)
    yield from performance.errors("accuracy", log)


def _answers(tree: Tree, path: PurePosixPath, hashes: set[str]) -> Iterator[Failure]:
    """Size and hash of the log of answers; the hash can be checked only if the log is not truncated."""
    content = tree.content(path)
    if len(content) > MAX_ACCURACY_LOG_BYTES:
        expected = f"at most {MAX_ACCURACY_LOG_BYTES:,} bytes"
        todo = "Truncate it to its first and last 4,096 bytes, and keep the complete log elsewhere."
        yield Failure(str(path), "accuracy.cut", f"{len(content):,} bytes", expected, todo)
    elif hashes and TRUNCATION_MARK not in content and hashes != {hashlib.sha256(content).hexdigest()}:
        todo = "Restore the complete log and truncate it again."
        expected = "the log that belongs to the hash"
        yield Failure(str(path), "accuracy.hash", "a complete log with another hash", expected, todo)
