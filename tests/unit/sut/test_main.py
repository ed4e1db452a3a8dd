"""The first word of a command line: a verb, a flag of a run, or a mistake that is answered in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from installation import PROJECT
from paths import ROOT

from sut.__main__ import main
from sut.commands.help import parser_of
from sut.settings.verbs import GROUPS, VERBS


def answered(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a mistake is answered with, on standard error, exit code 2."""
    assert main(list(words)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.removesuffix("\n").isprintable()
    return err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["doctro"], "'doctro'. Did you mean doctor?"),
        (["Presets"], "Did you mean presets?"),
        (["walk"], "'walk'. They are run, tune, sweep, "),
        (["--precision", "itn8"], "Did you mean int8?"),
        (["build", "--precision", "itn8"], "Did you mean int8?"),
        (["--bakend", "gpu"], "Did you mean --backend?"),
        (["--modle", "demo"], "Did you mean --model?"),
        (["version"], "'version'. Did you mean --version?"),
        (["help", "walk"], "'walk'"),
        (["doctor", "--jsno"], "Did you mean --json? See: python -m sut doctor --help"),
        (["fetch", "--attempts", "many"], "--attempts"),
        (["kpi"], "RUN. See: python -m sut kpi --help"),
        (["kpi", "nowhere\x1b[2J\udcff"], r"nowhere\x1b[2J\udcff"),
        (["check", "n" * 300], "File name too long"),
        (["kpi", "n" * 300], "File name too long"),
        (["completion", "fish"], "'bash', 'zsh', 'tcsh'"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in answered(capsys, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_starts_with_its_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(import_module(VERBS[verb].module).main)
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert VERBS[verb].help[1:] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_the_terminal(
    verb: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > columns and not line.startswith("python -m ")] == []


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_the_first_screen_has_a_line_for_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    assert [verb for verb in VERBS if f"\n  {verb} " not in text] == []
    assert [title for title in GROUPS if f"\n{title}:\n" not in text] == []
    assert len(text.splitlines()) <= 45 and max(map(len, text.splitlines())) <= 80


def test_help_of_a_verb_is_what_its_own_flag_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "doctor"]) == 0
    shown = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    assert shown == capsys.readouterr().out


def test_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"mlperf-bert-sut {PROJECT['version']}\n"
    assert PROJECT["scripts"] == {"sut": "sut.__main__:command"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_verbs_flags_and_choices(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*VERBS, "max-batch-tokens", "SingleStream", "openvino", "int8-dynamic", "ixrt-int8-accuracy"):
        assert word in script


def test_completion_hides_what_a_verb_refuses() -> None:
    assert "--scenario" in parser_of("sweep").shown
    assert "--scenario" not in parser_of("compare").shown


def test_help_and_mistakes_load_no_numpy() -> None:
    code = """
import sys
from sut.__main__ import main
for words in (["run", "--help"], ["doctro"], ["--precision", "itn8"], ["--backend"]):
    try:
        assert main(words) == 2
    except SystemExit:
        pass
assert "numpy" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


_WALK = """
import sys
from sut import __main__
from sut.settings.verbs import GROUPS, VERBS, Verb
VERBS["walk"] = Verb("", "walk")
sys.argv = ["sut", "walk"]
__main__.command()
"""


@pytest.mark.parametrize(
    ("module", "last_line"),
    [
        ("def main(words): return {}[words[0]]", "IndexError: list index out of range"),
        ("def main(words): raise MemoryError", "or lower --instances, --max-batch-tokens or --threads."),
        (
            "import os, signal\ntry: os.kill(os.getpid(), signal.SIGTERM)\nexcept KeyboardInterrupt: raise ImportError",
            "error: interrupted.",
        ),
    ],
)
def test_what_is_no_persons_mistake_ends_in_code_3(tmp_path: Path, module: str, last_line: str) -> None:
    (tmp_path / "walk.py").write_text(module)
    path = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", _WALK], capture_output=True, text=True, env=path, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[-1].endswith(last_line)
    assert ("Traceback" in done.stderr) == ("IndexError" in last_line)
