"""How the embedded models were made: see `docs/design/demo-model.md`."""

from __future__ import annotations

from foundation import telemetry

telemetry.switch_off()  # its modules import engines directly
