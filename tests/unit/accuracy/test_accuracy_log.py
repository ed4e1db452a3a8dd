"""The reader of accuracy logs: every layout, logs written by LoadGen, and every kind of broken log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squad_by_hand import encode, write_log

from accuracy.log import PAD_LOGIT, AccuracyLogError, LoggedLogits, read_entries, read_logits

if TYPE_CHECKING:
    from pathlib import Path

    from squad_by_hand import Case

LENGTHS = np.asarray([3, 5, 4, 6], np.int64)
LOGITS = [np.arange(2 * n, dtype=np.float32).reshape(n, 2) + 10 * n for n in LENGTHS]  # exact in float16 too
WIDTH = 8


def entries(**layout: Any) -> list[tuple[int, bytes]]:
    options: dict[str, Any] = {"dtype": "float32"} | layout
    return [(index, encode(rows, **options)) for index, rows in enumerate(LOGITS)]


def read(path: Path, **options: Any) -> LoggedLogits:
    return read_logits(path, LENGTHS, max_seq_length=WIDTH, **options)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("pad_to", [0, WIDTH])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_layout_gives_the_same_logits(
    tmp_path: Path, dtype: str, pad_to: int, explicit: bool, transposed: bool
) -> None:
    log = write_log(tmp_path / "log.json", entries(dtype=dtype, pad_to=pad_to, transposed=transposed))
    logged = read(log, transposed=transposed, dtype=dtype if explicit else None)
    assert logged.logits.dtype == np.float32
    assert logged.answered.all()
    assert logged.duplicates == 0
    assert (logged.layout.dtype, logged.layout.padded) == (dtype, pad_to > 0)
    for row, expected in zip(logged.logits, LOGITS, strict=True):
        assert (row[: len(expected)] == expected).all()
        assert (row[len(expected) :] == PAD_LOGIT).all()


def test_a_partial_log_leaves_the_rest_unanswered(tmp_path: Path) -> None:
    logged = read(write_log(tmp_path / "log.json", entries()[1:3]))
    assert logged.answered.tolist() == [False, True, True, False]
    assert (logged.logits[[0, 3]] == PAD_LOGIT).all()


def test_the_last_entry_of_a_sample_counts(tmp_path: Path) -> None:
    again = (1, encode(LOGITS[1] + 1, "float32"))
    logged = read(write_log(tmp_path / "log.json", [*entries(), again]))
    assert logged.duplicates == 1
    assert (logged.logits[1, :5] == LOGITS[1] + 1).all()


@settings(max_examples=30)
@given(order=st.permutations(range(12)))
def test_the_order_of_entries_changes_nothing(
    small: Case, tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    folder, logits = tmp_path_factory.getbasetemp(), small.spoken()
    shuffled = write_log(folder / "b.json", [(i, encode(logits[i], "float32")) for i in order])
    first, second = small.score(small.write(folder / "a.json", logits)), small.score(shuffled)
    assert (first.f1, first.exact_match) == (second.f1, second.exact_match)
    assert first.predictions == second.predictions


def test_entries_are_in_the_order_of_the_log(tmp_path: Path) -> None:
    indexes, answers = read_entries(write_log(tmp_path / "log.json", [(2, b"ab"), (0, b"c")]), 3)
    assert (indexes.tolist(), answers) == ([2, 0], [b"ab", b"c"])


# --- faults -----------------------------------------------------------------------------------------------------


def refused(path: Path, *parts: str, **options: object) -> None:
    with pytest.raises(AccuracyLogError) as caught:
        read(path, **options)
    for part in (*parts, "expected", "found"):
        assert re.search(part, str(caught.value)), f"no {part!r} in: {caught.value}"


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.json", "nowhere.json", "--log-file", "--mode accuracy")


@pytest.mark.parametrize("text", ["", "\n", "[]", "[\n]\n"])
def test_a_performance_runs_log_has_no_answers(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.json").write_text(text)
    refused(tmp_path / "log.json", "--mode accuracy")


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = write_log(tmp_path / "log.json", entries()).read_text()
    cut = tmp_path / "cut.json"
    for size in range(1, len(whole.rstrip())):
        cut.write_text(whole[:size])
        refused(cut, "cut short or broken")


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_bytes(b"\xff\xfe\x00[1]\x80")
    refused(tmp_path / "log.json", "cut short or broken")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "null",
        "7",
        '["a"]',
        '[{"seq_id": 0, "qsl_idx": 0}]',
        '[{"seq_id": 0, "data": "00"}]',
        '[{"qsl_idx": "0", "data": "00"}]',
        '[{"qsl_idx": 0.5, "data": "00"}]',
    ],
)
def test_json_of_another_structure(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.json").write_text(text)
    refused(tmp_path / "log.json", "LoadGen's form", "--log-file")


@pytest.mark.parametrize("data", ["0", "zz", None, 5])
def test_data_that_is_not_hex(tmp_path: Path, data: object) -> None:
    (tmp_path / "log.json").write_text(json.dumps([{"seq_id": 0, "qsl_idx": 2, "data": data}]))
    refused(tmp_path / "log.json", "hex digits", "qsl_idx 2")


@pytest.mark.parametrize("index", [-1, 4, 10**30])
def test_samples_that_the_data_set_lacks(tmp_path: Path, index: int) -> None:
    log = write_log(tmp_path / "log.json", [*entries(), (index, b"\0" * 24)])
    refused(log, "from 0 to 3", f"found {index} ", "--dataset")


@pytest.mark.parametrize("size", [0, 1, 39, 41, 8 * WIDTH])
def test_one_entry_of_another_size(tmp_path: Path, size: int) -> None:
    log = write_log(tmp_path / "log.json", [*entries()[:1], (1, b"\0" * size), *entries()[2:]])
    refused(log, "expected 40 bytes for qsl_idx 1", "an answer of 5 rows", "fits 3 of 4", f"found {size} ")


def test_dtype_that_the_sizes_contradict(tmp_path: Path) -> None:
    refused(write_log(tmp_path / "log.json", entries()), "--dtype", "float16", dtype="float16")


def test_sizes_that_fit_two_dtypes_need_a_flag(tmp_path: Path) -> None:
    """4 tokens in float32 have the size of 8 in float16."""
    log = write_log(tmp_path / "log.json", [entries()[2]])
    refused(log, "float32, cut to true length and float16, padded", "--dtype float32 or --dtype float16")
    assert (read(log, dtype="float32").logits[2, :4] == LOGITS[2]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_cannot_be_ranked(tmp_path: Path, value: float) -> None:
    broken = LOGITS[3].copy()
    broken[5, 1] = value
    log = write_log(tmp_path / "log.json", [*entries()[:3], (3, encode(broken, "float32"))])
    refused(log, "finite", "1 samples", "qsl_idx 3")


def test_padding_may_hold_anything(tmp_path: Path) -> None:
    rows = np.full((WIDTH, 2), np.nan, np.float32)
    rows[:3] = LOGITS[0]
    log = write_log(tmp_path / "log.json", [(0, rows.tobytes()), *entries(pad_to=WIDTH)[1:]])
    assert (read(log).logits[0, :3] == LOGITS[0]).all()


def test_samples_longer_than_max_seq_length(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", entries())
    with pytest.raises(AccuracyLogError, match=r"max_seq_length 5 tokens, found one of 6\. .*--max-seq-length"):
        read_logits(log, LENGTHS, max_seq_length=5)


# --- real logs --------------------------------------------------------------------------------------------------

RUN_LOADGEN = """
import sys
import mlperf_loadgen as lg
import numpy as np

