"""A task of the training loop that takes milliseconds: which of eight classes do a sample's numbers sum to?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.bert.config import BertConfig
from foundation.arrays import Int64
from training.loop.dealing import rows_of_step
from training.loop.evaluation import spread
from training.loop.task import Drawn, Evaluation, Loss
from training.loop.world import World

ROWS, WORDS, WIDTH, CLASSES, EVALUATED = 101, 32, 16, 8, 37


class ToyNetwork(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.LayerNorm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        x = self.words(ids)
        for layer in self.layers:
            x = x + torch.tanh(layer(self.dropout(x)))
        pooled = torch.zeros(len(offsets) - 1, WIDTH, dtype=x.dtype, device=x.device)
        pooled.index_add_(0, torch.repeat_interleave(offsets.diff()), x)
        logits: Tensor = self.head(self.LayerNorm(pooled))
        return logits


class ToyTask:
    """Rows of 1 to 9 numbers; `broken_at` makes the loss of a step NaN."""

    def __init__(self, seed: int = 0, *, batch: int = 12, dropout: float = 0.0, broken_at: int = 0) -> None:
        self.config = BertConfig(
            vocab_size=WORDS, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=WIDTH
        )
        torch.manual_seed(seed)
        self.network: nn.Module = ToyNetwork(dropout)
        self.seed, self.batch, self.broken_at = seed, batch, broken_at
        draw = np.random.default_rng(5)
        self.rows = [draw.integers(0, WORDS, draw.integers(1, 10)) for _ in range(ROWS)]
        self.labels = torch.tensor([int(row.sum()) % CLASSES for row in self.rows])
        self.lengths = np.array([len(row) for row in self.rows], np.int32)
        self.seen: list[int] = []  # rows, in the order of steps
        self.steps = torch.zeros((), dtype=torch.int64)

    def draw(self, step: int) -> Drawn:
        rows = rows_of_step(self.seed, step, self.batch, ROWS)
        return Drawn(rows, self.lengths[rows])

    def loss(self, network: nn.Module, drawn: Drawn, mine: Int64, world: World) -> Loss:
        rows = drawn.rows[mine]
        self.seen.extend(map(int, rows))
        logits = self._logits(network, rows, world)
        total = F.cross_entropy(logits.float(), self.labels[rows].to(world.device), reduction="sum") / len(drawn)
        if int(self.steps) + 1 == self.broken_at:
            total = total * float("nan")
        return Loss(total, {"half": total.detach() / 2})

    def _logits(self, network: nn.Module, rows: Int64, world: World) -> Tensor:
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])])
        ids = np.concatenate([self.rows[row] for row in rows])
        logits: Tensor = network(torch.from_numpy(ids).to(world.device), torch.from_numpy(offsets).to(world.device))
        return logits

    def evaluate(self, network: nn.Module, world: World) -> Evaluation:
        def score(rows: Int64) -> tuple[Tensor, Tensor]:
            logits = self._logits(network, rows, world)
            labels = self.labels[rows].to(world.device)
            return (logits.argmax(1) == labels).sum(), F.cross_entropy(logits.float(), labels, reduction="sum")

        right, loss = spread(self.lengths[:EVALUATED], 40, world, score)
        return Evaluation({"accuracy": right / EVALUATED, "loss": loss / EVALUATED}, EVALUATED)

    def after_step(self, step: int, parts: Mapping[str, float]) -> None:
        assert set(parts) == {"loss", "half"}
        self.steps += 1

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "name": "toy"}

    def load_state(self, state: dict[str, Any]) -> None:
        assert state["name"] == "toy"
        self.steps = state["steps"]

    def write_model(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        (folder / "model.json").write_text(json.dumps({name: list(one.shape) for name, one in weights.items()}))
