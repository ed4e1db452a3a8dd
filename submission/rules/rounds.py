"""The rules by which a BERT submission of each round is checked, as data; nothing here reads a file.

Where the two official checkers of a round differ, the stricter rule is used. What changes between rounds is a row of
`ROUNDS`; everything else is a constant, because it is the same in all four rounds. Numbers that a run needs too are in
`foundation.rules`.

Sources, below https://github.com/mlcommons/inference/blob/master: tools/submission/submission_checker/constants.py and
checks/ next to it, tools/submission/truncate_accuracy_log.py, compliance/TEST01/run_verification.py and
compliance/TEST01/bert/audit.config.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.log_files import ACCURACY, ACCURACY_TXT, DETAIL, SUMMARY, TRACE
from foundation.rules import SCENARIOS, SEEDS, Seeds
from foundation.suggest import did_you_mean
from sut.errors import UsageError


@dataclass(frozen=True)
class Style:
    """How a round arranges a submitter's directory."""

    code: str  # the directory of the source code
    code_per_model: bool  # each model must have its own directory in it
    together: bool  # measurements and TEST01 are in the results' scenario directory, not in separate trees


@dataclass(frozen=True)
class Round:
    """One row of `ROUNDS`."""

    name: str
    seeds: Seeds
    style: Style
    calibration: bool  # the closed division must hold calibration.md
    idle_measurements: bool = True  # measurements/ may hold directories of systems without results


_V5 = Style(code="code", code_per_model=True, together=False)
_V6 = Style(code="src", code_per_model=False, together=True)

ROUNDS = {
    one.name: one
    for one in (
        Round("v5.0", SEEDS["v5.0"], _V5, calibration=False),
        Round("v5.1", SEEDS["v5.1"], _V5, calibration=True, idle_measurements=False),
        Round("v6.0", SEEDS["v6.0"], _V6, calibration=True),
        Round("v6.1", SEEDS["v6.1"], _V6, calibration=True),
    )
}
LATEST = "v6.1"

OPEN, NETWORK = "open", "network"
DIVISIONS = ("closed", OPEN)
# The network division has the rules of the closed one, and more; it has datacenter benchmarks alone, so BERT has had no
# place in it since v5.0. Results over a network go to the open division.
CHECKED_DIVISIONS = (*DIVISIONS, NETWORK)
# What an official checker takes for something else in the name of a submitter, a system or a model: a test of earlier
# rounds; in that of a system, also the suffix of systems/<system>.json, which it removes wherever it stands.
TAKEN_IN_NAMES = ("TEST05",)
TAKEN_IN_SYSTEMS = (*TAKEN_IN_NAMES, ".json")
# Names of other models: a directory with one of them in its name is that model's, whatever else is in it.
OTHER_MODELS = ("mobilenet", "efficientnet", "resnet50")
POWER = "power"  # in the directory of performance runs: a result with power measurements
IGNORED_DIRECTORIES = (".git", ".github", "assets")  # directories that the checkers ignore
ROOT_SUFFIXES = (".md", ".pdf")  # of files next to the division directories
# Benchmark → how far TEST01's F1 may be from the run's.
TEST01_ACCURACY_DELTA = {"bert-99": 0.01, "bert-99.9": 0.001}
REQUIRED_SCENARIOS = ("SingleStream", "Offline")  # of an edge system in the closed division
EARLY_STOPPING_SCENARIOS = tuple(name for name, one in SCENARIOS.items() if one.early_stopping_queries)

# TEST01: the settings of compliance/TEST01/bert/audit.config, and how far its score may be from the run's.
TEST01 = "TEST01"
VERIFY_ACCURACY, VERIFY_PERFORMANCE = "verify_accuracy.txt", "verify_performance.txt"
BASELINE, COMPLIANCE = "baseline_accuracy.txt", "compliance_accuracy.txt"
TEST_PASS = "TEST PASS"  # noqa: S105 - what the checkers look for in a verification's text
TEST01_LOG_RNG_SEED = 720381539243781796
TEST01_LOG_SAMPLING_TARGET = 4096
TEST01_SCORE_DELTA = 0.10
TEST01_SHORT_LATENCY_NS, TEST01_SHORT_LATENCY_DELTA = 200_000, 0.20  # SingleStream with a latency up to this

