"""`python -m sut ask`: answers a question about a passage with a model; without a question, reads them in a loop.

It uses the backend of a run, loaded and warmed up once in this process, without LoadGen or a data set. A long passage
is cut into windows like the benchmark's samples.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accuracy.log import PAD_LOGIT
from accuracy.n_best import NBestAnswer, best_answers
from accuracy.spans import N_BEST_SIZE
from backends import BACKENDS
from backends import check as check_backend
from backends.base import Batch
from foundation.arrays import Float32
from foundation.bounded_readers import UnreadableError, read_text
from foundation.foreign_text import printable_lines
from foundation.people_numbers import count
from qsl.squad import SquadFeatures, SquadFeatureSettings, features_of
from qsl.squad_examples import Example, split_words
from qsl.wordpiece import WordPiece
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.queries import batching
from sut.running import engines, fit, in_process, instances_plan, model_choice, notices
from sut.settings import flags, fp16_fallback
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import resolve
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

SQUAD = "squad"
_MOST_BYTES = 64 << 20  # of a passage, or of a file of questions
_TYPES = 2  # of tokens: the question's and the passage's
_MORE = """python -m sut ask --passage TEXT --question TEXT          one answer
python -m sut ask --passage-file FILE                      a loop: one question per line, until an empty line

In the loop, `/passage TEXT` and `/file FILE` change the passage.
"""


@dataclass(frozen=True)
class Reply:
    """Answers to one question, the best first, and the time they took."""

    answers: list[NBestAnswer]
    windows: int
    tokens: int
    tokenise_ms: float
    model_ms: float


class QuestionAnswerer:
    """A loaded model that answers questions about any passage.

    Raises:
        UsageError, DatasetError, BackendError: a setting or file cannot be used.
    """

    def __init__(self, asked: RunConfig) -> None:
        check_backend(asked.backend)
        if not BACKENDS[asked.backend].runs_model:
            raise UsageError(f"expected a --backend that runs a model, found {asked.backend}. Type another one.")
        if asked.task != SQUAD:
            raise UsageError(f"expected a preset of task squad, found one of task {asked.task}. Type another --preset.")
        config = fp16_fallback.resolve(asked)
        model, vocabulary = model_choice.model_of(config, TASKS[SQUAD]), WordPiece(asset_paths.vocab(config))
        fit.check_vocabulary(model, vocabulary)
        fit.check_types(model, _TYPES)
        model = engines.ready(config, model, engines.data_of(config))
        self.notices = (*fp16_fallback.notices(asked), *([notices.RANDOM] if model.is_random else []))
        self._vocabulary, self._max_tokens = vocabulary, instances_plan.asked_batch_tokens(config)
        longest = min(SquadFeatureSettings.max_seq_length, model.most_tokens or SquadFeatureSettings.max_seq_length)
        self._settings = SquadFeatureSettings(max_seq_length=longest)
        self._backend = in_process.loaded(config, model)
        self._backend.warm_up([(1, self._settings.max_seq_length)])

    def ask(self, passage: str, question: str) -> Reply:
        """Spans of `passage`, which must have words, that answer `question`."""
        start_s = time.perf_counter()
        example = Example("", question, split_words(passage), ())
        features = features_of([example], self._vocabulary, self._settings)
        tokenised_s = time.perf_counter()
        logits = self._logits(features)
        done_s = time.perf_counter()
        answers = best_answers(logits, example, features, self._vocabulary)
        windows, tokens = len(features.features), features.features.total_tokens
        return Reply(answers, windows, tokens, (tokenised_s - start_s) * 1e3, (done_s - tokenised_s) * 1e3)

    def _logits(self, features: SquadFeatures) -> Float32:
        """float32[windows, longest window, 2]."""
        lengths = features.features.lengths
        logits = np.full((len(lengths), int(lengths.max()), 2), PAD_LOGIT, np.float32)
        for rows in batching.by_length(lengths, self._max_tokens, packed=self._backend.packed):
            batch = Batch.of([features.features.sample(row) for row in rows])
            logits[rows[batch.rows], batch.position_ids] = self._backend.infer(batch)
        return logits


def main(argv: Sequence[str]) -> int:
    """The verb `ask`."""
    args = parser().read(argv)
    values, toml = flags.split(args, "ask")
    passage = _require_words(_read(args.passage_file) if args.passage_file else args.passage)
    questions = _read(args.question_file).splitlines() if args.question_file else [args.question or ""]
    if (args.question_file or args.question is not None) and not any(map(str.strip, questions)):
        raise UsageError(
            "expected a question, found none. Type: --question TEXT or --question-file FILE, or neither for a loop."
        )
    answerer = QuestionAnswerer(resolve(values, toml))
    print("".join(f"note: {notice}\n" for notice in answerer.notices), end="", file=sys.stderr)
    pairs = ((passage, one) for one in questions if one.strip()) if any(questions) else _loop(passage)
    for about, question in pairs:
        print(printable_lines(_text(answerer.ask(about, question), args.n_best)), flush=True)
    return 0


def parser() -> Parser:
    """The command line of `ask`."""
    found = new_parser("ask", _MORE)
    passage = found.add_mutually_exclusive_group(required=True)
    passage.add_argument("--passage", metavar="TEXT", help="the text that the questions are about")
    passage.add_argument("--passage-file", type=Path, metavar="FILE", help="a text file with the passage")
    question = found.add_mutually_exclusive_group()
    question.add_argument("--question", metavar="TEXT", help="one question (default: a loop that reads them)")
    question.add_argument("--question-file", type=Path, metavar="FILE", help="a file with one question per line")
    found.add_argument("--n-best", type=int, choices=range(1, N_BEST_SIZE + 1), default=1, metavar="N",
                        help=f"show the N best answers, up to {N_BEST_SIZE} (default: 1)")  # fmt: skip
    flags.add(found, "ask")
    return found


def _read(path: Path) -> str:
    try:
        return read_text(path, _MOST_BYTES, pipes=True)
    except UnreadableError as error:
        raise UsageError(f"expected UTF-8 text in {path}, found: {error}. Check the path.") from error


def _require_words(passage: str) -> str:
    if not split_words(passage):
        raise UsageError("expected a passage with words, found none. Check --passage or --passage-file.")
    return passage


def _loop(passage: str) -> Iterator[tuple[str, str]]:
    """(passage, question) for each line typed until an empty one; handles the lines that change the passage."""
    print(
        "One question per line; /passage TEXT or /file FILE changes the passage; an empty line ends.",
        file=sys.stderr,
    )
    while line := _line():
        command, _, rest = line.partition(" ")
        if command not in ("/passage", "/file"):
            yield passage, line
            continue
        try:
            passage = _require_words(_read(Path(rest.strip())) if command == "/file" else rest)
            print(f"a passage of {len(split_words(passage))} words", file=sys.stderr)
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)


def _line() -> str:
    try:
        return input("question> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(f"expected questions as UTF-8 text, found: {error}.") from error


def _text(reply: Reply, n_best: int) -> str:
    if not reply.answers:
        return "answer       none: no valid answer span in this passage"
    best = reply.answers[0]
    windows = f"{count(reply.windows, 'window')}, {reply.tokens} tokens"
    lines = [
        f"answer       {best.text}",
        f"probability  {best.probability:.1%} among the {len(reply.answers)} best spans",
        f"time         {reply.tokenise_ms:.2f} ms to tokenise, {reply.model_ms:.2f} ms in the model; {windows}",
    ]
    others = reply.answers[:n_best] if n_best > 1 else []
    return "\n".join(
        [*lines, *(f"  {place:2}  {one.probability:6.1%}  {one.text}" for place, one in enumerate(others, 1))]
    )
