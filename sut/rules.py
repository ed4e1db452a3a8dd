"""The seeds of each round, as data: what a run must draw its queries with, and what a checker compares.

LoadGen carries one round's seeds, those of its release, and takes none from a user.conf; a run for another round has
them assigned on its settings (`loadgen.plan`).
"""

from __future__ import annotations

from typing import NamedTuple


class Seeds(NamedTuple):
    """Under the names of LoadGen's settings."""

    qsl_rng_seed: int
    sample_index_rng_seed: int
    schedule_rng_seed: int


SEEDS: dict[str, Seeds] = {
    "v5.0": Seeds(6023615788873153749, 15036839855038426416, 9933818062894767841),
    "v5.1": Seeds(1780908523862526354, 14771362308971278857, 18209322760996052031),
    "v6.0": Seeds(2465351861681999779, 14276810075590677512, 3936089224930324775),
    "v6.1": Seeds(2085463073848966840, 2747215439041700203, 16159082839903944936),
}
