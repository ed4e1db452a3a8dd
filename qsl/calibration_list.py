"""MLPerf's lists of what to calibrate on: a text file of feature indices, or of question ids.

Ids are looked for first, since nothing keeps a data set from having numbers for ids. A question whose passage is long
brings all of its features.
"""

from __future__ import annotations

from pathlib import Path

from qsl import squad
from qsl.base import DatasetError


def read(path: Path, dataset: Path, vocab: Path, cache_dir: Path | None) -> list[int]:
    """The features of `dataset` that the list in `path` names, each once, in their own order.

    Raises:
        DatasetError: the list cannot be read, or names what the data set does not have.
    """
    words = _words(path)
    features = squad.load(dataset, vocab, cache_dir)
    number = {example.id: index for index, example in enumerate(squad.read_examples(dataset))}
    if words[0] in number:
        unknown = [word for word in words if word not in number]
        wanted = {number.get(word, -1) for word in words}
        found = [row for row, index in enumerate(features.example_index.tolist()) if index in wanted]
        what = "question ids"
    else:
        unknown = [word for word in words if not (word.isdecimal() and int(word) < len(features.features))]
        found = sorted({int(word) for word in words if word not in unknown})
        what = f"question ids or feature indices up to {len(features.features) - 1}"
    if unknown:
        raise DatasetError(
            f"wanted {what} of {dataset} in {path}, found {unknown[0]!r}. "
            f"Name the data set that the list was made for with --calibration-dataset FILE."
        )
    return found


def _words(path: Path) -> list[str]:
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"wanted a calibration list at {path}, found: {error}. Check --calibration-list.") from error
    if not words:
        raise DatasetError(f"wanted feature indices or question ids in {path}, found none. Check --calibration-list.")
    return words
