"""The Python interface: functions that `sut` has by name, and imports when they are first used."""
