"""Who proposes, as the command line says it: proposer, model, backend, and the settings of the backend."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airtune.engine import Proposer

# About, on two cores of a server in 2026: importing torch and the first proposal of `pocket`; reading weights.
LIBRARIES_S = 6.0
BYTES_PER_S = 200e6


def model_settings(pairs: Sequence[str], *, allow_network: bool, backend: str | None) -> dict[str, Any]:
    """The settings for `load_model`. Values are JSON where they read as such (true, 8, {"a": 1}), else text.

    Raises:
        AirtuneError: If one is not KEY=VALUE, is given twice, or --allow-network has nothing to allow.
    """
    from airtune.grammars import AirtuneError

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise AirtuneError(
                f"the model setting {pair!r} is not KEY=VALUE",
                value=pair,
                allowed="for example dtype=bfloat16, base_url=http://127.0.0.1:8000/v1",
                hint="write --model-setting KEY=VALUE, once for each setting",
            )
        if key in settings:
            raise AirtuneError(
                f"the model setting {key!r} was given twice",
                value=[settings[key], value],
                hint="leave one --model-setting out",
            )
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    if allow_network:
        if backend != "openai":
            raise AirtuneError(
                f"--allow-network has no effect on backend {backend or 'transformers'!r}, which is on this machine",
                value=backend,
                allowed="--backend openai with it",
                hint="leave --allow-network out",
            )
        settings["allow_network"] = True
    return settings


def loading_text(proposer: str | None, model: str | None, backend: str | None) -> str:
    """What is waited for before the first trial, and about how long, where a folder says how large the model is."""
    from airtune.engine.proposers import needs_model
    from airtune.engine.types import DEFAULT_PROPOSER

    if not needs_model(proposer or DEFAULT_PROPOSER):
        return "loading"
    from airtune.grammars import AirtuneError
    from airtune.models.names import locate
    from airtune.models.spec import parse_spec

    try:
        spec = parse_spec(model or "pocket").but(backend)
        folder = locate(spec.name)
    except AirtuneError:  # told where it is loaded; or a server's
        return f"loading {model}"
    if spec.backend not in (None, "transformers"):
        return f"loading {spec.label}"
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return (
        f"loading {Path(spec.name).name} (first proposal in about {LIBRARIES_S + size / BYTES_PER_S:.0f} s)"
    )


def chosen_proposer(
    name: str | None,
    model: str | None,
    backend: str | None,
    temperature: float | None,
    settings: list[str],
    allow_network: bool,
    dialect: str | None = None,
) -> Proposer:
    """The proposer, with its model loaded if it needs one; the model may be in `airtune.models.spec`'s one word.

    Raises:
        AirtuneError: If it, its model or its backend is unknown, or an option has no effect on it.
    """
    from airtune.engine.proposers import load_proposer, needs_model
    from airtune.engine.types import DEFAULT_PROPOSER
    from airtune.grammars import AirtuneError

    name = name or DEFAULT_PROPOSER
    if not needs_model(name):
        made = load_proposer(name)
        options = {
            "--model": model, "--backend": backend, "--temperature": temperature,
            "--model-setting": settings[0] if settings else None, "--dialect": dialect,
        }  # fmt: skip
        for option, value in options.items():
            if value is not None:
                raise AirtuneError(
                    f"{option} {value} has no effect on the proposer {name!r}",
                    value=value,
                    allowed="lm, lm+gp, lm+self or hybrid, or default+ one of them, with it",
                    hint=f"leave {option} out, or choose --proposer lm",
                )
        return made
    if temperature is not None and not 0 <= temperature < math.inf:
        raise AirtuneError(
            f"a temperature of {temperature} is none",
            value=temperature,
            allowed="0 (greedy) or more",
            hint="--temperature 1 samples from the model as it was trained",
        )
    from airtune.models.spec import parse_spec

    spec = parse_spec(model or "pocket").but(backend, dialect)
    given = model_settings(settings, allow_network=allow_network, backend=spec.backend)
    return load_proposer(name, spec.load(**given), temperature)
