"""Catalogues that anyone may have written: what is not of their form, or leads outside the cache, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_server import catalogue

from sut.commands import assets, fetch
from sut.errors import UsageError, UserError
from sut.fetch import catalogue as catalogues
from sut.fetch.catalogue import Catalogue

GOOD = catalogue(b"content", "http://publisher.invalid/model.bin")


def read(folder: Path, text: str) -> Catalogue:
    path = folder / "assets.toml"
    path.write_text(text, encoding="utf-8")
    return catalogues.read(path)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "..", "."])
@pytest.mark.parametrize("form", ['"{}"', "thing"], ids=["asset", "file"])
def test_no_name_leads_out_of_the_cache(tmp_path: Path, form: str, name: str) -> None:
    text = GOOD.replace("[asset.thing]", f"[asset.{form.format(name)}]")
    text = text if form != "thing" else text.replace('files = { "model.bin"', f'files = {{ "{name}"')
    with pytest.raises(UsageError, match="outside its directory"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bytes = 7", 'bytes = "7"', r"'7' instead of a whole number"),
        ("bytes = 7", "bytes = -7", "with -7 bytes"),
        ("bytes = 7", f"bytes = 1{'0' * 5_000}", "not TOML"),
        ("mirrors = [", "mirrors = [5, ", "5 instead of text"),
        ('mirrors = ["http://publisher.invalid', 'mirrors = ["http://[::1', "Invalid IPv6 URL"),
        ('checksum = "', "checksum = 5 # ", "5 instead of text"),
        ('title = "a thing"', "title = 1", "1 instead of text"),
        ('licence = "none"', "", "nothing instead of text"),
        ('licence = "none"', 'licence = "none"\ncolour = "red"', "unknown colour"),
        ('"model.bin" = "thing"', '"model.bin" = "other"', "'other' that has no"),
        ("[file.thing]", "[file]\nthing = 5\n[x]", "5 instead of an object"),
        ('title = "a thing"', 'title = "a\\u0000"\nunpack = { "x" = "a\\u0000b" }', "outside its directory"),
        (GOOD, f"a = {'[' * 2000}", "TOML"),
    ],
)
def test_what_is_not_of_its_form_is_refused_with_the_value(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=message):
        read(tmp_path, GOOD.replace(old, new))


@pytest.mark.parametrize("content", ["5", "[]", '{"a": 1}', '{"thing/model.bin": {"bytes": "many"}}', "[" * 9_999])
def test_pins_that_are_broken_are_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "cache" / "assets").mkdir(parents=True)
    (tmp_path / "cache" / "assets" / "pins.json").write_text(content, encoding="utf-8")
    read(tmp_path, GOOD)
    places = ["--catalogue", str(tmp_path / "assets.toml"), "--cache-dir", str(tmp_path / "cache")]
    assert assets.main(places) == 0


def test_text_of_a_catalogue_has_no_escapes_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(tmp_path, GOOD.replace('"none"', r'"\u001b[2J"').replace('"a thing"', r'"\u001b[31m"'))
    places = ["--catalogue", str(tmp_path / "assets.toml"), "--cache-dir", str(tmp_path / "cache")]
    assert assets.main(places) == 0
    with pytest.raises(UserError):
        fetch.main(["thing", "--offline", *places])
    printed = capsys.readouterr()
    assert r"\x1b[2J" in printed.out and r"\x1b[31m" in printed.err
    assert "\x1b" not in printed.out + printed.err


def test_a_catalogue_without_assets_is_called_that(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found no asset there\. Check --catalogue"):
        catalogues.find(read(tmp_path, ""), "demo")


def test_every_model_and_data_set_says_how_large_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main(["--cache-dir", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " MB" in line or " GB" in line]
    assert len(lines) == len(catalogues.read())
    assert [line for line in lines if "unknown" in line] == []
    assert [line for line in lines if "bert-large-mlperf " in line and "about 1.34 GB" in line] != []
