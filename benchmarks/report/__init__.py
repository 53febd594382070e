"""Reports: tables for the terminal and Markdown, figures, CSV, and one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from airtune.benchmarks.report.comparison_tables import report_tables
from airtune.benchmarks.report.density_figure import Density
from airtune.benchmarks.report.findings import report_markdown
from airtune.benchmarks.report.report import Report, make_report

__all__ = ["Density", "Report", "make_report", "report_markdown", "report_tables", "write_report"]


def write_report(
    path: Path, out: Path | None = None, study: str | None = None, density: Density | None = None
) -> list[Path]:
    """See `airtune.benchmarks.report.page.write_report`, which is imported only when it is needed."""
    from airtune.benchmarks.report.page import write_report as write

    return write(path, out, study, density)
