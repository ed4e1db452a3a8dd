"""What a node of a Ray cluster has, and what it makes of what it gets; without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nodes
import numpy as np
import pytest

from backends.base import Options
from backends.bert.model import Model
from backends.errors import BackendError
from foundation import installation
from qsl.feature_cache import FeatureFiles
from sut.executors.worker import WorkerSpec
from sut.nodes.errors import NodeError
from sut.running import ray_agent, shipped_files
from sut.running.ray_agent import NodeTask, look
from sut.running.shipped_files import FileSet
from sut.settings.settings import RunConfig


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped_files, "DEFAULT_CACHE_DIR", tmp_path / "cache")


def task(model: Model = Model("fake", None, None), files: FileSet | None = None, backend: str = "fake") -> NodeTask:  # noqa: B008 - frozen
    return NodeTask(
        config=RunConfig(backend=backend, executor="ray", instances=1),
        worker=WorkerSpec(
            backend=backend,
            options=Options(),
            model=model,
            features=nodes.FEATURES,
            vocab=Path("vocab.txt"),
            max_tokens=nodes.BATCH_TOKENS,
            shapes=((1, 8),),
        ),
        features=None,
        model_files=files,
        engine_files=None,
        total_tokens=nodes.FEATURES.total_tokens,
    )


def weights(folder: Path) -> FileSet:
    folder.mkdir()
    (folder / "weights").write_text("w")
    return FileSet.of(folder, [folder / "weights"])


def test_a_node_says_what_it_has(tmp_path: Path) -> None:
    files = weights(tmp_path / "model")
    found = look(task(files=files))
    assert (found.package, found.instances, found.accelerated) == (installation.version(), 1, False)
    assert (found.has_features, found.has_model, found.has_engine) == (False, True, True)
    files.paths[0].write_text("other weights")
    assert not look(task(files=files)).has_model


def test_features_of_another_cache_are_not_there(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, len(nodes.FEATURES), nodes.FEATURES.total_tokens, "digest")
    assert not look(replace(task(), features=files)).has_features


def test_a_node_without_the_engine_says_so() -> None:
    with pytest.raises(BackendError, match="expected a backend"):
        look(task(backend="unknown"))


def test_what_is_sent_is_used_by_its_path_here(tmp_path: Path) -> None:
    files = weights(tmp_path / "model")
    sent = [np.fromfile(path, np.uint8) for path in files.paths]
    files.paths[0].unlink()
    asked = task(Model("here", None, tmp_path / "model"), files)
    found = ray_agent.with_paths(asked, ray_agent.Sent(model=sent))
    assert found.path is not None and (found.path / "weights").read_text() == "w"
    assert found.path != tmp_path / "model"
    files.store(sent)
    assert ray_agent.with_paths(asked, ray_agent.Sent()).path == found.path


def test_files_that_change_while_the_node_starts_are_not_used(tmp_path: Path) -> None:
    files = weights(tmp_path / "model")
    files.paths[0].unlink()
    with pytest.raises(NodeError, match="to stay as it is"):
        ray_agent.with_paths(task(Model("here", None, tmp_path / "model"), files), ray_agent.Sent())
