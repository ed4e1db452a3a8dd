"""SQuAD files of one question."""

from __future__ import annotations

import json
from pathlib import Path


def squad_file(path: Path, passage: str, answer: str, start: int | None = None) -> Path:
    place = {} if start is None else {"answer_start": start}
    questions = [{"id": "1", "question": "who built the mill?", "answers": [{"text": answer, **place}]}]
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": passage, "qas": questions}]}]}))
    return path
