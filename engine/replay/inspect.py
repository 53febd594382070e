"""Looking inside a stored study: what the distribution of its language model was when it made each proposal.

Prompt and grammar are derived again from the study's history and compared with the transcript, and the model's files
with the hashes in the manifest: what is shown is the distribution that the proposal was drawn from, or an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airtune.engine.manifest import model_hash
from airtune.engine.proposers.lm import LMProposer
from airtune.engine.replay.stored import StoredStudy, read_study
from airtune.engine.storage.study_file import StudyFile
from airtune.engine.types import StoreError, Trial
from airtune.models import LanguageModel, ModelError, load_model
from airtune.models.inspection.distribution import answer_distribution
from airtune.models.inspection.marginals import BUDGET, ProposalDensities, proposal_densities

# Where a study was made with a backend that shows no distribution, the one that can show it, and how. vLLM forces no
# token that the mask leaves open.
STAND_INS: Mapping[str, tuple[str, Mapping[str, Any]]] = {"vllm": ("transformers", {"fast_forward": False})}


@dataclass(frozen=True, slots=True, eq=False)
class TrialInspection:
    """One proposal from the inside.

    Attributes:
        study: The study's name.
        trial: The trial that was proposed.
        origin: What proposed it.
        model: The model's name.
        metric: What the losses are.
        temperature: The sampling temperature.
        answer: The configuration that the model answered; `lm+gp` may have chosen another one.
        densities: The distribution of that answer.
        tried: The trials before it, as they were known when it was proposed.
    """

    study: str
    trial: Trial
    origin: str
    model: str
    metric: str
    temperature: float
    answer: Mapping[str, Any]
    densities: ProposalDensities
    tried: tuple[Trial, ...]


class Inspector:
    """Looks into the proposals of one study. The model is loaded once, when it is first needed.

    Args:
        file: The study file; only read.
        name: The study; None for the only one.
        model: The model's name or folder here, if that is not the recorded one.
        budget: See `airtune.models.inspection.marginals.proposal_densities`.

    Raises:
        StoreError: If there is no such study, or it asks no language model.
    """

    def __init__(
        self, file: StudyFile, name: str | None = None, model: str | None = None, budget: int = BUDGET
    ) -> None:
        record = file.get(name)
        if record.manifest.get("model") is None:
            raise StoreError(
                f"study {record.name!r} asks no language model: there is nothing to look into",
                value=record.manifest.get("proposer"),
                allowed="studies of lm, lm+gp, lm+self or hybrid",
                hint="choose one of those",
            )
        self._path, self._study = file.path, read_study(file, record, {})
        self._called, self._budget = model, budget
        self._model: LanguageModel | None = None

    @property
    def numbers(self) -> list[int]:
        """The trials that the model proposed."""
        return sorted(self._study.transcripts)

    def inspect(self, number: int) -> TrialInspection:
        """Work out the distribution of the model's answers when it proposed a trial.

        Raises:
            StoreError: If the model did not propose it, or what is derived is not what was recorded.
            ModelError: If the model cannot be loaded, is another one, or does not show its distribution.
        """
        study = self._study
        transcript = study.transcripts.get(number)
        if transcript is None:
            origin = study.records[number].origin if number in study.records else None
            raise StoreError(
                f"trial {number} of study {study.name!r} was "
                + (f"proposed by {origin!r}, which asks no language model" if origin else "never asked"),
                value=number,
                allowed=f"trials {', '.join(map(str, self.numbers))}"
                if self.numbers
                else "none of this study",
                hint="choose one of those",
            )
        if study.missing(number) is not None:
            raise StoreError(
                f"trial {study.missing(number)} of study {study.name!r} is missing", value=number
            )
        if self._model is None:
            self._model = recorded_model(study.manifest["model"], self._called)
        job = study.job(number)
        proposer = LMProposer(self._model, transcript["temperature"])
        request = proposer.request(job, int(transcript["attempt"]))
        if request is None:
            raise StoreError(f"nothing was left to propose at trial {number}", value=number)
        self._check(study, number, "prompt", request.prompt, transcript["prompt"])
        self._check(study, number, "grammar", request.grammar.hash, transcript["grammar"])
        # A model that thinks first answers to a prompt that has its thought in it.
        prompt = str((transcript.get("details") or {}).get("answer_prompt", request.prompt))
        distribution = answer_distribution(self._model, prompt, request.grammar, request.temperature)
        ids = transcript.get("token_ids")
        if not ids:
            raise StoreError(f"the tokens of trial {number} were not recorded", value=number)
        return TrialInspection(
            study.name, study.records[number].trial, study.records[number].origin, str(transcript["model"]),
            study.state.task.metric, request.temperature, request.grammar.decode(str(transcript["text"])),
            proposal_densities(distribution, ids, self._budget),
            tuple(sorted((*job.history, *job.pending), key=lambda t: t.number)),
        )  # fmt: skip

    def _check(self, study: StoredStudy, number: int, what: str, derived: str, recorded: str) -> None:
        if derived == recorded:
            return
        made = study.manifest.get("versions", {}).get("airtune", "unknown")
        raise StoreError(
            f"the {what} of trial {number} of study {study.name!r} cannot be derived again from {str(self._path)!r}",
            value=derived[-80:],
            allowed=f"the recorded one: {recorded[-80:]}",
            hint=f"use the version that made the study (airtune {made}); airtune replay --level 0 says what differs",
        )


def recorded_model(manifest: Mapping[str, Any], called: str | None = None) -> LanguageModel:
    """The very model of a study, its files compared with the study's manifest.

    Args:
        manifest: The model's part of the study's manifest.
        called: Its name or folder here; None for the recorded name.

    Raises:
        ModelError: If it cannot be loaded, or is not the same.
    """
    backend, name = str(manifest.get("backend")), called or str(manifest.get("model"))
    settings = dict(manifest.get("settings") or {})
    if backend in STAND_INS:
        backend, given = STAND_INS[backend]
        settings = {**{key: settings[key] for key in ("dtype",) if settings.get(key) != "auto"}, **given}
    elif backend not in ("transformers", "llama_cpp", "scripted"):
        raise ModelError(
            f"the study was made with backend {backend!r}, which does not show the distribution that it draws from",
            value=backend,
            allowed="transformers, llama_cpp, vllm, scripted",
            hint="tune with the open weights themselves (backend='transformers') to look inside",
        )
    try:
        model = load_model(name, backend, dialect=str(manifest.get("dialect")), **settings)
    except ModelError as error:
        raise ModelError(
            f"the study's model {name!r} cannot be loaded here: {error.message}", value=name,
            allowed=error.allowed, hint="say where its folder is: model=",
        ) from error  # fmt: skip
    here, recorded = model.manifest(), dict(manifest)
    if model_hash(here) != model_hash(recorded):
        raise ModelError(
            f"model {name!r} is not the one that made the study: {_difference(recorded, here)}",
            value=name,
            allowed="a model whose files have the hashes in the study's manifest",
            hint="name the folder with the recorded files (model=), or install the version of Airtune that "
            f"shipped them ({recorded.get('versions', {}).get('airtune', 'unknown')})",
        )
    return model


def _difference(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    before, now = dict(recorded.get("files") or {}), dict(here.get("files") or {})
    other = [f for f in sorted(before.keys() | now.keys()) if before.get(f) != now.get(f)]
    told = [f"{f} (recorded {str(before.get(f))[:12]}, here {str(now.get(f))[:12]})" for f in other[:4]]
    return "; ".join(told) or "its dialect or settings differ"
