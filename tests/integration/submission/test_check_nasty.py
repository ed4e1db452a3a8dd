"""Contents and values that no checker expects: each gives failures or none, and never a traceback."""

from __future__ import annotations

import json
import re

import pytest
from breakages import OFFLINE, OLDER, Where, accuracy_log, compliance_log, keys, logged, performance_log
from submission_tree import Trees

from submission.rules import rounds

NASTY = [b"", b"\0", b"\xff\xfe", b"null", b"[]", b"{}", b'{"a": 1e999}', b"[" * 50_000, b"9" * 5_000]


# In the older layout files lie elsewhere and are read by the same functions: there, one that is no text, one no object.
CONTENTS = [*((rounds.LATEST, content) for content in NASTY), (OLDER, b"\xff\xfe"), (OLDER, b"[]")]


@pytest.mark.parametrize(("round_name", "content"), CONTENTS, ids=lambda one: repr(one[:12]))
def test_no_content_of_any_file_ends_in_a_traceback(fresh: Trees, round_name: str, content: bytes) -> None:
    built = fresh(round_name, "closed")
    built.write(built.layout(OFFLINE).model_mapping, "{}")
    for path in built.files():
        whole = (built.root / path).read_bytes()
        built.write(path, content)
        built.verdict()
        built.write(path, whole)
    assert built.verdict().holds


@pytest.mark.parametrize("value", [[], {}, 0, True, 1.5, 10**400], ids=lambda one: repr(one)[:9])
@pytest.mark.parametrize("name", ["system_json", "measurements"])
def test_no_value_of_any_key_ends_in_a_traceback(fresh: Trees, name: str, value: object) -> None:
    built = fresh("v6.1", "closed")
    path = getattr(built.layout(OFFLINE), name)
    content = (built.root / path).read_text(encoding="utf-8")
    for key in json.loads(content):
        keys(**{key: value})(built, path)
        built.verdict()
        built.write(path, content)


@pytest.mark.parametrize("value", [[], {}, "", "1", True, -1, 1.5, 10**400], ids=lambda one: repr(one)[:9])
@pytest.mark.parametrize("log", [performance_log, accuracy_log, compliance_log])
def test_no_value_of_a_log_ends_in_a_traceback(fresh: Trees, log: Where, value: object) -> None:
    built = fresh("v6.1", "closed")
    path = log(built.layout(OFFLINE))
    content = (built.root / path).read_text(encoding="utf-8")
    for key in ("effective_", "result_", "early_"):
        built.write(path, content)
        values = dict.fromkeys(re.findall(rf'"key": "({key}\w+)"', content), value)
        logged(**values)(built, path)
        built.verdict()
