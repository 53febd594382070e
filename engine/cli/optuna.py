"""`airtune export --optuna URL`: studies into an Optuna storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airtune.engine.cli.output import print_lines

if TYPE_CHECKING:
    from airtune.engine import StudyFile


def export_optuna(file: StudyFile, study_name: str | None, url: str) -> None:
    """Write one study, or all, into the storage, and say what was new.

    Raises:
        AirtuneError: See `airtune.engine.integrations.export_to_optuna`.
    """
    from airtune.engine.integrations import export_to_optuna
    from airtune.engine.integrations.optuna.export import shown_url

    for one in export_to_optuna(file, url, study_name):
        waiting = f"; {one.waiting} without a result left out" if one.waiting else ""
        print_lines([f"{one.study}: {one.added} trials written, {one.present} were there{waiting}"])
    print_lines([f"look at them: optuna-dashboard '{shown_url(url)}'"])
