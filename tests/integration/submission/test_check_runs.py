"""Runs with one thing wrong each: exactly the rule that it breaks is reported, and the file is named."""

from __future__ import annotations

import pytest
from breakages import (
    OFFLINE,
    STREAM,
    Break,
    Breakage,
    Where,
    accuracy_log,
    answers,
    at,
    by_round,
    compliance_log,
    cut_short,
    errored,
    fallback,
    gone,
    in_folder,
    logged,
    named_by_round,
    performance_log,
    preceded,
    replaced,
    says,
)
from submission_tree import ACCURACY_TXT, FIGURE, Trees

from submission.rules import rounds

ZEROS = "0" * 64
HASH = f"hash={ZEROS}\n"
SEEDS = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")

# Of a performance run and of TEST01's: what is wrong, the rule, what is done, in which scenario.
RUN: list[tuple[str, str, Break, str]] = [
    ("INVALID", "validity", logged(result_validity="INVALID"), OFFLINE),
    ("without a verdict", "validity", logged(result_validity=None), OFFLINE),
    ("of a minute", "duration", logged(effective_min_duration_ms=60_000), OFFLINE),
    ("of a minute, stream", "duration", logged(effective_min_duration_ms=60_000), STREAM),
    ("without a duration", "duration", logged(effective_min_duration_ms=None), OFFLINE),
    ("of few samples", "sample-count", logged(effective_performance_sample_count=10_832), OFFLINE),
    ("of a short query", "samples-per-query", logged(effective_samples_per_query=10_832), OFFLINE),
    ("without a query", "queries", logged(effective_min_query_count=0), OFFLINE),
    ("not stopped early", "early-stopping", logged(early_stopping_met=False), STREAM),
    ("without early stopping", "early-stopping", logged(early_stopping_met=None), STREAM),
    ("of no speed", "metric", logged(result_samples_per_second=0), OFFLINE),
    ("of a speed in words", "metric", logged(result_samples_per_second="fast"), OFFLINE),
    ("of a speed beyond numbers", "metric", logged(result_samples_per_second=10**400), OFFLINE),
    ("of a speed that is none", "metric", logged(result_samples_per_second=float("nan")), OFFLINE),
    ("of too few queries", "early-stopping", logged(early_stopping_latency_ss=0), STREAM),
    ("of a latency below 0", "metric", logged(early_stopping_latency_ss=-1), STREAM),
    ("of a latency that is 0 in ms", "metric", logged(early_stopping_latency_ss=1e-320), STREAM),
    ("that counts an error", "errors", logged(num_errors=1), OFFLINE),
    ("that counts errors in words", "errors", logged(num_errors="0"), STREAM),
    ("without its latency", "metric", logged(early_stopping_latency_ss=None), STREAM),
    ("of another scenario", "scenario", logged(effective_scenario="Server"), OFFLINE),
    ("of another mode", "mode", logged(effective_test_mode="AccuracyOnly"), OFFLINE),
    ("with an error", "errors", errored, OFFLINE),
    ("with an error, stream", "errors", errored, STREAM),
    *((f"of another {seed}", "seeds", logged(**{f"effective_{seed}": 1}), OFFLINE) for seed in SEEDS),
    *((f"without {seed}", "seeds", logged(**{f"effective_{seed}": None}), STREAM) for seed in SEEDS),
]
PERFORMANCE = [
    Breakage(f"{family} {name}", f"{family}.{rule}", where, act, scenario)
    for family, where in (("performance", performance_log), ("test01", compliance_log))
    for name, rule, act, scenario in RUN
]

LOGS: dict[str, Where] = {"performance": performance_log, "accuracy": accuracy_log, "test01": compliance_log}
BROKEN_LOGS = [
    Breakage(f"{name} log {how}", rule, where, act)
    for name, where in LOGS.items()
    for how, rule, act in (
        ("empty", "files.broken-log", says("")),
        ("of text", "files.broken-log", says("hello\n")),
        ("of a list", "files.broken-log", says(':::MLLOG ["key"]\n')),
        ("of a key", "files.broken-log", says(':::MLLOG {"key": [], "value": 1, "metadata": {"is_error": false}}')),
        ("cut short", "files.broken-log", cut_short),
        ("not UTF-8", "files.unreadable", says(b":::MLLOG \xff\xfe")),
        ("of brackets", "files.broken-log", says(":::MLLOG " + "[" * 100_000)),
        ("after a blank line", "files.broken-log", preceded("\n")),
        ("after a comment", "files.broken-log", preceded("# Offline\n")),
        ("after a blank", "files.broken-log", preceded(" ")),
        ("after a byte order mark", "files.broken-log", preceded("\ufeff")),
    )
]
STRAY = [
    Breakage(f"{folder}: {name}", "files.stray", in_folder(folder, name), says("x"))
    for folder in ("performance", "accuracy", "test01_performance", "test01_accuracy")
    for name in ("notes.txt", "run.json")
] + [Breakage("a file of power", "files.stray", lambda where: where.performance.parent / "power", says(""))]