# An accuracy log is truncated to its first and last bytes around a marker; accuracy.txt has the sha256 of all of it.
TRUNCATE_KEEP_BYTES = 4096
MAX_ACCURACY_LOG_BYTES = 10 * 1024
MAX_FILE_BYTES = 50 * 1024 * 1024

STATUSES = ("available", "preview", "rdi")
SYSTEM_TYPES = ("edge", "datacenter,edge", "edge,datacenter")  # the datacenter suite has had no BERT since v5.0
# Keys of systems/<system>.json: those that must not be empty, and those that may be.
SYSTEM_KEYS = (
    "division submitter status system_name system_type number_of_nodes "
    "host_processor_model_name host_processors_per_node host_processor_core_count "
    "host_memory_capacity host_memory_configuration host_storage_capacity host_storage_type "
    "host_networking host_networking_topology host_network_card_count "
    "accelerators_per_node accelerator_model_name accelerator_host_interconnect accelerator_interconnect "
    "accelerator_memory_capacity accelerator_memory_configuration "
    "framework operating_system other_software_stack cooling"
).split()
SYSTEM_KEYS_MAY_BE_EMPTY = (
    "host_processor_frequency host_processor_caches host_processor_interconnect accelerator_frequency "
    "accelerator_interconnect_topology accelerator_on-chip_memories hw_notes sw_notes system_type_detail"
).split()
SYSTEM_KEYS_COUNT = ("host_processor_core_count", "host_network_card_count")  # text or a number
SYSTEM_KEYS_INTEGER = ("number_of_nodes", "host_processors_per_node", "accelerators_per_node")  # as text: "0"
# Keys that MLCommons' final report shows, as text; the notes are one text there.
REPORTED_SYSTEM_KEYS = (
    "system_name number_of_nodes host_processor_model_name host_processors_per_node host_processor_core_count "
    "accelerator_model_name accelerators_per_node framework operating_system"
).split()
# A system behind a network has this key, as text "true", which the official checkers take for a text, and the twelve
# others. Both must be absent otherwise: one checker asks for the twelve even if it is "false".
IS_NETWORK = "is_network"
NETWORK_KEYS = (
    "network_type network_media network_rate network_protocol network_topology number_connections "
    "nic_loadgen number_nic_loadgen net_software_stack_loadgen nic_sut number_nic_sut net_software_stack_sut"
).split()
NETWORK_SUT = "Network SUT"  # in the SUT's name, in the logs of performance runs and of TEST01
REPORTED_NOTES = ("hw_notes", "sw_notes")
MEASUREMENTS_KEYS = (
    "input_data_types",
    "retraining",
    "starting_weights_filename",
    "weight_data_types",
    "weight_transformations",
)

TRUNCATION_MARK = b"\n\n...\n\n"

# Files of a results directory: required and allowed.
PERFORMANCE_FILES = (SUMMARY, DETAIL)
ACCURACY_FILES = (*PERFORMANCE_FILES, ACCURACY_TXT, ACCURACY)
OPTIONAL_FILES = (TRACE, "results.json")
OPTIONAL_PERFORMANCE_FILES = (*OPTIONAL_FILES, ACCURACY)
TEST01_ACCURACY_FILES = (ACCURACY, ACCURACY_TXT)
TEST01_FALLBACK_FILES = (*TEST01_ACCURACY_FILES, BASELINE, COMPLIANCE)

TRIAL_MARKER = "TRIAL.md"  # next to the division directories: a package too short for the official counts
# Rules on length and counts that a trial in the open division may break; the broken ones are always listed.
WAIVED_IN_TRIALS = (
    "performance.validity",
    "performance.duration",
    "performance.sample-count",
    "performance.samples-per-query",
    "performance.early-stopping",
    "accuracy.sample-count",
)


def find(name: str) -> Round:
    """The round called `name`. Raises UsageError, with the nearest name, for any other."""
    if name in ROUNDS:
        return ROUNDS[name]
    hint = did_you_mean(name, ROUNDS, similar=0.3) or " Choose one of them."
    raise UsageError(f"expected a round ({', '.join(ROUNDS)}), found {name!r}.{hint}")
