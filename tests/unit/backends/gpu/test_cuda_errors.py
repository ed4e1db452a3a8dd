"""What a user reads when CUDA fails: one line, with what to do; and what is not CUDA's keeps its traceback."""

from __future__ import annotations

import re

import numpy as np
import pytest
from emulated_gpu import EmulatedGpuBackend
from small_bert import random_batch

from backends.base import Options
from backends.bert.model import Model
from backends.errors import BackendError
from backends.gpu import cuda_errors, device

DEBUG = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 3.11 …",
            "fit into the memory of GPU 2, found CUDA out of memory. Tried to allocate 20.00 GiB. Lower "
            "--max-batch-tokens.",
        ),
        (f"CUDA error: out of memory{DEBUG}", "found CUDA error: out of memory. Lower --max-batch-tokens."),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "Lower --max-batch-tokens."),
        (
            "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by …",
            "found The NVIDIA driver on your system is too old (found version 11040). Update the NVIDIA driver.",
        ),
        (f"CUDA error: no kernel image is available for execution on the device{DEBUG}", "pip install"),
        (
            f"CUDA error: an illegal memory access was encountered{DEBUG}",
            "GPU 2 to run the model, found CUDA error: an",
        ),
        ("Triton Error [CUDA]: an illegal memory access was encountered", "found Triton Error [CUDA]: an illegal"),
    ],
)
def test_an_error_of_cuda_is_one_line_that_says_what_to_do(text: str, message: str) -> None:
    with pytest.raises(BackendError, match=re.escape(message)) as raised, cuda_errors.in_one_line(2):
        raise RuntimeError(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("is_debugged", [True, False])
def test_cudas_switch_for_debugging_shows_the_traceback(
    is_debugged: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1" if is_debugged else "")
    with pytest.raises(BackendError), cuda_errors.in_one_line(0):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    assert (
        f"in {test_cudas_switch_for_debugging_shows_the_traceback.__name__}" in capsys.readouterr().err
    ) == is_debugged


@pytest.mark.parametrize("error", [RuntimeError("shape '[2]' is invalid"), BackendError("CUDA"), KeyError("CUDA")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, cuda_errors.in_one_line(0):
        raise error
    assert raised.value is error


def test_a_gpu_that_fails_at_work_does_so_in_one_line(model: Model) -> None:
    backend = EmulatedGpuBackend(Options("fp16"))
    backend.load(model)
    begun = backend.begin(random_batch([5]))
    backend.gpu.fault = RuntimeError(f"CUDA error: an illegal memory access was encountered{DEBUG}")
    for call in (begun.is_ready, begun.answers, lambda: backend.infer(random_batch([5]))):
        with pytest.raises(
            BackendError, match=r"illegal memory access was encountered\. Type: CUDA_LAUNCH_BLOCKING=1 .*\.$"
        ):
            call()


def test_too_large_a_batch_in_the_warm_up_says_what_to_lower(model: Model) -> None:
    backend = EmulatedGpuBackend(Options("fp16"))
    backend.load(model)
    backend.gpu.fault = RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has …")
    with pytest.raises(BackendError, match=r"Lower --max-batch-tokens\.$"):
        backend.warm_up([(1, 32)])


def test_answers_outlive_the_next_batch(model: Model) -> None:
    """An instance reads the answers of one job while the next is under way."""
    backend = EmulatedGpuBackend(Options("fp16"))
    backend.load(model)
    backend.warm_up([(1, 32)])
    answers = backend.begin(random_batch([20])).answers()
    before, _ = answers.copy(), backend.begin(random_batch([21], seed=1)).answers()
    np.testing.assert_array_equal(answers, before)


@pytest.mark.parametrize(("driver", "built_for", "is_enough"), [((12, 4), "13.0", False), ((13, 0), "13.2", True)])
def test_a_driver_must_have_the_cuda_that_torch_is_built_for(
    driver: tuple[int, int], built_for: str, is_enough: bool
) -> None:
    if is_enough:
        device.check_driver(driver, built_for)
        return
    with pytest.raises(BackendError, match=r"for CUDA 13\.0, .* found one for CUDA 12\.4\. Update the driver"):
        device.check_driver(driver, built_for)
