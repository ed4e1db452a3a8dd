"""The table of quantization-aware training against calibration; nothing is trained."""

from __future__ import annotations

from benchmarks.calibration import Nearness
from benchmarks.quantization_aware import CALIBRATED, TRAINED, Row, grid


def _row(way: str, seed: int, error: float) -> Row:
    found = Nearness(score=99.0, agree=0.995, error=error, mean=0.1, greatest=7)
    return Row(way=way, samples=1, seed=seed, found=found)


def test_the_table_has_the_mean_of_the_draws_and_their_range() -> None:
    rows = [_row(CALIBRATED, 1, 0.1), _row(TRAINED, 1, 0.05), _row(CALIBRATED, 2, 0.3)]
    assert [row[:3] for row in grid(rows).rows] == [
        ("1", CALIBRATED, "0.2000 (0.1000 – 0.3000)"),
        ("1", TRAINED, "0.0500 (0.0500 – 0.0500)"),
    ]
    assert grid(rows).rows[1][3:] == ("0.1000", "7.00", "99.50", "99.00")
