"""Training on SQuAD files: fine-tuning, distillation, resumption, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from squad_files import squad_file

from backends.base import Options
from backends.bert.checkpoints import find_model, has_ranges, read_weights
from backends.bert.config import LINEARS
from backends.pytorch_cpu.backend import PyTorchBackend
from backends.quantization import qat_ranges
from qsl import demo
from submission.package import model_card
from training import distill, finetune, prune
from training.loop.plan import Plan
from training.loop.trainer import train
from training.loop.world import ALONE
from training.network import model_files
from training.tasks import squad, squad_inputs, squad_setup
from training.tasks.distillation import Distillation, Teacher
from training.tasks.phases import Phase
from training.tasks.pruning import Pruning
from training.tasks.quantization_aware import QuantizationAware
from training.tasks.sparsity import Sparsity
from training.tasks.targets import Weights


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squad")
    demo.write(folder / "train.json", "train", 1, 40)
    demo.write(folder / "dev.json", "dev", 1, 10)
    config = json.loads(Path("assets/demo/config.json").read_text())
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    (folder / "config.json").write_text(json.dumps(config | small))
    return folder


def arguments(files: Path, output: Path, *more: str) -> list[str]:
    flags = {"train": files / "train.json", "dev": files / "dev.json", "output": output, "run-dir": output / "run"}
    named = [f"--{name}={value}" for name, value in flags.items()]
    return [*named, "--threads=1", "--batch=8", "--epochs=1", "--evaluations=1", *more]


@pytest.mark.parametrize(
    "more",
    [[], ["--states=0", "--init=teacher"], ["--relations=0", "--logits=0", "--init=teacher", "--qat=0.5"]],
    ids=["all", "no states", "few"],
)
def test_a_student_learns_from_its_teacher(
    files: Path, tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    student = ["--teacher=assets/demo", f"--student={files / 'config.json'}", "--rate=0.001", *more]
    assert distill.main(arguments(files, tmp_path, *student)) == 0
    assert "of the teacher's" in capsys.readouterr().out
    found = model_files.read_weights(tmp_path)
    assert "qa_outputs.weight" in found and not [name for name in found if "maps" in name or "rounding" in name]
    assert has_ranges(find_model(str(tmp_path))) == ("--qat=0.5" in more)
    card = (tmp_path / "README.md").read_text()
    assert "teacher: demo" in card and "train.json, sha256" in card and "F1" in card
    described = model_card.read(tmp_path)
    assert described and "teacher demo" in described.training and "trained on train.json" in described.training


def test_most_of_a_teacher_is_left_in_a_student_of_a_quarter_before_any_training(files: Path) -> None:
    config, taught_by = squad_inputs.geometry("l4-h64-a4", 3055), squad_inputs.geometry("assets/demo")
    assert config.operations_per_token * 4 == taught_by.operations_per_token
    data = squad.read(files / "train.json", files / "dev.json", Path("assets/demo/vocab.txt"))
    student = squad_setup.network(config, 0.0, 1, None)
    teacher = squad_setup.network(taught_by, 0.0, 1, Path("assets/demo"))
    task = Distillation(student, config, Teacher(teacher, taught_by), data, weights=Weights(), seed=1, batch=8)
    task.start_from_teacher()
    assert task.evaluate(student.eval(), ALONE).values["f1"] > 70


def test_a_pruned_model_runs_in_int8_and_says_how_sparse_it_is(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model=assets/demo", "--sparsity=0.5", "--pattern=4x1", "--relations=0", "--qat=0.4", "--epochs=0.5"]
    assert prune.main(arguments(files, tmp_path, *flags)) == 0
    assert "50.0% zeros" in capsys.readouterr().out
    card = (tmp_path / "README.md").read_text()
    assert "pattern: 4x1" in card and card.count("zeros in ") == 1 + 6 * 4
    engine = qat_ranges.quantize(read_weights(find_model(str(tmp_path))), {})
    for name in LINEARS:
        assert (engine.linear(3, name).weight == 0).mean() >= 0.5


def test_whole_heads_and_neurons_are_left_out_of_a_run(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--model=assets/demo",
        "--sparsity=0.5",
        "--pattern=structured",
        "--relations=0",
        "--ramp=0",
        "--epochs=0.2",
    ]
    assert prune.main(arguments(files, tmp_path, *flags)) == 0
    output = capsys.readouterr()
    assert "50.0% zeros" in output.out and "50% of the heads and neurons" in output.err
    card = (tmp_path / "README.md").read_text()
    assert "heads: 2, 2, 2, 2 of 4" in card and "neurons: 256, 256, 256, 256 of 512" in card
    backend = PyTorchBackend(Options("fp32", threads=1))
    backend.load(find_model(str(tmp_path)))
    assert backend.remark() == "heads 8 of 16, neurons 1,024 of 2,048"


@pytest.mark.parametrize("phased", [False, True], ids=["float", "pruned, int8"])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    files: Path, tmp_path: Path, phased: bool
) -> None:
    config, taught_by = squad_inputs.geometry(str(files)), squad_inputs.geometry("assets/demo")
    data = squad.read(files / "train.json", files / "dev.json", Path("assets/demo/vocab.txt"))
    teacher = squad_setup.network(taught_by, 0.0, 1, Path("assets/demo"))

    def trained(folder: str, steps: int) -> Distillation:
        student = squad_setup.network(config, 0.1, 1, None)
        phases: list[Phase] = []
        if phased:
            sparsity = Sparsity(share=0.5, pattern="structured", scope="global")
            phases.append(Pruning(student, config, sparsity, last_step=2))
            int8 = QuantizationAware(student, config, data.features, first_step=2, samples=2, seed=1, rate=1e-3)
            phases.append(int8)
        task = Distillation(
            student,
            config,
            Teacher(teacher, taught_by),
            data,
            weights=Weights(),
            seed=1,
            batch=8,
            phases=phases,
        )
        plan = Plan(
            seed=1,
            max_steps=steps,
            make_optimizer=lambda network: torch.optim.AdamW(network.parameters()),
            learning_rate=lambda step: 1e-3 / step,
            evaluate_every_samples=8,
        )
        assert train(task, plan, tmp_path / folder) == "reached"
        return task

    expected = trained("uninterrupted", 4)
    trained("interrupted", 1)
    trained("interrupted", 2)
    found = trained("interrupted", 4)
    assert found.best_f1 == expected.best_f1 > -1
    for name, one in found.network.state_dict().items():
        assert torch.equal(one, expected.network.state_dict()[name]), name
        assert torch.equal(found.best[name], expected.best[name]), name


def test_of_weights_with_one_f1_the_later_ones_are_kept(files: Path) -> None:
    """Such as those of a training in int8 that ends nearer to its teacher, with the same answers."""
    config = squad_inputs.geometry(str(files))
    data = squad.read(files / "train.json", files / "dev.json", Path("assets/demo/vocab.txt"))
    network = squad_setup.network(config, 0.0, 1, None).eval()
    task = squad.SquadTask(network, config, data, seed=1, batch=8)
    before = task.evaluate(network, ALONE).values["f1"]
    with torch.no_grad():
        network.qa_outputs.bias.add_(0.5)  # of all tokens: no answer changes
    assert task.evaluate(network, ALONE).values["f1"] == before
    assert torch.equal(task.exported()["qa_outputs.bias"], network.qa_outputs.bias)


def test_fine_tuning_starts_from_the_given_weights(files: Path, tmp_path: Path) -> None:
    assert finetune.main(arguments(files, tmp_path, "--model=assets/demo", "--rate=1e-9", "--dropout=0")) == 0
    before, after = (model_files.read_weights(folder) for folder in (Path("assets/demo"), tmp_path))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_allclose(after[name], tensor, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epochs=0"], "expected --epochs above 0"),
        (["--rate=nan"], "expected --rate above 0"),
        (["--model=assets/nothing"], "found assets/nothing"),
        (["--vocab=nothing.txt"], "expected a vocabulary at nothing.txt"),
    ],
)
def test_bad_input_is_one_line(
    files: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune.main(arguments(files, tmp_path, "--model=assets/demo", *more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


TEACHER, MODEL = ["--teacher=assets/demo"], ["--model=assets/demo"]


@pytest.mark.parametrize(
    ("main", "more", "message"),
    [
        (distill.main, [*TEACHER, "--student=l4-h64-a5"], "a hidden size up to 16384 that the heads divide"),
        (
            distill.main,
            [*TEACHER, "--student=l5-h64-a4", "--init=teacher"],
            "num_hidden_layers of at most its teacher's",
        ),
        (distill.main, [*TEACHER, "--student=l4-h64-a4", "--qat=2"], "expected --qat from 0 to 1"),
        pytest.param(
            distill.main,
            [*TEACHER, "--student=l4-h64-a4", "--device=cuda"],
            "expected a GPU, found none. Type: --device cpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (prune.main, [*MODEL, "--sparsity=1"], "expected --sparsity between 0 and 1"),
        (prune.main, [*MODEL, "--ramp=0.9", "--qat=0.2"], "of 1 together, found 1.1"),
        (prune.main, [*MODEL, "--relation-heads=0"], "expected --relation-heads of 1 or more"),
    ],
    ids=range(7),
)
def test_bad_settings_are_one_line(
    files: Path,
    tmp_path: Path,
    main: Callable[[list[str]], int],
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments(files, tmp_path, *more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_file_that_is_scored_is_not_trained_on(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = f"--dev={files / 'train.json'}"
    assert finetune.main(arguments(files, tmp_path, "--model=assets/demo", same)) == 2
    assert "expected another file to score" in capsys.readouterr().err


def test_a_training_file_says_where_answers_start(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = squad_file(tmp_path / "t.json", "the mill", "mill")
    assert finetune.main(arguments(files, tmp_path, "--model=assets/demo", f"--train={train}")) == 2
    assert "answer_start" in capsys.readouterr().err
