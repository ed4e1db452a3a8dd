"""Models and data by name: fetched, checked against what their publisher states, and pinned.

catalogue  what configs/assets.toml holds        checksum   what a file's bytes must hash to
shelf      where files lie; pins; locks          publisher  sizes and hashes that only the publisher states
web        one answer of one server → side file  download   mirrors, retries, the check before the rename
local      --from, --bundle, --unbundle          obtain     one asset, from wherever it can come
command    `python -m sut fetch`                 listing    `python -m sut assets`        bar  what is seen of it
"""
