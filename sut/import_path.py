"""Our top-level packages, against files of the same names where a user works, such as accuracy.py or assets/.

`python -m sut` puts the working directory first on the import path, and so does a notebook. The command lets our
packages go first; a script of the user's keeps its own modules, and is told which one is in the way.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

HOME = Path(__file__).parents[1]  # holds all of them
OURS = ("accuracy", "assets", "backends", "configs", "foundation", "qsl", "submission")


def is_locating() -> bool:
    """Whether this process is `python -m sut…`, and is looking for the module: Python's own mark."""
    return sys.argv[:1] == ["-m"] and not sys.flags.safe_path


def put_ours_first() -> None:
    """Move the working directory, which `-m` puts first, behind our packages; processes started later inherit that."""
    if sys.path and Path(sys.path[0]) != HOME:
        sys.path += [str(HOME), sys.path.pop(0)]


def check() -> None:
    """Make sure that the names of our packages lead to them.

    A directory without Python files of its own is no module of the user's: ours is imported instead.

    Raises:
        ImportError: a module of the user's has the name of one of our packages.
    """
    for name in OURS:
        spec = _spec(name)
        if spec is None or (spec.origin and Path(spec.origin).parents[1:2] == (HOME,)):
            continue
        if spec.origin:
            raise ImportError(
                f"expected the package {name!r} of mlperf-bert-sut, which `import sut` needs, found {spec.origin}. "
                "Rename that file or directory."
            )
        _import_ours(name)


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except ValueError:  # a module that was made by hand
        return None


def _import_ours(name: str) -> None:
    spec = spec_from_file_location(name, HOME / name / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
