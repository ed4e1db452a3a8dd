"""The cases of `squad_by_hand.py`, and the article of SQuAD."""

from scoring_fixtures import article, article_logits, article_predictions, small, wide

__all__ = ["article", "article_logits", "article_predictions", "small", "wide"]
