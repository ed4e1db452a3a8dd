"""How `distill` and `prune` end before their time: by Ctrl-C, and where the disk is full when they are to go on."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
import trained_commands
from damage import full_disk

from training import distill, prune
from training.loop import checkpoint_record

COMMANDS = {
    "distill": (distill.main, ["--teacher", "MODEL", "--student", "MODEL"]),
    "prune": (prune.main, ["--model", "MODEL", "--pattern", "structured", "--sparsity", "0.5"]),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, and two files of questions."""
    return trained_commands.prepare(tmp_path_factory.mktemp("squad"))


def interrupt_after_a_step(table: Path) -> threading.Thread:
    """Ctrl-C as soon as there is a row below the heading."""

    def wait() -> None:
        while not table.exists() or table.read_text().count("\n") < 2:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def whole(run: Path) -> list[str]:
    found = checkpoint_record.newest_first(run)
    for path in found:
        checkpoint_record.checked(path)
    return [path.name for path in found]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupted_training_and_a_full_disk_keep_the_last_checkpoint(
    files: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main, flags = COMMANDS[name]
    run = tmp_path / "run"
    given = {"train": files / "train.json", "dev": files / "dev.json", "output": tmp_path / "model", "run-dir": run}
    words = [str(files / "model") if word == "MODEL" else word for word in flags]
    words += [f"--{flag}={value}" for flag, value in given.items()]
    words += ["--threads=1", "--batch=4", "--epochs=3", "--evaluations=1"]
    interrupting = interrupt_after_a_step(run / "steps.csv")
    with pytest.raises(KeyboardInterrupt):
        main(words)
    interrupting.join()
    said = capsys.readouterr().err.rstrip().splitlines()[-1]
    assert said == f"To go on from here, type the same command with --run-dir {run}"
    kept = whole(run)
    assert len(kept) == 1 and not any((tmp_path / "model").iterdir())
    with full_disk(100_000):
        assert main(words) == 3
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    expected = (
        r"error: expected to write a checkpoint to .*(File too large|disk is full).* Older checkpoints are kept\. "
    )
    assert (
        re.match(expected, errors[0]) and f"The last good checkpoint is {run / 'checkpoints' / kept[0]}." in errors[0]
    )
    assert whole(run) == kept