MISSING = [
    Breakage("no performance run", "files.missing", lambda where: where.performance.parent, gone),
    Breakage("no accuracy run", "files.missing", at("accuracy"), gone),
]
ACCURACY = [
    Breakage("of a set of 100", "accuracy.sample-count", accuracy_log, logged(qsl_reported_total_count=100)),
    Breakage("of no set", "accuracy.sample-count", accuracy_log, logged(qsl_reported_total_count=None)),
    Breakage("of 100", "accuracy.sample-count", accuracy_log, logged(effective_accuracy_sample_count=100)),
    Breakage("of a mode", "accuracy.mode", accuracy_log, logged(effective_test_mode="PerformanceOnly")),
    Breakage("of another scenario", "accuracy.scenario", accuracy_log, logged(effective_scenario="Server")),
    Breakage("with an error", "accuracy.errors", accuracy_log, errored),
    Breakage(
        "that counts an error",
        "accuracy.errors",
        accuracy_log,
        preceded(':::MLLOG {"key": "num_errors", "value": 1, "metadata": {"is_error": false}}\n'),
    ),
    Breakage("F1 too low", "accuracy.target", at("accuracy_txt"), replaced("90.5", "89.96")),
    Breakage(
        "F1 too low on one of two lines",
        "accuracy.target",
        at("accuracy_txt"),
        says(ACCURACY_TXT + ACCURACY_TXT.replace("90.5", "80.0") + HASH),
    ),
    *(
        Breakage(f"F1 {how}", "accuracy.text", at("accuracy_txt"), says(f"{text}\n{HASH}"))
        for how, text in {
            "indented": f"  {ACCURACY_TXT}",
            "the other way round": '{"f1": 90.5, "exact_match": 83.5}',
            "alone": '{"f1": 90.5}',
            "with more": '{"exact_match": 83.5, "f1": 90.5, "n": 1}',
            "over two lines": '{"exact_match": 83.5,\n"f1": 90.5}',
            "after a word": f"score: {ACCURACY_TXT}",
            "with an exponent": '{"exact_match": 83.5, "f1": 9.05e1}',
            "with two dots": '{"exact_match": 83.5, "f1": 90.5.1}',
            "left out": "",
            "wrong on a second line": f'{ACCURACY_TXT}{{"exact_match": 83.5, "f1": 9.0.5}}',
        }.items()
    ),
    *(
        Breakage(f"hash {how}", "accuracy.hash", at("accuracy_txt"), says(ACCURACY_TXT + text))
        for how, text in {
            "left out": "",
            "short": "hash=abc\n",
            "indented": f" {HASH}",
            "with a blank": f"hash={ZEROS} \n",
            "no hash": f"hash={'g' * 64}\n",
            "twice": f"{HASH}hash={'1' * 64}\n",
        }.items()
    ),
    Breakage("answers not cut", "accuracy.cut", answers, says("[" + " " * rounds.MAX_ACCURACY_LOG_BYTES + "]")),
    Breakage("answers of another hash", "accuracy.hash", answers, says("[]")),
]

