"""`airtune models`: which language models are here, what is in them, packs of them, and training the bundled one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from airtune.engine.cli import carry
from airtune.engine.cli.carry import Name, fields_of, size
from airtune.engine.cli.options import Json
from airtune.engine.cli.output import print_json, print_lines, print_table

app = typer.Typer(
    name="models",
    add_completion=False,
    no_args_is_help=True,
    help="The language models: list, info, verify, get, import, pack, unpack, train, finetune.",
)

app.command("import")(carry.import_)
for _command in (carry.get, carry.pack, carry.unpack):
    app.command()(_command)

TRAINABLE = ("pocket",)


@app.command("list")
def list_(json: Json = False) -> None:
    """The models that can be used by name: bundled and imported ones, and those in the local cache."""
    from airtune.models import list_models

    found = list_models()
    if json:
        print_json({"models": [fields_of(info) for info in found]})
        return
    rows = [(one.name, one.dialect, size(one.parameters), one.sha256[:12], one.description) for one in found]
    print_table("LLRLL", ("model", "dialect", "parameters", "sha256", "what it is"), rows)
    print_lines(
        ["Others are used by their path, --model DIR or FILE.gguf, or get a name by airtune models import."]
    )


@app.command()
def info(name: Name, json: Json = False) -> None:
    """What is known about a model without loading it."""
    from airtune.models import model_info

    fields = fields_of(model_info(name))
    if json:
        print_json(fields)
        return
    print_lines(
        f"{key:<12} {value:,}" if isinstance(value, int) else f"{key:<12} {value}"
        for key, value in fields.items()
        if value is not None
    )


@app.command()
def verify(
    name: Annotated[
        str,
        typer.Argument(
            help="A registry name, a directory, a hub id in the local cache, or a pack (FILE.tar)."
        ),
    ],
    json: Json = False,
) -> None:
    """Hash a model's files again and compare with its manifest; exit code 1 if they differ."""
    from airtune.engine.cli.output import error_fields, report_error
    from airtune.models import ModelError, model_info, verify_model
    from airtune.models.archive.unpack import verify_pack

    packed = os.path.isfile(name) and Path(name).suffix.lower() != ".gguf"
    if not packed:
        model_info(name)  # a model that is not there is bad input, not a failed check
    try:
        hashes = dict(verify_pack(name).files) if packed else verify_model(name)
    except ModelError as error:
        if json:
            print_json({"name": name, "ok": False, "error": error_fields(error)})
        else:
            report_error(error, as_json=False)
        raise typer.Exit(1) from error
    if json:
        print_json({"name": name, "ok": True, "files": hashes})
        return
    print_lines(f"{digest}  {file}" for file, digest in hashes.items())
    print_lines([f"{name}: all {len(hashes)} files are as recorded"])


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="What to train: pocket.")],
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A tiny one, in a minute: shows that its loss falls.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="Where the checkpoint goes.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data and of the weights.")] = 0,
    tokens: Annotated[
        float | None, typer.Option(help="Tokens to train on. (default: as for the release)")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute, for example cuda.")] = "cpu",
    json: Json = False,
) -> None:
    """Train the bundled model from a seed, as it was trained for the release."""
    from airtune.engine.cli.output import report_error
    from airtune.grammars import AirtuneError, unknown_name
    from airtune.models import ModelError

    if name not in TRAINABLE:
        message, allowed, hint = unknown_name("trainable model", name, TRAINABLE)
        raise ModelError(message, value=name, allowed=allowed, hint=f"{hint}; airtune models train pocket")
    if output is None and not smoke:
        raise AirtuneError(
            "no folder was given for the checkpoint", allowed="--out DIR", hint="or try --smoke first"
        )
    from airtune.models.pocket.training.train import main

    try:
        result = main(smoke=smoke, out=output, seed=seed, tokens=tokens, device=device)
    except AirtuneError as error:  # a loss that did not fall is a check that did not hold, not bad input
        report_error(error, json)
        raise typer.Exit(1) from error
    if json:
        print_json(result)
        return
    lines = [
        f"loss per value: {result['first_loss']:.3f} nats at first, {result['last_loss']:.3f} at the end, "
        f"after {result['tokens']:,.0f} tokens"
    ]
    if output is not None:
        lines.append(f"use it: airtune tune TASK --model {output / 'weights'}")
    print_lines(lines)


@app.command("finetune")
def finetune_(
    base: Annotated[str, typer.Argument(help="A local chat model: a registry name or a directory.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder of the run; an interrupted one goes on from it."
        ),
    ],
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 300,
    episodes: Annotated[int, typer.Option(help="Episodes per step.")] = 8,
    rank: Annotated[
        int, typer.Option(help="Rank of the low-rank updates (LoRA); 0 trains all weights.")
    ] = 16,
    learning_rate: Annotated[float, typer.Option(help="Its peak; 1e-5 suits --rank 0.")] = 3e-4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes and of the updates.")] = 0,
    device: Annotated[str, typer.Option(help="Where to compute, for example cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads on the CPU.")] = 1,
    json: Json = False,
) -> None:
    """Make a local chat model better at proposing configurations, by generated searches: no data, no network."""
    from airtune.engine.cli.output import err
    from airtune.models.finetuning.release import ADAPTER, WEIGHTS, finetune_model
    from airtune.models.finetuning.train import Run

    def say(record: Mapping[str, Any]) -> None:
        err().print("  ".join(f"{key} {value}" for key, value in record.items()), highlight=False)

    run = Run(steps=steps, episodes=episodes, learning_rate=learning_rate, rank=rank, seed=seed)
    curve = finetune_model(base, output, run, device=device, threads=threads, say=say)
    watched = [record["held_out"] for record in curve if "held_out" in record]
    if json:
        print_json({"path": str(output / WEIGHTS), "held_out": [watched[0], watched[-1]], "steps": steps})
        return
    lines = [f"loss on held-out episodes: {watched[0]:.4f} nats per token before, {watched[-1]:.4f} after"]
    lines.append(f"use it: airtune tune TASK --model {output / WEIGHTS}")
    if rank:
        lines.append(f"or, with vLLM and the base: --model-setting lora={output / ADAPTER}")
    print_lines(lines)
