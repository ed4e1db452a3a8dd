"""docs/guide/seed-systems.md: every command runs as written, in its order, with the exit code that the page names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command import Command
from paths import ROOT

_TEXT = (ROOT / "docs" / "guide" / "seed-systems.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)
_MADE = {  # what the commands leave, by section
    "scc": ["short/mlperf_submission.tar.gz", "sweep/sweep.png", "sweep/summary.jsonl", "again/run.json"],
    "wsf": ["kpi.xlsx", "sweep/rows.jsonl", "flags/run.json", "pkm/run.json"],
    "ixrt": ["int8-accuracy/predictions.json", "fp16-accuracy/accuracy.txt"],
    "groq": ["engines/compare.json", "accuracy/predictions.json"],
    "flagperf": ["1x1/mllog.txt", "1x1/run.json", "1x1/training.png", "1x1/model/model.safetensors"],
}


def commands(block: str) -> list[tuple[list[str], int]]:
    """(the words after `python -m`, the exit code) of each command; a backslash continues a line."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        command, _, remark = line.partition(" # exit code ")
        python, flag, *words = shlex.split(command)
        assert (python, flag) == ("python", "-m")
        found.append((words, int(remark or 0)))
    return found


def test_there_is_a_block_for_each_system() -> None:
    assert len(_BLOCKS) == len(_MADE)


@pytest.mark.timeout(600)  # a dozen commands
@pytest.mark.parametrize(("block", "made"), [*zip(_BLOCKS, _MADE.items(), strict=True)], ids=list(_MADE))
def test_every_command_runs(block: str, made: tuple[str, list[str]], tmp_path: Path) -> None:
    for (module, *words), code in commands(block):
        with Command(tmp_path, module, words) as command:
            ended = command.end()
        assert ended.code == code, f"{' '.join(words)}\n{ended.out}\n{ended.err}"
        assert "Traceback" not in ended.err
    folder, files = made
    for file in files:
        assert (tmp_path / "work" / folder / file).stat().st_size > 0
