"""A table that other packages can add rows to: by an entry point, or by a name "package.module:NAME".

Its own rows are in it from the start. A row from outside is read when it is asked for, so a package that does not load
is an error only if its row is requested. Other processes read it by the same name.

    [project.entry-points."sut.backends"]
    acme = "acme_engine.row:ENTRY"            # --backend acme; without it: --backend acme_engine.row:ENTRY
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TypeVar

from foundation.errors import UserError
from foundation.suggest import did_you_mean

Row = TypeVar("Row")


class PluggedTable(dict[str, Row]):
    """Rows by name: its own, and those from outside that were read."""

    def __init__(
        self, rows: Mapping[str, Row], *, what: str, group: str, read: Callable[[str, object], Row],
        error: type[UserError],
    ) -> None:  # fmt: skip
        """`what`: a row in a word, for messages. `group`: of the entry points.

        Args:
            read: makes a row of what "module:NAME" is; raises `error` if that is none.
            error: raised for a name without a row.
        """
        super().__init__(rows)
        self.own: Mapping[str, Row] = dict(rows)
        self._specs: dict[str, str] = {}  # of the rows that were read, "module:NAME"
        self._what, self._group, self._read, self._error = what, group, read, error

    def __missing__(self, name: str) -> Row:
        if name in _entry_points(self._group):
            spec = self._entry_point(name).value
        elif ":" in name:
            spec = name
            _search_here()
        else:
            known = self.names()
            raise self._error(
                f"expected a {self._what} ({', '.join(known)}, or package.module:NAME), found {name!r}."
                f"{did_you_mean(name, known)}"
            )
        self[name] = self._read(spec, self._resolved(name, spec))
        self._specs[name] = spec
        return self[name]

    def names(self) -> tuple[str, ...]:
        """All names without a module: its own, those read, and those of installed packages, which are not read."""
        return tuple(dict.fromkeys((*(name for name in self if ":" not in name), *_entry_points(self._group))))

    def working(self) -> dict[str, Row]:
        """All rows that have such a name; without those that do not load."""
        found = {}
        for name in self.names():
            with suppress(Exception):  # another package's module can raise anything
                found[name] = self[name]
        return found

    def of_others(self) -> dict[str, Row]:
        """The working rows of other packages."""
        return {name: row for name, row in self.working().items() if name not in self.own}

    def brought_by(self, name: str) -> tuple[str, str] | None:
        """The distribution or package that a row from outside is from, and its version; None for the table's own.

        The version of a module that was never installed is its `__version__`, or "".
        """
        if name not in self._specs:
            return None
        for one in _entry_points(self._group).get(name, ()):
            if one.dist:
                return one.dist.name, one.dist.version
        package = self._specs[name].partition(":")[0].partition(".")[0]
        for distribution in _packages_distributions(tuple(sys.path)).get(package, ()):
            return distribution, metadata.version(distribution)
        return package, str(getattr(sys.modules.get(package), "__version__", ""))

    def _entry_point(self, name: str) -> metadata.EntryPoint:
        first, *others = _entry_points(self._group)[name]
        if others:
            brought = ", ".join(str(one.dist and one.dist.name) for one in (first, *others))
            raise self._error(
                f"expected one package that has {self._what} {name!r}, found {brought}. Uninstall one, or type "
                f"{' or '.join(one.value for one in (first, *others))}."
            )
        return first

    def _resolved(self, name: str, spec: str) -> object:
        """What `spec` names. A module that raises is a defect of its author's, who sees the traceback."""
        module, _, attribute = spec.partition(":")
        where = f"{self._what} {name!r}" + ("" if name == spec else f", which is {spec},")
        try:
            found: object = import_module(module)
        except (ImportError, ValueError) as error:  # ValueError: an empty name
            hint = "Install it, or set PYTHONPATH." if name == spec else "Install its package again."
            raise self._error(
                f"expected {where} to be importable, found {type(error).__name__}: {error}. {hint}"
            ) from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise self._error(
                    f"expected {where} in {module}, found no {part!r} there.{did_you_mean(part, _public(found))}"
                )
            found = getattr(found, part)
        return found


def _public(found: object) -> Iterable[str]:
    return (name for name in dir(found) if not name.startswith("_"))


@cache
def _entry_points(group: str) -> dict[str, list[metadata.EntryPoint]]:
    """By name; a name that several packages have is a list of several."""
    found: dict[str, list[metadata.EntryPoint]] = {}
    for one in sorted(metadata.entry_points(group=group), key=lambda one: one.name):
        found.setdefault(one.name, []).append(one)
    return found


@cache
def _packages_distributions(_path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """By package, the distributions on the module search path `_path`: every distribution's list of files is read."""
    return metadata.packages_distributions()


def _search_here() -> None:
    """Let modules of the current directory be found, after all others; a console script does not."""
    with suppress(FileNotFoundError):  # it was removed
        here = str(Path.cwd())
        if here not in sys.path and "" not in sys.path:
            sys.path.append(here)
