"""Each answer belongs to its sample, whatever the scenario, the batching and the executor.

The fake backend answers id - position and id + position for each token; LoadGen's log must hold just that, once for
every sample and without padding. (LoadGen fills MultiStream's last query of eight up with samples it had before.)
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from command import SCENARIOS, Case, Ended, Run

LAYOUTS = {
    "one instance, small batches": ["--instances", 1, "--max-batch-tokens", 300],
    "two instances, small batches": ["--instances", 2, "--max-batch-tokens", 500],
    "two instances, one large batch": ["--instances", 2, "--max-batch-tokens", 100_000],
    "inline": ["--executor", "inline", "--max-batch-tokens", 2_000],
}


def logged(ended: Ended) -> list[tuple[int, np.ndarray]]:
    """(qsl_idx, [L, 2]) of each entry of the accuracy log."""
    entries = json.loads((ended.folder / "logs" / "mlperf_log_accuracy.json").read_text(encoding="utf-8"))
    return [(e["qsl_idx"], np.frombuffer(bytes.fromhex(e["data"]), "<f4").reshape(-1, 2)) for e in entries]


def answer(case: Case, index: int) -> np.ndarray:
    """By hand: [L, 2] of one sample."""
    features = case.features.features
    ids = features.input_ids[features.offsets[index] : features.offsets[index + 1]]
    positions = np.arange(len(ids))
    return np.stack([ids - positions, ids + positions], axis=1).astype(np.float32)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_answer_belongs_to_its_sample(run: Run, case: Case, layout: str, scenario: str) -> None:
    ended = run("--backend", "fake", "--model", "fake", "--mode", "accuracy", "--scenario", scenario, *LAYOUTS[layout])
    assert ended.code == 0, ended.err
    found = logged(ended)
    assert {index for index, _ in found} == set(range(case.samples))
    assert len(found) == (8 * math.ceil(case.samples / 8) if scenario == "MultiStream" else case.samples)
    for index, data in found:
        np.testing.assert_array_equal(data, answer(case, index), err_msg=f"qsl_idx {index}")


def test_a_log_that_lacks_samples_is_no_accuracy_result(run: Run, case: Case) -> None:
    ended = run("--backend", "fake", "--model", "fake", "--mode", "accuracy", "--test-query-count", 5, "--json")
    assert ended.code == 1 and ended.errors == []
    assert f"5 of {case.samples} samples" in ended.err
    assert "NO ACCURACY RESULT" in ended.err
    assert json.loads(ended.out) == ended.record()
    assert ended.record()["verdict"] == "INCOMPLETE"
    assert ended.record()["result"]["samples_answered"] == len(logged(ended)) == 5
