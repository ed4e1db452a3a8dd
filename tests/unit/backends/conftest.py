"""The small BERT of `small_bert.py`, and numbers of threads."""

from model_fixtures import model, model_dir
from products import threads

__all__ = ["model", "model_dir", "threads"]
