"""What a run leaves behind: LoadGen's logs and run.json, read and written."""
