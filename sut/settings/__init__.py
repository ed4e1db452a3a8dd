"""What a run is to do: settings from defaults, preset, TOML and flags, checked before anything starts."""
