"""What slows a run from outside, on made-up machines: other work, and governors."""

from __future__ import annotations

from pathlib import Path

import pytest

from sut.machine import load
from sut.machine.load import Moment

STAT = "cpu  900 0 0 900 0 0 0 0 0 0\ncpu0 {} 0 {} 400 30 0 0 {} 0 0\ncpu1 50 0 0 400 0 0 0 0 0 0\nintr 1 2 3\n"


def moment(wall_s: float, own_s: float, *busy_s: float) -> Moment:
    return Moment(wall_s, dict(enumerate(busy_s)), own_s)


def test_busy_time_is_read_by_cpu_with_what_the_hypervisor_took(tmp_path: Path) -> None:
    assert load.now(tmp_path).busy_s == {}
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "stat").write_text(STAT.format(100, 40, 60), encoding="ascii")
    assert load.now(tmp_path).busy_s == pytest.approx({0: 2.0, 1: 0.5})  # hundredths; not idle, not waiting for a disk


@pytest.mark.parametrize(
    ("after", "cpus", "expected"),
    [
        (moment(12, 1.0, 12.0, 3.0), {0, 1}, 1.0),  # 3 s in 2 s of which 1 s is ours
        (moment(12, 0.0, 12.0, 3.0), {1}, 0.5),
        (moment(12, 5.0, 12.0, 3.0), {0, 1}, 0.0),
        (moment(10.05, 0.0, 12.0, 3.0), {0, 1}, None),
        (moment(12, 0.0), {0, 1}, None),
        (moment(12, 0.0, 12.0, 3.0), set(), None),
    ],
    ids=("two", "one", "our own", "too soon", "unknown", "none"),
)
def test_cores_that_others_keep_busy(after: Moment, cpus: set[int], expected: float | None) -> None:
    assert load.other_cores(moment(10, 0.0, 10.0, 2.0), after, cpus) == expected


@pytest.mark.parametrize(
    ("governor", "driver", "preference", "expected"),
    [
        ("powersave", "acpi-cpufreq", "", "powersave"),
        ("powersave", "intel_pstate", "balance_performance", None),
        ("powersave", "intel_pstate", "power", "powersave, power"),
        ("performance", "acpi-cpufreq", "", None),
        ("", "", "", None),
    ],
)
def test_a_governor_that_holds_clocks_down(
    tmp_path: Path, governor: str, driver: str, preference: str, expected: str | None
) -> None:
    at = tmp_path / "sys/devices/system/cpu/cpu3/cpufreq"
    at.mkdir(parents=True)
    files = {"scaling_governor": governor, "scaling_driver": driver, "energy_performance_preference": preference}
    for name, content in files.items():
        (at / name).write_text(content + "\n", encoding="ascii")
    assert load.slow_governor({3}, tmp_path) == expected
    assert load.slow_governor({2}, tmp_path) is None
