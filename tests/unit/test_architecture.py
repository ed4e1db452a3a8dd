"""Who may import whom, module by module; and that nothing heavy is imported before it is needed.

Every import counts: at the top of a file, in a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from paths import ROOT

# A package → the packages of ours that it may import in addition to itself.
PACKAGES = {
    "foundation": set(),
    "qsl": {"foundation"},
    "backends": {"foundation"},
    "accuracy": {"qsl", "foundation"},
    "sut": {"accuracy", "backends", "qsl", "foundation"},
    "submission": {"sut", "accuracy", "backends", "qsl", "foundation"},
    "training": {"sut", "accuracy", "backends", "qsl", "foundation"},
    "benchmarks": {"sut", "accuracy", "backends", "qsl", "training", "foundation"},
}
# The rooms of a package from the ground up. A module imports its own room and those below; rooms on one floor are
# strangers.
FLOORS = {
    "sut": (
        ("import_path",),
        ("errors",),
        ("tasks",),
        ("machine",),
        ("settings",),
        ("fetch",),
        ("record", "processes", "nodes"),
        ("executors",),
        ("queries",),
        ("running", "reporting"),
        ("serving", "api"),
        ("commands",),
        ("__main__",),
    ),
    "training": (
        ("shards", "optimizers", "launch"),
        ("network",),
        ("text", "loop"),
        ("records",),  # what listens to the loop
        ("tasks",),
        ("demo", "distill", "finetune", "package", "pretrain", "pretrain_data", "prune", "report", "sst2"),
    ),
    "submission": (("rules",), ("submit",), ("check",), ("package",), ("prerequisites", "show"), ("command",)),
}
FLOOR = {
    f"{package}.{room}": floor for package in FLOORS for floor, rooms in enumerate(FLOORS[package]) for room in rooms
}
# A module outside ours → the files that may import it.
ONLY_IN = {
    "mlperf_loadgen": {"sut/queries/loadgen.py"},
    "onnxruntime": {"backends/onnxruntime_cpu/session.py"},  # for the backend and for calibration
    "requests": {"sut/fetch/http.py"},
    "onnx": {
        *(f"backends/onnxruntime_cpu/{name}.py" for name in ("graph", "graph_builder", "mobilebert_graph")),
        "backends/formats/weight_types.py",
        *(f"backends/formats/onnx_{name}.py" for name in ("file", "folding", "graph_walk", "signature")),
    },
    "openvino": {
        "backends/openvino_cpu/backend.py",
        *(f"backends/openvino_cpu/{name}.py" for name in ("graph", "graph_parts", "mobilebert_graph")),
        "backends/openvino_cpu/quantizer.py",
    },
    "nncf": {"backends/openvino_cpu/quantizer.py"},
    "grpc": {"backends/v2/grpc_client.py", "sut/serving/v2/grpc_face.py"},
    "google": {"backends/v2/protobuf.py"},  # protobuf
    "aiohttp": {"sut/serving/v2/http_face.py"},
    "prometheus_client": {"sut/serving/v2/metrics.py"},
    "plotly": {"sut/reporting/page.py"},
    "jinja2": {"sut/reporting/page.py"},
    "ray": {"sut/executors/ray_cluster/cluster.py"},
}
UNBOUND = {"training", "benchmarks"}  # they use engines, and their peers, directly
REPORTING = {"onnxruntime", "openvino", "nncf", "transformers", "huggingface_hub", "ray"}  # libraries that call home
HEAVY = (
    *("torch", "triton", "onnxruntime", "onnx", "openvino", "nncf", "transformers", "tokenizers"),
    *("mlperf_loadgen", "rich", "requests", "openpyxl", "pyarrow", "matplotlib", "plotly", "jinja2", "ray"),
)
LIGHT = (
    *PACKAGES,
    *("sut.settings.resolve", "sut.settings.flags", "sut.__main__", "sut.errors", "qsl.squad"),
    *(
        "training.demo",
        "training.distill",
        "training.finetune",
        "training.prune",
        "training.pretrain",
        "training.sst2",
    ),  # --help and a bad flag are quick
)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, anywhere in it; of `from a import b`, "a.b"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORTED = {module: set(imported(path)) for module, path in FILES.items()}


def ours(name: str) -> str | None:
    """The module of ours that holds an imported name; None for other people's."""
    return next((one for one in (name, name.rpartition(".")[0]) if one in FILES), None)


# Module of ours → the modules of ours that it imports.
GRAPH = {module: {found for name in names if (found := ours(name))} - {module} for module, names in IMPORTED.items()}
EDGES = {(module, other) for module, others in GRAPH.items() for other in others}


def room(module: str) -> str | None:
    """Such as sut.queries; None for a module of a package without rooms."""
    package, *rest = module.split(".")
    return f"{package}.{rest[0]}" if package in FLOORS and rest else None


def test_packages_import_only_what_lies_below() -> None:
    used = {(module, name.partition(".")[0]) for module, names in IMPORTED.items() for name in names}
    allowed = {package: below | {package} for package, below in PACKAGES.items()}
    wrong = {pair for pair in used if pair[1] in PACKAGES and pair[1] not in allowed[pair[0].partition(".")[0]]}
    assert wrong == set()


def test_every_room_has_its_floor() -> None:
    assert {found for module in FILES if (found := room(module))} == set(FLOOR)


def test_rooms_import_only_what_lies_below() -> None:
    inside = {(a, b): (room(a), room(b)) for a, b in EDGES if a.partition(".")[0] == b.partition(".")[0]}
    between = {edge: rooms for edge, rooms in inside.items() if all(rooms) and rooms[0] != rooms[1]}
    upwards = {edge for edge, (above, below) in between.items() if FLOOR[str(above)] <= FLOOR[str(below)]}
    assert upwards == set()


def test_processes_know_of_no_run() -> None:
    used = {other for module, other in EDGES if room(module) == "sut.processes" != room(other)}
    assert {name for name in used if not name.startswith("foundation.")} <= {"sut.errors", "sut.import_path"}


def test_no_module_stands_in_a_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


@pytest.mark.parametrize("module", sorted(ONLY_IN))
def test_engines_and_loadgen_have_one_door_each(module: str) -> None:
    users = {name for name, names in IMPORTED.items() if any(one.partition(".")[0] == module for one in names)}
    files = {FILES[name].relative_to(ROOT).as_posix() for name in users if name.partition(".")[0] not in UNBOUND}
    assert files == ONLY_IN[module]


def test_a_package_that_imports_a_library_that_reports_its_use_stops_it_first() -> None:
    users = {name for name, names in IMPORTED.items() if {one.partition(".")[0] for one in names} & REPORTING}
    packages = {name.partition(".")[0] for name in users}
    assert {name for name in packages if "foundation.telemetry" not in IMPORTED[name]} == set()
    assert "backends" in packages


def test_text_goes_through_one_door() -> None:
    """`foundation.terminal` makes the console on which a user's names are no markup."""
    users = {name for name, names in IMPORTED.items() if "rich.console.Console" in names}
    assert {name for name in users if name.partition(".")[0] not in UNBOUND} == {"foundation.terminal"}


def test_the_scheduler_never_sees_loadgen() -> None:
    blind = {name for name in FILES if room(name) in ("sut.executors", "sut.queries")} - {"sut.queries.loadgen"}
    assert {name for name in blind if any("loadgen" in one for one in IMPORTED[name])} == set()


def test_importing_a_package_loads_nothing_heavy() -> None:
    code = f"import sys, {', '.join(LIGHT)}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
