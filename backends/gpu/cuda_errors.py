"""CUDA's errors in one line, with what to do about them.

PyTorch, cuBLAS and Triton raise RuntimeErrors with several lines of advice for people who write kernels.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from backends.errors import BackendError

_MARKS = ("CUDA", "NVIDIA", "cuBLAS", "CUBLAS")  # in the text of every error of theirs
_TOO_SMALL = "expected the model and a batch to fit into the memory of {gpu}, found {found}. Lower --max-batch-tokens."
_TOO_OLD = "expected a driver for the CUDA version of torch on {gpu}, found {found}. Update the NVIDIA driver."
_OTHER_GPU = (
    "expected a torch that is built for {gpu}, found {found}. Type: pip install --force-reinstall torch triton."
)
_FAILED = "expected {gpu} to run the model, found {found}. Type: CUDA_LAUNCH_BLOCKING=1 python -m sut …, to see where."
# Words of an error → what to say; the first that is found.
_MESSAGES = (
    (("out of memory", "ALLOC_FAILED"), _TOO_SMALL),
    (("driver version is insufficient", "driver on your system is too old", "unsupported toolchain"), _TOO_OLD),
    (("no kernel image",), _OTHER_GPU),
    (("",), _FAILED),
)


@contextmanager
def in_one_line(gpu: int) -> Iterator[None]:
    """Turns errors of CUDA inside the block into a BackendError; all others pass.

    With CUDA's own switch for debugging, the traceback is shown too.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_of_cuda(error):
            raise
        if os.environ.get("CUDA_LAUNCH_BLOCKING"):
            traceback.print_exception(error)
        raise BackendError(message(error, f"GPU {gpu}")) from error


def is_of_cuda(error: Exception) -> bool:
    """Whether CUDA, one of its libraries or its driver reported this error."""
    return any(mark in str(error) for mark in _MARKS)


def message(error: Exception, gpu: str) -> str:
    """What to tell a person about an error of CUDA."""
    text = str(error)
    template = next(template for words, template in _MESSAGES if any(word in text for word in words))
    return template.format(gpu=gpu, found=_brief(text))


def _brief(text: str) -> str:
    """The first sentence, and how much memory was requested."""
    sentences = text.partition("\n")[0].strip().split(". ")
    return ". ".join(sentences[: 1 + (sentences[1:2] != [] and sentences[1].startswith("Tried"))]).rstrip(".")
