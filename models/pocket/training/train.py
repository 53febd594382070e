"""Train `pocket` from a seed, on generated data only.

    airtune models train pocket --smoke          a tiny one, about a minute, checks that the loss falls
    python -m airtune.models.pocket.training.train --out DIR    the shipped one, in five stages (resumes from DIR)
    python -m airtune.models.pocket.training.train --out DIR --next    goes on from it with what comes next

Every step draws its episodes from (seed, step), so a run that was interrupted and resumed sees what an
uninterrupted one sees. The learning rate is flat and falls linearly over the last 30 % of the tokens; a run may be
resumed with more tokens as long as that has not begun, and is then the run that had so many from the start.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from airtune.grammars.errors import AirtuneError
from airtune.models.dialects.pocket.codec import BINS
from airtune.models.pocket.training import long_tables
from airtune.models.pocket.training.batch import attention_mask, encode
from airtune.models.pocket.training.curriculum import by_size, draw, split_tables
from airtune.models.pocket.training.episodes import BORROWED_TABLES
from airtune.models.pocket.training.loss import Loss, development_loss
from airtune.models.pocket.training.net import COMPUTED, Pocket
from airtune.models.pocket.training.tables import Table

_WARM_UP = 5e5  # tokens; not a share of all, so that a run may be made longer until its rate begins to fall


@dataclass(frozen=True, slots=True)
class Config:
    """What a run is: sizes, data and schedule. Stored with the weights."""

    width: int = 128
    layers: int = 5
    heads: int = 4
    hidden: int = 320
    seed: int = 0
    tokens: float = 26e6
    batch_tokens: int = 4000
    learning_rate: float = 2e-3
    bf16: bool = True
    borrow_from: int = 0  # step: from here on some names are borrowed, and teach that names may mislead
    borrow_long: float = (
        BORROWED_TABLES  # share of the tables of full trainings whose names are borrowed then
    )
    surfaces: bool = False  # read tables as surfaces, so that they are not learnt by heart
    added: bool = False  # with the tables that were built after the first three stages
    alphabet: int = 2  # of the prompts
    long: bool = False  # with tables of full trainings, and histories of searches
    mixed: bool = False  # with tables of spaces that nobody wrote
    early: bool = False  # with mostly short histories
    start: str | None = None  # the folder of weights that it goes on from, optimisers afresh
    kept: float = 0.0  # share of those weights in what is released
    spread: bool = False  # see `Loss`
    watch_every: int = 500  # steps between development losses


def _optimizers(model: Pocket, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the body's matrices, AdamW for embeddings and gains."""
    body = [p for p in model.llama.model.layers.parameters() if p.ndim == 2]
    known = {id(p) for p in body}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    return [
        torch.optim.Muon(body, lr=rate, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _rate(seen: float, config: Config) -> float:
    warm = min(1.0, (seen + config.batch_tokens) / min(_WARM_UP, 0.02 * config.tokens))
    fall = min(1.0, (1 - seen / config.tokens) / 0.3)
    return config.learning_rate * warm * max(fall, 0.01)


def train(
    config: Config,
    tables: dict[str, list[Table]],
    out: Path | None,
    device: str = "cpu",
    save_every_s: float = 120.0,
    development: dict[str, dict[str, list[Table]]] | None = None,
) -> tuple[Pocket, list[dict[str, float]]]:
    """Train until `config.tokens` tokens were seen; resumes from `out` when it holds a checkpoint.

    Args:
        config: The run.
        tables: Training tables by algorithm; empty for the synthetic prior alone.
        out: Folder of the checkpoint and of `curve.jsonl`, or None to keep nothing.
        device: Where to compute.
        save_every_s: Seconds between checkpoints.
        development: By a name for the curve, tables to watch the loss on, never trained on.

    Returns:
        The model and its curve, a record per 50 steps and at the end; some have the development losses, too.
    """
    torch.manual_seed(config.seed)
    on_cpu = device.startswith("cpu")  # autocast is no faster there
    model = Pocket(config.width, config.layers, config.heads, config.hidden, config.bf16 and on_cpu).to(
        device
    )
    if config.start:
        model.load_release(Path(config.start))
    sized = by_size(tables)
    long = long_tables.load(mixed=config.mixed)[0] if config.long else None
    loss_of = Loss(config.spread).to(device)
    optimizers = _optimizers(model, config.learning_rate)
    step, seen, seconds = 0, 0, 0.0
    curve: list[dict[str, float]] = []
    checkpoint = out / "checkpoint.pt" if out else None
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"], strict=False)  # without rows that are computed
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, seen, seconds, curve = state["step"], state["seen"], state["seconds"], state["curve"]

    def save() -> None:
        if not checkpoint:
            return
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        trained = {k: v for k, v in model.state_dict().items() if k.removeprefix("llama.") not in COMPUTED}
        state = {
            "model": trained, "optimizers": [o.state_dict() for o in optimizers],
            "step": step, "seen": seen, "seconds": seconds, "curve": curve, "config": asdict(config),
        }  # fmt: skip
        partial = checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(checkpoint)
        (checkpoint.parent / "curve.jsonl").write_text("".join(json.dumps(r) + "\n" for r in curve))

    sums: dict[str, list[float]] = {}
    begun = saved_at = time.monotonic()
    while seen < config.tokens:
        rng = np.random.default_rng([config.seed, step])
        borrow = step >= config.borrow_from
        episodes = draw(
            rng, sized, config.batch_tokens,
            borrow=borrow, borrow_long=config.borrow_long, surfaces=config.surfaces, alphabet=config.alphabet,
            long=long, early=config.early,
        )  # fmt: skip
        batch = encode(rng, episodes)
        batch = batch.to(device)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = _rate(seen, config)
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=config.bf16 and not on_cpu):
            hidden = model.states(batch.tokens, batch.positions, attention_mask(batch.group))
        loss, parts = loss_of(model, batch, hidden)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(float(loss.detach())):
            raise AirtuneError(
                f"the training loss became {float(loss.detach())} at step {step}", hint="lower the rate"
            )
        step += 1
        seen += int((batch.group >= 0).sum())
        for name, value in parts.items():
            sums.setdefault(name, []).append(value)
        if step % 50 == 0 or seen >= config.tokens:
            now = time.monotonic()
            seconds, begun = seconds + now - begun, now
            record = {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
            for name, watched in (development or {}).items() if step % config.watch_every == 0 else ():
                record[name] = round(development_loss(model, loss_of, watched, device, config.alphabet), 4)
            curve.append({"step": step, "tokens": seen, "seconds": round(seconds, 1), **record})
            print(json.dumps(curve[-1]), flush=True)
            sums = {}
            if now - saved_at > save_every_s:
                save()
                saved_at = now
    save()
    return model, curve


def write_release(model: Pocket, config: Config, out: Path) -> None:
    """Write weights, tokenizer, config and manifest of `model` to `out`: what `models/pocket/weights` holds.

    Of a run that went on from others' weights, a share of those may be kept: a mean of the two often has the strengths
    of both (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    """
    from airtune.models.pocket.training.release import sha256, write

    run = asdict(config)
    if config.start:
        run["start"] = sha256(Path(config.start) / "model.safetensors")
    if config.start and config.kept:
        before = Pocket(config.width, config.layers, config.heads, config.hidden)
        before.load_release(Path(config.start))
        model = copy.deepcopy(model)
        with torch.no_grad():
            for mine, old in zip(model.parameters(), before.parameters(), strict=True):
                mine.lerp_(old.to(mine.device), config.kept)
    write(model, run, out)


# The shipped weights: first what names mean; then, from those weights on, that names may mislead, too. Both read tables
# row by row and learn them by heart (docs/log/pocket.md); the third stage reads them as surfaces, and half of each is
# what the fourth begins with: tables of algorithms trained as people train them, words of choices. The last one: spaces
# that nobody wrote, more names that mislead, mostly first trials, and targets that leave no spikes on lists of values.
_FOURTH = Config(
    seed=6, tokens=10e6, learning_rate=1.5e-3, surfaces=True, added=True, long=True, watch_every=100
)
STAGES = (
    Config(alphabet=1, borrow_from=1_000_000),
    Config(alphabet=1, seed=2, tokens=22e6, learning_rate=1.5e-3, bf16=False),
    Config(alphabet=1, seed=3, tokens=17e6, learning_rate=1.5e-3, bf16=False, surfaces=True, kept=0.5),
    _FOURTH,
    replace(_FOURTH, seed=8, tokens=6e6, spread=True, borrow_long=0.2, mixed=True, early=True),
)
NEXT = replace(STAGES[-1], seed=9)  # what comes next, from the shipped weights on
SHIPPED = Path(__file__).parents[1] / "weights"
SMOKE = Config(width=32, layers=2, heads=2, hidden=64, tokens=1.5e5, batch_tokens=3000, bf16=False)


def main(
    smoke: bool = False,
    out: Path | None = None,
    seed: int = 0,
    tokens: float | None = None,
    device: str = "cpu",
    following: bool = False,
) -> dict[str, Any]:
    """Train `pocket`; with `smoke` a tiny one, checking that its loss falls.

    Args:
        smoke: Train the tiny one.
        out: Folder for checkpoint and release (`out/weights`); required unless `smoke`.
        seed: The run's seed.
        tokens: Tokens to see in one run, or None for as many as planned.
        device: Where to compute, for example "cuda".
        following: Go on from the shipped weights with what comes next (`NEXT`); otherwise from nothing, in the stages
            of the shipped weights, or in the first one alone if `tokens` are given.

    Returns:
        First (with `smoke`: a uniform guess's) and last mean loss per proposed value (nats), tokens, whether it fell.

    Raises:
        AirtuneError: If `out` is missing, or the smoke run's loss did not fall.
    """
    if out is None and not smoke:
        raise AirtuneError("training needs a folder to write to", allowed="a path", hint="pass --out DIR")
    start: Path | None = SHIPPED if following else None
    stages = (SMOKE,) if smoke else (NEXT,) if following else STAGES if tokens is None else STAGES[:1]
    for number, stage in enumerate(stages, 1):
        last = number == len(stages)
        config = replace(
            stage, seed=stage.seed + seed, tokens=tokens or stage.tokens, start=str(start) if start else None
        )
        training, kept = split_tables(added=stage.added)
        watched = {"development": {name: tables for name, tables in kept.items() if name in training}}
        if stage.long:
            watched |= {
                f"long_{why}": found for why, found in long_tables.load(mixed=stage.mixed)[1].items() if found
            }
        folder = out if last or out is None else out / f"stage{number}"
        model, curve = train(config, training, folder, device, development=watched)
        if folder is not None:
            start = folder / "weights"
            write_release(model, config, start)
    head, tail = curve[: max(1, len(curve) // 5)], curve[-max(1, len(curve) // 5) :]
    before, after = (float(np.mean([r["position"] for r in part])) for part in (head, tail))
    if smoke:  # over before a second record could be compared with the first: better than a guess, then
        before = math.log(BINS)
    if smoke and not after < before:
        raise AirtuneError(
            f"the loss did not fall: {before:.3f} at first, {after:.3f} at the end", hint="a broken change?"
        )
    return {"first_loss": before, "last_loss": after, "tokens": curve[-1]["tokens"], "fell": after < before}


def _command_line(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--next", action="store_true", help="go on from the shipped weights")
    parser.add_argument("--tokens", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    print(json.dumps(main(args.smoke, args.out, args.seed, args.tokens, args.device, args.next)))


if __name__ == "__main__":
    _command_line()
