"""Writes a report: one HTML file that needs nothing else, with figures and CSV files beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from airtune.benchmarks.report.comparison_page import comparison_page
from airtune.benchmarks.report.density_figure import Density
from airtune.benchmarks.report.source import load_source
from airtune.benchmarks.report.study_page import study_page
from airtune.benchmarks.report.style import Output
from airtune.engine.cli.output import visible
from airtune.engine.storage.opening import study_file
from airtune.grammars import AirtuneError, write_file

PAGE = "report.html"


def write_report(
    path: Path, out: Path | None = None, study: str | None = None, density: Density | None = None
) -> list[Path]:
    """Write the report of a study file, or of the comparison in a folder.

    Args:
        path: A study file, or the folder of a comparison.
        out: Folder of the report, made if need be; None for one beside the study file.
        study: Only this study of the file.
        density: Show what the model believed at each proposal; None for not.

    Returns:
        What was written, the page first.

    Raises:
        AirtuneError: If there is nothing to report on, or the folder cannot be written.
    """
    source = load_source(path) if study is None else None
    file = source.path if source is not None else study_file(path)
    folder = out if out is not None else _beside(file, study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = Output(folder)
        if source is not None and source.plan is not None:
            if density is not None:
                raise AirtuneError(
                    "--density is about the proposals of one study", value=str(path),
                    allowed="--study-name NAME with it", hint=f"airtune show {file} lists the studies",
                )  # fmt: skip
            context = comparison_page(source, written)
        else:
            context = study_page(file, study, written, density)
        context["file"] = file.name
        context["files"] = written.names
        write_file(folder / PAGE, render(context).encode())
    except OSError as error:
        allowed = "a folder that exists or can be made, and can be written to"
        raise AirtuneError.unwritable(folder, error, "choose another --out", allowed) from error
    return [folder / PAGE, *(folder / name for name in context["files"])]


def render(context: Mapping[str, Any]) -> str:
    """The page as HTML. Everything in the context is escaped; figures alone are markup, made here."""
    from importlib.metadata import version

    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("airtune.benchmarks.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["slug"] = _slug
    environment.filters["breaks"] = _breaks
    environment.filters["svg"] = Markup  # of `style.draw`, whose texts matplotlib has escaped
    folder = files("airtune.benchmarks.report")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    scripts = ("page.js", "paper.js") if context["kind"] == "paper" else ("page.js",)
    script = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(f"{context['kind']}.html.j2").render(
        **context,
        style=Markup(style),
        script=Markup(script),
        # Nothing may be fetched from anywhere, and no script may run but ours: its hash is its name.
        policy=f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        version=version("airtune"),
    )


def _shown(value: object) -> object:
    """A text with control and direction characters spelled out; markup was made here, of such texts."""
    return visible(value) if type(value) is str else value


def _breaks(text: str) -> Markup:
    """A name, escaped, that a narrow column may break after its separators."""
    return Markup(re.sub(r"([/@+:])", r"\1<wbr>", str(escape(visible(text)))))


def _slug(text: str) -> str:
    """A name as an HTML id: unique for different names."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60]
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _beside(file: Path, study: str | None) -> Path:
    name = f"{file.stem}-report" if study is None else f"{file.stem}-report-{_slug(study)}"
    return file.parent / name
