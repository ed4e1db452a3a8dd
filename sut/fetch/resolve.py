"""Names to checked paths: the embedded demo models and data sets, what `sut fetch` brought, or what the user names."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path

from qsl import feature_cache
from sut.errors import UsageError
from sut.fetch import catalogue
from sut.fetch.catalogue import Catalogue
from sut.fetch.store import Shelf
from sut.settings.resolve import DEMO, RunConfig
from sut.tasks import TASKS

_SAMPLES = {"dev": None, "train": 1000}  # None: all


def demo_model(task: str = "squad") -> Path:
    """The directory of the small trained BERT that ships with the package for this task."""
    return Path(str(files("assets") / TASKS[task].demo.folder))


def demo_dataset(cache_dir: Path, split: str = "dev", task: str = "squad") -> Path:
    """A generated set, written to the cache on first use; another generator writes another file.

    Args:
        split: "dev", or "train" for a part of the training set: what the demo's engines are calibrated on.
    """
    demo = TASKS[task].demo
    sources = sorted(demo.generator.glob("*.py"))
    path = cache_dir / f"{demo.folder}-{split}-{feature_cache.key('demo', *sources)}{demo.suffix}"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            demo.write(path, split, _SAMPLES[split])
        except OSError as error:
            raise UsageError(
                f"expected to write the demo data set to {path}, found: {error}. Try --cache-dir."
            ) from error
    return path


def cache_dir(config: RunConfig) -> Path:
    return (config.cache_dir or feature_cache.DEFAULT_CACHE_DIR).expanduser()


def model_spec(config: RunConfig) -> str:
    """What `backends.bert.checkpoints.find_model` understands."""
    if config.model == DEMO:
        return str(demo_model(config.task))
    return str(fetched(config, "model", config.model) or config.model)


def dataset(config: RunConfig) -> Path:
    if config.dataset is None:
        return demo_dataset(cache_dir(config), task=config.task)
    return fetched(config, "dataset", config.dataset) or config.dataset


def calibration_dataset(config: RunConfig) -> Path:
    """As named; else the demo's training set for the demo, and for other models the data set that is run."""
    if config.calibration_dataset is not None:
        return fetched(config, "calibration-dataset", config.calibration_dataset) or config.calibration_dataset
    if config.model == DEMO or config.dataset is None:
        return demo_dataset(cache_dir(config), "train", config.task)
    return dataset(config)


def fetched(config: RunConfig, flag: str, name: str | Path, known: Catalogue | None = None) -> Path | None:
    """The path of what `sut fetch` calls `name`, for this flag; None for a path and for any other word.

    Raises:
        UsageError: it is not there, was changed since it was verified, or is of another kind.
    """
    known = known or catalogue.read()
    asset = known.get(str(name))
    if asset is None:
        _check_near(flag, str(name), known)
        return None
    if Path(name).exists():  # what lies here has the older right to its name
        return None
    if flag not in asset.flags:
        fit = ", ".join(other.name for other in known.values() if flag in other.flags)
        raise UsageError(f"expected a --{flag} (fetched by name: {fit}), found {name}: {asset.title}.")
    where = Shelf(cache_dir(config).absolute() / "assets")
    if not where.is_whole(asset):
        own = f" --cache-dir {config.cache_dir}" if config.cache_dir else ""
        raise UsageError(
            f"expected {name} below {where.root}, found it not whole there. Type: python -m sut fetch {name}{own}"
        )
    return where.path(asset, asset.flags[flag])


def _check_near(flag: str, name: str, known: Catalogue) -> None:
    near = difflib.get_close_matches(name, [one for one in known if flag in known[one].flags], n=1, cutoff=0.8)
    if near and not Path(name).exists():
        raise UsageError(f"expected --{flag} as a path or a name, found no {name!r}. Did you mean {near[0]}?")


def vocab(config: RunConfig) -> Path:
    """The vocabulary: as named, else the model directory's own, else, for the demo data set, the demo's."""
    if config.vocab:
        return fetched(config, "vocab", config.vocab) or config.vocab
    model = Path(model_spec(config))
    own = (model.parent if model.is_file() else model) / "vocab.txt"
    if own.is_file():
        return own
    if config.dataset is None:
        return demo_model(config.task) / "vocab.txt"
    raise UsageError(f"expected the vocabulary of {config.model}, found none beside it. Name it with --vocab FILE.")
