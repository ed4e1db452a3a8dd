"""What a person sees of a training run: progress, the final table, runs side by side, the plot."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import training_events as made
from rich.console import Console
from torch.optim import Adam

from foundation import cpu_info
from sut.errors import UsageError
from training import report
from training.loop import announce
from training.loop.events import EvaluationBegan, EvaluationDone, Resumed
from training.loop.plan import Plan, Precision
from training.loop.world import ALONE
from training.records import plot
from training.records.listening import Listening, listening
from training.records.progress import ProgressLine, ProgressNow, line, opening
from training.records.record_writer import RecordWriter

SMALL = ProgressNow(
    step=7,
    max_steps=99,
    samples=56,
    loss=9.9,
    learning_rate=1e-3,
    tokens_per_s=853.2,
    evaluation_in_s=None,
    end_in_s=None,
)
LARGE = ProgressNow(
    step=123_456,
    max_steps=240_000,
    samples=987_654_321,
    loss=6.123456,
    learning_rate=3.51234e-4,
    tokens_per_s=12_345_678.0,
    evaluation_in_s=3601.0,
    end_in_s=360_000.0,
)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("now", [SMALL, LARGE])
def test_a_line_fits_and_is_not_cut_off(now: ProgressNow, columns: int) -> None:
    text = line(now, columns)
    assert len(text) <= columns
    assert f"end {'–' if now is SMALL else '100:00:00'}" in text.replace("end in", "end")


def test_a_line_says_what_is_known() -> None:
    assert line(SMALL, 120) == "step 7 of 99, 56 samples, loss 9.9, lr 0.001, 853 tokens/s, evaluation in –, end in –"
    assert line(LARGE, 80) == "123,456/240,000 loss 6.123 lr 0.00035 12.3M tok/s eval 1:00:01 end 100:00:00"


def shown(terminal: bool, columns: int = 80) -> str:
    """What a run with an evaluation every five steps shows, with a clock that goes on a second a look."""
    stream, clock = io.StringIO(), iter(range(10_000))
    console = Console(file=stream, force_terminal=terminal, width=columns, highlight=False, color_system=None)
    happened = made.whole((0.1, 0.4, 0.8), target=0.72, division="open")
    happened.insert(4, Resumed(path=Path("run/checkpoint"), step=5, samples=500))
    with ProgressLine(console=console, now_s=lambda: float(next(clock))) as progress:
        made.send(happened, progress)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("precision", "multiplies_bf16", "said"),
    [("bf16", False, True), ("bf16", True, False), ("bf16", None, False), ("fp32", False, False)],
)
def test_a_processor_without_bfloat16_is_remarked(
    precision: Precision, multiplies_bf16: bool | None, said: bool
) -> None:
    remark = announce.remark("A CPU", precision, multiplies_bf16)
    assert remark == ("A CPU has no bfloat16 instructions: fp32 is usually faster" if said else None)


def test_a_run_begins_with_the_remark_on_its_processor(tmp_path: Path) -> None:
    plan = Plan(
        seed=1,
        max_steps=9,
        make_optimizer=lambda network: Adam(network.parameters()),
        learning_rate=float,
        precision="bf16",
    )
    began = announce.run_began("task", plan, ALONE, tmp_path, settings={}, hyperparameters=made.LAMB, started_s=0.0)
    assert began.remark == announce.remark(announce.device_name(ALONE), "bf16", cpu_info.multiplies_bf16())


def test_a_remark_on_the_machine_is_the_openings_last_line() -> None:
    lines = opening(made.began(remark="slow here")).splitlines()
    assert lines == [*opening(made.began()).splitlines(), "slow here"]


def test_without_a_terminal_there_is_a_line_every_ten_seconds() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "bert, open division, seed 1: 1 node, 8 devices: a processor, ddp, fp32"
    assert len([one for one in lines if one.startswith("step ")]) == 1
    assert "goes on from run/checkpoint, step 5, 500 samples" in lines
    assert "150,080 samples: mlm_accuracy 0.4000 of 0.72, nsp_accuracy 0.9000; 2 s" in lines
    assert lines[-1] == "target 0.72 reached after 300,160 samples: 0.8000"
    assert not any("\x1b" in one for one in lines)


def line_of_step(step: int, columns: int) -> str:
    return f"step {step} of 7,100, " if columns == 120 else f"{step}/7,100"


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_the_line_is_live(columns: int) -> None:
    text = shown(terminal=True, columns=columns)
    assert "\x1b[" in text
    assert line_of_step(1, columns) in text  # at once
    assert "evaluating after 150,080 samples" in text


@pytest.mark.parametrize(
    ("terminal", "expected"),
    [
        (True, ["evaluating after 150,080 samples, 0:09", "evaluating after 300,160 samples, 0:01, about 0:01 left"]),
        (
            False,
            ["evaluating after 150,080 samples, 0:10", "evaluating after 300,160 samples, 0:10, it took 0:02 before"],
        ),
    ],
    ids=("terminal", "lines"),
)
def test_an_evaluation_has_a_clock_and_the_last_ones_time(terminal: bool, expected: list[str]) -> None:
    stream, now_s = io.StringIO(), 0.0
    console = Console(file=stream, force_terminal=terminal, width=80, highlight=False, color_system=None)
    with ProgressLine(console=console, now_s=lambda: now_s) as progress:
        for number in (1, 2):
            progress(EvaluationBegan(step=number, samples=number * made.EVERY))
            for _ in range(12):
                now_s += 1
                progress.tick()
            score, samples = {"mlm_accuracy": 0.5}, number * made.EVERY
            progress(EvaluationDone(step=number, samples=samples, values=score, evaluated_samples=9, seconds=2.0))
    text = stream.getvalue()
    assert all(one in text for one in expected)
    assert terminal or text.count("evaluating") == 2


def test_the_time_left_counts_evaluations() -> None:
    progress = ProgressLine(console=Console(file=io.StringIO()))
    made.send(made.whole((0.1, 0.2), max_steps=15, division="open")[:-3], progress)
    now = progress._now(made.step(10, 2 * made.EVERY, 0.0, step_samples=made.EVERY // 5))
    assert now.end_in_s == pytest.approx(5 * made.SECONDS_OF_STEP + 2.0)
    assert now.tokens_per_s == pytest.approx(made.TOKENS / made.SECONDS_OF_STEP)


def recorded(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    made.send(made.whole((0.1, 0.4, 0.8), division="open", **changes), RecordWriter(folder, peak=lambda *_: 1e12))  # type: ignore[arg-type]
    return folder


def test_the_table_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(recorded(tmp_path / "one"))]) == 0
    lines = dict(one.split(maxsplit=1) for one in capsys.readouterr().out.splitlines() if not one.startswith(" "))
    assert lines["result"].strip() == "target reached"
    assert lines["mlm_accuracy"].strip() == "0.8000 of 0.72; best 0.8000"
    assert lines["to"].strip() == "the target  300,160 samples, 0:11; evaluated every 150,080"
    assert lines["note"].startswith("open division")


def test_scaling_is_over_a_run_of_one_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = recorded(tmp_path / "a", devices=1), recorded(tmp_path / "b", devices=2, nodes=2)
    other = recorded(tmp_path / "c", devices=2, precision="bf16")
    assert report.main([str(path) for path in (one, two, other)]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert [row[-1] for row in rows if "%" in row[-1] or row[-1] == "–"] == ["100.0%", "50.0%", "–"]


def test_a_report_names_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(tmp_path / "none")]) == 2
    assert "expected the record of a training run in" in capsys.readouterr().err


@pytest.fixture
def complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """A run's directory and what stood on standard output."""
    with listening(tmp_path, Listening(measure_peak=False, notices=("a demo",), cleared="page cache")) as listeners:
        made.send(made.whole((0.1, 0.4, 0.8), division="open"), *listeners)
    return tmp_path, capsys.readouterr().out


def test_a_run_leaves_its_files_and_a_table(complete: tuple[Path, str]) -> None:
    folder, table = complete
    assert {path.name for path in folder.iterdir()} == {"run.json", "mllog.txt", "steps.csv", *plot.NAMES}
    assert "a demo" in table
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_of_a_run_that_ends_without_a_word_has_its_last_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZeroDivisionError), listening(tmp_path, Listening(measure_peak=False, plot=False)) as listeners:
        made.send([*made.start(), made.step(1, 448, made.BEGAN_S + 11)], *listeners)
        raise ZeroDivisionError
    assert "1 step, 448 samples" in capsys.readouterr().out


def test_a_run_that_is_refused_shows_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(UsageError, match="in the closed division"),
        listening(tmp_path, Listening(measure_peak=False)) as listeners,
    ):
        made.send(made.start(target=0.5), *listeners)
    assert capsys.readouterr().out == ""


def test_a_long_loss_is_smoothed() -> None:
    middles, means = plot.smoothed([1.0, 3.0] * 500, most=10)
    assert means == pytest.approx([2.0] * 10)
    assert middles[0] == pytest.approx(49.5)
