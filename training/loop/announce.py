"""The first event of a run: what it is, on what, with which versions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from foundation import cpu_info
from sut.machine import facts
from training.loop.events import Division, Hyperparameters, RunBegan
from training.loop.plan import Plan, Precision
from training.loop.world import World


def run_began(
    task: str,
    plan: Plan,
    world: World,
    folder: Path,
    *,
    settings: Mapping[str, object],
    hyperparameters: Hyperparameters,
    started_s: float,
    division: Division = "open",
) -> RunBegan:
    """The event of a run whose configuration was read.

    Args:
        settings: the configuration by name, as plain values.
        started_s: when the process started, in seconds since 1970.
    """
    is_cpu = world.device.type == "cpu"
    return RunBegan(
        task=task,
        settings=settings,
        hyperparameters=hyperparameters,
        division=division,
        seed=plan.seed,
        target=plan.target,
        evaluation_samples=plan.evaluate_every_samples or plan.max_samples or 0,
        max_steps=plan.max_steps,
        precision=plan.precision,
        parallel=plan.parallel,
        device=world.device.type,
        device_name=device_name(world),
        devices=world.size,
        nodes=world.nodes,
        threads=torch.get_num_threads(),
        restart=world.restart,
        versions=facts.versions(),
        started_s=started_s,
        folder=folder,
        remark=remark(device_name(world), plan.precision, cpu_info.multiplies_bf16()) if is_cpu else None,
    )


def started_s() -> float:
    """When this process started, in seconds since 1970, its imports included."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
        booted_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return booted_s + ticks / 100
    except (OSError, ValueError, IndexError, AttributeError):  # no Linux
        return time.time()


def remark(processor: str, precision: Precision, multiplies_bf16: bool | None) -> str | None:
    """What to know of a processor before a long run; None: nothing, or it is unknown."""
    if precision != "bf16" or multiplies_bf16 is not False:
        return None
    return f"{processor} has no bfloat16 instructions: fp32 is usually faster"


def device_name(world: World) -> str:
    """The GPU's or the processor's own name."""
    if world.device.type == "cuda":
        return torch.cuda.get_device_name(world.device)
    return cpu_info.name() or "CPU"
