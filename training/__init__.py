"""How the embedded model was made: see `docs/demo-model.md`."""
