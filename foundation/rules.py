"""MLPerf inference's official numbers for BERT, each written once, with its source.

It is in `foundation` because `accuracy` and `qsl` need some of these numbers and may not import `sut`. A round that
changes a number changes it here. The layout and the checks of a submission are in `submission/rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# The sources. A test compares these numbers with those that LoadGen embeds.
_INFERENCE = "https://github.com/mlcommons/inference/blob/master"
MLPERF_CONF = f"{_INFERENCE}/loadgen/mlperf.conf"  # rows `bert.*` and `*.*`, embedded in every LoadGen
CHECKER = f"{_INFERENCE}/tools/submission/submission_checker/constants.py"
REFERENCE = f"{_INFERENCE}/language/bert/squad_QSL.py"
POLICIES = "https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc"


class Seeds(NamedTuple):
    """A round's seeds, under the names of LoadGen's settings."""

    qsl_rng_seed: int
    sample_index_rng_seed: int
    schedule_rng_seed: int


# CHECKER; each LoadGen release embeds one round's. No user.conf sets them: `loadgen.plan` assigns another round's.
SEEDS: dict[str, Seeds] = {
    "v5.0": Seeds(6023615788873153749, 15036839855038426416, 9933818062894767841),
    "v5.1": Seeds(1780908523862526354, 14771362308971278857, 18209322760996052031),
    "v6.0": Seeds(2465351861681999779, 14276810075590677512, 3936089224930324775),
    "v6.1": Seeds(2085463073848966840, 2747215439041700203, 16159082839903944936),
}

# MLPERF_CONF and CHECKER: features of SQuAD v1.1's development set. It is also the QSL's performance sample count and
# the minimum of Offline's one query.
SAMPLES = 10_833
MIN_DURATION_S = 600  # MLPERF_CONF, every scenario
SERVER_LATENCY_MS = 130  # MLPERF_CONF, at SCENARIOS["Server"].percentile

# CHECKER and POLICIES: F1 in percent of the fp32 reference model; a benchmark's target is its share of that.
REFERENCE_F1 = 90.874
F1_TARGETS = {"bert-99": REFERENCE_F1 * 0.99, "bert-99.9": REFERENCE_F1 * 0.999}

# REFERENCE: how a question and its passage become features, in tokens.
MAX_SEQ_LENGTH = 384  # the longest feature of SQuAD: a longer passage is cut into windows
DOC_STRIDE = 128  # distance between windows of a passage
MAX_QUERY_LENGTH = 64
# Not a rule but a property of the model, https://arxiv.org/abs/1810.04805, A.2: BERT has this many position embeddings,
# so no sample of any task can be longer. MAX_SEQ_LENGTH, which is smaller, is what the benchmark makes of SQuAD.
MAX_POSITIONS = 512


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The figure that LoadGen measures in a scenario, and its requirements."""

    result_key: str  # of the figure, in LoadGen's detail log (CHECKER)
    metric: str  # its name for people
    unit: str
    divisor: float  # LoadGen's figure divided by this is in `unit`
    samples_per_query: int = 1  # MLPERF_CONF
    percentile: int | None = None  # of the latency, in percent, MLPERF_CONF; None: no latency limit
    # POLICIES, "Early stopping": with fewer queries LoadGen cannot bound the percentile; 0: no percentile.
    early_stopping_queries: int = 0


SCENARIOS: dict[str, Scenario] = {
    "Offline": Scenario(result_key="result_samples_per_second", metric="throughput", unit="samples/s", divisor=1.0),
    "Server": Scenario(
        result_key="result_completed_samples_per_sec",
        metric="throughput",
        unit="samples/s",
        divisor=1.0,
        percentile=99,
        early_stopping_queries=662,
    ),
    "SingleStream": Scenario(
        result_key="early_stopping_latency_ss",
        metric="latency",
        unit="ms",
        divisor=1e6,
        percentile=90,
        early_stopping_queries=64,
    ),
    "MultiStream": Scenario(
        result_key="early_stopping_latency_ms",
        metric="latency of a query",
        unit="ms",
        divisor=1e6,
        samples_per_query=8,
        percentile=99,
        early_stopping_queries=662,
    ),
}
