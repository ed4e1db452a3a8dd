"""Everything that listens to a training run, in one place: a command opens it around the loop on the first rank.

    with listening(folder, settings) as listeners:
        train(task, plan, folder, listeners, world)

It leaves mllog.txt, run.json, steps.csv and the plot in `folder`, and prints progress and the final table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sut.errors import UsageError
from training.loop.events import Listener
from training.records import mllog_file, peak, plot, run_table
from training.records.mllog import ComplianceLog
from training.records.progress import ProgressLine
from training.records.record_writer import RecordWriter, with_figures
from training.records.steps_table import StepsTable
from training.records.training_record import TrainingRecord


@dataclass(frozen=True, kw_only=True)
class Listening:
    """What a run's records shall hold.

    Attributes:
        notices: to be shown with every figure.
        cleared: which caches were cleared before the run, as `caches.clear` says.
        organisation, platform: who submits, and the system's name, in the MLLOG lines.
        echo: whether the MLLOG lines go to standard output, too.
        measure_peak: whether a second is spent on the peak, without which there is no MFU.
        plot: whether the plot is drawn at the end, if matplotlib is installed.
    """

    notices: Sequence[str] = ()
    cleared: str | None = None
    organisation: str | None = None
    platform: str | None = None
    echo: bool = False
    measure_peak: bool = True
    plot: bool = True


@contextmanager
def listening(folder: Path, chosen: Listening | None = None) -> Iterator[tuple[Listener, ...]]:
    """The listeners of a run; after the block its table is printed and its plot drawn, however the training ended.

    Raises:
        UsageError: `folder` holds the files of something else.
        RunFailedError: they cannot be written.
    """
    chosen = chosen or Listening()
    record = RecordWriter(folder, notices=chosen.notices, peak=peak.measure if chosen.measure_peak else None)
    log = ComplianceLog(
        folder / mllog_file.NAME,
        cleared=chosen.cleared,
        organisation=chosen.organisation,
        platform=chosen.platform,
        echo=chosen.echo,
    )
    try:
        with ProgressLine() as progress:
            yield progress, record, StepsTable(folder), log  # init_stop comes after the measured peak
    finally:
        if record.record and record.record.lives[-1].training_began_s:
            _show(with_figures(record.record), folder, chosen)


def _show(record: TrainingRecord, folder: Path, chosen: Listening) -> None:
    if chosen.plot and record.steps:
        with suppress(ImportError, OSError, UsageError):  # a picture is never part of a result
            plot.draw(record, folder)
    run_table.show(record, folder)
