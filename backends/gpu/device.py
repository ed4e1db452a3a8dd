"""Finds NVIDIA GPUs through the driver, without loading torch, so that a run without a GPU ends at once.

The CUDA version that torch was built for is read from torch's version.py, for the same reason.
"""

from __future__ import annotations

import ctypes
import importlib.util
import runpy
from contextlib import suppress
from pathlib import Path
from typing import Any

from backends.base import Accelerator
from backends.errors import BackendError
from foundation import installation

_DRIVERS = ("libcuda.so.1", "nvcuda.dll")
_NAME_BYTES, _PCI_BYTES = 256, 32
# The lowest compute capability with tensor cores for the type that Triton supports.
_MIN_CAPABILITY = {"fp16": (7, 5), "bf16": (8, 0), "int8": (8, 0), "fp8": (8, 9)}
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…


def find() -> tuple[Accelerator, ...]:
    """Every GPU that this process may use, in the driver's order.

    Raises:
        BackendError: there is none, or torch or Triton cannot use it; the message says why and what to type.
    """
    if importlib.util.find_spec("triton") is None:
        raise BackendError(f"backend 'gpu' needs triton, which is not installed. Type: {installation.command('gpu')}")
    built_for = torch_cuda()
    try:
        gpus, cuda = _of_driver()
    except OSError as error:
        found = f"{error}" if built_for else f"{error}, and {_torch_words()}"
        raise BackendError(f"expected a CUDA GPU for backend 'gpu', found none ({found}). Type: --backend pytorch, or "
                           f"onnxruntime, to run on this machine's cores.") from error  # fmt: skip
    if built_for is None:
        raise BackendError(
            f"expected a PyTorch built for CUDA, found {_torch_words()} for {gpus[0].name}. "
            f"Type: pip install --force-reinstall torch triton (PyTorch's own index has every build)."
        )
    check_driver(cuda, built_for)
    return gpus


def check_driver(driver: tuple[int, int], built_for: str) -> None:
    """Raises BackendError if torch is built for a CUDA of a higher major version than the driver has.

    Within a major version any driver is enough (CUDA's minor version compatibility).
    """
    if driver[0] < int(built_for.partition(".")[0]):
        raise BackendError(
            f"expected an NVIDIA driver for CUDA {built_for}, which torch is built for, found one for CUDA "
            f"{driver[0]}.{driver[1]}. Update the driver, or install a torch that is built for CUDA {driver[0]}."
        )


def of(number: int, precision: str) -> Accelerator:
    """GPU `number`, if it has the arithmetic of `precision`.

    Raises:
        BackendError: as `find`, or its compute capability is too low.
    """
    gpu, least = find()[number], _MIN_CAPABILITY[precision]
    if gpu.capability < least:
        can = [name for name, needs in _MIN_CAPABILITY.items() if gpu.capability >= needs]
        raise BackendError(
            f"expected a GPU of compute capability {least[0]}.{least[1]} or higher for --precision {precision}, found "
            f"{gpu.name} with {gpu.capability[0]}.{gpu.capability[1]}, which has {', '.join(can) or 'none of them'}."
        )
    return gpu


def _of_driver() -> tuple[tuple[Accelerator, ...], tuple[int, int]]:
    """The GPUs that the driver lists, and its CUDA version. Raises OSError with a short reason if there is none."""
    driver = _driver()
    if (code := driver.cuInit(0)) != 0:
        raise OSError(f"the driver returned {_words(driver, code)}")
    count = ctypes.c_int()
    _check(driver, driver.cuDeviceGetCount(ctypes.byref(count)))
    if not count.value:
        raise OSError("the driver lists none")
    version = ctypes.c_int()  # 1000 * major + 10 * minor
    _check(driver, driver.cuDriverGetVersion(ctypes.byref(version)))
    major, rest = divmod(version.value, 1000)
    return tuple(_gpu(driver, number) for number in range(count.value)), (major, rest // 10)


def _driver() -> Any:
    for name in _DRIVERS:
        with suppress(OSError):
            return ctypes.CDLL(name)
    raise OSError("no NVIDIA driver")


def _gpu(driver: Any, number: int) -> Accelerator:
    handle, memory = ctypes.c_int(), ctypes.c_size_t()
    name, address = ctypes.create_string_buffer(_NAME_BYTES), ctypes.create_string_buffer(_PCI_BYTES)
    _check(driver, driver.cuDeviceGet(ctypes.byref(handle), number))
    _check(driver, driver.cuDeviceGetName(name, _NAME_BYTES, handle))
    _check(driver, driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle))
    driver.cuDeviceGetPCIBusId(address, _PCI_BYTES, handle)  # not known in every container: it stays empty
    capability = _attribute(driver, _MAJOR, handle), _attribute(driver, _MINOR, handle)
    return Accelerator(name.value.decode(), memory.value, capability, address.value.decode())


def _attribute(driver: Any, which: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _check(driver, driver.cuDeviceGetAttribute(ctypes.byref(value), which, handle))
    return value.value


def _check(driver: Any, code: int) -> None:
    if code:
        raise OSError(f"the driver returned {_words(driver, code)}")


def _words(driver: Any, code: int) -> str:
    text = ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(text))
    return (text.value or b"error " + str(code).encode()).decode()


def torch_cuda() -> str | None:
    """The CUDA version that the installed torch was built for; None if it was built without CUDA."""
    found = _torch_version().get("cuda")
    return str(found) if found else None


def _torch_words() -> str:
    return f"torch {_torch_version().get('__version__', '?')}, which is built without CUDA"


def _torch_version() -> dict[str, Any]:
    spec = importlib.util.find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    return runpy.run_path(str(file)) if file and file.is_file() else {}
