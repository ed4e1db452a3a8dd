"""The table of architectures: model_type in config.json → its configuration, and the geometries known by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from backends.bert import config, mobilebert
from backends.bert.encoder import EncoderConfig
from backends.errors import BackendError

# A model's sizes, in JSON too: the first one with all of its required keys there.
Geometry = mobilebert.MobileBertConfig | config.BertConfig
ARCHITECTURES: dict[str, type[Geometry]] = {
    one.model_type: one for one in (config.BertConfig, mobilebert.MobileBertConfig)
}
RANDOM_GEOMETRIES: dict[str, Geometry] = {**config.RANDOM_GEOMETRIES, **mobilebert.RANDOM_GEOMETRIES}
Implementation = TypeVar("Implementation")


def implementation(table: Mapping[str, Implementation], geometry: EncoderConfig, user: str) -> Implementation:
    """The row of an engine's table by `model_type`.

    Args:
        user: what the table belongs to, such as "backend pytorch", in the message.

    Raises:
        BackendError: the engine does not have this architecture.
    """
    if geometry.model_type not in table:
        known = " or ".join(ARCHITECTURES[name].title for name in table)
        raise BackendError(
            f"expected a {known} for {user}, found a {geometry.title}. Type another --model, or --backend pytorch."
        )
    return table[geometry.model_type]


def require_bert(geometry: EncoderConfig, user: str) -> config.BertConfig:
    """The same, if it is a BERT. Raises BackendError as `implementation`."""
    implementation({config.BertConfig.model_type: None}, geometry, user)
    assert isinstance(geometry, config.BertConfig)
    return geometry
