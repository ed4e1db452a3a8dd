"""The system under test: everything between LoadGen and a backend; and the Python interface of this package.

    import sut
    record = sut.run(scenario="Offline", precision="int8", backend="pytorch")
    print(record.verdict, record.performance.value, record.performance.unit)

What the interface needs is imported on first use, so `import sut` takes milliseconds (docs/guide/python-api.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sut import import_path

if import_path.is_locating():
    import_path.put_ours_first()
else:
    import_path.check()

from foundation import telemetry

if TYPE_CHECKING:
    from foundation.errors import UserError
    from sut.api.engines import open_backend
    from sut.api.runs import load, run
    from sut.api.scores import score
    from sut.errors import RunFailedError, UsageError
    from sut.record.run_record import RunRecord
    from sut.settings.keywords import RunSettings

__all__ = [
    "RunFailedError",
    "RunRecord",
    "RunSettings",
    "UsageError",
    "UserError",
    "load",
    "open_backend",
    "run",
    "score",
]
_IN = {
    "RunFailedError": "sut.errors",
    "RunRecord": "sut.record.run_record",
    "RunSettings": "sut.settings.keywords",
    "UsageError": "sut.errors",
    "UserError": "foundation.errors",
    "load": "sut.api.runs",
    "open_backend": "sut.api.engines",
    "run": "sut.api.runs",
    "score": "sut.api.scores",
}

telemetry.switch_off()


if not TYPE_CHECKING:  # a type checker shall know the names above and no other

    def __getattr__(name):
        if name not in _IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_IN[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
