"""Logits → score: cases computed by hand, a plain implementation of the search, and the official scorer's results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squad_by_hand import SETTINGS, SHORT, make_case

from accuracy.metric import best_match, normalize_answer
from accuracy.report import write_predictions
from accuracy.spans import best_spans
from accuracy.squad import SquadScore, score_log, score_logits
from accuracy.text import join_pieces, passage_text
from qsl.squad import SquadDataSet
from qsl.wordpiece import WordPiece

if TYPE_CHECKING:
    from pathlib import Path

    from squad_by_hand import Case

OFFICIAL = (60.370370370370374, 65.46786342183844)


def padded(case: Case, logits: list[np.ndarray], fill: float = -10000.0) -> np.ndarray:
    table = np.full((len(logits), case.max_seq_length, 2), fill, np.float32)
    for row, values in zip(table, logits, strict=True):
        row[: len(values)] = values
    return table


def score(case: Case, logits: list[np.ndarray], fill: float = -10000.0, **changes: object) -> SquadScore:
    answered = np.asarray(changes.get("answered", np.ones(len(logits))), np.bool_)
    examples = changes.get("examples", case.examples)
    vocabulary = WordPiece(case.vocab)
    return score_logits(padded(case, logits, fill), answered, examples, case.features, vocabulary)  # type: ignore[arg-type]


# --- the metric -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1"),
    [
        ("The  Red Fox!", ["red fox"], 1, 1),
        ("red fox ran", ["fox ran home"], 0, 2 / 3),
        ("fox", ["red fox", "two owls"], 0, 2 / 3),
        ("owl", ["fox", "an owl"], 1, 1),
        ("fox fox", ["fox fox owl"], 0, 0.8),  # words count as often as they occur
        ("fox", ["owl"], 0, 0),
        ("the", ["a"], 1, 0),  # both become empty: officially an exact match with F1 0
        ("24–10", ["2410"], 0, 0),  # an en dash is not ASCII punctuation
        ("24-10", ["2410"], 1, 1),
        ("fox", [], 0, 0),
    ],
)
def test_metric_by_hand(prediction: str, answers: list[str], exact: float, f1: float) -> None:
    found = best_match(prediction, answers)
    assert found[0] == exact and found[1] == pytest.approx(f1)


def test_articles_are_removed_as_whole_words_only() -> None:
    assert normalize_answer("An apple, a theatre; THE end-a") == "apple theatre enda"
    assert normalize_answer("fox–the–owl") == "fox– –owl"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_reference_answer_scores_100(answer: str, others: list[str]) -> None:
    words_left = bool(normalize_answer(answer))
    assert best_match(answer, [*others, answer]) == (1, 1 if words_left else 0)


@given(st.text("ab 1,"), st.text("ab 1,"))
def test_f1_is_symmetric_and_between_0_and_1(left: str, right: str) -> None:
    f1 = best_match(left, [right])[1]
    assert 0 <= f1 <= 1
    assert f1 == pytest.approx(best_match(right, [left])[1])


# --- tokens to the passage's words -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "words", "text"),
    [
        (["red", "fox"], "Red Fox", "Red Fox"),
        (["cafe"], "Café,", "Café"),
        (["den"], "den's", "den"),
        (["den", "'", "s"], "den's", "den's"),
        (["snow", "##ball", "##s"], "(Snowballs)", "Snowballs"),
        (["snow", "##ball"], "snowballs", "snowball"),
        (["##ball", "##s", "fell"], "snowballs fell", "balls fell"),
        (["[UNK]"], "zzz.", "zzz."),  # not found: the whole words
        (["cafe"], "Cafe\u0301,", "Cafe\u0301,"),  # the accent is a separate character, so counting fails
        (["$", "5"], "$5 million", "$5"),
        (["fox"], "foxglove fox", "fox"),  # the first match, even inside another word
        (["##"], "fox.", "fox."),  # the pieces are empty
    ],
)
def test_span_text_by_hand(tokens: list[str], words: str, text: str) -> None:
    assert passage_text(join_pieces(tokens), words) == text


# --- the search -------------------------------------------------------------------------------------------------


def test_score_by_hand(small: Case) -> None:
    result = score(small, small.spoken())
    assert result.predictions == {
        "q0": "Red Fox",
        "q1": "ran home",
        "q2": "$5",
        "q3": "snowballs",
        "q4": "the old owl",
        "q5": "At night",
    }
    assert result.question_exact_match.tolist() == [1, 0, 0, 1, 1, 0]
    assert result.question_f1.tolist() == pytest.approx([1, 2 / 3, 0, 1, 1, 0])
    assert result.exact_match == 50.0
    assert result.f1 == pytest.approx(100 * (3 + 2 / 3) / 6)
    assert result.is_complete


def test_the_window_with_the_highest_sum_answers(small: Case) -> None:
    logits = small.spoken()
    small.say(logits, 5, (20, 22), height=9)  # another window of the same question
    assert score(small, logits).predictions["q5"] == "near the river."


def test_the_first_window_wins_ties(small: Case) -> None:
    logits = small.spoken()
    small.say(logits, 5, (20, 22), height=8)
    assert score(small, logits).predictions["q5"] == "At night"


def test_a_start_without_maximum_context_never_answers(small: Case) -> None:
    logits = small.blank()
    first_window = small.samples_of(5)[0]
    (owl,) = small.positions(first_window, 11)  # "owl" has more context in a later window
    logits[first_window][owl] = 9
    small.say(logits, 5, (1, 1), height=1)
    # The end at "owl" is allowed; its own start is not, so the next best start takes it.
    assert score(small, logits).predictions["q5"] == "night snowballs fell on the north hill and the old owl"


def test_question_and_special_tokens_never_answer(small: Case) -> None:
    logits = small.blank()
    first = small.samples_of(0)[0]
    logits[first][:5] = logits[first][-1] = 9
    small.say(logits, 0, (3, 3), height=1)
    assert score(small, logits).predictions["q0"] == "ran"


@pytest.mark.parametrize(("last", "words"), [(29, 30), (30, 1)])
def test_answers_have_at_most_30_tokens(wide: Case, last: int, words: int) -> None:
    logits = wide.blank()
    (first,) = wide.positions(0, 0)
    logits[0][first, 0], logits[0][first + last, 1], logits[0][first, 1] = 9, 9, 1
    assert len(score(wide, logits).predictions["q0"].split()) == words


def test_an_end_before_the_start_never_answers(wide: Case) -> None:
    logits = wide.blank()
    (first,) = wide.positions(0, 0)
    logits[0][first + 5, 0], logits[0][first + 2, 1], logits[0][first + 6, 1] = 9, 9, 1
    assert score(wide, logits).predictions["q0"] == "owl fox"


@pytest.mark.parametrize(("rivals", "text"), [(19, "fox owl"), (20, "empty")])
def test_only_the_20_highest_starts_count(wide: Case, rivals: int, text: str) -> None:
    """Rivals start after every ranked end, so only the start ranked below them could be the answer."""
    logits = wide.blank()
    (first,) = wide.positions(0, 0)
    logits[0][:, 1] = np.where(np.arange(len(logits[0])) < first + 20, 1, -1)
    logits[0][first + 1, 1] = 9
    logits[0][first, 0] = 2
    logits[0][first + 20 : first + 20 + rivals, 0] = 5
    assert score(wide, logits).predictions["q0"] == text


@pytest.mark.parametrize(("fill", "text"), [(7.0, "empty"), (-10000.0, "fox owl")])
def test_padding_takes_ranks_as_in_the_reference_but_never_answers(wide: Case, fill: float, text: str) -> None:
    logits = wide.blank()
    assert wide.max_seq_length - len(logits[0]) == 15
    (first,) = wide.positions(0, 0)
    logits[0][:, 1] = np.where(np.arange(len(logits[0])) < first + 20, 1, -1)
    logits[0][first + 1, 1] = 9
    logits[0][first, 0] = 2
    logits[0][first + 20 : first + 25, 0] = 5  # with 15 of padding the 20 ranks are taken
    assert score(wide, logits, fill).predictions["q0"] == text


def plain_best_span(rows: np.ndarray, case: Case, sample: int) -> tuple[int, int, float] | None:
    """The search as in the reference: sorted lists and loops, for one feature."""
    start, stop = case.features.features.offsets[sample : sample + 2]
    words = case.features.token_to_word[start:stop].tolist()
    context = case.features.is_max_context[start:stop].tolist()
    starts, ends = (sorted(range(len(rows)), key=lambda i: -rows[i, side])[:20] for side in (0, 1))
    pairs = [
        (first, last, float(rows[first, 0]) + float(rows[last, 1]))
        for first in starts
        for last in ends
        if max(first, last) < len(words) and words[first] >= 0 and words[last] >= 0
        if context[first] and first <= last < first + 30
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[0] if pairs else None


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 30), fill=st.sampled_from([-10000.0, 0.0, 40.0]))
def test_the_search_agrees_with_a_plain_implementation(small: Case, seed: int, levels: int, fill: float) -> None:
    """Few levels mean many ties, for which an unstable sort would differ."""
    rng = np.random.default_rng(seed)
    logits = [rng.integers(0, levels, values.shape).astype(np.float32) for values in small.blank()]
    table = padded(small, logits, fill)
    spans = best_spans(table, small.features)
    for sample, rows in enumerate(table):
        expected = plain_best_span(rows, small, sample)
        found = (spans.start[sample], spans.end[sample], spans.score[sample])
        assert (found if found[2] > -np.inf else None) == expected


@settings(max_examples=60)
@given(fill=st.floats(width=32), seed=st.integers(0, 99))
def test_padding_of_any_value_never_answers(small: Case, fill: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = [rng.normal(size=values.shape).astype(np.float32) for values in small.blank()]
    for question, text in score(small, logits, fill).predictions.items():
        assert text == "empty" or text in " ".join(small.examples[int(question[1:])].doc_words)


@settings(max_examples=60)
@given(data=st.data())
def test_logits_that_peak_at_the_answers_score_100(small: Case, data: st.DataObject) -> None:
    logits, examples = small.blank(), list(small.examples)
    for question, example in enumerate(examples):
        words = example.doc_words
        first = data.draw(st.sampled_from([i for i, word in enumerate(words) if word not in ("The", "the", "a")]))
        last = min(first + data.draw(st.integers(0, 1)), len(words) - 1)
        small.say(logits, question, (first, last))
        examples[question] = replace(example, answers=(" ".join(words[first : last + 1]),))
    result = score(small, logits, examples=examples)
    assert (result.exact_match, result.f1) == (100.0, 100.0)


def test_the_mean_is_summed_sequentially(tmp_path: Path) -> None:
    """As in the reference: numpy adds pairwise, which changes the last digit for these 300 questions."""
    truths = ["Red Fox", "The Red Fox ran home to", "Red Fox ran home to its den's", "Fox ran home"]
    questions = [(SHORT, "who ran?", (truths[n * n % 7 % 4],)) for n in range(300)]
    case = make_case(tmp_path, questions, SETTINGS)
    logits = case.blank()
    for question in range(300):
        case.say(logits, question, (1, 2))
    result, total = score(case, logits), 0.0
    for value in result.question_f1:
        total += value
    assert total != result.question_f1.sum()
    assert result.f1 == 100.0 * total / 300


# --- how much was answered --------------------------------------------------------------------------------------


def test_unanswered_questions_count_0_and_are_reported(small: Case) -> None:
    answered = np.zeros(12, np.bool_)
    answered[[0, 1, 3]] = True  # questions 0 and 1, and one window of question 3
    result = score(small, small.spoken(), answered=answered)
    assert (result.samples_answered, result.total_sample_count, result.is_complete) == (3, 12, False)
    assert result.answered.tolist() == [True, True, False, True, False, False]
    assert set(result.predictions) == {"q0", "q1", "q3"}
    assert result.f1 == pytest.approx(100 * (1 + 2 / 3 + 1) / 6)
    assert result.f1_of_answered == pytest.approx(100 * (1 + 2 / 3 + 1) / 3)


@pytest.mark.parametrize(("first", "last", "f1"), [((1, 2), (8, 8), [0, 1]), ((8, 8), (1, 2), [1, 0])])
def test_the_last_answer_to_a_repeated_id_counts_for_all(
    small: Case, first: tuple[int, int], last: tuple[int, int], f1: list[float]
) -> None:
    """Questions 0 ("Red Fox") and 2 ("Café") have one id. The official scorer keys predictions by id: one is wrong."""
    logits = small.blank()
    small.say(logits, 0, first)
    small.say(logits, 2, last)
    one_id = [replace(one, id="same" if row in (0, 2) else one.id) for row, one in enumerate(small.examples)]
    found = score(small, logits, examples=one_id)
    assert found.question_f1[[0, 2]].tolist() == f1 and found.repeated_ids == 1
    assert next(iter(found.predictions)) == "same" and len(found.predictions) == len(one_id) - 1
    assert "1 question with the id of an earlier one" in "\n".join(found.lines())
    assert "repeated" not in "\n".join(score(small, logits).lines())


@pytest.mark.parametrize("text", ["Café", "half an emoji: \ud83d"])
def test_predictions_are_json_whatever_the_text(small: Case, tmp_path: Path, text: str) -> None:
    found = replace(score(small, small.spoken()), predictions={text: text})
    written = write_predictions(found, tmp_path / "predictions.json").read_text(encoding="utf-8")
    assert json.loads(written) == {text: text}
    assert ("é" in written) == ("é" in text)


def test_a_limit_far_above_every_sample_changes_nothing(small: Case, tmp_path: Path) -> None:
    far = SquadDataSet(small.dataset, small.vocab, None, replace(SETTINGS, max_seq_length=60_000))
    close = SquadDataSet(small.dataset, small.vocab, None, replace(SETTINGS, max_seq_length=64))
    logits = [np.zeros((length, 2), np.float32) for length in far.features.lengths]
    far_log = small.write(tmp_path / "far.json", logits)
    assert score_log(far_log, far).question_f1.tolist() == score_log(far_log, close).question_f1.tolist()


def test_a_score_without_answers_is_0(small: Case) -> None:
    result = score(small, small.spoken(), answered=np.zeros(12))
    assert (result.f1, result.exact_match, result.f1_of_answered) == (0.0, 0.0, 0.0)
    assert (result.questions_answered, result.predictions) == (0, {})
    assert result.f1_interval == (0.0, 100.0)


def with_f1(values: list[float], answered: list[bool]) -> SquadScore:
    f1 = np.asarray(values)
    return SquadScore(
        exact_match=0.0,
        f1=100 * f1.mean(),
        question_exact_match=f1 == 1,
        question_f1=f1,
        answered=np.asarray(answered),
        predictions={},
        samples_answered=len(f1),
        total_sample_count=len(f1),
    )


def test_interval_by_hand() -> None:
    # with z² = 3.8415: n 8.8415, mean 50 %, mean square (1.29 + 1.92073) / 8.8415, so the variance is 0.11314
    low, high = with_f1([0.4, 0.4, 0.5, 0.6, 0.6], [True] * 5).f1_interval
    assert (low, high) == pytest.approx((50 - 22.1719, 50 + 22.1719), abs=1e-3)


def test_interval_is_over_answered_questions_and_within_0_to_100() -> None:
    two, one = with_f1([1, 1], [True, True]).f1_interval, with_f1([1], [True]).f1_interval
    assert with_f1([1, 1, 0, 0], [True, True, False, False]).f1_interval == two
    assert one[0] < two[0] < 50 and two[1] == 100
    low, high = with_f1([1, 0], [True, True]).f1_interval
    assert 0 < low < 10 and 90 < high < 100


def test_30_right_of_30_are_no_proof_of_100_percent() -> None:
    low, high = with_f1([1.0] * 30, [True] * 30).f1_interval
    assert 80 < low < 90 and high == 100


# --- the official scorer's answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("pad_to", [0, 384])
@pytest.mark.parametrize("transposed", [False, True])
def test_official_score_to_the_last_digit(
    article: Case,
    article_logits: list[np.ndarray],
    article_predictions: dict[str, str],
    tmp_path: Path,
    pad_to: int,
    transposed: bool,
) -> None:
    log = article.write(tmp_path / "log.json", article_logits, pad_to=pad_to, transposed=transposed)
    result = article.score(log, transposed=transposed)
    assert (result.exact_match, result.f1) == OFFICIAL
    assert result.predictions == article_predictions


@pytest.mark.parametrize("pad_to", [0, 384])
def test_official_score_in_float16(
    article: Case, article_logits: list[np.ndarray], tmp_path: Path, pad_to: int
) -> None:
    log = article.write(tmp_path / "log.json", article_logits, dtype="float16", pad_to=pad_to)
    result = article.score(log)
    assert result.layout.startswith("float16")
    assert (result.exact_match, result.f1) == pytest.approx(OFFICIAL, abs=0.3)  # a few answers change, not more


def test_official_article_half_answered(
    article: Case, article_logits: list[np.ndarray], article_predictions: dict[str, str]
) -> None:
    half = np.arange(len(article_logits)) < 415
    result = score(article, article_logits, answered=half)
    assert not result.is_complete
    assert result.f1 < OFFICIAL[1] - 20
    assert result.f1_interval[0] < OFFICIAL[1] < result.f1_interval[1] + 10
    assert result.predictions.items() <= article_predictions.items()
