"""Usage reports of other people's libraries: switched off in every process, before a library is imported.

A library that reports does so when it is imported: name look-ups and uploads within a measured run, and a device id in
the user's home directory. The switches therefore belong to the packages that import engines, whose `__init__` calls
`switch_off`; a process that they start inherits the variables.
"""

from __future__ import annotations

import os
import sys

# Variable → value, as each library documents it. A value that the user has set is overridden: a measured run does not
# use the network.
_VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.29 and later on Linux and macOS; earlier ones report on Windows only
    "NNCF_CI": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, which transformers imports
    "RAY_USAGE_STATS_ENABLED": "0",
}
# `import openvino` reports itself through this module, without a variable that stops it; it does without the module.
_MODULES = ("openvino_telemetry",)


def switch_off() -> None:
    """Switch all of them off in this process and in those that it starts."""
    os.environ.update(_VARIABLES)
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment] # Python's own way to say "not to be imported"
