"""`compare --speed`: what a typed model is, its row from two records, and what the flag does not go with."""

from __future__ import annotations

import pytest
from paths import ROOT
from records import record

from backends.bert.checkpoints import find_model
from backends.bert.model import RANDOM_PREFIX
from sut.__main__ import main
from sut.commands.compare import ladder, published
from sut.errors import USAGE, UsageError
from sut.record.operations import Operations


@pytest.mark.parametrize(
    ("word", "model", "zeros", "f1"),
    [
        ("minilm-l12", "random:minilm-l12", 0, 90.93),
        ("random:bert-large", "random:bert-large", 0, 90.5),
        ("bert-large@80", "random:bert-large?sparsity=0.8,pattern=block4", 0.8, 90.41),
        ("bert-tiny", "random:bert-tiny", 0, None),
        ("bert-base@50:structured", "random:bert-base?sparsity=0.5,pattern=structured", 0.5, None),
        ("minilm-l6@87.5", "random:minilm-l6?sparsity=0.875,pattern=block4", 0.875, None),
        ("my/model@80", "my/model@80", 0, None),
        ("demo", "demo", 0, None),
    ],
)
def test_a_model_is_a_rung_random_weights_or_a_path(word: str, model: str, zeros: float, f1: float | None) -> None:
    found = published.rung(word)
    assert (found.model, found.zeros, found.f1) == (model, zeros, f1)


def test_every_rung_has_weights_to_run_and_a_source() -> None:
    assert published.RANDOM == RANDOM_PREFIX
    assert all(find_model(one.model).config and one.f1 and one.source for one in published.RUNGS.values())


def test_zeros_are_a_share() -> None:
    with pytest.raises(UsageError, match="below 100"):
        published.rung("bert-large@100")


@pytest.mark.parametrize("word", ["bert-large@50:2x2", "mobilebert@50:structured", "bert-tiny@75:structured"])
def test_zeros_that_a_model_cannot_have_are_refused_before_the_first_run(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--speed", "bert-tiny", word]) == USAGE
    assert "pattern" in capsys.readouterr().err


def test_the_guide_has_the_published_table() -> None:
    page = (ROOT / "docs" / "guide" / "open-division.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in published.markdown() if line not in page] == []


def test_a_row_has_the_operations_of_its_run() -> None:
    run = record()
    assert run.progress and run.performance and run.performance.value
    samples = run.progress.completed
    counted = Operations(products=10_000_000 * samples, attention=1_000_000 * samples, weight_bytes=None)
    run = record(operations=counted)
    dense, sparse = (ladder.row(published.rung(name), run, run) for name in ("bert-tiny", "bert-large@80"))
    assert [dense.mflop_per_sample, sparse.mflop_per_sample] == pytest.approx([11, 11])
    assert ladder.cells(sparse, dense)[2:] == (
        "1", ladder.cells(dense, dense)[3], "11", "90.41", "Neural Magic, v2.1 open"
    )  # fmt: skip
    assert ladder.RANDOM_NOTE in ladder.notes([dense])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--speed", "bert-tiny", "--build"), "--build with --speed"),
        (("--speed", "bert-tiny", "--accuracy-samples", "3"), "--accuracy-samples with --speed"),
        (("--speed", "--model", "demo"), "Type: --speed demo"),
        ((), "expected a preset, found none"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words]) == USAGE
    assert message in capsys.readouterr().err
