"""The readable BERT agrees with Hugging Face's on the same state dict, up to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from backends.bert.config import BertConfig  # noqa: E402
from backends.bert.torch_module import BertForQuestionAnswering  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

LEFT_OUT = ("pooler", "position_ids")


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    """A model of each library with the same random weights, larger than the usual initialization."""
    torch.manual_seed(0)
    theirs = (
        transformers.BertForQuestionAnswering(
            transformers.BertConfig(
                vocab_size=200, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128
            )
        )
        .eval()
        .requires_grad_(False)
    )
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.mul_(3).add_(0.01 * torch.randn_like(weight))
    ours = (
        BertForQuestionAnswering(
            BertConfig(
                vocab_size=200, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128
            )
        )
        .eval()
        .requires_grad_(False)
    )
    state = {name: w for name, w in theirs.state_dict().items() if not any(part in name for part in LEFT_OUT)}
    ours.load_state_dict(state, strict=True)
    return theirs, ours


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    ids = torch.randint(5, 200, (3, 40), generator=torch.Generator().manual_seed(0))
    types = (torch.arange(40) > 12).long().expand(3, 40)
    mask = torch.arange(40) < torch.tensor([[40], [30], [20]])
    return ids, types, mask


@pytest.mark.parametrize("padded", [False, True])
def test_it_agrees_with_hugging_face(pair: tuple[Any, Any], padded: bool) -> None:
    theirs, ours = pair
    ids, types, mask = inputs()
    mask = mask if padded else torch.ones_like(mask)
    found = ours(ids, types, mask if padded else None)
    expected = theirs(input_ids=ids, token_type_ids=types, attention_mask=mask.long())
    assert found.shape == (3, 40, 2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[..., 0][mask], expected.start_logits[mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[..., 1][mask], expected.end_logits[mask], atol=1e-5, rtol=1e-5)


def test_padding_changes_no_answer(pair: tuple[Any, Any]) -> None:
    _, ours = pair
    ids, types, mask = inputs()
    alone = ours(ids[2:, :20], types[2:, :20])
    torch.testing.assert_close(ours(ids, types, mask)[2:, :20], alone, atol=1e-5, rtol=1e-5)


def test_another_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="gelu"):
        BertForQuestionAnswering(
            BertConfig(
                vocab_size=10,
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=16,
                hidden_act="relu",
            )
        )
