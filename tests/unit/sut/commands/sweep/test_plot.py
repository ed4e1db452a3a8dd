"""The plot: which figures get a panel, and that every kind of axis and every gap can be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sut.commands.sweep import plot, summary, table
from sut.commands.sweep.grid import Value, axis, points
from sut.settings.resolve import resolve


def one(point: Mapping[str, Value], **figures: float) -> summary.PointSummary:
    found = {name: summary.figure([value, value * 1.1]) for name, value in figures.items()}
    return summary.PointSummary(
        point=point,
        runs=2,
        failures=0,
        verdicts={"VALID": 2},
        figures=found,
        random_weights=False,
        trial=True,
        notices=("a trial",),
    )


def test_of_the_latencies_only_the_highest_that_all_have_gets_a_panel() -> None:
    both = [one({}, samples_per_s=1, p50_ms=1, p99_ms=2), one({}, samples_per_s=1, p50_ms=1, f1=90)]
    assert plot.panels(both) == ["samples_per_s", "p50_ms", "f1"]
    assert plot.panels([one({}, samples_per_s=1, p90_ms=1, **{"p99.9_ms": 3})]) == ["samples_per_s", "p90_ms"]
    assert plot.panels([one({})]) == []


@pytest.mark.parametrize(
    "texts",
    [
        ["threads=1 2 4 ...32"],
        ["precision=fp32|int8", "threads=1 2"],
        ["threads=3 1", "instances=1 2", "mode=accuracy"],
    ],
    ids=("geometric", "words", "three axes"),
)
def test_every_kind_of_axis_can_be_drawn(tmp_path: Path, texts: list[str]) -> None:
    pytest.importorskip("matplotlib")
    axes = [axis(text) for text in texts]
    found = [one(point.settings, samples_per_s=5, p99_ms=3) for point in points(axes, {})]
    found[0] = one(found[0].point)  # a point all of whose runs failed
    plot.draw(found, axes, "a heading", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_the_heading_claims_no_precision_for_a_graph_that_runs_as_it_is() -> None:
    assert table.heading(resolve({"model": "m.bin"}), []).endswith("m.bin, onnxruntime, fp32")
    assert table.heading(resolve({"model": "m.onnx"}), []).endswith("m.onnx, onnxruntime")
    assert table.heading(resolve({"model": "m.onnx", "backend": "pytorch"}), []).endswith("m.onnx, pytorch, fp32")
