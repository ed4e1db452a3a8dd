"""Models and data by name: downloaded, verified against their publisher's checksums, and pinned.

catalogue  the entries of configs/assets.toml    checksum      kinds of checksums, and hashing a file
store      the cache's paths, pins and locks     partial_file  an incomplete download
publisher  sizes and checksums from their APIs   http          one response of a server → partial file
download   mirrors, retries, verification        local_source  --from, --bundle, --unbundle
obtain     one asset, from any source            progress_bar  the progress of a fetch
resolve    names and paths of a run's flags → checked paths
"""
