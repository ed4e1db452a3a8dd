"""Without a network: what the user has, bundles, the listing, and names as --model."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from bad_server import Act, catalogue, serving

from sut.commands import assets as commands_assets
from sut.commands import fetch
from sut.errors import FetchError, UsageError
from sut.fetch import catalogue as catalogues
from sut.fetch import resolve as asset_paths
from sut.settings.settings import RunConfig

CONTENT = random.Random(7).randbytes(50_000)
TEXT = catalogue(CONTENT, "http://publisher.invalid/files/published.bin")


def line(folder: Path, text: str = TEXT, cache: str = "cache") -> list[str]:
    (folder / "assets.toml").write_text(text, encoding="utf-8")
    return ["--catalogue", str(folder / "assets.toml"), "--cache-dir", str(folder / cache)]


def lies(folder: Path, cache: str = "cache") -> Path:
    return folder / cache / "assets" / "thing" / "model.bin"


@pytest.mark.parametrize("name", ("model.bin", "published.bin", "thing/model.bin"))
def test_from_a_directory_offline(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(CONTENT)
    assert fetch.main(["thing", "--from", str(tmp_path / "mine"), "--offline", *line(tmp_path)]) == 0
    assert lies(tmp_path).read_bytes() == CONTENT


def test_from_accepts_the_right_file_under_any_name_only(tmp_path: Path) -> None:
    mine = tmp_path / "whatever"
    for content, words in ((b"other", "5 bytes, expected 50,000"), (bytes(50_000), "checksum sha256:")):
        mine.write_bytes(content)
        with pytest.raises(FetchError, match=words):
            fetch.main(["thing", "--from", str(mine), "--offline", *line(tmp_path)])
        assert not lies(tmp_path).exists()
    mine.write_bytes(CONTENT)
    assert fetch.main(["thing", "--from", str(mine), "--offline", *line(tmp_path)]) == 0


def test_offline_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"http://publisher\.invalid/files/published\.bin.*--from FILE"):
        fetch.main(["thing", "--offline", *line(tmp_path)])


@pytest.mark.parametrize(
    ("flags", "words"),
    (
        (["thign"], "Did you mean thing"),
        ([], "expected what to fetch"),
        (["thing", "--from", "/nowhere"], "/nowhere"),
        (["--unbundle", "/nowhere"], "/nowhere"),
        (["thing", "--attempts", "0"], "--attempts"),
    ),
)
def test_invalid_arguments(tmp_path: Path, flags: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fetch.main([*flags, *line(tmp_path)])


def test_a_bundle_goes_to_a_machine_without_a_network(tmp_path: Path) -> None:
    with serving(CONTENT) as server:
        text = catalogue(CONTENT, server.url, checksum="", size=None, extra=f'record = "huggingface:{server.url}"')
        server.script = [Act(etag=f'"{"0" * 39}"'), Act()]
        with pytest.raises(FetchError, match="no checksum in the headers"):
            fetch.main(["thing", *line(tmp_path, text)])
    tar = tmp_path / "assets.tar"
    (tmp_path / "mine").write_bytes(CONTENT)
    fetch.main(["thing", "--from", str(tmp_path / "mine"), "--offline", "--bundle", str(tar), *line(tmp_path)])
    assert fetch.main(["--unbundle", str(tar), "--offline", *line(tmp_path, text, "far")]) == 0
    assert lies(tmp_path, "far").read_bytes() == CONTENT
    tar.write_bytes(tar.read_bytes().replace(CONTENT[:100], bytes(100)))
    with pytest.raises(FetchError, match="checksum"):
        fetch.main(["--unbundle", str(tar), *line(tmp_path, TEXT, "farther")])
    assert not lies(tmp_path, "farther").exists()


def test_the_listing_knows_missing_partly_there_and_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> str:
        capsys.readouterr()
        assert commands_assets.main(["--json", *line(tmp_path)]) == 0
        return str(json.loads(capsys.readouterr().out)["assets"][0]["state"])

    assert state() == "missing"
    lies(tmp_path).parent.mkdir(parents=True)
    lies(tmp_path).with_name("model.bin.part").write_bytes(CONTENT[:9])
    assert state() == "partly"
    lies(tmp_path).with_name("model.bin.part").unlink()
    lies(tmp_path).write_bytes(CONTENT)  # copied there by hand: verified, not fetched
    fetch.main(["thing", "--offline", *line(tmp_path)])
    assert state() == "there"
    lies(tmp_path).write_bytes(bytes(50_000))
    os.utime(lies(tmp_path), (1, 1))
    assert state() == "changed"
    with pytest.raises(FetchError, match="checksum"):
        commands_assets.main(["--verify", *line(tmp_path)])


def test_an_archive_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "dev.tsv").write_text("a sentence\t1\n")
    content = Path(shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path, "packed")).read_bytes()
    with serving(content) as server:
        unpacked = '\nunpack = { "packed/dev.tsv" = "dev.tsv" }\n[file.thing]'
        text = catalogue(content, server.url).replace("\n[file.thing]", unpacked)
        assert fetch.main(["thing", *line(tmp_path, text)]) == 0
    assert lies(tmp_path).with_name("dev.tsv").read_text() == "a sentence\t1\n"


def test_a_name_is_a_model_once_it_was_fetched(tmp_path: Path) -> None:
    flags = line(tmp_path)
    config, known = RunConfig(cache_dir=tmp_path / "cache"), catalogues.read(tmp_path / "assets.toml")
    with pytest.raises(UsageError, match="python -m sut fetch thing --cache-dir"):
        asset_paths.fetched(config, "model", "thing", known)
    with pytest.raises(UsageError, match="expected a --dataset"):
        asset_paths.fetched(config, "dataset", "thing", known)
    with pytest.raises(UsageError, match="Did you mean thing"):
        asset_paths.fetched(config, "model", "thingg", known)
    (tmp_path / "mine").write_bytes(CONTENT)
    fetch.main(["thing", "--from", str(tmp_path / "mine"), "--offline", *flags])
    assert asset_paths.fetched(config, "model", "thing", known) == lies(tmp_path)
    assert asset_paths.fetched(config, "model", "some/path", known) is None


def test_the_catalogue_of_the_package_is_whole() -> None:
    known = catalogues.read()
    assert {"bert-large-mlperf", "squad-dev", "squad-train", "sst2", "bert-vocab"} <= set(known)
    for asset in known.values():
        assert asset.licence
        assert all(url.startswith("https://") for source in asset.files.values() for url in source.mirrors)


@pytest.mark.parametrize(
    "text",
    (
        "nonsense",
        TEXT.replace("sha256:", "sha265:"),
        TEXT.replace('"model.bin" = ', '"../model.bin" = '),
        TEXT.replace("mirrors = [", "mirrors = [] #"),
        TEXT + 'record = "ftp:x"',
        TEXT.replace("licence", "license"),
    ),
)
def test_an_invalid_catalogue(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"assets\.toml"):
        fetch.main(["thing", *line(tmp_path, text)])
