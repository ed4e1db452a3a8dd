"""docs/design/training.md: the worked task trains as it stands there, and goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import ROOT

PAGE = ROOT / "docs" / "design" / "training.md"


def test_the_worked_task_reaches_its_target_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for began in ("BlockBegan", "Resumed"):
        found: dict[str, object] = {}
        exec(compile(code, str(PAGE), "exec"), found)  # noqa: S102 - a page of ours
        events = found["events"]
        assert isinstance(events, list) and began in {type(event).__name__ for event in events}
        assert found["status"] == "reached"
    assert (tmp_path / "largest" / "largest.json").is_file()
