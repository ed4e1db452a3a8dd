"""How the embedded models were made: see `docs/design/demo-model.md`."""

from __future__ import annotations

import os

from foundation import telemetry

telemetry.switch_off()  # its modules import engines directly
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # before torch: a lost node is one line, not a stack of C++
