"""`airtune models`: which language models are here, what is in them, packs of them, and training the bundled one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from airtune.engine.cli.output import out, print_json, print_lines

if TYPE_CHECKING:
    from airtune.models import ModelInfo

app = typer.Typer(
    name="models", no_args_is_help=True, help="The language models: list, info, verify, pack, unpack, train."
)

TRAINABLE = ("pocket",)
JSON = typer.Option(False, "--json", help="Print one JSON document.")
NAME = typer.Argument(..., help="A registry name, a directory, or a hub id in the local cache.")


def _fields(info: ModelInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "dialect": info.dialect,
        "parameters": info.parameters,
        "bytes": info.bytes,
        "sha256": info.sha256,
        "path": str(info.path),
        "description": info.description,
    }


def _size(count: int) -> str:
    """A count with its unit: 5.1M."""
    for unit, one in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= one:
            return f"{count / one:.1f}{unit}"
    return str(count)


@app.command("list")
def list_(json: bool = JSON) -> None:
    """The models that can be used by name: bundled ones, and those in the local cache."""
    from rich import box
    from rich.table import Table

    from airtune.models import list_models

    found = list_models()
    if json:
        print_json({"models": [_fields(info) for info in found]})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("model", "dialect", "parameters", "sha256", "what it is"):
        table.add_column(heading, justify="right" if heading == "parameters" else "left", overflow="fold")
    for info in found:
        table.add_row(info.name, info.dialect, _size(info.parameters), info.sha256[:12], info.description)
    out().print(table)
    out().print("A local checkpoint is used by its directory: --model path/to/checkpoint", markup=False)


@app.command()
def info(name: str = NAME, json: bool = JSON) -> None:
    """What is known about a model without loading it."""
    from airtune.models import model_info

    fields = _fields(model_info(name))
    if json:
        print_json(fields)
        return
    for key, value in fields.items():
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        out().print(f"{key:<12} {shown}", markup=False, soft_wrap=True)


@app.command()
def verify(
    name: str = typer.Argument(
        ..., help="A registry name, a directory, a hub id in the local cache, or a pack (FILE.tar)."
    ),
    json: bool = JSON,
) -> None:
    """Hash a model's files again and compare with its manifest; exit code 1 if they differ."""
    from airtune.engine.cli.output import error_fields, report_error
    from airtune.models import ModelError, model_info, verify_model
    from airtune.models.archive.unpack import verify_pack

    packed = Path(name).is_file()
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
    for file, digest in hashes.items():
        out().print(f"{digest}  {file}", markup=False, soft_wrap=True)
    out().print(f"{name}: all {len(hashes)} files are as recorded", markup=False)


@app.command()
def pack(
    name: str = NAME,
    output: Path = typer.Option(
        ..., "-o", "--output", metavar="FILE.tar", help="The pack; must not be there yet."
    ),
    data: list[Path] = typer.Option(
        [], "--data", metavar="DIR", help="A folder of data to go with it; repeatable."
    ),
    wheels: bool = typer.Option(
        False, "--wheels", help="With all wheels that airtune needs, from the package index."
    ),
    extra: list[str] = typer.Option(
        [], "--extra", metavar="NAME", help="With --wheels: an extra, for example smac."
    ),
    constraints: Path | None = typer.Option(
        None,
        "--constraints",
        metavar="FILE",
        help="With --wheels: pinned versions. (default: those installed here)",
    ),
    json: bool = JSON,
) -> None:
    """Write a model into one file, to carry to a machine without a network: the same input gives the same bytes."""
    import tempfile

    from airtune.grammars import AirtuneError
    from airtune.models.archive.pack import pack_model
    from airtune.models.archive.wheels import wheels_of_airtune

    if (extra or constraints) and not wheels:
        raise AirtuneError(
            "--extra and --constraints say which wheels, and --wheels was not given", hint="add --wheels"
        )
    with tempfile.TemporaryDirectory(prefix="airtune-wheels-") as folder:
        if wheels:
            wheels_of_airtune(Path(folder), extras=extra, constraints=constraints)
        packed = pack_model(name, output, data=data, wheels=folder if wheels else None)
    if json:
        print_json(
            {
                "path": str(packed.path),
                "sha256": packed.sha256,
                "bytes": packed.manifest.total,
                "files": dict(packed.manifest.files),
                "left_out": list(packed.left_out),
            }
        )
        return
    lines = [f"{packed.path}: {len(packed.manifest.files)} files, {_size(packed.manifest.total)} bytes"]
    if packed.left_out:
        lines.append(f"left out, as neither safetensors, tokenizer nor text: {', '.join(packed.left_out)}")
    lines += [f"SHA-256 {packed.sha256}", "on the other machine:"]
    if wheels:
        lines.append(
            f"  tar xf {packed.path.name} wheels && pip install --no-index --find-links wheels airtune"
        )
    lines.append(f"  airtune models unpack {packed.path.name} --to DIR --sha256 {packed.sha256}")
    print_lines(lines)


@app.command()
def unpack(
    file: Path = typer.Argument(..., metavar="FILE.tar", help="A pack that airtune models pack wrote."),
    to: Path = typer.Option(..., "--to", metavar="DIR", help="The folder; must not be there yet."),
    sha256: str | None = typer.Option(
        None,
        "--sha256",
        help="What `pack` printed: then it is the very pack that was made, not only a whole one.",
    ),
    json: bool = JSON,
) -> None:
    """Verify a pack, then unpack it. What is not exactly as its manifest says is refused, and nothing is written."""
    from airtune.models.archive.unpack import unpack_model

    manifest = unpack_model(file, to, sha256)
    if json:
        print_json(
            {"path": str(to), "name": manifest.name, "bytes": manifest.total, "files": dict(manifest.files)}
        )
        return
    folders = sorted({name.partition("/")[0] for name in manifest.files if "/" in name})
    lines = [f"{manifest.name} in {to}: {len(manifest.files)} files, all as their manifest says"]
    if folders:
        lines.append(f"beside the model: {', '.join(str(to / folder) for folder in folders)}")
    print_lines([*lines, f"use it: airtune tune TASK --model {to}"])


@app.command()
def train(
    name: str = typer.Argument(..., help="What to train: pocket."),
    smoke: bool = typer.Option(False, "--smoke", help="A tiny one, in a minute: shows that its loss falls."),
    output: Path | None = typer.Option(None, "--out", metavar="DIR", help="Where the checkpoint goes."),
    seed: int = typer.Option(0, "--seed", help="Seed of the data and of the weights."),
    tokens: float | None = typer.Option(
        None, "--tokens", help="Tokens to train on. (default: as for the release)"
    ),
    device: str = typer.Option("cpu", "--device", help="Where to compute, for example cuda."),
    json: bool = JSON,
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
    out().print(
        f"loss per value: {result['first_loss']:.3f} nats at first, {result['last_loss']:.3f} at the end, "
        f"after {result['tokens']:,.0f} tokens",
        markup=False,
    )
    if output is not None:
        out().print(f"use it: airtune tune TASK --model {output / 'weights'}", markup=False, soft_wrap=True)
