"""What every score offers, whatever the task: enough to be judged, written and told without knowing which it is."""

from __future__ import annotations

from typing import Protocol


class Score(Protocol):
    """Of one run; `accuracy.squad` and `accuracy.sst2` have the kinds that there are."""

    @property
    def metrics(self) -> dict[str, float]:
        """Percent over all of the data set, what was not answered counting 0; as accuracy.txt has them."""

    @property
    def predictions(self) -> dict[str, str]:
        """What was answered, by question or sample."""

    @property
    def samples_answered(self) -> int: ...

    @property
    def total_sample_count(self) -> int: ...

    @property
    def is_complete(self) -> bool:
        """Every sample was answered: only then is the score an accuracy result."""

    @property
    def of_answered(self) -> float:
        """What targets are of, in percent, over what was answered alone; 0 where nothing was."""

    @property
    def duplicates(self) -> int:
        """Entries of the log that repeat a sample."""

    def lines(self) -> list[str]:
        """Coverage and interval, for people."""
