"""The checks, one function each: the rules of `Backend` that a run, its figures and its accuracy rely on.

Each takes the subject and the backend with its model loaded, and raises ContractError, or NotApplicableError.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from backends import backend_class
from backends.base import Backend, Batch, Options
from backends.bert import checkpoints, numpy_reference
from backends.contract import processes
from backends.contract.subject import ContractError, NotApplicableError, Subject
from backends.errors import BackendError, brief
from foundation.arrays import Float32

Check = Callable[[Subject, Backend], None]
_NO_PRECISION = "int3"
# How far logits may be off, in their own standard deviations: any single one of fp32, the rest by root mean square.
_FP32, _NARROW = 1e-3, {"fp16": 0.02, "bf16": 0.05}
_NARROWER = 0.25  # of 8 bits and fewer
_SAME = 0.2  # of that, where the same tokens are computed twice


def row(subject: Subject, backend: Backend) -> None:
    """The class has its row, and its name if the row has one"""
    entry, kind = subject.entry, type(backend)
    if kind.entry.precisions != entry.precisions:
        raise ContractError(
            f"expected the precisions of the row, {', '.join(entry.precisions)}, as {kind.__name__}.entry, found "
            f"{', '.join(kind.entry.precisions)}"
        )
    name = getattr(backend, "name", "")
    if not name or (":" not in subject.backend and name != subject.backend):
        raise ContractError(f"expected {kind.__name__}.name to be {subject.backend!r}, found {name!r}")


def answers(subject: Subject, backend: Backend) -> None:
    """Answers are float32 [rows, 2], one after another in memory, finite, for odd lengths and single samples"""
    for lengths in (subject.lengths, *([length] for length in subject.lengths)):
        batch = subject.batch(lengths)
        _check_form(backend.infer(batch), subject.rows(batch), f"samples of {lengths} tokens")


def _check_form(found: Float32, rows: int, where: str) -> None:
    if not isinstance(found, np.ndarray) or found.shape != (rows, 2) or found.dtype != np.float32:
        form = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
        raise ContractError(f"expected float32 [{rows}, 2] for {where}, found {form}")
    if not found.flags.c_contiguous:
        raise ContractError(f"expected C-contiguous answers for {where}, found strides {found.strides}")
    if not np.isfinite(found).all():
        raise ContractError(f"expected finite answers for {where}, found NaN or infinity")


def reference(subject: Subject, backend: Backend) -> None:
    """Logits are those of the reference, BERT in numpy"""
    if not subject.entry.runs_model or subject.model.served:
        raise NotApplicableError("no model runs here")
    batch = subject.batch(subject.lengths, seed=3)
    weights = checkpoints.read_weights(subject.model)
    expected = numpy_reference.infer_float(weights.config, weights.tensors, batch)
    _check_close(backend.infer(batch), expected, subject, "the reference's logits")


def neighbours(subject: Subject, backend: Backend) -> None:
    """Neither other samples of a batch, nor their order, nor padding reach an answer"""
    for seed in range(3):
        lengths = np.random.default_rng(seed).permutation(subject.lengths).tolist()
        batch = subject.batch(lengths, seed)
        alone = np.concatenate([backend.infer(one) for one in _each(batch)])
        _check_close(backend.infer(batch), alone, subject, f"a batch of {lengths} tokens to equal its samples", _SAME)


def _each(batch: Batch) -> list[Batch]:
    ends = batch.cu_seqlens
    pieces = [slice(start, end) for start, end in pairwise(ends)]
    return [Batch.of([(batch.input_ids[one], batch.token_type_ids[one])]) for one in pieces]


def tokens(subject: Subject, backend: Backend) -> None:
    """Different tokens give different answers"""
    length = subject.lengths[len(subject.lengths) // 2]
    first, second = (backend.infer(subject.batch([length], seed)) for seed in (1, 2))
    if np.allclose(first, second, rtol=0, atol=1e-2 * float(first.std())):
        raise ContractError("expected other answers for other tokens, found the same")


def inputs(subject: Subject, backend: Backend) -> None:
    """A batch is left as it was"""
    batch, before = subject.batch(subject.lengths), subject.batch(subject.lengths)
    backend.infer(batch)
    for name in ("input_ids", "token_type_ids", "position_ids", "cu_seqlens"):
        if not np.array_equal(getattr(batch, name), getattr(before, name)):
            raise ContractError(f"expected {name} of the batch to be left as it was, found it changed")


def counting(subject: Subject, backend: Backend) -> None:
    """Computed tokens are at least those of the batch, and at most those of its rectangle"""
    middle = subject.lengths[len(subject.lengths) // 2]
    for lengths in ([middle, middle], [middle, 1]):
        batch = subject.batch(lengths)
        found, most = backend.computed_tokens(batch), len(batch) * batch.max_length
        if not batch.tokens <= found <= most:
            raise ContractError(f"expected {batch.tokens} to {most} computed tokens of {lengths}, found {found}")


def pending(subject: Subject, backend: Backend) -> None:
    """`begin` gives what `infer` does, for two batches that are under way at once"""
    batches = [subject.batch(subject.lengths, seed) for seed in (1, 2)]
    expected = [backend.infer(batch).copy() for batch in batches]
    begun = [backend.begin(batch) for batch in batches]
    for one, logits in zip(begun, expected, strict=True):
        one.is_ready()
        _check_close(one.answers(), logits, subject, "`begin` to give what `infer` does", _SAME)


def threads(subject: Subject, backend: Backend) -> None:
    """Another number of threads changes no answer"""
    batch = subject.batch(subject.lengths[:5])
    before = backend.infer(batch).copy()
    for count in (1, 2, subject.options.threads):
        backend.use_threads(count)
        _check_close(backend.infer(batch), before, subject, f"the same answers with {count} threads", _SAME)


def warm_up(subject: Subject, backend: Backend) -> None:
    """Warm-up changes no answer"""
    batch, longest = subject.batch(subject.lengths[:5]), subject.lengths[-1]
    before = backend.infer(batch).copy()
    backend.warm_up([(3, min(50, longest)), (1, longest)])
    if not np.array_equal(backend.infer(batch), before):
        raise ContractError("expected the same answers after warm-up, bit for bit, found others")


def errors(subject: Subject, backend: Backend) -> None:
    """An unknown precision, and a model that is not there, are BackendErrors that reach another process"""
    kind = type(backend)
    _check_refusal(lambda: kind(Options(_NO_PRECISION)), f"precision {_NO_PRECISION}")
    if subject.model.path is not None and subject.model.engine is None:
        gone = replace(subject.model, path=subject.model.path.with_name("not-there" + subject.model.path.suffix))
        _check_refusal(lambda: backend_class(subject.backend)(subject.options).load(gone), "a file that is not there")


def _check_refusal(refuse: Callable[[], object], what: str) -> None:
    try:
        refuse()
    except BackendError as error:
        if str(pickle.loads(pickle.dumps(error))) != str(error):  # noqa: S301 - its own bytes
            raise ContractError(f"expected the error of {what} to survive pickling, found other text") from error
    except Exception as error:  # any other is the finding
        raise ContractError(f"expected a BackendError for {what}, found {brief(error)}") from error
    else:
        raise ContractError(f"expected a BackendError for {what}, found none")


def other_processes(subject: Subject, backend: Backend) -> None:
    """A new process, and one that is forked from it if the row says forkable, give the same answers"""
    batch = subject.batch(subject.lengths[:5])
    before = backend.infer(batch).copy()
    for where, found in processes.answers(subject, batch).items():
        _check_close(found, before, subject, f"the same answers in {where}", _SAME)


def _check_close(found: Float32, expected: Float32, subject: Subject, what: str, share: float = 1.0) -> None:
    if found.shape != expected.shape:
        raise ContractError(f"expected {what}, {list(expected.shape)}, found {list(found.shape)}")
    precision, spread = subject.options.precision, max(1.0, float(expected.std()))
    off = np.abs(found - expected)
    if precision == "fp32":
        worst, limit = float(off.max()), _FP32 * spread * share
    else:
        worst, limit = float(np.sqrt((off * off).mean())), _NARROW.get(precision, _NARROWER) * spread
    if not worst <= limit:
        raise ContractError(f"expected {what} to {limit:.2g} in {precision}, found {worst:.2g}")


CHECKS: Mapping[str, Check] = {
    check.__name__.replace("_", "-"): check
    for check in (
        *(row, answers, reference, neighbours, tokens, inputs, counting),
        *(pending, threads, warm_up, errors, other_processes),
    )
}  # fmt: skip
