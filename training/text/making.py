"""From texts to a data set in a directory: texts as plain text, parts of them, instances of each part, a file a part.

Each step runs in processes. A directory appears under its name when all of it is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from foundation import atomic_write
from foundation.bounded_readers import is_file
from training.shards import mapped
from training.shards.conversion import WRITERS
from training.shards.data_set import Metadata
from training.text import held_out, part_file, parts, source_text, workers
from training.text.errors import TextError
from training.text.part_file import Evaluation, PartJob, PartMade
from training.text.parts import Part, Piece
from training.text.progress import PartsProgress
from training.text.recipe import Recipe
from training.text.source_text import SourceText

_LONG = 1 << 26  # bytes of text that are read in processes, which take a second to start
_SCRATCH = "text"  # in a data set's directory while it is made: texts in plain form


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be made: the same plan gives the same bytes, in however many processes."""

    texts: Sequence[Path]
    vocabulary: Path
    learned_size: int | None = None  # the vocabulary is learned from the texts and written; None: it is there
    is_cased: bool | None = None  # None: as the vocabulary's files say
    recipe: Recipe
    language: str | None = None  # the texts are paragraphs in this language, to be split into sentences
    parts: int | None = None  # None: one of each text
    output: Path
    form: str = "mapped"
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Made:
    """A data set that was written."""

    path: Path
    parts: int
    instances: int
    tokens: int


@dataclass(frozen=True)
class _TextJob:
    path: Path
    plain: Path
    language: str | None


@dataclass(frozen=True)
class _HeldJob:
    text: SourceText
    file: int
    number: int
    folder: Path

    @property
    def size(self) -> int:
        return self.text.size


_Files = list[PartMade]


def make(plan: Plan, processes: int, progress: PartsProgress) -> list[Made]:
    """Make the data set, and that of evaluation if the plan has one.

    Raises:
        TextError: a text, the vocabulary or a number is wrong; nothing is left.
        ShardError, ShardWriteError: an output is not empty, or cannot be written.
    """
    _check_outputs(plan)
    if plan.learned_size is None:
        part_file.tokenizer_of(plan.vocabulary, plan.is_cased)  # refused before the work
    with ExitStack() as stack:
        folder = stack.enter_context(mapped.new_data_set(plan.output))
        held_folder = stack.enter_context(mapped.new_data_set(plan.evaluation.output)) if plan.evaluation else None
        scratch = folder / _SCRATCH
        scratch.mkdir()
        texts = _prepared(plan, scratch, processes, progress)
        texts, held = _held_out(plan, texts, scratch, processes, progress)
        _learn(plan, texts)
        found = parts.cut(texts, plan.parts) if plan.parts else parts.of_files(texts)
        metadata = _metadata(plan, texts)
        files = _make_parts(plan, found, folder, processes, progress)
        made = [_sealed(plan.output, folder, files, metadata)]
        if held_folder and plan.evaluation:
            files = _make_evaluation(plan, plan.evaluation, held, held_folder, progress)
            made.append(_sealed(plan.evaluation.output, held_folder, files, metadata))
        shutil.rmtree(scratch)
    return made


def _check_outputs(plan: Plan) -> None:
    if plan.evaluation is None:
        return
    one, other = plan.output.resolve(), plan.evaluation.output.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise TextError(
            f"expected two directories, neither in the other, found {plan.output} and {plan.evaluation.output}. "
            "Type: --evaluation-output DIR"
        )


def _prepared(plan: Plan, scratch: Path, processes: int, progress: PartsProgress) -> list[SourceText]:
    jobs = [_TextJob(path, scratch / f"{k}.txt", plan.language) for k, path in enumerate(plan.texts)]
    progress.begin("reading texts", len(jobs), len(jobs))
    is_long = bool(plan.language) or sum(path.stat().st_size for path in plan.texts if is_file(path)) > _LONG
    texts = workers.run(_prepare, jobs, processes if is_long else 1, lambda _: progress.done(1))
    for text in texts:
        if not text.size:
            raise TextError(f"expected {source_text.KIND} at {text.path}, found an empty file. Type the path of one.")
    return texts