mode, out_dir, answers = sys.argv[1], sys.argv[2], dict(np.load(sys.argv[3]))

def issue(queries):
    for query in queries:
        rows = answers[str(query.index)]
        lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, rows.ctypes.data, rows.nbytes)])

settings, log = lg.TestSettings(), lg.LogSettings()
settings.scenario, settings.mode = lg.TestScenario.Offline, getattr(lg.TestMode, mode)
settings.min_duration_ms, settings.offline_expected_qps = 0, 1
log.log_output.outdir, log.log_output.copy_summary_to_stdout, log.enable_trace = out_dir, False, False
sut = lg.ConstructSUT(issue, lambda: None)
qsl = lg.ConstructQSL(len(answers), len(answers), lambda indexes: None, lambda indexes: None)
lg.StartTestWithLogSettings(sut, qsl, settings, log, "")
lg.DestroyQSL(qsl)
lg.DestroySUT(sut)
"""


def loadgen_log(folder: Path, mode: str, logits: list[np.ndarray]) -> Path:
    """Let LoadGen write a log, in a separate process."""
    pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed")
    answers: dict[str, Any] = {str(index): rows for index, rows in enumerate(logits)}
    np.savez(folder / "answers.npz", **answers)
    command = [sys.executable, "-c", RUN_LOADGEN, mode, str(folder), str(folder / "answers.npz")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder / "mlperf_log_accuracy.json"


def test_loadgens_own_accuracy_log(small: Case, tmp_path: Path) -> None:
    result = small.score(loadgen_log(tmp_path, "AccuracyOnly", small.spoken()))
    assert result.is_complete
    assert result.duplicates == 0
    assert result.f1 == pytest.approx(100 * (3 + 2 / 3) / 6)


def test_loadgens_own_performance_log(small: Case, tmp_path: Path) -> None:
    log = loadgen_log(tmp_path, "PerformanceOnly", small.spoken())
    with pytest.raises(AccuracyLogError, match="--mode accuracy"):
        small.score(log)


def test_loadgens_own_log_of_the_official_case(article: Case, article_logits: list[np.ndarray], tmp_path: Path) -> None:
    result = article.score(loadgen_log(tmp_path, "AccuracyOnly", article_logits))
    assert (result.exact_match, result.f1) == (60.370370370370374, 65.46786342183844)
