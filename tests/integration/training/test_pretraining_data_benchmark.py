"""The benchmark of pre-training data runs a user's script in the reference's form, and compares what it makes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from paths import ASSETS

from benchmarks import pretraining_data
from training.text import generated

TOKENIZATION = """
from absl import flags
import six
import tensorflow.compat.v1 as tf
from pathlib import Path
from training.text.wordpiece import Tokenizer
assert six.PY3
flags.DEFINE_bool("preserve_unused_tokens", False, "help")

class FullTokenizer:
    def __init__(self, vocab_file, do_lower_case=True):
        assert do_lower_case and not flags.FLAGS.preserve_unused_tokens
        self.inner = Tokenizer(Path(vocab_file))
    def convert_tokens_to_ids(self, tokens):
        return [self.inner.ids[token] for token in tokens]
"""
INSTANCES = """
import tensorflow as tf
import tokenization
from types import SimpleNamespace
from training.text.engine import PYTHON
from training.text.recipe import Recipe
tf.flags.DEFINE_string("input_file", None, "help")

def create_training_instances(input_files, tokenizer, max_seq_length, dupe_factor, short_seq_prob, masked_lm_prob,
                              max_predictions_per_seq, rng):
    with tf.gfile.GFile(input_files[0], "r") as reader:
        content = "".join(iter(reader.readline, ""))
    recipe = Recipe(max_seq_length=max_seq_length, max_predictions=max_predictions_per_seq, dupe_factor=dupe_factor)
    words = tokenizer.inner.tokens
    found = []
    for row in PYTHON.make(PYTHON.encode(content.encode(), tokenizer.inner), tokenizer.inner, recipe, rng).rows():
        found.append(SimpleNamespace(
            tokens=[words[number] for number in row.input_ids], segment_ids=row.segment_ids,
            masked_lm_positions=row.masked_lm_positions, is_random_next=bool(row.is_random_next),
            masked_lm_labels=[words[number] for number in row.masked_lm_ids],
        ))
    return found
"""


@pytest.mark.parametrize("is_same", [True, False])
def test_a_script_in_the_reference_s_form_is_timed_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_same: bool
) -> None:
    (tmp_path / "tokenization.py").write_text(TOKENIZATION)
    made = INSTANCES if is_same else INSTANCES.replace("content.encode()", "content.encode()[:-99]")
    (tmp_path / "create_pretraining_data.py").write_text(made)
    (tmp_path / "text.txt").write_text(generated.text("dev", 1, 8), encoding="utf-8")
    words = ["--text", str(tmp_path / "text.txt"), "--reference", str(tmp_path), "--dupe-factor", "1"]
    monkeypatch.setattr(sys, "argv", ["x", *words, "--vocab", str(ASSETS / "demo" / "vocab.txt")])
    if not is_same:
        with pytest.raises(SystemExit, match="the instances differ"):
            pretraining_data.main()
        return
    pretraining_data.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("the reference's script")
    assert lines[-2].endswith("1.0")
    assert lines[-1].startswith("the same instances: ")
