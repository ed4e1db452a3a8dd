"""Pre-training instances for tests: a few that the reference's own script made of generated text, and drawn ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st

from training.shards.instances import Row, from_rows

_FILE = Path(__file__).with_name("golden_pretraining_rows.jsonl")
GOLDEN = [Row(*json.loads(line)) for line in _FILE.read_text(encoding="ascii").splitlines()]
GOLDEN_SHA256 = "51306c8bd4d0704ad8d947cbdb808b7a9b0e4a29cdb189e9877c68f07d8ccabb"  # sha256sum of the file
VOCABULARY_SIZE = 70_000  # of what is drawn: more than 16 bits hold


def hashed(rows: Iterable[Row]) -> str:
    """The definition, word for word."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(row, separators=(",", ":")).encode() + b"\n")
    return sha.hexdigest()


@st.composite
def _rows(draw: st.DrawFn) -> Row:
    most = draw(st.sampled_from([9, 30_521, VOCABULARY_SIZE - 1]))
    ids = draw(st.lists(st.integers(0, most), min_size=2, max_size=12))
    first = draw(st.integers(1, len(ids)))
    positions = sorted(draw(st.sets(st.integers(1, len(ids) - 1), max_size=4)))
    masked = [draw(st.integers(0, most)) for _ in positions]
    return Row(ids, [0] * first + [1] * (len(ids) - first), positions, masked, draw(st.integers(0, 1)))


ROWS = st.lists(_rows(), max_size=5)
INSTANCES = ROWS.map(from_rows)
