"""`python -m accuracy`: its output, its files and its exit codes."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from paths import ROOT
from squad_by_hand import encode, write_log

from accuracy.__main__ import main
from accuracy.targets import TARGETS, UnknownTargetError, target

if TYPE_CHECKING:
    from squad_by_hand import Case

# What the submission checker looks for in accuracy.txt.
CHECKER_LINE = re.compile(r"""^\{['"]exact_match['"]:\s*[\d.]+,\s*['"]f1['"]:\s*([\d.]+)\}""")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Two questions of one window each at the default doc_stride, so that --max-seq-length is enough."""
    from squad_by_hand import QUESTIONS, make_case

    from qsl.squad import SquadFeatureSettings

    folder = tmp_path_factory.mktemp("plain")
    return make_case(folder, QUESTIONS[:2], SquadFeatureSettings(max_seq_length=40))


@pytest.fixture
def log(plain: Case, tmp_path: Path) -> Path:
    """Question 0 right, question 1 two thirds right: F1 83.33."""
    logits = plain.blank()
    plain.say(logits, 0, (1, 2))
    plain.say(logits, 1, (3, 4))
    return plain.write(tmp_path / "mlperf_log_accuracy.json", logits)


def command(case: Case, log: Path, *flags: str) -> list[str]:
    paths = ["--log-file", str(log), "--dataset", str(case.dataset), "--vocab", str(case.vocab)]
    return [*paths, "--max-seq-length", "40", "--cache-dir", str(log.parent / "cache"), *flags]


def test_prints_the_line_writes_it_and_ends_with_0(plain: Case, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(plain, log)) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == '{"exact_match": 50.0, "f1": 83.33333333333333}'
    assert (log.parent / "accuracy.txt").read_text() == first + "\n"
    assert "2 of 2 samples, 2 of 2 questions" in rest[0]
    assert "95 % CI" in "".join(rest)
    assert not re.search("PASS|FAIL|NO ACCURACY", "".join(rest))  # no verdict without --target


def test_the_checkers_pattern_finds_f1(plain: Case, log: Path) -> None:
    main(command(plain, log))
    found = CHECKER_LINE.match((log.parent / "accuracy.txt").read_text())
    assert found is not None
    assert float(found[1]) == pytest.approx(100 * (1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("expected", "code", "verdict"), [("83.3", 0, "PASS"), ("83.4", 1, "FAIL"), ("demo", 1, "FAIL")]
)
def test_target(
    plain: Case, log: Path, capsys: pytest.CaptureFixture[str], expected: str, code: int, verdict: str
) -> None:
    assert main(command(plain, log, "--target", expected)) == code
    assert re.search(rf"^{verdict} .*83\.33333", capsys.readouterr().out, re.MULTILINE)


def test_a_bert_target_on_another_data_set_says_so(plain: Case, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(plain, log, "--target", "bert-99")) == 1
    assert "bert-99 is defined for 10,833 samples; this data set has 2" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [(), ("--target", "0")])
def test_missing_samples_are_no_accuracy_result(
    plain: Case, log: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    write_log(log, [(0, encode(plain.blank()[0] + 1, "float32"))])
    assert main(command(plain, log, *flags)) == 1
    out = capsys.readouterr().out
    assert "1 of 2 samples, 1 of 2 questions" in out
    assert "NO ACCURACY RESULT: 1 samples are missing" in out
    assert "PASS" not in out


def test_duplicates_are_reported(plain: Case, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(index, encode(values, "float32")) for index, values in enumerate(plain.blank())]
    write_log(log, [*rows, rows[0]])
    assert main(command(plain, log)) == 0
    assert "1 entries repeat a sample" in capsys.readouterr().out


def test_output_dir_and_predictions(plain: Case, log: Path, tmp_path: Path) -> None:
    out, texts = tmp_path / "new" / "out", tmp_path / "predictions.json"
    assert main(command(plain, log, "--output-dir", str(out), "--predictions", str(texts))) == 0
    assert json.loads(texts.read_text(encoding="utf-8")) == {"q0": "Red Fox", "q1": "ran home"}
    assert [path.name for path in out.iterdir()] == ["accuracy.txt"]
    assert not (log.parent / "accuracy.txt").exists()


def test_an_older_accuracy_txt_is_replaced_atomically(plain: Case, log: Path) -> None:
    """A reader that has the old file open (here through a second link) must never see a partial new one."""
    current, kept = log.parent / "accuracy.txt", log.parent / "kept.txt"
    current.write_text("old\n")
    kept.hardlink_to(current)
    assert main(command(plain, log)) == 0
    assert kept.read_text() == "old\n"
    assert "83.33" in current.read_text()


def test_transposed_float16(plain: Case, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logits = plain.blank()
    plain.say(logits, 0, (1, 2))
    plain.say(logits, 1, (4, 4))
    plain.write(log, logits, dtype="float16", transposed=True)
    assert main(command(plain, log, "--dtype", "float16", "--output-transposed")) == 0
    assert '{"exact_match": 100.0, "f1": 100.0}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--log-file", "gone.json"), "gone.json"),
        (("--dataset", "gone.json"), "gone.json"),
        (("--vocab", "gone.txt"), "gone.txt"),
        (("--dtype", "float16"), "--dtype"),
        (("--target", "bert99"), "Did you mean bert-99?"),
        (("--target", "101"), "0 to 100"),
        (("--target", "nan"), "0 to 100"),
        (("--target", ""), "0 to 100"),
    ],
)
def test_unusable_input_ends_with_2_and_one_message(
    plain: Case, log: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert main(command(plain, log, *flags)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: expected ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (log.parent / "accuracy.txt").exists()


def test_unwritable_output_dir_ends_with_2(plain: Case, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(plain, log, "--output-dir", str(log))) == 2  # it is a file
    assert "--output-dir" in capsys.readouterr().err


def test_a_failed_write_leaves_nothing_behind(plain: Case, log: Path) -> None:
    (log.parent / "accuracy.txt").mkdir()
    assert main(command(plain, log)) == 2
    assert {path.name for path in log.parent.iterdir()} == {"accuracy.txt", "cache", log.name}


def test_flags_are_checked_by_name(plain: Case, log: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command(plain, log, "--dtype", "int8"))
    assert ended.value.code == 2


def test_as_a_command(plain: Case, log: Path) -> None:
    run = [sys.executable, "-m", "accuracy", *command(plain, log, "--target", "84")]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith('{"exact_match": 50.0, "f1": 83.33333333333333}\n')
    assert "FAIL" in done.stdout


# --- targets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("bert-99", 90.874 * 0.99), ("bert-99.9", 90.874 * 0.999), ("demo", 90.0)])
def test_a_target_is_met_at_its_value_and_above(name: str, value: float) -> None:
    expected = target(name)
    assert (expected.name, expected.metric, expected.value) == (name, "f1", value)
    assert expected.is_met(value)
    assert expected.is_met(100.0)
    assert not expected.is_met(math.nextafter(value, 0))


def test_the_official_values() -> None:
    assert (target("bert-99").value, target("bert-99.9").value) == pytest.approx((89.96526, 90.783126))


def test_targets_know_their_source() -> None:
    assert {name for name, expected in TARGETS.items() if expected.source} == {
        "bert-99",
        "bert-99.9",
        "demo",
        "demo-sst2",
    }


@pytest.mark.parametrize(("name", "hint"), [("bert", "bert-99"), ("Demo", "demo"), ("bert-99.99", "bert-99.9")])
def test_an_unknown_target_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownTargetError, match=rf"Did you mean {re.escape(hint)}\?"):
        target(name)


def test_a_number_is_a_target() -> None:
    assert target("89.5").is_met(89.5)
    assert not target("89.5").is_met(89.4)
