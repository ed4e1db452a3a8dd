"""The small BERT of `small_bert.py`."""

from model_fixtures import model, model_dir

__all__ = ["model", "model_dir"]
