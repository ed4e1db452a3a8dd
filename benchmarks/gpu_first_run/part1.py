"""The steps of part 1: the machine; is it right, by tests and by F1 through LoadGen; how fast is everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.gpu_first_run.steps import Step
from sut.errors import UsageError
from sut.record import run_record

_HERE = "benchmarks.gpu_first_run"
PRECISIONS = ("fp8", "int8", "fp16", "bf16")
COMPILED = "precompile"
_TESTS = ("tests/integration/backends/gpu", "tests/integration/training/gpu")
# Plugins that happen to be installed may warn, which the tests' settings make an error.
_PYTEST = (
    *("-m", "gpu", *_TESTS, "--tb=short", "--maxfail=40", "-p", "no:cacheprovider"),
    *("-p", "xdist.plugin", "-n", "6", "-p", "pytest_timeout", "--timeout", "90"),
)
_NO_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def steps(work: Path, out: Path) -> Iterator[Step]:
    """All steps; `work` is for files that later steps read, `out` for those to keep."""
    yield from preparation(work)
    yield Step(
        name="pytest -m gpu", words=("correct", "tests"), module="pytest", arguments=_PYTEST, env=_NO_PLUGINS,
        limit_s=200, last_lines=30, after=("facts",), digest=last_line,
    )  # fmt: skip
    for precision in PRECISIONS:
        yield _f1(work, f"F1 {precision}", precision)
    stream = ("--scenario", "SingleStream", "--executor", "inline")
    yield _f1(work, "F1 fp8 graphs", "fp8", *stream, after=("F1 fp8",))
    yield _f1(work, "F1 fp16 batch 1", "fp16", "--batch-size", "1", after=("F1 fp16",))
    yield _f1(work, "sst2 fp16", "fp16", "--task", "sst2", after=("F1 fp16",))
    for precision in PRECISIONS:
        yield measured(work, "speed", precision, limit_s=90)


def preparation(work: Path) -> Iterator[Step]:
    """What both parts begin with."""
    own = ("--work", str(work))
    yield Step(name="facts", words=(), module=f"{_HERE}.facts", arguments=own, limit_s=60)
    yield Step(
        name=COMPILED, words=(), module=f"{_HERE}.precompile", arguments=own, limit_s=100, digest=last_line
    )  # fmt: skip


def measured(work: Path, what: str, precision: str, *more: str, limit_s: float, after: tuple[str, ...] = ()) -> Step:
    """A step that times the GPU at one precision."""
    arguments = (precision, *more, "--work", str(work))
    return Step(
        name=f"{what} {precision}", words=(what, precision), module=f"{_HERE}.{what}", arguments=arguments,
        limit_s=limit_s, after=("facts", COMPILED, *after), alone=True,
    )  # fmt: skip


def _f1(work: Path, name: str, precision: str, *flags: str, after: tuple[str, ...] = ()) -> Step:
    log_dir = work / "runs" / name.replace(" ", "-")
    arguments = (
        *("--backend", "gpu", "--precision", precision, "--mode", "accuracy", *flags),
        *("--cache-dir", str(work / "cache"), "--log-dir", str(log_dir)),
    )
    return Step(
        name=name, words=("correct", "f1", precision), module="sut", arguments=arguments, limit_s=150,
        after=("facts", COMPILED, *after), digest=partial(verdict, log_dir),
    )  # fmt: skip


def last_line(out: str) -> str:
    """The last line of a step's stdout."""
    lines = out.strip().splitlines()
    return lines[-1] if lines else ""


def verdict(log_dir: Path, _: str = "") -> str:
    """What a run's record says, in a line."""
    try:
        record = run_record.read(log_dir)
    except UsageError:
        return "no record"
    said = [record.verdict, *record.reasons]
    if record.accuracy:
        answered = f"{record.accuracy.samples_answered} of {record.accuracy.total_sample_count} answered"
        said += [f"{name} {value:.2f}" for name, value in record.accuracy.metrics.items()]
        said += [f"of answered {record.accuracy.of_answered:.2f}", answered]
    if record.performance and record.performance.value is not None:
        said.append(f"{record.performance.metric} {record.performance.value:.1f} {record.performance.unit}")
    return ", ".join(said)
