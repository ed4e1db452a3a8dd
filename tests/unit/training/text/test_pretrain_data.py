"""`python -m training.pretrain_data`: data sets of texts, in parts, with articles held out, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from paths import ASSETS

from training import pretrain_data
from training.shards.directory import open_instances
from training.shards.fingerprint import fingerprint
from training.shards.instances import Instances, concatenate
from training.text import engine, generated, held_out
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer

VOCABULARY = ASSETS / "demo" / "vocab.txt"
TOKENIZER = Tokenizer(VOCABULARY)
RECIPE = Recipe(dupe_factor=2)
TEXTS = [generated.text("dev", seed, 40) for seed in (1, 2)]  # of ten articles


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.txt" for number in range(len(TEXTS))]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def run(texts: list[Path], folder: Path, *words: str) -> int:
    given = [*map(str, texts), "--vocab", str(VOCABULARY), "--output", str(folder / "out"), "--dupe-factor", "2"]
    return pretrain_data.main([*given, "--processes", "1", *words])


def instances(content: str) -> Instances:
    return engine.instances(content.encode(), TOKENIZER, RECIPE, engine.fastest())


def test_each_text_is_a_part_with_random_numbers_of_its_own(
    tmp_path: Path, texts: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(texts, tmp_path) == 0
    expected = concatenate([instances(text) for text in TEXTS])
    found = open_instances(tmp_path / "out")
    assert fingerprint(found) == fingerprint(expected)
    metadata = found.metadata
    assert (metadata.seed, metadata.vocabulary_size, metadata.do_lower_case) == (12345, len(TOKENIZER), True)
    assert list(metadata.texts) == [str(path) for path in texts]
    assert capsys.readouterr().out == f"{tmp_path}/out: {len(expected):,} instances of " + (
        f"{expected.token_ids.size / len(expected):.1f} tokens in 2 parts\n"
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "data_set.json",
        *(f"part-0000{k}-of-00002.shard" for k in (0, 1)),
    }


def test_parts_are_cut_between_articles_and_hold_all_of_them(tmp_path: Path, texts: list[Path]) -> None:
    assert run(texts, tmp_path, "--parts", "3") == 0
    found = open_instances(tmp_path / "out")
    joined = "".join(TEXTS)
    articles = joined.removesuffix("\n\n").split("\n\n")
    sizes = [sum(len(article.encode()) + 2 for article in articles[:k]) for k in range(len(articles) + 1)]
    starts = [next(k for k, size in enumerate(sizes) if size > sizes[-1] * part // 3) for part in (1, 2)]
    cuts = zip([0, *starts], [*starts, len(articles)], strict=True)
    parts = ["\n\n".join(articles[start:stop]) for start, stop in cuts]
    assert fingerprint(found) == fingerprint(concatenate([instances(part) for part in parts]))


def test_more_parts_than_articles_are_refused(
    tmp_path: Path, texts: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(texts, tmp_path, "--parts", "21") == 2
    assert "articles are not divided. Type: --parts" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_articles_are_held_out_by_the_reference_s_definition(tmp_path: Path, texts: list[Path], newline: str) -> None:
    for path, text in zip(texts, TEXTS, strict=True):
        path.write_text(text, encoding="utf-8", newline=newline)
    words = ("--evaluation-output", f"{tmp_path}/eval", "--eval-articles", "5", "--eval-samples", "7")
    assert run(texts, tmp_path, *words) == 0
    rest, held = [], ""
    for file, (text, number) in enumerate(zip(TEXTS, (2, 3), strict=True)):
        rng, out = Random(12345 + 13 * file), set[int]()
        articles = text.split("\n\n")
        while len(out) < number:
            out.add(int(rng.random() * len(articles)))
        rest.append("".join(f"{one}\n\n" for k, one in enumerate(articles) if k not in out))
        held += "".join(f"{one}\n\n" for k, one in enumerate(articles) if k in out)
    assert fingerprint(open_instances(tmp_path / "out")) == fingerprint(concatenate([instances(one) for one in rest]))
    samples = instances(held)
    picked = samples.take(np.array([int(k * (len(samples) / 7)) for k in range(7)]))
    evaluation = open_instances(tmp_path / "eval")
    assert fingerprint(evaluation) == fingerprint(picked)
    assert evaluation.metadata.evaluation is not None


def test_the_shares_of_files_add_up() -> None:
    assert [held_out.quota(file, 3, 10) for file in range(3)] == [3, 3, 4]
    assert sum(held_out.quota(file, 47, 10_000) for file in range(47)) == 10_000


def test_a_vocabulary_is_learned(tmp_path: Path, texts: list[Path]) -> None:
    path = tmp_path / "vocab.txt"
    assert run(texts, tmp_path, "--vocab", str(path), "--learn-vocab", "400") == 0
    learned = Tokenizer(path)
    assert 400 <= len(learned) < 500
    assert open_instances(tmp_path / "out").metadata.vocabulary_sha256 == learned.sha256


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--parts", "0"], "expected --parts from 1"),
        (["--max-predictions", "126"], "expected --max-predictions from 1 to 125"),
        (["--eval-articles", "3"], "expected --evaluation-output DIR with --eval-articles"),
        (["--evaluation-output", "FOLDER/out/eval"], "expected two directories, neither in the other"),
        (["--evaluation-output", "FOLDER/eval"], "expected more than 5,000 articles in"),
        (["--learn-vocab", "100"], "expected no file at"),
        (["--learn-vocab", "100", "--cased"], "without --cased"),
        (["--output", "FOLDER"], "expected no data set at"),
        (["FOLDER/blank.txt"], "found no sentence in"),
        (["FOLDER/empty.txt"], "found an empty file"),
        (["FOLDER/none.txt"], "No such file"),
        (["--vocab", "FOLDER/none.txt"], "--learn-vocab 8000 to learn one from the texts"),
    ],
    ids=" ".join,
)
def test_what_is_refused_leaves_nothing(
    tmp_path: Path, texts: list[Path], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "empty.txt").write_text("")
    before = set(tmp_path.iterdir())
    paths = [Path(word.replace("FOLDER", str(tmp_path))) for word in words if not word.startswith("-")]
    flags = [word.replace("FOLDER", str(tmp_path)) for word in words] if words[0].startswith("-") else []
    assert run([*texts, *([] if flags else paths)], tmp_path, *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len([line for line in error.splitlines() if line != pretrain_data.SLOWER]) == 1
    assert set(tmp_path.iterdir()) == before


def test_a_mistyped_command_is_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain_data.main(["descibe", "DIR"]) == 2
    assert capsys.readouterr().err.endswith("found descibe. Did you mean describe?\n")
