"""Pre-training on this machine: samples/s over transformers' Trainer, MFU, and two processes over one.

All train BERT-Base on the same random samples with SQuAD's lengths, with dropout, AdamW and clipping, in turns of a
process each (benchmarks/interleave.py). Prints a table, the ratios with their goals, a step's parts, one JSON line.

    python -m benchmarks.pretraining
    python -m benchmarks.pretraining --only speed --rounds 1 --seconds 5 --layers 2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple
from functools import partial

from rich.table import Table

from benchmarks import pretraining_child
from benchmarks.cpu_report import spread_text
from benchmarks.interleave import (
    Contestant,
    Goal,
    RatioTerm,
    Reading,
    Results,
    Spread,
    ratio,
    run_turns,
    spread,
    summary,
)
from benchmarks.sut_runs import turn
from foundation import program, terminal
from sut.machine import facts as machine_facts

Ratio = tuple[Goal, RatioTerm, RatioTerm]
OURS, PEER, TWO, PARTS = "ours", "transformers", "two processes", "parts"
# Part for --only → the contestants that it needs.
NEEDS = {"speed": (OURS, PEER), "mfu": (OURS,), "scaling": (OURS, TWO), "parts": (PARTS,)}
RATIOS: tuple[Ratio, ...] = (
    (Goal("samples/s over transformers at 512", 1.8, 2.5), (OURS, "samples_per_s", 1), (PEER, "samples_per_s", 1)),
    (Goal("MFU: 6 N tokens/s over the peak of products", 0.6, 0.75), (OURS, "flops", 1), (OURS, "peak_flops", 1)),
    (Goal("tokens/s of two processes over one", 0.95, 1.0), (TWO, "tokens_per_s", 1), (OURS, "tokens_per_s", 1)),
)  # fmt: skip


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """All contestants, in the table's order."""
    cores, precision = machine_facts.cores(), options.precision
    own = partial(_turn, options)
    ranks = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    found = [
        Contestant(OURS, f"one process, {cores} threads", precision, partial(own, "ours", cores)),
        Contestant(TWO, f"gloo, {cores // 2} threads each", precision, partial(own, "ours", cores // 2, ranks)),
        Contestant(PEER, f"{_peer()}, {cores} threads", precision, partial(own, "transformers", cores)),
        Contestant(PARTS, "shares of a step's time", precision, partial(own, "profile", cores)),
    ]
    needed = NEEDS.get(options.only, (OURS, TWO, PEER, PARTS))
    return [one for one in found if one.key in needed]


def _peer() -> str:
    from importlib.util import find_spec

    return "Trainer" if find_spec("accelerate") else "the loop of Trainer, which needs accelerate"


def _turn(options: argparse.Namespace, name: str, threads: int, launcher: Sequence[str] = ()) -> Reading:
    names = ("model", "layers", "samples", "seconds", "precision")
    flags = [f"--{one}={value}" for one in names if (value := getattr(options, one)) is not None]
    done = turn([*launcher, "benchmarks.pretraining_child", name, f"--threads={threads}", *flags])
    reading: Reading = json.loads(done.stdout.splitlines()[-1])
    return reading


def tables(chosen: Sequence[Contestant], results: Results) -> list[Table]:
    facts = machine_facts.facts()
    title = f"{facts.cores} cores of {facts.processor}; median (lowest – highest)"
    speed = Table("contestant", "samples/s", "tokens/s", "6 N tokens/s, GFLOP/s", "peak, GFLOP/s", "how", title=title)
    for one in chosen:
        if one.key != PARTS or one.key in results.missing:
            speed.add_row(one.key, *_figures(results, one.key), results.missing.get(one.key, one.about))
    goals = Table("ratio", "measured", "floor", "aim", "reached")
    for goal, above, below in RATIOS:
        if found := ratio(results, above, below):
            aims = (f"{goal.floor:g}", f"{goal.aim:g}", goal.verdict(found.median))
            goals.add_row(goal.name, spread_text(found, ""), *aims)
    parts = Table("part of a step", "share")
    for name in results.readings.get(PARTS, [{}])[0]:
        if share := spread(results, PARTS, name):
            parts.add_row(name, f"{share.median:.1%}")
    return [one for one in (speed, goals, parts) if one.row_count]


def _figures(results: Results, key: str) -> list[str]:
    metrics = (("samples_per_s", 1.0), ("tokens_per_s", 1.0), ("flops", 1e-9), ("peak_flops", 1e-9))
    found = [(spread(results, key, metric), factor) for metric, factor in metrics]
    return [spread_text(Spread(*(value * by for value in astuple(one)))) if one else "" for one, by in found]


def ratios(results: Results) -> dict[str, object]:
    """For the JSON line."""
    found = {goal.name: (goal, ratio(results, above, below)) for goal, above, below in RATIOS}
    return {
        name: {**asdict(one), "floor": goal.floor, "aim": goal.aim, "reached": goal.verdict(one.median)}
        for name, (goal, one) in found.items()
        if one
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretraining", description=__doc__)
    parser.add_argument("--only", choices=NEEDS, help="one part (default: all)")
    parser.add_argument("--rounds", type=int, default=2)
    pretraining_child.add_settings(parser)
    options = parser.parse_args()
    chosen = contestants(options)

    def say(number: int, one: Contestant, reading: Reading | str) -> None:
        print(f"round {number + 1}, {one.key}: {reading}", file=sys.stderr, flush=True)

    results = run_turns(chosen, options.rounds, say)
    console = terminal.console()
    for table in tables(chosen, results):
        console.print(table)
    settings = {name: value for name, value in vars(options).items() if name != "only"}
    machine = asdict(machine_facts.facts())
    print(json.dumps({"figures": summary(results), "ratios": ratios(results), **settings, "machine": machine}))


if __name__ == "__main__":
    sys.exit(program.run(main))
