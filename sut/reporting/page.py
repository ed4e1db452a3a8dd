"""A report as one HTML file: styles, script, plotly and all values are in it, and nothing is loaded from elsewhere.

jinja2 fills the template and escapes every value. plotly's JavaScript, once, draws the charts; both are in the extra
`report` and are imported only here. The page's own policy (CSP) forbids every other source.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from foundation import installation
from sut.errors import UsageError
from sut.reporting.model import Report

_FILES = resources.files("sut.reporting") / "template"


def html(report: Report) -> str:
    """The page.

    Raises:
        UsageError: the extra `report` is not installed.
    """
    try:
        import jinja2
        import markupsafe
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UsageError(
            f"expected the extra `report` for a page, found that {error.name} is not installed. "
            f"Type: {installation.command('report')}, or --format md."
        ) from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["json"] = json.dumps
    safe = markupsafe.Markup  # of our own files, and of JSON without a "<"
    return environment.from_string(_text("report.html")).render(
        report=report,
        style=safe(_text("style.css")),
        script=safe(_text("page.js")),
        plotly=safe(get_plotlyjs()),
        records=safe(in_script(report.records)),
        charts=safe(in_script(charts(report))),
    )


def charts(report: Report) -> dict[str, Any]:
    """Every chart by its section's name and its number there."""
    return {
        f"{section.name}/{number}": {"traces": chart.traces, "layout": chart.layout}
        for section in report.sections
        for number, chart in enumerate(section.charts)
    }


def in_script(value: object) -> str:
    """JSON for a <script>: no character of it can end the element."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")