def _prepare(job: _TextJob) -> SourceText:
    return source_text.prepare(job.path, job.plain, job.language)


def _held_out(
    plan: Plan, texts: list[SourceText], scratch: Path, processes: int, progress: PartsProgress
) -> tuple[list[SourceText], list[SourceText]]:
    """The texts without what is held out, and that."""
    if plan.evaluation is None:
        return texts, []
    total = plan.evaluation.articles
    jobs = [_HeldJob(text, k, held_out.quota(k, len(texts), total), scratch) for k, text in enumerate(texts)]
    progress.begin("holding out articles", len(jobs), sum(job.size for job in jobs))
    pairs = workers.run(_separate, jobs, processes, lambda job: progress.done(job.size))
    return [rest for rest, _ in pairs], [held for _, held in pairs]


def _separate(job: _HeldJob) -> tuple[SourceText, SourceText]:
    rest, held = (job.folder / f"{job.file}.{name}" for name in ("rest", "held"))
    return held_out.separate(job.text, job.file, job.number, rest, held)


def _learn(plan: Plan, texts: Sequence[SourceText]) -> None:
    """Learn the vocabulary, if it is to be learned, and write it."""
    if plan.learned_size is None:
        return
    from training.text import vocabulary

    entries = vocabulary.learn(_lines(texts), plan.learned_size)
    atomic_write.write_text(plan.vocabulary, "".join(f"{entry}\n" for entry in entries))


def _lines(texts: Sequence[SourceText]) -> Iterator[str]:
    for text in texts:
        with text.plain.open(encoding="utf-8", newline="\n") as file:
            yield from file


def _make_parts(plan: Plan, found: Sequence[Part], folder: Path, processes: int, progress: PartsProgress) -> _Files:
    jobs = [_job(plan, part, folder / WRITERS[plan.form].name(k, len(found))) for k, part in enumerate(found)]
    progress.begin("making instances", len(jobs), sum(job.size for job in jobs))
    return workers.run(part_file.make_part, jobs, processes, lambda job: progress.done(job.size))


def _make_evaluation(
    plan: Plan, evaluation: Evaluation, held: Sequence[SourceText], folder: Path, progress: PartsProgress
) -> _Files:
    """One part of all that is held out."""
    pieces = tuple(Piece(text.plain, 0, text.size) for text in held)
    part = Part("what is held out for evaluation", pieces)
    job = replace(_job(plan, part, folder / WRITERS[plan.form].name(0, 1)), evaluation=evaluation)
    progress.begin("making evaluation samples", 1, job.size)
    return workers.run(part_file.make_part, [job], 1, lambda job: progress.done(job.size))


def _job(plan: Plan, part: Part, path: Path) -> PartJob:
    return PartJob(
        part=part,
        vocabulary=plan.vocabulary,
        is_cased=plan.is_cased,
        recipe=plan.recipe,
        path=path,
        form=plan.form,
    )


def _sealed(output: Path, folder: Path, files: _Files, metadata: Metadata) -> Made:
    if entries := [one.entry for one in files if one.entry]:
        mapped.seal(folder, replace(metadata, evaluation=files[0].evaluation), entries)
    return Made(output, len(files), sum(one.instances for one in files), sum(one.tokens for one in files))


def _metadata(plan: Plan, texts: Sequence[SourceText]) -> Metadata:
    recipe, tokenizer = plan.recipe, part_file.tokenizer_of(plan.vocabulary, plan.is_cased)
    return Metadata(
        max_seq_length=recipe.max_seq_length,
        max_predictions=recipe.max_predictions,
        vocabulary_sha256=tokenizer.sha256,
        vocabulary_size=len(tokenizer),
        dupe_factor=recipe.dupe_factor,
        seed=recipe.seed,
        masked_lm_prob=recipe.masked_lm_prob,
        short_seq_prob=recipe.short_seq_prob,
        do_lower_case=tokenizer.rules.lowercase,
        texts={str(text.path): text.sha256 for text in texts},
    )
