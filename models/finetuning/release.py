"""From a checkpoint to a fine-tuned one: load the base, train, write what loads like any other checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from airtune.models.archive.manifest import LICENSE_NAMES, LICENSES
from airtune.models.backends.checkpoint import SETTINGS, broken_checkpoint, load_weights, require_safetensors
from airtune.models.backends.determinism import torch_threads
from airtune.models.backends.prompts import PromptTokenizer
from airtune.models.backends.threads import check_threads
from airtune.models.finetuning.train import Run, encode, finetune, with_updates
from airtune.models.inventory import ModelInfo, model_info, record_manifest
from airtune.models.names import dialect_name, locate
from airtune.models.offline import stay_offline
from airtune.models.registry import make_dialect
from airtune.models.types import ModelError

WEIGHTS = "weights"  # the fine-tuned checkpoint, in the folder of a run
ADAPTER = "adapter"  # its low-rank updates alone, for a server that has the base already


def finetune_model(
    base: str | Path,
    out: Path,
    run: Run,
    *,
    device: str = "cpu",
    threads: int = 1,
    say: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> list[dict[str, float]]:
    """Fine-tune a checkpoint that speaks the `chat` dialect, and write it to `out/weights`.

    With low-rank updates those alone are written, too, to `out/adapter`. An interrupted run goes on from `out`.

    Args:
        base: A registry name or a directory.
        out: The folder of the run.
        run: What to do.
        device: A torch device.
        threads: Of a forward pass on the CPU.
        say: Is told every record of the curve.

    Returns:
        The curve; see `finetune`.

    Raises:
        ModelError: If the base cannot be loaded, or speaks another dialect.
        AirtuneError: See `finetune`.
    """
    from transformers.utils import logging

    check_threads(threads)
    path = locate(base)
    if not dialect_name(path).startswith("chat"):
        raise ModelError(
            f"{base} speaks the dialect {dialect_name(path)!r}",
            value=dialect_name(path),
            allowed="a model that speaks chat",
            hint="the bundled model is trained anew by airtune models train pocket",
        )
    require_safetensors(path)
    info = model_info(base)
    stay_offline()
    logging.disable_progress_bar()
    prompts = PromptTokenizer(path)
    try:
        model = load_weights(path, None, torch.float32).to(device)
    except ModelError:
        raise
    except Exception as error:  # the library raises half a dozen unrelated types for a broken checkpoint
        raise broken_checkpoint(path, error) from error
    dialect = prompts.bind(
        make_dialect(dialect_name(path)), model.config.get_text_config().max_position_embeddings
    )
    end = (prompts.turn_ends or (prompts.tokenizer.eos_token_id,))[0]
    if end is None:
        raise ModelError(f"the tokenizer of {base} has no end of sequence", hint="set eos_token in its files")
    model = with_updates(model.eval(), run.rank, run.seed)
    with torch_threads(threads):
        curve = finetune(model, lambda episode: encode(episode, dialect, prompts, end), run, out, say=say)
    if run.rank:
        model.save_pretrained(out / ADAPTER)
        model = model.merge_and_unload()
    _write(model, prompts, info, out / WEIGHTS, _card(info, run, curve))
    return curve


def _write(model: Any, prompts: PromptTokenizer, base: ModelInfo, out: Path, card: str) -> None:
    """Write a whole checkpoint beside its place, with the base's licence, then move it there."""
    partial = out.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    for file in partial.glob("*.safetensors"):
        file.chmod(0o644)  # they are written through private temporary files
    prompts.tokenizer.save_pretrained(partial)
    for file in base.path.iterdir():
        if file.is_file() and file.name.partition(".")[0].upper() in LICENSE_NAMES:
            shutil.copyfile(file, partial / file.name)
    if (base.path / LICENSES).is_dir():  # of an imported model
        shutil.copytree(base.path / LICENSES, partial / LICENSES)
    settings = {"dialect": base.dialect, "description": f"{_name(base)}, fine-tuned by airtune (CARD.md)"}
    (partial / SETTINGS).write_text(json.dumps(settings) + "\n", encoding="utf-8")
    (partial / "CARD.md").write_text(card, encoding="utf-8")
    origin = f"{_name(base)}, fine-tuned; SHA-256 of its files {base.sha256}"
    record_manifest(partial, {"license": base.license, "origin": origin})
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def _name(base: ModelInfo) -> str:
    return Path(base.name).name


def _card(base: ModelInfo, run: Run, curve: list[dict[str, float]]) -> str:
    watched = [(int(r["step"]), r["held_out"]) for r in curve if "held_out" in r]
    rows = "".join(f"| {step} | {loss:.4f} |\n" for step, loss in watched)
    settings = ", ".join(f"{key} {value}" for key, value in asdict(run).items())
    seconds = curve[-1].get("seconds", 0.0)
    return (
        f"# {_name(base)}, fine-tuned at proposing hyperparameters\n\n"
        f"From `{_name(base)}` (SHA-256 of its files {base.sha256}; its licence holds for these weights), by "
        f"`airtune models finetune`: {settings}; {seconds:.0f} s. The episodes are generated: tables of real "
        "algorithms on generated data sets, none of them of a benchmark, and random functions.\n\n"
        "| step | loss on held-out episodes (nats per token of the answer) |\n|---|---|\n" + rows
    )
