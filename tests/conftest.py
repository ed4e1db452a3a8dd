"""Where the GPU's kernels run in these tests: compiled where there is a GPU, else in Triton's interpreter.

Triton reads its variable once, when it is imported, which any library may do; so it is set before anything else.
"""

from __future__ import annotations

import os

from backends.errors import BackendError
from backends.gpu import device

try:
    device.find()
except BackendError:
    os.environ["TRITON_INTERPRET"] = "1"
