"""Names and paths of a run's flags → checked paths: the embedded demos, fetched assets, or the user's own files."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from foundation import atomic_write
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_bytes, read_text
from foundation.suggest import did_you_mean
from qsl import feature_cache, tokenizer_files
from sut.errors import UsageError
from sut.fetch import catalogue
from sut.fetch.catalogue import Catalogue
from sut.fetch.store import AssetCache
from sut.settings.settings import DEMO, RunConfig
from sut.tasks import TASKS, Demo

_SAMPLES = {"dev": None, "train": 1000}  # None: all


def demo_model(task: str = "squad") -> Path:
    """The directory of the small trained BERT for this task, which is part of the package."""
    return Path(str(files("assets") / _demo(task).folder))


def _demo(task: str) -> Demo:
    """Raises UsageError for a task without one."""
    found = TASKS[task].demo
    if found is None:
        raise UsageError(f"expected --model and --dataset, since --task {task} has no demo, found none. Type both.")
    return found


def demo_dataset(cache_dir: Path, split: str = "dev", task: str = "squad") -> Path:
    """The path of a generated data set, written to the cache on first use; its name depends on the generator's sources.

    A file that is not what was generated is generated again.

    Args:
        split: "dev", or "train" for the part of the training set on which the demo's engines are calibrated.
    """
    demo = _demo(task)
    sources = sorted(demo.generator.glob("*.py"))
    path = cache_dir / f"{demo.folder}-{split}-{feature_cache.key('demo', *sources)}{demo.suffix}"
    digest = path.with_name(f"{path.name}.sha256")
    if not _is_intact(path, digest):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_file():  # which would be written to, not replaced
                path.unlink(missing_ok=True)
            demo.write(path, split, _SAMPLES[split])
            atomic_write.write_text(digest, _sum(path))
        except (OSError, UnreadableError) as error:
            raise UsageError(
                f"expected to write the demo data set to {path}, found: {error}. Type: --cache-dir DIR."
            ) from error
    return path


def _is_intact(path: Path, digest: Path) -> bool:
    with suppress(UnreadableError):
        return read_text(digest, SETTINGS_BYTES) == _sum(path)
    return False


def _sum(path: Path) -> str:
    """Its sha256 in the form of sha256sum."""
    return f"{hashlib.sha256(read_bytes(path)).hexdigest()}  {path.name}\n"


def cache_dir(config: RunConfig) -> Path:
    """The directory of features, engines and fetched files."""
    return (config.cache_dir or feature_cache.DEFAULT_CACHE_DIR).expanduser()


def model_spec(config: RunConfig) -> str:
    """The model in the form that `backends.bert.checkpoints.find_model` takes."""
    if config.model == DEMO:
        return str(demo_model(config.task))
    return str(fetched(config, "model", config.model) or config.model)


def dataset(config: RunConfig) -> Path:
    """The data set of the run: the demo's, one that was fetched, or a path."""
    if config.dataset is None:
        return demo_dataset(cache_dir(config), task=config.task)
    return fetched(config, "dataset", config.dataset) or config.dataset


def calibration_dataset(config: RunConfig) -> Path:
    """As given; else the demo's training set for the demo, and the data set of the run for other models."""
    if config.calibration_dataset is not None:
        return fetched(config, "calibration-dataset", config.calibration_dataset) or config.calibration_dataset
    if config.model == DEMO or config.dataset is None:
        return demo_dataset(cache_dir(config), "train", config.task)
    return dataset(config)


def fetched(config: RunConfig, flag: str, name: str | Path, known: Catalogue | None = None) -> Path | None:
    """The path of the asset `name` for this flag; None if there is no such asset or `name` is an existing path.

    Raises:
        UsageError: it is not there, was changed since it was verified, or is of another kind.
    """
    known = known or catalogue.read()
    asset = known.get(str(name))
    if asset is None:
        _check_near(flag, str(name), known)
        return None
    if Path(name).exists():  # a local path takes precedence over an asset of the same name
        return None
    if flag not in asset.flags:
        fit = ", ".join(other.name for other in known.values() if flag in other.flags)
        raise UsageError(f"expected a --{flag} (fetched by name: {fit}), found {name}: {asset.title}.")
    cache = AssetCache(cache_dir(config).absolute() / "assets")
    if not cache.is_complete(asset):
        own = f" --cache-dir {config.cache_dir}" if config.cache_dir else ""
        raise UsageError(
            f"expected {name} below {cache.root}, found it missing or incomplete. Type: python -m sut fetch {name}{own}"
        )
    return cache.path(asset, asset.flags[flag])


def _check_near(flag: str, name: str, known: Catalogue) -> None:
    hint = did_you_mean(name, [one for one in known if flag in known[one].flags], similar=0.8)
    if hint and not Path(name).exists():
        raise UsageError(f"expected --{flag} as a path or a name, found no {name!r}.{hint}")


def vocab(config: RunConfig) -> Path:
    """The vocabulary: as given, else the one in the model's directory, else (demo data set) the demo's."""
    if config.vocab:
        return fetched(config, "vocab", config.vocab) or config.vocab
    model = Path(model_spec(config))
    folder = model.parent if model.is_file() else model
    for name in tokenizer_files.VOCABULARIES:
        if (folder / name).is_file():
            return folder / name
    if config.dataset is None:
        return demo_model(config.task) / "vocab.txt"
    raise UsageError(f"expected the vocabulary of {config.model}, found none next to it. Type: --vocab FILE.")
