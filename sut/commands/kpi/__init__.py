"""kpi: the figures of runs, as lines, CSV or a workbook."""
