"""What needs separate processes: a full disk, two fetches at once, SIGKILL and Ctrl-C in mid-file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bad_server import Act, catalogue, serving
from command import Command

CONTENT = random.Random(6).randbytes(2_000_000)
A_PART = Act(pause_s=60, piece=300_000)  # then silence, for longer than --timeout-s


def flags(folder: Path, text: str, cache: Path | None = None) -> list[str]:
    (folder / "assets.toml").write_text(text, encoding="utf-8")
    places = ["--catalogue", str(folder / "assets.toml"), "--cache-dir", str(cache or folder / "cache")]
    return ["fetch", "thing", *places, "--pause-s", "0.01", "--timeout-s", "5"]


def lies(folder: Path) -> Path:
    return folder / "cache" / "assets" / "thing" / "model.bin"


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
def test_a_fetch_killed_in_mid_file_continues(tmp_path: Path, number: signal.Signals) -> None:
    side = lies(tmp_path).with_name("model.bin.part")
    with serving(CONTENT, A_PART, Act()) as server:
        line = flags(tmp_path, catalogue(CONTENT, server.url))
        with Command(tmp_path, "sut", line) as first:
            first.wait_until(lambda: side.is_file() and side.stat().st_size > 200_000)
            os.kill(first.pid, number)
            ended = first.end()
        assert ended.code == (-9 if number == signal.SIGKILL else 3)
        assert number == signal.SIGKILL or "the same command continues" in ended.errors[0]
        assert "Traceback" not in ended.err
        assert not lies(tmp_path).exists()
        kept = side.stat().st_size
        with Command(tmp_path, "sut", line) as second:
            assert second.end().code == 0
        assert server.asked[1][2]["Range"] == f"bytes={kept}-"
    assert lies(tmp_path).read_bytes() == CONTENT


def test_a_second_fetch_waits_and_finds_it_there(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    side = lies(tmp_path).with_name("model.bin.part")
    with serving(CONTENT, Act(pause_s=0.02, piece=20_000)) as server:
        line = flags(tmp_path, catalogue(CONTENT, server.url))
        with Command(tmp_path, "sut", line) as first:
            first.wait_until(side.is_file)
            os.kill(first.pid, signal.SIGSTOP)
            with Command(other, "sut", line) as second:
                second.wait_until(lambda: f"waiting for process {first.pid}" in (other / "err.txt").read_text())
                os.kill(first.pid, signal.SIGCONT)
                assert second.end().code == 0
            assert first.end().code == 0
        assert len(server.asked) == 1
    assert lies(tmp_path).read_bytes() == CONTENT


def test_a_file_system_that_takes_no_more(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        line = flags(tmp_path, catalogue(CONTENT, server.url))
        code = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000)); "
            "from sut.__main__ import main; sys.exit(main(sys.argv[1:]))"
        )
        done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False)
        assert "--cache-dir" in done.stderr
        assert not lies(tmp_path).exists()
        with Command(tmp_path, "sut", line) as again:
            assert again.end().code == 0
        assert server.asked[-1][2]["Range"] == "bytes=700000-"
    assert lies(tmp_path).read_bytes() == CONTENT


@pytest.fixture
def small_disk(tmp_path: Path):  # type: ignore[no-untyped-def]
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("chunked", (False, True), ids=("known beforehand", "found out"))
def test_a_disk_that_fills(tmp_path: Path, small_disk: Path, chunked: bool) -> None:
    with serving(CONTENT, Act(chunked=chunked)) as server:
        text = catalogue(CONTENT, server.url, size=None)
        with Command(tmp_path, "sut", flags(tmp_path, text, small_disk)) as full:
            ended = full.end()
    assert (ended.code, len(ended.errors), "Traceback" in ended.err) == (3, 1, False)
    assert "space" in ended.errors[0]
    assert "--cache-dir" in ended.errors[0]
    assert not (small_disk / "assets" / "thing" / "model.bin").exists()
