"""The system description: facts of the machine, facts of a person, and those that are missing."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from backends.base import Accelerator
from submission.package import described_machines, system_description
from submission.package.system_description import UNKNOWN, describe
from submission.rules import rounds
from submission.submit import request
from submission.submit.request import SubmissionRequest
from sut.errors import UsageError
from sut.machine import description

SAID = {
    "status": "available",
    "system_name": "A machine",
    "host_memory_configuration": "8 x 32 GB",
    "host_networking": "10 GbE",
    "host_networking_topology": "N/A",
    "cooling": "air",
}


def ordered(folder: Path, *flags: str) -> SubmissionRequest:
    (folder / "system.toml").touch()
    toml = ("--system-toml", str(folder / "system.toml"))
    return request.parse(["--submitter", "DemoOrg", "--output-dir", str(folder / "out"), *toml, *flags])[0]


def say(folder: Path, **values: object) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    (folder / "system.toml").write_text("\n".join(lines))


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that missing facts do not depend on the machine of the tests."""
    told = {key: f"told {key}" for key in description.read(Path("/none"))}
    told |= {
        key: f"told {key}"
        for key in ("host_processor_model_name", "host_memory_capacity", "host_storage_capacity", "host_storage_type")
    }
    counts = dict.fromkeys(("host_processors_per_node", "host_processor_core_count", "host_network_card_count"), "2")
    monkeypatch.setattr(description, "read", lambda: told | counts | {"operating_system": "an OS"})
    monkeypatch.setattr(description, "gpus", lambda: ["NVIDIA X, 80 GiB"])


@pytest.mark.usefixtures("known_machine")
def test_machine_and_person_together_give_all_35_keys(tmp_path: Path) -> None:
    say(tmp_path, **SAID)
    found = describe(ordered(tmp_path))
    assert sorted(found) == sorted([*rounds.SYSTEM_KEYS, *rounds.SYSTEM_KEYS_MAY_BE_EMPTY])
    assert len(found) == 35
    assert found["cooling"] == "air" and found["host_processor_model_name"] == "told host_processor_model_name"
    assert found["accelerators_per_node"] == "0" and found["accelerator_model_name"] == "N/A"
    assert "NVIDIA X, 80 GiB is present and not used" in found["hw_notes"]
    assert found["framework"].startswith("ONNX Runtime 1")
    assert all(isinstance(value, str) for value in found.values())


@pytest.mark.usefixtures("known_machine")
def test_given_facts_override_the_machines(tmp_path: Path) -> None:
    say(tmp_path, **SAID, host_processor_model_name="Better known as")
    assert describe(ordered(tmp_path))["host_processor_model_name"] == "Better known as"


@pytest.mark.usefixtures("known_machine")
def test_missing_facts_are_listed_at_once_with_a_file_to_fill_in(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        describe(ordered(tmp_path))
    template = tmp_path / "out" / "this-machine.toml"
    assert all(key in str(caught.value) for key in SAID) and str(template) in str(caught.value)
    asked = tomllib.loads(template.read_text())
    assert asked == dict.fromkeys(SAID, "")
    say(tmp_path, **SAID)
    assert describe(ordered(tmp_path))["system_name"] == "A machine"


@pytest.mark.usefixtures("known_machine")
def test_a_trial_says_that_it_does_not_know(tmp_path: Path) -> None:
    found = describe(ordered(tmp_path, "--short"))
    assert found["cooling"] == found["system_name"] == UNKNOWN
    assert found["status"] == "rdi"


def test_a_trial_on_a_cluster_does_not_know_its_nodes(tmp_path: Path) -> None:
    found = describe(ordered(tmp_path, "--short", "--executor", "ray"))
    assert found["host_processor_model_name"] == UNKNOWN
    assert [found[key] for key in rounds.SYSTEM_KEYS_INTEGER] == ["0", "0", "0"]


@pytest.mark.usefixtures("known_machine")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"coolin": "air"}, "Did you mean cooling"),
        ({"number_of_nodes": 1}, 'number_of_nodes = "1"'),
        ({"status": "sold out"}, "available, preview, rdi"),
        ({"submitter": "Other"}, "DemoOrg"),
        ({"accelerators_per_node": "N/A"}, "a number as text"),
    ],
)
def test_what_the_checkers_would_refuse_is_refused(tmp_path: Path, values: dict[str, object], words: str) -> None:
    say(tmp_path, **(SAID | values))
    with pytest.raises(UsageError, match=words):
        describe(ordered(tmp_path))


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text("cooling: air")
    with pytest.raises(UsageError, match="TOML"):
        describe(ordered(tmp_path))


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def test_two_sockets_with_hyper_threads_are_read(tmp_path: Path) -> None:
    cpus = {
        f"sys/devices/system/cpu/cpu{cpu}/topology/{name}": value
        for cpu in range(8)
        for name, value in (
            ("physical_package_id", str(cpu % 4 // 2)),
            ("thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}"),
        )
    }
    cache = "sys/devices/system/cpu/cpu0/cache/index"
    write(
        tmp_path,
        cpus
        | {
            "proc/cpuinfo": "processor : 0\nmodel name\t: A CPU\ncpu MHz\t\t: 2600.0\n",
            "proc/meminfo": "MemTotal:       16777216 kB\n",
            "etc/os-release": 'NAME=x\nPRETTY_NAME="An OS 1"\n',
            "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3700000\n",
            f"{cache}0/level": "1", f"{cache}0/type": "Data", f"{cache}0/size": "48K",
            f"{cache}0/shared_cpu_list": "0,4",
            f"{cache}3/level": "3", f"{cache}3/type": "Unified", f"{cache}3/size": "32768K",
            f"{cache}3/shared_cpu_list": "0-7",
            "sys/block/nvme0n1/size": "4194304\n", "sys/block/sda/size": "2097152\n",
            "sys/block/sda/queue/rotational": "1\n",
            "sys/class/net/eth0/address": "x",
        },
    )  # fmt: skip
    found = description.read(tmp_path)
    system = found.pop("operating_system")
    assert system.startswith("An OS 1, ")
    assert found == {
        "host_processor_model_name": "A CPU",
        "host_processors_per_node": "2",
        "host_processor_core_count": "2",
        "host_processor_frequency": "3.70 GHz at most",
        "host_processor_caches": "L1d 48K (cpus 0,4), L3 32768K (cpus 0-7)",
        "host_memory_capacity": "16.0 GiB",
        "host_storage_capacity": "3 GiB",
        "host_storage_type": "HDD + NVMe SSD",
        "host_network_card_count": "1",
    }


def test_facts_that_the_machine_does_not_report_are_not_guessed(tmp_path: Path) -> None:
    assert set(description.read(tmp_path)) == {"operating_system"}


def test_every_key_that_a_person_is_asked_for_is_one(tmp_path: Path) -> None:
    assert set(system_description._HINTS) <= {*rounds.SYSTEM_KEYS, *rounds.NETWORK_KEYS}


def test_a_gpu_is_described_and_its_interconnect_must_be_given() -> None:
    found = described_machines.of_accelerators([Accelerator("NVIDIA H200", 141 << 30, (9, 0))] * 2)
    assert found == {
        "accelerators_per_node": "2",
        "accelerator_model_name": "NVIDIA H200",
        "accelerator_memory_capacity": "141 GiB",
    }
    assert "N/A" not in found.values()
    assert described_machines.of_accelerators([])["accelerator_host_interconnect"] == "N/A"