TEST01 = [
    Breakage("audit's seed", "test01.audit", compliance_log, logged(effective_accuracy_log_rng_seed=0)),
    Breakage("audit's target", "test01.audit", compliance_log, logged(effective_accuracy_log_sampling_target=0)),
    Breakage("TEST01 too slow", "test01.performance", at("verify_performance"), says("TEST FAIL\n")),
    *(
        Breakage(f"TEST01's {key} {figure}", "test01.speed", compliance_log, logged(**{key: figure}), scenario)
        for scenario, key in ((OFFLINE, "result_samples_per_second"), (STREAM, "early_stopping_latency_ss"))
        for figure in (FIGURE * 0.899, FIGURE * 1.101)
    ),
    Breakage("TEST01 silent", "test01.performance", at("verify_performance"), says("")),
    Breakage("TEST01's words", "test01.text", at("verify_performance"), says("it is a TEST PASS, I say")),
    Breakage("TEST01's answers' words", "test01.text", at("verify_accuracy"), says("no TEST PASS here")),
    Breakage("TEST01 failed", "test01.accuracy", at("verify_accuracy"), says("TEST FAIL\n")),
    Breakage("TEST01 not verified", "files.missing", at("verify_accuracy"), gone),
    Breakage("TEST01 both passed and compared", "files.stray", at("baseline_accuracy"), says(ACCURACY_TXT)),
    *(
        Breakage(f"TEST01's F1 {how}", rule, at("test01_accuracy"), fallback(ours, theirs), reported=at(reported))
        for how, rule, ours, theirs, reported in (
            ("too far", "test01.accuracy", "90.5", "89.5", "compliance_accuracy"),
            ("nought", "test01.accuracy", "90.5", "0", "compliance_accuracy"),
            ("unreadable", "accuracy.text", "?", "90.5", "baseline_accuracy"),
        )
    ),
]

ALL = [*PERFORMANCE, *BROKEN_LOGS, *STRAY, *MISSING, *ACCURACY, *TEST01]


@pytest.mark.parametrize("case", by_round(ALL), ids=named_by_round)
def test_one_thing_wrong(fresh: Trees, case: tuple[str, Breakage]) -> None:
    round_name, breakage = case
    breakage.check(fresh(round_name, "closed"))


@pytest.mark.parametrize(("ours", "theirs"), [("90.5", "90.5"), ("90.5", "89.7"), ("89.7", "90.5")])
def test_answers_that_differ_may_still_be_close_enough(fresh: Trees, ours: str, theirs: str) -> None:
    built = fresh("v6.1", "closed")
    fallback(ours, theirs)(built, built.layout(OFFLINE).test01_accuracy)
    assert built.verdict().holds


def test_bert_999_has_a_higher_target(fresh: Trees) -> None:
    built = fresh("v6.1", "closed")
    results = built.layout(OFFLINE).model_dir
    (built.root / results).rename(built.root / results.parent / "bert-99.9")
    assert {one.rule for one in built.verdict().failures} == {"accuracy.target"}
    for scenario in rounds.REQUIRED_SCENARIOS:
        replaced("90.5", "90.8")(built, results.parent / "bert-99.9" / scenario / "accuracy" / "accuracy.txt")
    assert built.verdict().holds
    folder = results.parent / "bert-99.9" / OFFLINE / "TEST01" / "accuracy"
    fallback("90.5", "90.3")(built, folder)
    assert {one.rule for one in built.verdict().failures} == {"test01.accuracy"}


@pytest.mark.parametrize(("division", "holds"), [("open", True), ("closed", False)])
def test_only_the_closed_division_has_a_target(fresh: Trees, division: str, holds: bool) -> None:
    built = fresh("v6.1", division)
    replaced("90.5", "40.0")(built, built.layout(OFFLINE).accuracy_txt)
    assert built.verdict().holds is holds


def test_a_value_that_is_logged_twice_must_be_right_twice(fresh: Trees) -> None:
    built = fresh("v6.1", "open")
    log = performance_log(built.layout(OFFLINE))
    text = (built.root / log).read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if '"result_validity"' in line)
    built.write(log, text + line.replace('"VALID"', '"INVALID"') + "\n")
    assert {one.rule for one in built.verdict().failures} == {"performance.validity"}


def test_a_test01_that_was_not_run_is_one_failure(fresh: Trees) -> None:
    built = fresh("v6.1", "closed")
    where = built.layout(OFFLINE)
    gone(built, where.test01)
    assert [(one.rule, one.file) for one in built.verdict().failures] == [("files.missing", str(where.test01))]


def test_a_log_that_was_never_cut_is_hashed(fresh: Trees) -> None:
    built = fresh("v6.1", "open")
    where = built.layout(OFFLINE)
    built.write(answers(where), "[]")
    built.write(where.accuracy_txt, ACCURACY_TXT + f"hash={built.sha256(answers(where))}\n")
    assert built.verdict().holds
