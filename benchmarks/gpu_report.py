"""The output of `benchmarks.gpu`: limits and contestants, time by part, goals, and the JSON facts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import metadata

from backends.bert.encoder import EncoderConfig
from benchmarks.cpu_report import Grid, spread_text
from benchmarks.interleave import Contestant, Goal, RatioTerm, Results, Spread, ratio, spread, summary

OFFLINE, P90, PEAK_QPS, RATE = "samples_per_s", "p90_ms", "peak_qps", "rate"
SHARES = ("gemm", "attention", "elementwise", "idle")  # of the elapsed time
_UNITS = {"limit copy": "GB/s read and written"}  # of limits in other units than T(FL)OP/s
CARDS = ("H100", "H200")
ONE: RatioTerm = ("", "", 1.0)  # the second term of a plain figure
# For BERT-Large at SQuAD's lengths: figure, its terms, and by card floor and aim.
_FIGURES: tuple[tuple[str, RatioTerm, RatioTerm, dict[str, tuple[float, float]]], ...] = (
    ("fp8 Offline, samples/s", ("sut fp8", OFFLINE, 1.0), ONE, {"H100": (6800, 8200), "H200": (7100, 8800)}),
    ("int8 Offline, samples/s", ("sut int8", OFFLINE, 1.0), ONE, {"H100": (6100, 8000), "H200": (6300, 9300)}),
    ("fp16 Offline, samples/s", ("sut fp16", OFFLINE, 1.0), ONE, {"H100": (4800, 5400), "H200": (5000, 5600)}),
    (
        "fp8 Server peak (p99 ≤ 130 ms) over Offline",
        ("sut fp8", PEAK_QPS, 1.0),
        ("sut fp8", OFFLINE, 1.0),
        dict.fromkeys(CARDS, (0.75, 0.9)),
    ),
    ("SingleStream p90, fp8, ms", ("sut fp8", P90, 1.0), ONE, dict.fromkeys(CARDS, (1.2, 0.9))),
    (
        "fp16 Offline over transformers fp16 padded",
        ("sut fp16", OFFLINE, 1.0),
        ("peer pytorch-gpu", OFFLINE, 1.0),
        dict.fromkeys(CARDS, (2.2, 3.0)),
    ),
)


def card_of(gpu: str) -> str:
    """The card of CARDS that a GPU's name has in it, else the last."""
    return next((card for card in CARDS if card in gpu), CARDS[-1])


def goals(gpu: str) -> list[tuple[Goal, RatioTerm, RatioTerm]]:
    """The goals for a GPU."""
    card = card_of(gpu)
    return [
        (Goal(name, *bounds[card], lower_is_better=bounds[card][1] < bounds[card][0]), above, below)
        for name, above, below, bounds in _FIGURES
    ]


class GpuReport:
    """The results as tables and as JSON."""

    def __init__(
        self,
        contestants: Sequence[Contestant],
        results: Results,
        config: EncoderConfig,
        tokens_per_sample: float,
        gpu: str,
    ) -> None:
        self._contestants, self._results, self._tokens, self._gpu = contestants, results, tokens_per_sample, gpu
        self._tops_per_sample = config.operations_per_token * tokens_per_sample / 1e12

    def tables(self) -> Iterator[Grid]:
        heading = f"{self._gpu}; {self._tokens:.0f} tokens per sample; median (lowest – highest)"
        columns: tuple[str, ...] = (
            *("contestant", "Offline samples/s", "share of the limit", "Server peak, queries/s"),
            *("SingleStream p90, ms", "how"),
        )
        yield Grid(heading, columns, [self._row(one) for one in self._contestants])
        columns = ("time by part", *SHARES)
        yield Grid("share of the elapsed time, Offline", columns, list(self._parts()))
        columns = ("figure", "measured", "floor", "aim", "reached")
        yield Grid(f"goals on one {card_of(self._gpu)}", columns, [self._goal_row(*one) for one in goals(self._gpu)])

    def facts(self) -> dict[str, object]:
        """The content of the JSON line."""
        reached = {
            goal.name: {**asdict(found), "floor": goal.floor, "aim": goal.aim, "reached": goal.verdict(found.median)}
            for goal, above, below in goals(self._gpu)
            if (found := self._reached(above, below))
        }
        return {
            "gpu": self._gpu,
            "driver": driver(),
            "packages": {name: metadata.version(name) for name in ("torch", "triton")},
            "tokens_per_sample": self._tokens,
            "tops_per_sample": self._tops_per_sample,
            "figures": summary(self._results),
            "goals": reached,
        }

    def _row(self, one: Contestant) -> tuple[str, ...]:
        if one.key in self._results.missing:
            return (one.key, "–", "–", "–", "–", self._results.missing[one.key])
        if limit := spread(self._results, one.key, RATE):
            return (one.key, spread_text(limit, _UNITS.get(one.key, "T(FL)OP/s")), "", "", "", one.about)
        offline, peak, p90 = (
            spread_text(spread(self._results, one.key, metric)) for metric in (OFFLINE, PEAK_QPS, P90)
        )
        return (one.key, offline, self._share(one), peak, p90, one.about)

    def _share(self, one: Contestant) -> str:
        """The share of the matrix products' limit at its precision, for real tokens and without attention."""
        ours = one.key, OFFLINE, self._tops_per_sample
        found = ratio(self._results, ours, (f"limit {one.precision}", RATE, 1.0))
        return f"{found.median:.0%}" if found else "–"

    def _parts(self) -> Iterator[tuple[str, ...]]:
        for one in self._contestants:
            found = [spread(self._results, one.key, part) for part in SHARES]
            if all(found):
                yield (one.key, *(f"{part.median:.1%}" for part in found if part))

    def _reached(self, above: RatioTerm, below: RatioTerm) -> Spread | None:
        return spread(self._results, *above[:2]) if below is ONE else ratio(self._results, above, below)

    def _goal_row(self, goal: Goal, above: RatioTerm, below: RatioTerm) -> tuple[str, ...]:
        found, bounds = self._reached(above, below), (f"{goal.floor:g}", f"{goal.aim:g}")
        return (goal.name, spread_text(found), *bounds, goal.verdict(found.median) if found else "not measured")


def driver() -> str:
    """Driver, current and maximum clocks and power limit, from nvidia-smi; "" if it is not installed."""
    fields = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
