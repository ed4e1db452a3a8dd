"""The output of `benchmarks.cpu`: a row for each contestant, the ratios with their goals, and the JSON facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from backends.bert.encoder import EncoderConfig
from benchmarks.interleave import Contestant, Goal, RatioTerm, Reading, Results, Spread, best, ratio, spread, summary
from foundation.people_numbers import figure
from sut.machine import facts as machine_facts

OFFLINE, P90, PEAK = "samples_per_s", "p90_ms", "gops"


@dataclass(frozen=True)
class Grid:
    """A table as text: heading, columns, rows."""

    heading: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


class CpuReport:
    """The results as tables and as JSON."""

    def __init__(
        self,
        contestants: Sequence[Contestant],
        results: Results,
        config: EncoderConfig,
        tokens_per_sample: float,
        without: tuple[str, ...] = (),  # instruction sets that were disabled
        cpu_time: bool = False,  # seconds are the CPU time of one pinned core
    ) -> None:
        self._contestants, self._results, self._tokens = contestants, results, tokens_per_sample
        # samples/s × this = GOP/s of the matrix products
        self._gop_per_sample = config.operations_per_token * tokens_per_sample / 1e9
        self._machine, self._without, self._cpu_time = machine_facts.facts(), list(without), cpu_time

    def tables(self) -> Iterator[Grid]:
        cores = "CPU time of one pinned core" if self._cpu_time else f"{self._machine.cores} cores"
        machine = f"{cores} of {self._machine.processor}"
        machine += "".join(f", {what} off for all" for what in self._without)
        columns: tuple[str, ...] = (
            "contestant",
            "samples/s",
            "tokens/s",
            "share of the limit",
            "p90 of a sample, ms" if self._cpu_time else "SingleStream p90, ms",
            "how",
        )
        rows: list[tuple[str, ...]] = [self._row(one) for one in self._contestants]
        yield Grid(f"{machine}; {self._tokens:.0f} tokens per sample; median (lowest – highest)", columns, rows)
        columns = ("ratio", "measured", "floor", "aim", "reached")
        yield Grid("goals", columns, [self._goal_row(*one) for one in self._goals()])

    def facts(self) -> dict[str, object]:
        """The content of the JSON line."""
        ratios = {
            goal.name: None
            if (found := ratio(self._results, above, below)) is None
            else {**asdict(found), "floor": goal.floor, "aim": goal.aim, "reached": goal.verdict(found.median)}
            for goal, above, below in self._goals()
        }
        return {
            "tokens_per_sample": self._tokens,
            "gop_per_sample": self._gop_per_sample,
            "figures": summary(self._results),
            "ratios": ratios,
            "machine": {**asdict(self._machine), "without": self._without},
            "cpu_time": self._cpu_time,
        }

    def _row(self, one: Contestant) -> tuple[str, ...]:
        if one.key in self._results.missing:
            return (one.key, "–", "–", "–", "–", self._results.missing[one.key])
        if found := spread(self._results, one.key, PEAK):
            return (one.key, spread_text(found, "GOP/s"), "", "", "", one.about)
        if not self._results.readings.get(one.key):
            return (one.key, "–", "–", "–", "–", "not measured")
        offline, p90 = (spread(self._results, one.key, metric) for metric in (OFFLINE, P90))
        if one.key == DEMO:
            peak = spread(self._results, DEMO, "peak_qps")
            server = f"; Server peak {spread_text(peak)} queries/s" if peak else ""
            return (one.key, spread_text(offline), "", "", "", one.about + server)
        tokens = f"{offline.median * self._tokens:,.0f}" if offline else "–"
        return (one.key, spread_text(offline), tokens, self._share(one), spread_text(p90), one.about)

    def _share(self, one: Contestant) -> str:
        """The share of the peak at its precision; all int8 precisions count against the int8 peak."""
        found = ratio(self._results, self._limit_side(one.key), (_peak_key(one.precision), PEAK, 1.0))
        return f"{found.median:.0%}" if found else "–"

    def _limit_side(self, key: str) -> RatioTerm:
        return key, OFFLINE, self._gop_per_sample

    def _goals(self) -> Iterator[tuple[Goal, RatioTerm, RatioTerm]]:
        int8, fp32 = (self._ours(precision) for precision in ("int8", "fp32"))
        offline = (int8, OFFLINE, 1.0)
        yield Goal("int8 Offline over the int8 GEMM peak", 0.82, 0.88), self._limit_side(int8), ("peak int8", PEAK, 1.0)
        for name, peer, floor, aim in (
            ("ONNX Runtime dynamic int8, natural length", self._fastest("peer onnxruntime-int8"), 1.42, 1.55),
            ("CTranslate2 int8, natural length", self._fastest("peer ctranslate2-int8"), 1.42, 1.55),
            ("OpenVINO NNCF int8, natural length", self._fastest("peer openvino-int8"), 1.6, 1.8),
            ("the MLPerf reference in PyTorch", "peer pytorch-reference", 7.0, 9.0),
        ):
            yield Goal(f"int8 Offline over {name}", floor, aim), offline, (peer, OFFLINE, 1.0)
        yield Goal("fp32 Offline over the fp32 GEMM peak", 0.88, 0.93), self._limit_side(fp32), ("peak fp32", PEAK, 1.0)
        yield (
            Goal("fp32 Offline over OpenVINO fp32, natural length", 1.0, 1.1),
            (fp32, OFFLINE, 1.0),
            (self._fastest("peer openvino-fp32"), OFFLINE, 1.0),
        )
        yield (
            Goal("int8 SingleStream p90 over ONNX Runtime dynamic int8's", 0.72, 0.6, lower_is_better=True),
            (int8, P90, 1.0),
            ("peer onnxruntime-int8", P90, 1.0),
        )
        yield (
            Goal("demo: Server peak at 130 ms p99 over Offline", 0.75, 0.9),
            (DEMO, "peak_qps", 1.0),
            (DEMO, OFFLINE, 1.0),
        )

    def _ours(self, precision: str) -> str:
        """The package's fastest backend at this precision, or PyTorch's key if none ran."""
        keys = [one.key for one in self._contestants if one.key.startswith("sut ") and one.precision == precision]
        return best(self._results, [key for key in keys if key != DEMO], OFFLINE) or f"sut pytorch {precision}"

    def _fastest(self, peer: str) -> str:
        """The peer's variant with the most samples per second."""
        keys = [one.key for one in self._contestants if one.key.startswith(peer)]
        return best(self._results, keys, OFFLINE) or peer

    def _goal_row(self, goal: Goal, above: RatioTerm, below: RatioTerm) -> tuple[str, ...]:
        found = ratio(self._results, above, below)
        bounds = (f"{goal.floor:g}", f"{goal.aim:g}")
        if found is None:
            absent = [term[0] for term in (above, below) if not self._results.readings.get(term[0])]
            return (goal.name, "–", *bounds, f"not measured: {', '.join(dict.fromkeys(absent))}")
        return (goal.name, spread_text(found), *bounds, goal.verdict(found.median))


DEMO = "sut demo server"


def _peak_key(precision: str) -> str:
    return f"peak {precision.partition('-')[0]}"


def spread_text(found: Spread | None, unit: str = "") -> str:
    if found is None:
        return "–"
    text = f"{figure(found.median)} ({figure(found.lowest)} – {figure(found.highest)})"
    return f"{text} {unit}".rstrip()


def reading_text(reading: Reading | str) -> str:
    """The result of one turn as text for the progress line."""
    if isinstance(reading, str):
        return reading
    return ", ".join(f"{name} {figure(value)}" for name, value in reading.items())


def show(grid: Grid, console: Console, markdown: bool) -> None:
    """Print a table, or its Markdown."""
    if markdown:
        print(f"\n{grid.heading}\n")
        for row in (grid.columns, ("---",) * len(grid.columns), *grid.rows):
            print(f"| {' | '.join(row)} |")
        return
    table = Table(*grid.columns, title=grid.heading, box=None, title_justify="left")
    for row in grid.rows:
        table.add_row(*row)
    console.print(table)
