"""The verbs of `python -m sut` as a table: what each one does and which module it is in.

Rows are text, so `--help` and the answer to a mistyped verb import no command.
"""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """One row. The module has `main`, which takes the words after the verb and returns the exit code, and `parser`."""

    help: str
    module: str
    usage: str = ""  # an example of what stands behind the verb
    takes_settings: bool = False  # the flags of a run go with it
    parser_module: str = ""  # "": the same module


VERBS: dict[str, Verb] = {
    "run": Verb("run BERT on SQuAD v1.1 or SST-2 under MLPerf's LoadGen", "sut.commands.run", "[FLAGS]", True),
    "build": Verb("write an int8 or fp8 engine ahead of a run", "sut.commands.build", "--precision int8", True),
    "fetch": Verb("download models and data sets by name", "sut.commands.fetch", "NAME..."),
    "assets": Verb("list the models and data sets that have a name", "sut.commands.assets"),
    "presets": Verb("list the settings that have a name, for --preset", "sut.commands.presets"),
    "doctor": Verb("show what works on this machine and what is missing", "sut.commands.doctor.command"),
    "ask": Verb("answer questions about a passage", "sut.commands.ask", "--passage TEXT --question TEXT", True),
    "serve": Verb("be a node: answer the queries of runs on other machines", "sut.commands.serve", "--port N", True),
    "compare": Verb("compare presets with plain fp32", "sut.commands.compare.command", "PRESET...", True),
    "sweep": Verb("run a grid of settings", "sut.commands.sweep.command", '--set "instances=1 2" --repeat 3', True),
    "replay": Verb("repeat an earlier run and show what differs", "sut.commands.replay.command", "RUN"),
    "kpi": Verb("print key figures of runs: lines, CSV or a workbook", "sut.commands.kpi.command", "RUN..."),
    "submit": Verb(
        "make a submission package for a round of MLPerf inference",
        "submission.command",
        "--submitter NAME --output-dir DIR",
        True,
        "submission.submit.request",
    ),
    "check": Verb("check a submission against the rules of a round", "submission.check.command", "PATH"),
    "show": Verb("show the contents of a submission package", "submission.show", "PATH"),
    "completion": Verb("print a shell's completion for verbs, flags and choices", "sut.commands.completion", "bash"),
}
WITH_SETTINGS = tuple(name for name, verb in VERBS.items() if verb.takes_settings)
TEXT_ONLY = ("assets", "presets", "doctor", "kpi", "check", "show", "completion")  # what they print is all they make
