"""A small data set that all runs here share, and `run`, which runs a command on it to its end.

`refuse` is for what is refused before anything starts: the same command line, without the process around it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command import Case, Command, Ended, Run
from paths import ROOT

from qsl import demo, squad
from sut.__main__ import main

if not Path("/proc/self/stat").is_file():
    pytest.skip("these tests look for processes in /proc", allow_module_level=True)

# Of 40 questions, one whose passage falls into windows.
_QUESTIONS, _SEED = 40, 11
# So that a hundred queries are enough for LoadGen's percentiles, and a busy machine cannot make a run invalid.
_USER_CONF = "*.*.target_latency_percentile = 90\n*.Server.target_latency = 60000\n"


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Case:
    folder = tmp_path_factory.mktemp("end-to-end")
    dataset, vocab, user_conf = (folder / name for name in ("dev.json", "vocab.txt", "user.conf"))
    vocab.write_bytes((ROOT / "assets" / "demo" / "vocab.txt").read_bytes())
    demo.write(dataset, "dev", _SEED, _QUESTIONS)
    user_conf.write_text(_USER_CONF, encoding="utf-8")
    features = squad.load(dataset, vocab, None)
    assert len(features.features) > _QUESTIONS
    return Case(dataset, vocab, shared / "cache", user_conf, features)


@pytest.fixture
def start(tmp_path: Path, case: Case) -> Callable[..., Command]:
    """Starts `python -m sut` with these flags after the case's own; use it in a `with`."""
    return lambda *args: Command(tmp_path, "sut", [*case.flags, *map(str, args)])


@pytest.fixture
def run(tmp_path: Path, case: Case) -> Run:
    """Runs `python -m sut`, or another module, with these flags (sut: after the case's own)."""

    def to_the_end(*args: object, module: str = "sut", path: tuple[Path, ...] = (), with_case: bool = True) -> Ended:
        own = case.flags if module == "sut" and with_case else []
        with Command(tmp_path, module, [*own, *map(str, args)], path) as command:
            return command.end()

    return to_the_end


@pytest.fixture
def refuse(tmp_path: Path, case: Case, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """As `run`, for `python -m sut` alone, in this process."""

    def called(*args: object, with_case: bool = True) -> Ended:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        capfd.readouterr()
        try:
            code = main([*(case.flags if with_case else []), *map(str, args)])
        except SystemExit as end:  # argparse's own
            code = int(end.code or 0)
        return Ended(code, *capfd.readouterr(), folder)

    return called
