"""`python -m sut compare`: presets beside plain fp32. First engines (`built`), then `runs`, then words (`table`)."""
