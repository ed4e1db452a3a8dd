"""The records of a run: LoadGen's logs and run.json, read and written."""
