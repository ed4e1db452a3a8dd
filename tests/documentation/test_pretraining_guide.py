"""docs/guide/pretraining.md: the commands for one's own text, with a book of generated paragraphs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from command import Command
from paths import ROOT

from training.records import training_record
from training.text import generated

_TEXT = (ROOT / "docs" / "guide" / "pretraining.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """The words after `python -m` of the page's first block with such commands."""
    block = next(one for one in re.findall(r"^```\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL) if "book.txt" in one)
    return [shlex.split(line)[2:] for line in block.replace("\\\n", " ").splitlines()]


@pytest.mark.timeout(300)
def test_ones_own_text_is_trained_to_the_pages_target(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    articles = generated.text("train", 1, 600).strip().split("\n\n")
    book = "\n\n".join(article.replace("\n", " ") for article in articles)
    (work / "book.txt").write_text(book, encoding="utf-8")
    printed = []
    for module, *words in commands():
        with Command(tmp_path, module, words) as command:
            ended = command.end()
        assert ended.code == 0, f"{' '.join(words)}\n{ended.out}\n{ended.err}"
        printed.append(ended.out)
    described = json.loads(printed[1].splitlines()[-1])
    assert described["metadata"]["vocabulary_size"] >= 1_000 and described["longest"] <= 64
    assert "target reached" in printed[2] and "target reached" in printed[3]
    run = work / "runs" / "first"
    assert training_record.read(run).status == "reached"
    assert {"model", "run.json", "steps.csv", "training.png", "mllog.txt", "checkpoints"} <= {
        path.name for path in run.iterdir()
    }
