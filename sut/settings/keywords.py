"""The settings of a run as keywords of functions. Made by `make docs` from settings.py; do not edit."""

from __future__ import annotations

import os
from typing import TypedDict


class RunSettings(TypedDict, total=False):
    """Keywords of `sut.run`: the flags of a run with underscores; docs/guide/settings.md explains each."""

    task: str
    preset: str | None
    scenario: str
    mode: str
    backend: str
    model: str
    precision: str
    dataset: str | os.PathLike[str] | None
    vocab: str | os.PathLike[str] | None
    execution_mode: str
    test_query_count: int | None
    steps: int | None
    warmup_steps: int
    min_duration_s: float | None
    target_qps: float | None
    target_latency_ms: float | None
    find_peak: bool
    target: str | None
    kpi: str | None
    executor: str
    instances: int | None
    cores_per_instance: int | None
    threads: int | None
    max_batch_tokens: int | None
    batch_size: int | None
    stall_timeout_s: float | None
    node: str | list[str] | None
    network_division: bool
    token_file: str | os.PathLike[str] | None
    tls_cert: str | os.PathLike[str] | None
    tls_key: str | os.PathLike[str] | None
    tls_ca: str | os.PathLike[str] | None
    address: str | None
    nodes: int | None
    allow_open_cluster: bool
    log_dir: str | os.PathLike[str] | None
    user_conf: str | os.PathLike[str] | None
    cache_dir: str | os.PathLike[str] | None
    fpmath_mode: str | None
    torch_mkldnn_matmul_min_dim: int | None
    verbose: bool
    roi: bool
    engine: str | os.PathLike[str] | None
    calibration_dataset: str | os.PathLike[str] | None
    calibration_samples: int | None
    calibration_list: str | os.PathLike[str] | None
    calibration_seed: int
    round: str | None
    audit_config: str | os.PathLike[str] | None
