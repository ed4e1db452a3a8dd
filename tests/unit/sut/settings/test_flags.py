"""The table of settings as a command line: every row is a flag, every verb takes what its rows say."""

from __future__ import annotations

import pytest

from backends import BACKENDS
from sut.errors import UsageError
from sut.settings import flags, presets
from sut.settings.parser import new_parser
from sut.settings.resolve import given, resolve, to_flags
from sut.settings.settings import SETTINGS, RunConfig
from sut.settings.verbs import WITH_SETTINGS

# A value of each type that every setting without choices takes.
_VALUES = {int: "3", float: "2.5", str: "some", bool: None}


def parsed(verb: str, *words: str) -> dict[str, object]:
    parser = new_parser(verb)
    flags.add(parser, verb)
    return flags.split(parser.read(words), verb)[0]


def line(name: str) -> list[str]:
    row = SETTINGS[name]
    if row.kind is bool:
        return [row.flag]
    return [row.flag, row.choices({"backend": "pytorch"})[-1] if row.choices else _VALUES.get(row.kind) or "a/path"]


@pytest.mark.parametrize("name", SETTINGS)
def test_each_verb_takes_what_the_row_says(name: str) -> None:
    for verb in WITH_SETTINGS:
        if verb in SETTINGS[name].verbs:
            assert list(parsed(verb, *line(name))) == [name]
        else:
            with pytest.raises(UsageError, match=SETTINGS[name].flag):
                parsed(verb, *line(name))


@pytest.mark.parametrize("name", SETTINGS)
def test_help_shows_the_flags_that_a_verb_takes(name: str) -> None:
    for verb in WITH_SETTINGS:
        parser = new_parser(verb)
        flags.add(parser, verb)
        assert (f"  {SETTINGS[name].flag} " in f"{parser.format_help()} ".replace("\n", " \n")) == (
            verb in SETTINGS[name].verbs
        )


@pytest.mark.parametrize("name", SETTINGS)
def test_help_names_all_choices(name: str) -> None:
    row = SETTINGS[name]
    if row.choices is not None and name != "preset":  # too many: `sut presets` lists them
        found = {
            word for backend, one in BACKENDS.items() if one.runs_model for word in row.choices({"backend": backend})
        }
        assert [word for word in found if word not in row.help] == []


def test_what_was_not_given_is_absent() -> None:
    assert parsed("run") == {}
    assert parsed("run", "--seed", "4") == {"calibration_seed": 4}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--instances", "two"], "--instances: expected a whole number, found 'two'"),
        (["--target-qps", "many"], "--target-qps: expected a number, found 'many'"),
        (["--scenarios", "Offline"], "unrecognized arguments: --scenarios Offline. Did you mean --scenario?"),
        (["--model"], "--model: expected one argument"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as found:
        parsed("run", *words)
    assert message in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("preset", presets.table())
def test_the_command_line_of_a_preset_is_the_preset(preset: str) -> None:
    config = resolve({"preset": preset})
    assert resolve(parsed("run", *to_flags(config))) == resolve(presets.settings(preset))


@pytest.mark.parametrize("qps", ["2000000", "0.5", "1234.25"])
def test_a_number_is_repeated_as_it_was_typed(qps: str) -> None:
    typed = ["--scenario", "Server", "--target-qps", qps]
    assert to_flags(resolve(parsed("run", *typed))) == typed


def test_a_default_that_was_typed_is_repeated() -> None:
    typed = ["--backend", "onnxruntime", "--max-batch-tokens", "1536"]
    config = resolve(parsed("run", *typed))
    assert config.max_batch_tokens == 1536
    assert to_flags(config) == typed
    assert given(config) == {"backend": "onnxruntime", "max_batch_tokens": 1536}
    assert given(resolve({})) == {} == given(RunConfig())
