"""The page of settings is what the table says."""

from __future__ import annotations

from paths import ROOT

from sut.settings import markdown
from sut.settings.settings import SETTINGS

PAGE = ROOT / "docs" / "guide" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == markdown.replaced(text), "type: make docs"


def test_it_has_every_flag_and_keeps_the_rest_of_a_page() -> None:
    page = markdown.replaced(f"before\n{markdown.BEGIN}\nobsolete\n{markdown.END}\nafter\n")
    assert page.startswith("before\n") and page.endswith("\nafter\n") and "obsolete" not in page
    assert [row.flag for row in SETTINGS.values() if f"`{row.flag}" not in page] == []
