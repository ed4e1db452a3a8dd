"""The first run on a GPU without one: all its steps in twins, and what becomes of steps that fail, hang or are cut."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks import length_matched
from benchmarks.gpu_first_run import __main__ as first_run
from benchmarks.gpu_first_run import counters, goals, loadgen, products, workload
from benchmarks.gpu_first_run.steps import Ended, Runner, Step, chosen


@pytest.mark.parametrize("part", first_run.PARTS)
def test_a_dry_run_of_every_step_fills_the_table(part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    flags = ["--dry-run", "--out", str(out), "--work", str(tmp_path / "work"), "--precisions", "fp8", "fp16"]
    assert first_run.main([part, *flags]) == 0, capsys.readouterr().out
    table = capsys.readouterr().out
    assert "FAILED" not in table and "failed:" not in table
    assert table.splitlines()[1:] == (out / f"{part}-table.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert len(list(out.iterdir())) <= 8  # few enough to carry from another machine
    steps = [*first_run.PARTS[part](tmp_path, tmp_path)]
    assert len({step.name for step in steps}) == len(steps)
    assert {name for step in steps for name in step.after} <= {step.name for step in steps}


def ended(tmp_path: Path, *steps: Step, limit_s: float = 30) -> dict[str, Ended]:
    found: dict[str, Ended] = {}
    runner = Runner(tmp_path, time.monotonic() + limit_s, {})
    runner.run(steps, lambda one: found.update({one.step.name: one}))
    return found


def step(name: str, module: str = "this", limit_s: float = 30, **more: object) -> Step:
    return Step(name=name, words=("word",), module=module, limit_s=limit_s, **more)  # type: ignore[arg-type]


def test_a_step_that_fails_or_hangs_costs_only_itself(tmp_path: Path) -> None:
    found = ended(
        tmp_path,
        step("alone", alone=True),
        step("hangs", "http.server", limit_s=0.5, arguments=("--bind", "127.0.0.1", "0")),
        step("fails", "no_such_module"),
        step("last", after=("hangs", "not in this run")),
    )
    assert found["hangs"].verdict.startswith("killed at")
    assert {name: one.is_good for name, one in found.items()} == {
        "alone": True, "hangs": False, "fails": False, "last": True,
    }  # fmt: skip
    assert next(iter(found)) == "alone" and list(found)[-1] == "last"
    assert "no_such_module" in [*found["fails"].rows()][-1]
    assert "Namespaces" in found["last"].out


def test_what_does_not_fit_into_the_time_is_killed_or_not_begun(tmp_path: Path) -> None:
    server = ("--bind", "127.0.0.1", "0")
    found = ended(
        tmp_path, step("hangs", "http.server", arguments=server), step("never", after=("hangs",)), limit_s=0.3
    )
    assert found["hangs"].code is None and found["never"].verdict == "not run"


def test_steps_are_chosen_by_group_and_precision() -> None:
    groups = {"a fp8": ("a", "fp8"), "a fp16": ("a", "fp16"), "b": ("b",), "always": ()}
    steps = [Step(name=name, words=words, module="", limit_s=1) for name, words in groups.items()]
    assert [one.name for one in chosen(steps, ["a"], ["fp8"], ["fp8", "fp16"])] == ["a fp8", "always"]
    assert [one.name for one in chosen(steps, [], ["fp16"], ["fp8", "fp16"])] == ["a fp16", "b", "always"]


def test_lengths_have_squads_mean_and_greatest() -> None:
    found = length_matched.squad_lengths(1000)
    assert abs(sum(found) / 1000 - length_matched.MEAN_LENGTH) < 0.5 and max(found) <= 384
    batch = workload.batch(32768, 100)
    assert 0.97 * 32768 < batch.tokens <= 32768


def test_counters_are_read_from_ncus_csv_between_other_lines() -> None:
    """The columns of Nsight Compute's `--csv --page details`, shortened."""
    heading = '"ID","Process ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"'
    rows = (
        '"1","7","_add_norm","GPU Speed Of Light Throughput","Duration","us","78.30"',
        '"0","7","_gemm","GPU Speed Of Light Throughput","Duration","ns","159,200"',
        '"0","7","_gemm","GPU Speed Of Light Throughput","DRAM Throughput","%","41.5"',
        '"0","7","_gemm","Launch Statistics","Registers Per Thread","register/thread","168"',
        '"0","7","_gemm","Occupancy","Block Limit SM","block","32"',
    )
    heads, *found = counters.table(["==PROF== Connected to process 7", heading, *rows, "==WARNING== clocks"])
    assert [dict(zip(heads, row, strict=True)) for row in found] == [
        {**dict.fromkeys(heads, "-"), "kernel": "_gemm", "us": "159.2", "DRAM%": "41.5", "regs": "168"},
        {**dict.fromkeys(heads, "-"), "kernel": "_add_norm", "us": "78.3"},
    ]


def test_goals_are_read_from_what_steps_left(tmp_path: Path) -> None:
    loadgen.results_of(tmp_path, "fp16").write_text('{"samples_per_s": 5000}', encoding="utf-8")
    (tmp_path / "peer-pytorch-gpu.out").write_text('warming up\n{"samples_per_s": 2000}\n', encoding="utf-8")
    loadgen.results_of(tmp_path, "fp8").write_text("{", encoding="utf-8")  # cut off
    assert goals.results(tmp_path).readings == {
        "sut fp16": [{"samples_per_s": 5000}],
        goals.PEER: [{"samples_per_s": 2000}],
    }


def test_the_peak_is_the_highest_valid_probe_of_a_search_that_was_cut() -> None:
    said = (
        "probe  1:       5950 qps  p99  48.20 ms  VALID\n"
        "probe  2:       7140 qps  p99 310.00 ms  INVALID\n"
        "probe  3:       6518 qps  p99 101.30 ms  VALID\n"
        "killed at 90 s"
    )
    assert loadgen.valid_rates(said) == [5950, 6518]


def test_a_wrong_variant_is_shown_and_never_chosen() -> None:
    def timed(variant: str, ms: float, off: float = 0.0) -> products.Timed:
        return products.Timed(product="qkv", tokens=16384, variant=variant, ms=ms, tflops=1 / ms, off=off)

    found = [timed("right", 0.2), timed("wrong", 0.1, off=1.0), timed("NaN", 0.15, off=float("nan")), timed("slow", 2)]
    rows = [row[:2] for row in products.table(found)]
    assert rows == [("variant", "qkv@16k"), ("right", "5*"), ("wrong", "10!"), ("NaN", "7!")]
    assert products.choices(found, {"qkv@64": "as it was"}) == {"qkv@64": "as it was", "qkv@16384": "right"}
