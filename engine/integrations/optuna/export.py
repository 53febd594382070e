"""Study files into an Optuna storage, for optuna-dashboard and for all that reads Optuna studies."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from airtune.engine.integrations.optuna.space import from_space
from airtune.engine.seeds import derive_seed
from airtune.engine.storage.database import is_study_file
from airtune.engine.storage.records import StudyRecord, TrialRecord
from airtune.engine.storage.study_file import StudyFile
from airtune.engine.types import StoreError
from airtune.grammars import space_from_json

# Attributes of the Optuna study and of its trials; further values of a trial have their own names.
MANIFEST, NUMBER, ORIGIN, SEED, REASON = (
    "airtune:manifest",
    "airtune:number",
    "airtune:origin",
    "airtune:seed",
    "airtune:reason",
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of one study.

    Attributes:
        study: Its name, in the study file and in the storage.
        added: Trials that were written now.
        present: Trials that were there already.
        waiting: Trials without a result, which are written once they have one.
    """

    study: str
    added: int
    present: int
    waiting: int


def export_to_optuna(
    file: StudyFile, storage: str | optuna.storages.BaseStorage, name: str | None = None
) -> list[Exported]:
    """Write one study, or all, into an Optuna storage; what is there already stays as it is.

    A told trial becomes a complete one, a failed one a failed one, both with their times and, as user attributes, who
    proposed it, its seed, and the objective's further values. Inactive parameters are absent.

    Args:
        file: The study file.
        storage: An Optuna storage or its address, for example "sqlite:///optuna.db".
        name: The study; None for all.

    Returns:
        What became of each study.

    Raises:
        StoreError: If there is no such study, the storage cannot be used, or has another study of that name.
        SpaceError: If Optuna has no form for the search space.
    """
    records = [file.get(name)] if name is not None else sorted(file.studies(), key=lambda one: one.name)
    if not isinstance(storage, str):
        return [_export(file, record, storage) for record in records]
    from sqlalchemy.exc import SQLAlchemyError

    _keep_study_files(storage)
    with _telling(storage, (ImportError, ValueError, SQLAlchemyError)):
        opened = optuna.storages.get_storage(storage)
    with _telling(storage, (optuna.exceptions.StorageInternalError, SQLAlchemyError)):
        return [_export(file, record, opened) for record in records]


def _keep_study_files(url: str) -> None:
    """Refuse a storage that is a study file: Optuna would put its tables among ours, and we open no such file."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        at = make_url(url)
    except (ArgumentError, ValueError):
        return
    if at.get_backend_name() == "sqlite" and at.database and is_study_file(Path(at.database)):
        raise StoreError(
            f"{at.database!r} is a study file, not an Optuna storage",
            value=at.database,
            allowed="an Optuna storage, or a file that is not there yet",
            hint="choose another file, for example sqlite:///optuna.db",
        )


@contextmanager
def _telling(url: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Say of which storage these errors are."""
    try:
        yield
    except errors as error:
        shown = shown_url(url)
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else None
        why = str(cause or error).partition("\n")[0].replace(url, shown)
        raise StoreError(
            f"the Optuna storage {shown!r} cannot be used: {why}",
            value=shown,
            allowed="sqlite:///FILE, postgresql+psycopg://USER@HOST/DATABASE, mysql+pymysql://...",
            hint="check the address, that the server runs, that there is room on the disk, and that its driver is "
            "installed (PostgreSQL: pip install 'airtune[postgres]')",
        ) from None  # the cause would show the password


def shown_url(url: str) -> str:
    """A storage's address as it may be printed: without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return str(make_url(url).render_as_string(hide_password=True))
    except (ArgumentError, ValueError):
        scheme, found, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if found else url


def _export(file: StudyFile, record: StudyRecord, storage: optuna.storages.BaseStorage) -> Exported:
    study = _study(record, storage)
    space = from_space(space_from_json(json.dumps(record.manifest["space"])))
    present = {trial.user_attrs.get(NUMBER) for trial in study.get_trials(deepcopy=False)}
    added = waiting = 0
    for one in file.records(record.name):
        if one.trial.status == "asked":
            waiting += 1
        elif one.trial.number not in present:
            study.add_trial(_trial(one, space.distributions, int(record.manifest["seed"])))
            added += 1
    return Exported(record.name, added, len(present - {None}), waiting)


def _study(record: StudyRecord, storage: optuna.storages.BaseStorage) -> optuna.Study:
    """The Optuna study of that name: ours, or a new one."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if record.name not in optuna.get_all_study_names(storage):
            study = optuna.create_study(storage=storage, study_name=record.name, direction="minimize")
            study.set_user_attr(MANIFEST, dict(record.manifest))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([str(record.manifest["metric"])])
            return study
        study = optuna.load_study(study_name=record.name, storage=storage)
    finally:
        optuna.logging.set_verbosity(verbosity)
    if study.user_attrs.get(MANIFEST) != json.loads(json.dumps(dict(record.manifest))):
        raise StoreError(
            f"the Optuna storage has another study called {record.name!r}",
            value=record.name,
            allowed="no study of that name, or an earlier export of this one",
            hint="export into another storage, or delete that study there (optuna delete-study)",
        )
    return study


def _trial(one: TrialRecord, distributions: Mapping[str, BaseDistribution], seed: int) -> FrozenTrial:
    trial = one.trial
    attributes: dict[str, Any] = {
        **trial.info,
        NUMBER: trial.number,
        ORIGIN: one.origin,
        SEED: derive_seed(seed, trial.number),
    }
    if trial.reason is not None:
        attributes[REASON] = trial.reason
    made = optuna.trial.create_trial(
        state=TrialState.FAIL if trial.loss is None else TrialState.COMPLETE,
        value=trial.loss,
        params=dict(trial.config),
        distributions={name: distributions[name] for name in trial.config},
        user_attrs=attributes,
    )
    made.datetime_start = datetime.fromtimestamp(one.asked)  # Optuna's times are local ones without a zone
    made.datetime_complete = datetime.fromtimestamp(one.asked if one.finished is None else one.finished)
    return made
