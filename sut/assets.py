"""Names to checked paths: the embedded demo model and data set, or what the user names."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from qsl import demo, store
from sut.config import DEMO, RunConfig
from sut.errors import UsageError

_QUESTIONS = {"dev": None, "train": 1000}  # None: all


def demo_model() -> Path:
    """The directory of the small trained BERT that ships with the package."""
    return Path(str(files("assets") / DEMO))


def demo_dataset(cache_dir: Path, split: str = "dev") -> Path:
    """A generated set, written to the cache on first use; another generator writes another file.

    Args:
        split: "dev", or "train" for some passages of the training set: what the demo's engines are calibrated on.
    """
    sources = sorted(Path(demo.__file__).parent.glob("*.py"))
    path = cache_dir / f"demo-{split}-{store.key('demo', *sources)}.json"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            demo.write(path, split, questions=_QUESTIONS[split])
        except OSError as error:
            raise UsageError(
                f"wanted to write the demo data set to {path}, found: {error}. Try --cache-dir."
            ) from error
    return path


def cache_dir(config: RunConfig) -> Path:
    return (config.cache_dir or store.DEFAULT_CACHE_DIR).expanduser()


def model_spec(config: RunConfig) -> str:
    """What `backends.checkpoints.find_model` understands."""
    return str(demo_model()) if config.model == DEMO else config.model


def dataset(config: RunConfig) -> Path:
    return config.dataset or demo_dataset(cache_dir(config))


def vocab(config: RunConfig) -> Path:
    """The vocabulary: as named, else the model directory's own, else, for the demo data set, the demo's."""
    if config.vocab:
        return config.vocab
    model = Path(model_spec(config))
    own = (model.parent if model.is_file() else model) / "vocab.txt"
    if own.is_file():
        return own
    if config.dataset is None:
        return demo_model() / "vocab.txt"
    raise UsageError(f"wanted the vocabulary of {config.model}, found none beside it. Name it with --vocab FILE.")
