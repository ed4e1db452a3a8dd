"""Settings that exclude or need each other. What a setting may be on its own is in its row of the table."""

from __future__ import annotations

from foundation.rules import MIN_DURATION_S
from sut.errors import UsageError
from sut.settings.settings import RunConfig


def check(config: RunConfig) -> None:
    """Raise UsageError for settings that do not go together."""
    for rule in (_engine, _length, _server, _steps, _window, _remote, _network, _ray):
        rule(config)


def _engine(config: RunConfig) -> None:
    if config.calibration_list and (config.calibration_samples or config.calibration_seed):
        raise UsageError(
            "--calibration-list names the samples; --calibration-samples and --calibration-seed draw them. Give one."
        )
    if config.executor == "inline" and config.instances not in (None, 1):
        raise UsageError(f"--executor inline holds one instance, found --instances {config.instances}.")
    if config.verbose and config.executor == "inline":
        raise UsageError(
            "--verbose goes with --executor processes or spawned, which can redirect an instance's output."
        )


def _length(config: RunConfig) -> None:
    is_short = config.min_duration_s is not None and config.min_duration_s < MIN_DURATION_S
    if config.execution_mode == "valid" and (config.test_query_count or is_short):
        raise UsageError(
            f"--execution-mode valid runs the official counts for at least {MIN_DURATION_S} s; "
            "--test-query-count and a shorter --min-duration-s go with --execution-mode test."
        )


def _server(config: RunConfig) -> None:
    if config.target_latency_ms and (config.scenario != "Server" or not config.is_trial):
        raise UsageError(
            "--target-latency-ms goes with --scenario Server in a trial; a valid run keeps the official limit."
        )
    if config.find_peak and (config.scenario, config.mode, config.execution_mode) != ("Server", "performance", "test"):
        raise UsageError("--find-peak goes with --scenario Server, --mode performance and --execution-mode test.")
    if config.find_peak and config.target:
        raise UsageError("--find-peak finds the highest rate; --target goes with a run at one --target-qps.")


def _steps(config: RunConfig) -> None:
    other = config.test_query_count or config.min_duration_s or config.find_peak
    if config.steps and (other or config.mode != "performance" or not config.is_trial):
        raise UsageError(
            "--steps is the length of a test run with --mode performance; it goes without --execution-mode valid, "
            "--test-query-count, --min-duration-s and --find-peak."
        )


def _window(config: RunConfig) -> None:
    if config.roi and (config.mode != "performance" or config.find_peak):
        raise UsageError("--roi marks the one timed window of --mode performance; it goes without --find-peak.")
    if (config.kpi == "accuracy") != (config.mode == "accuracy") and config.kpi:
        raise UsageError(f"--kpi {config.kpi} does not go with --mode {config.mode}.")
    if config.audit_config and (config.mode != "performance" or config.find_peak):
        raise UsageError("--audit-config goes with --mode performance, and without --find-peak.")


_OF_BATCHES = ("max_batch_tokens", "batch_size")


def _network(config: RunConfig) -> None:
    if not config.network_division:
        return
    if config.executor != "remote":
        raise UsageError("--network-division goes with --executor remote and --node HOST:PORT.")
    for name in _OF_BATCHES:
        if getattr(config, name):
            raise UsageError(
                f"--{name.replace('_', '-')} forms batches, found it with --network-division, where only nodes may. "
                "Type it with: sut serve"
            )


_OF_THE_NODE = ("instances", "cores_per_instance", "threads", "engine", "fpmath_mode", "torch_mkldnn_matmul_min_dim")


def _remote(config: RunConfig) -> None:
    if (config.executor == "remote") != (config.node is not None):
        raise UsageError("--executor remote and --node HOST:PORT go together.")
    if config.executor != "remote":
        return
    for name in (*_OF_THE_NODE, "verbose"):
        if getattr(config, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is a node's own, found it with --executor remote. Type it with: sut serve"
            )


def _ray(config: RunConfig) -> None:
    if config.executor != "ray":
        for name in ("address", "nodes", "allow_open_cluster"):
            if getattr(config, name):
                raise UsageError(f"--{name.replace('_', '-')} goes with --executor ray.")
    elif config.verbose:
        raise UsageError("--verbose writes on the instances' machine; it goes without --executor ray.")
