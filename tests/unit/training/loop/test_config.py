"""The configuration of pre-training: shipped files, overrides, FlagPerf's names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT

from sut.errors import UsageError
from training.loop import config, settings_list
from training.loop.settings import ELSEWHERE, NAMES, SETTINGS, PretrainingConfig, official_interval
from training.tasks import pretraining_setup


@pytest.mark.parametrize(
    ("name", "devices", "batch"), [("1x1", 1, 448), ("1x8", 8, 448), ("2x8", 16, 448), ("demo", 1, 32)]
)
def test_shipped_configurations_are_read(name: str, devices: int, batch: int) -> None:
    found = config.read(name)
    assert (found.devices, found.global_batch_size) == (devices, batch)
    plan = pretraining_setup.plan_of(found)
    assert plan.learning_rate(1) >= 0 and plan.target == found.target_mlm_accuracy
    assert found.division == ("open" if name == "demo" else "closed")
    assert set(config.shipped()) == {"1x1", "1x8", "2x8", "demo"}


def test_overrides_come_last_and_need_no_quotes(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('seed = 3\nprecision = "fp16"\nlearning_rate = 1\n', encoding="utf-8")
    found = config.read(str(file), ["seed=7", "model=bert-base", "data_dir=/a b", "compile=true", "max_samples=9"])
    expected = PretrainingConfig(
        seed=7,
        precision="fp16",
        learning_rate=1.0,
        model="bert-base",
        data_dir=Path("/a b"),
        compile=True,
        max_samples=9,
    )
    assert found == expected


def test_flagperfs_names_are_taken() -> None:
    given = {"eval_iter_samples": 40_000, "max_samples_termination": 4_500_000, "beta_1": 0.8, "weight_decay": 0.1}
    found = config.resolve(given)
    assert (found.eval_interval_samples, found.max_samples) == (40_000, 4_500_000)
    assert (found.opt_lamb_beta_1, found.weight_decay_rate) == (0.8, 0.1)
    assert not ELSEWHERE.keys() & NAMES.keys()


# training_policies: 256 to 2,048 samples 150,000; 3,072 and 4,096 175,000; 8,192 225,000
@pytest.mark.parametrize(
    ("batch", "interval"),
    [(256, 150_000), (448, 150_000), (2048, 150_000), (3072, 175_000), (4096, 175_000), (8192, 225_000)],
)
def test_evaluations_are_spaced_as_mlperf_has_it(batch: int, interval: int) -> None:
    assert official_interval(batch) == interval
    assert config.resolve({"train_batch_size": batch}).evaluation_samples == interval


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sed=1"], "expected names of settings in the configuration, found sed. Did you mean seed"),
        (["exchange_padding=true"], "expected no exchange_padding in a configuration: samples are always dealt"),
        (["seed=x"], "expected seed as a whole number, found 'x'"),
        (["seed=true"], "expected seed as a whole number, found True"),
        (["precision=bf61"], "expected one of fp32, bf16, fp16 as precision, found bf61. Did you mean bf16"),
        (["learning_rate=0"], "expected learning_rate above 0"),
        (["learning_rate=nan"], "expected learning_rate above 0"),
        (["opt_lamb_beta_2=1.0"], "expected opt_lamb_beta_1 and opt_lamb_beta_2 below 1"),
        (["start_warmup_step=2"], "expected start_warmup_step up to count_from, so that no rate is negative"),
        (["dropout=0.9999"], "expected dropout up to 0.99"),
        (["train_batch_size=1000000000"], "expected a global batch of at most 1,048,576 samples"),
        (["seed=1\nmax_steps=2"], "expected seed as a whole number, found '1\\\\nmax_steps=2'"),
        (["parallel=fsdp", "clip=before"], "expected clip = "),
        (["division=closed", "optimizer=adamw"], 'expected optimizer = "lamb" in the closed division'),
        (["division=closed"], "expected eval_interval_samples 150000 in the closed division"),
        (
            ["division=closed", "eval_interval_samples=150000", "num_eval_examples=9"],
            "expected num_eval_examples 10000 in the closed division",
        ),
        (["max_tokens_per_micro_batch=10"], "expected max_tokens_per_micro_batch of max_seq_length or more"),
        (["seed"], "expected --set name=value, found seed. Type: --set seed="),
        (["model=a\0b"], "expected model without a NUL character"),
    ],
)
def test_what_no_run_can_have_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}") as error:
        config.read("demo", overrides)
    assert error.value.exit_code == 2


def test_an_unknown_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one of 1x1, 1x8, 2x8, demo or a TOML file .* Did you mean demo\?"):
        config.read("dmo")
    (tmp_path / "broken.toml").write_text("seed =", encoding="utf-8")
    with pytest.raises(UsageError, match="text that is not TOML"):
        config.read(str(tmp_path / "broken.toml"))


def test_the_page_of_settings_is_up_to_date() -> None:
    text = (ROOT / "docs" / "guide" / "pretraining-settings.md").read_text(encoding="utf-8")
    assert text == settings_list.replaced(text), "type: make docs"
    assert all(f"`{name}`" in text for name in (*NAMES, *ELSEWHERE))


def test_each_setting_says_what_it_is() -> None:
    assert all(row.help and row.group for row in SETTINGS.values())
