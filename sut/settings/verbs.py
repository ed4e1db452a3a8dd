"""The verbs of `python -m sut` as a table: what each one does and which module it is in.

Rows are text, so `--help` and the answer to a mistyped verb import no command. To add a verb, add a row to its group
and a module in sut/commands with `main` and `parser`; help, completion and suggestions come from the row.
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
    is_text_only: bool = False  # what it prints is all that it makes


# What the verbs of a group are for → the group, as `--help` shows them.
GROUPS: dict[str, dict[str, Verb]] = {
    "Measure": {
        "run": Verb("run BERT on SQuAD v1.1 or SST-2 under MLPerf's LoadGen", "sut.commands.run", "[FLAGS]", True),
        "tune": Verb(
            "find the fastest settings here that keep the accuracy",
            "sut.commands.tune.command",
            "--minutes 5",
            True,
        ),
        "sweep": Verb("run a grid of settings", "sut.commands.sweep.command", '--set "instances=1 2" --repeat 3', True),
        "compare": Verb("compare presets with plain fp32", "sut.commands.compare.command", "PRESET...", True),
        "replay": Verb("repeat an earlier run and show what differs", "sut.commands.replay.command", "RUN"),
    },
    "Look at results": {
        "runs": Verb(
            "list the runs in a directory with their figures", "sut.commands.runs", "[DIR]", is_text_only=True
        ),
        "diff": Verb(
            "show what differs between two runs, and what it did", "sut.commands.diff", "A B", is_text_only=True
        ),
        "report": Verb("make a page with charts of runs, side by side", "sut.commands.report", "RUN..."),
        "kpi": Verb(
            "print key figures of runs: lines, CSV or a workbook",
            "sut.commands.kpi.command",
            "RUN...",
            is_text_only=True,
        ),
    },
    "Use a model": {
        "ask": Verb("answer questions about a passage", "sut.commands.ask", "--passage TEXT --question TEXT", True),
        "serve": Verb(
            "be a node: answer the queries of runs on other machines", "sut.commands.serve", "--port N", True
        ),
    },
    "Submit": {
        "submit": Verb(
            "make a submission package for a round of MLPerf inference",
            "submission.command",
            "--submitter NAME --output-dir DIR",
            True,
            "submission.submit.request",
        ),
        "check": Verb(
            "check a submission against the rules of a round", "submission.check.command", "PATH", is_text_only=True
        ),
        "show": Verb("show the contents of a submission package", "submission.show", "PATH", is_text_only=True),
    },
    "Set up": {
        "doctor": Verb(
            "show what works on this machine and what is missing", "sut.commands.doctor.command", is_text_only=True
        ),
        "assets": Verb("list the models and data sets that have a name", "sut.commands.assets", is_text_only=True),
        "fetch": Verb("download models and data sets by name", "sut.commands.fetch", "NAME..."),
        "presets": Verb("list the settings that have a name, for --preset", "sut.commands.presets", is_text_only=True),
        "build": Verb("write an int8 or fp8 engine ahead of a run", "sut.commands.build", "--precision int8", True),
        "check-backend": Verb(
            "check a backend of your own against the contract",
            "sut.commands.check_backend",
            "package.module:Class",
            is_text_only=True,
        ),
        "completion": Verb(
            "print a shell's completion for verbs, flags and choices",
            "sut.commands.completion",
            "bash",
            is_text_only=True,
        ),
        "help": Verb("show all verbs, or the flags of one", "sut.commands.help", "VERB", is_text_only=True),
    },
}
VERBS: dict[str, Verb] = {name: row for group in GROUPS.values() for name, row in group.items()}
WITH_SETTINGS = tuple(name for name, verb in VERBS.items() if verb.takes_settings)
