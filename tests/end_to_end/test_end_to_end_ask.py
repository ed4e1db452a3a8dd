"""`python -m sut ask`: one answer, many, a loop in a pipe, and what it cannot use."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import Run
from paths import ROOT

PASSAGE = "Grünson Motors was founded by Gustav Uluer. The company was established in 1850. It is based in Corford."
LONG = "The company is in Salia. " * 120 + PASSAGE + " It opened a school." * 120
QUESTION = "In what year did Grünson Motors open?"


def ask(*args: object, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sut", "ask", *map(str, args)],
        input=typed,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_one_question(tmp_path: Path) -> None:
    done = ask("--passage", PASSAGE, "--question", QUESTION, "--n-best", 3)
    assert done.returncode == 0, done.stderr
    answer, probability, time, *others = done.stdout.splitlines()
    assert answer.split() == ["answer", "1850"]
    assert float(probability.split()[1].rstrip("%")) > 50
    assert "ms to tokenise" in time and "1 window" in time
    assert len(others) == 3
    assert others[0].split()[-1] == "1850"


def test_the_first_example_of_the_guide_is_answered_as_it_says() -> None:
    page = (ROOT / "docs" / "guide" / "ask-and-compare.md").read_text(encoding="utf-8")
    command, answer = page.split("```\n")[1].rsplit("\nanswer", 1)
    words = shlex.split(command.removeprefix("python -m sut ask "))
    assert ask(*words).stdout.splitlines()[0].split() == ["answer", *answer.split()]


def test_a_long_passage_is_read_to_its_end(tmp_path: Path) -> None:
    passage = tmp_path / "long.txt"
    passage.write_text(LONG, encoding="utf-8")
    done = ask("--passage-file", passage, "--question", QUESTION)
    answer, _, time = done.stdout.splitlines()
    assert answer.split()[-1] == "1850"
    assert int(time.partition("; ")[2].split()[0]) > 5


def test_a_loop_changes_its_passage_and_survives_errors(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text(PASSAGE.replace("1850", "1902"), encoding="utf-8")
    lines = (QUESTION, "/file nowhere.txt", "/passage ", f"/file {tmp_path / 'other.txt'}", QUESTION, "", "not read")
    done = ask("--passage", PASSAGE, typed="\n".join(lines))
    assert done.returncode == 0, done.stderr
    answers = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("answer")]
    assert answers == ["1850", "1902"]
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] != []
    assert "Traceback" not in done.stderr


def test_random_weights_say_so(run: Run) -> None:
    vocab = ROOT / "assets" / "demo" / "vocab.txt"
    done = ask("--passage", PASSAGE, "--question", QUESTION, "--model", "random:bert-tiny", "--vocab", vocab)
    assert done.returncode == 0
    assert "random weights" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--passage", " ", "--question", "x"), "passage with words"),
        (("--passage", PASSAGE, "--question", " "), "expected a question"),
        (("--passage-file", "nowhere.txt"), "nowhere.txt"),
        (("--passage", PASSAGE, "--question-file", "nowhere.txt"), "nowhere.txt"),
        (("--passage", PASSAGE, "--mode", "accuracy"), "--mode"),
        (("--passage", PASSAGE, "--backend", "fake"), "--backend that runs a model, found fake"),
        (("--passage", PASSAGE, "--n-best", "0"), "--n-best"),
        (("--question", "x"), "--passage"),
    ],
)
def test_input_that_it_refuses(refuse: Run, args: tuple[str, ...], words: str) -> None:
    ended = refuse("ask", *args, with_case=False)
    assert ended.code == 2
    assert_refused_or_usage(ended.err, words)


def assert_refused_or_usage(err: str, words: str) -> None:
    assert "Traceback" not in err
    assert words in err.rpartition("error: ")[2]
