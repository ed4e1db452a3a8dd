"""The commands that train the embedded models: what a user mistyped is one line, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from foundation.errors import USAGE
from training import demo, sst2


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (demo.main, "--questions 3", "expected --questions of 32 or more, found 3"),
        (demo.main, "--threads 0", "expected --threads of 1 or more, found 0"),
        (demo.main, "--seed -1", "expected --seed of 0 or more, found -1"),
        (demo.main, "--vocab no/vocab.txt", "expected a WordPiece vocabulary"),
        (demo.main, "--resume --output no", "expected a WordPiece vocabulary"),
        (sst2.main, "--epochs 0", "expected --epochs of 1 or more, found 0"),
        (sst2.main, "--sentences 31", "expected --sentences of 32 or more, found 31"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_one_line(
    main: Callable[[list[str]], int],
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []
