"""The system under test: everything between LoadGen and a backend."""

from foundation import telemetry

telemetry.switch_off()
