"""Models and data by name: fetched, checked against what their publisher states, and pinned.

catalogue  what configs/assets.toml holds        checksum   what a file's bytes must hash to
shelf      where files lie; pins; locks          side       a file on its way
publisher  sizes and hashes that only it states  web        one answer of one server → side file
download   mirrors, retries, the check before    local      --from, --bundle, --unbundle
obtain     one asset, from wherever it comes     bar        what is seen of a fetch
command    `python -m sut fetch`                 listing    `python -m sut assets`
"""
