"""How the embedded models were made: see `docs/design/demo-model.md`."""
