"""The commands that train on SQuAD files, with small files and, if nothing else is named, a model of one layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from backends.bert.config import BertConfig
from qsl import demo
from training.network import model_files
from training.tasks.squad import SpanNetwork

TINY = BertConfig(vocab_size=3055, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
COMMANDS = {
    "distill": ["--teacher=MODEL", "--student=MODEL", "--relation-heads=2"],
    "prune": ["--model=MODEL", "--sparsity=0.5", "--qat=0.4", "--qat-samples=2", "--relations=0"],
}


def prepare(folder: Path) -> Path:
    """Write the files that the commands read, and a small model with random weights."""
    demo.write(folder / "train.json", "train", 1, 30)
    demo.write(folder / "dev.json", "dev", 1, 6)
    vocabulary = Path("assets/demo/vocab.txt").read_text(encoding="utf-8").splitlines()
    (folder / "model").mkdir()
    torch.manual_seed(1)
    config = replace(TINY, vocab_size=len(vocabulary))
    model_files.write_model(folder / "model", config, vocabulary, SpanNetwork(config, 0.0).state_dict())
    return folder


def arguments(name: str, files: Path, output: Path, *more: str) -> list[str]:
    """Of the command `training.<name>`, without dropout, which each process draws; the records are in `output`/run."""
    given = {"train": files / "train.json", "dev": files / "dev.json", "output": output, "run-dir": output / "run"}
    words = [word.replace("MODEL", str(files / "model")) for word in COMMANDS[name]]
    words += [f"--{flag}={value}" for flag, value in given.items()]
    return [*words, "--threads=1", "--batch=7", "--epochs=1", "--evaluations=1", "--dropout=0", "--rate=0.001", *more]


def losses(output: Path) -> list[float]:
    """Of each step."""
    header, *rows = (output / "run" / "steps.csv").read_text(encoding="utf-8").splitlines()
    return [float(row.split(",")[header.split(",").index("loss")]) for row in rows]
