"""How the embedded model was made: see `docs/design/demo-model.md`."""
