"""Other installations than the one that runs the tests: a directory with links to some of its packages.

An interpreter that is started with -S and this directory as its path sees nothing else.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from paths import ROOT

_ALL = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = _ALL["project"]
PACKAGE_PATTERNS: list[str] = _ALL["tool"]["setuptools"]["packages"]["find"]["include"]
CORE = [re.split(r"[^\w.-]", line)[0] for line in PROJECT["dependencies"]]


def link(folder: Path, name: str) -> None:
    """A distribution and what it requires."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:  # required elsewhere than here
        return
    tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
    new = [top for top in tops if not (folder / top).exists()]
    for top in new:
        (folder / top).symlink_to(Path(str(found.locate_file(top))))
    for line in (found.requires or []) if new else ():
        if "extra ==" not in line:
            link(folder, re.split(r"[^\w.-]", line)[0])
