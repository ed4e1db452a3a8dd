"""replay: an earlier run again, and what differs."""
