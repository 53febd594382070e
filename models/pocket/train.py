"""Train `pocket` from a seed, on generated data only.

    airtune models train pocket --smoke          a tiny one, about a minute, checks that the loss falls
    python -m airtune.models.pocket.train --out DIR    the shipped one, in two stages (resumes from DIR)

Every step draws its episodes from (seed, step), so a run that was interrupted and resumed sees what an
uninterrupted one sees. The learning rate is flat and falls linearly over the last 30 % of the tokens; a run may be
resumed with more tokens as long as that has not begun, and is then the run that had so many from the start.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airtune.grammars.errors import AirtuneError
from airtune.models.pocket import tables as table_module
from airtune.models.pocket.algorithms import HELD_OUT
from airtune.models.pocket.batch import Batch, attention_mask, encode
from airtune.models.pocket.codec import BINS, CHOICES
from airtune.models.pocket.net import Pocket
from airtune.models.pocket.prior import Episodes, from_tables, synthetic
from airtune.models.pocket.tables import Table

TABLES = Path(__file__).parent / "tables.npz"
DEVELOPMENT = (
    7  # every seventh table is kept for development, never trained on; and the algorithms held out whole
)

# Hyperparameters per space and trials per history. Small ones are the usual case and the cheap one.
_SIZES = {1: 6, 2: 28, 3: 12, 4: 20, 5: 16, 6: 6, 7: 3, 8: 4, 10: 2, 12: 2, 16: 1}
_ROOMS = {3: 0.21, 6: 0.21, 12: 0.22, 24: 0.18, 40: 0.11, 100: 0.07}
_TABLE_SHARE = 0.55  # of the batches whose size some algorithm has
_WARM_UP = 5e5  # tokens; not a share of all, so that a run may be made longer until its rate begins to fall
_MAX_LEVELS = 64
_SMOOTHING = 10.0  # bins: targets are Gaussian around the point that was good (a neighbour is nearly as good)
_SCORE_SMOOTHING = 15.0
_SCORE_WEIGHT = 0.3


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
    start: str | None = None  # the folder of weights that it goes on from, optimisers afresh


def split_tables(path: Path = TABLES) -> tuple[dict[str, list[Table]], dict[str, list[Table]]]:
    """The packed tables as (training, development), by algorithm."""
    packed = table_module.load(path)
    train = {
        k: [t for i, t in enumerate(v) if i % DEVELOPMENT] for k, v in packed.items() if k not in HELD_OUT
    }
    kept = {
        k: v if k in HELD_OUT else [t for i, t in enumerate(v) if i % DEVELOPMENT == 0]
        for k, v in packed.items()
    }
    return train, kept


def by_size(tables: dict[str, list[Table]]) -> dict[int, list[list[Table]]]:
    """Number of hyperparameters -> the tables of each algorithm that tune so many."""
    sizes = sorted({len(t.params) for group in tables.values() for t in group})
    found = {p: [[t for t in group if len(t.params) == p] for group in tables.values()] for p in sizes}
    return {p: [group for group in groups if group] for p, groups in found.items()}


def draw(
    rng: np.random.Generator,
    tables: dict[int, list[list[Table]]],
    batch_tokens: int,
    *,
    borrow: bool = False,
) -> Episodes:
    """Episodes of one size, enough for about `batch_tokens` tokens; some with borrowed names if `borrow`."""
    p = int(rng.choice(list(_SIZES), p=np.array(list(_SIZES.values())) / sum(_SIZES.values())))
    n = int(rng.choice(list(_ROOMS), p=list(_ROOMS.values())))
    b = max(4, int(batch_tokens / (5 * p + 1 + 0.75 * n * (p + 1) + 6 * (p + 1.5))))
    length = rng.integers(0 if n == 3 else n // 2, n + 1, size=b)
    if p in tables and rng.uniform() < _TABLE_SHARE:  # every algorithm as often as any other
        groups = [tables[p][i] for i in rng.integers(len(tables[p]), size=b)]
        return from_tables(
            rng, [group[rng.integers(len(group))] for group in groups], n, length, borrow=borrow
        )
    return synthetic(rng, b, p, n, length, borrow=borrow)


def _level_masks() -> Tensor:
    """(_MAX_LEVELS + 1, BINS) booleans: the bins that k levels occupy; row 0 (continuous) has all."""
    masks = torch.zeros(_MAX_LEVELS + 1, BINS, dtype=torch.bool)
    masks[0] = True
    for k in range(1, _MAX_LEVELS + 1):
        masks[k, torch.linspace(0, BINS - 1, k).round().long()] = True
    return masks


class Loss(nn.Module):
    """Cross-entropy of smoothed targets: positions and choices to propose, scores to predict."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: Tensor
        self.bins: Tensor
        self.register_buffer("masks", _level_masks(), persistent=False)
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32), persistent=False)

    def _smooth(self, logits: Tensor, target: Tensor, sigma: float, allowed: Tensor | None) -> Tensor:
        distance = (self.bins[None] - target[:, None].float()) / sigma
        weight = torch.exp(-0.5 * distance.square())
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -1e9)
            weight = weight * allowed
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-30)
        return -(weight * logits.log_softmax(1)).sum(1)

    def forward(self, model: Pocket, batch: Batch, hidden: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise, and its parts in nats for the log."""
        h = hidden.flatten(0, 1)[batch.where].float()
        value_rows, choice_rows, score_rows = model.output_rows()
        total, parts = h.new_zeros(()), {}
        for kind, name in enumerate(("position", "choice", "score")):
            chosen = batch.kind == kind
            if not bool(chosen.any()):
                continue
            x, target, levels = h[chosen], batch.target[chosen], batch.levels[chosen]
            if kind == 0:
                each = self._smooth(
                    x @ value_rows.T, target, _SMOOTHING, self.masks[levels.clamp(0, _MAX_LEVELS)]
                )
            elif kind == 1:
                beyond = torch.arange(len(CHOICES), device=x.device)[None] >= levels[:, None]
                logits = (x @ choice_rows.T).masked_fill(beyond, -1e9)
                each = nn.functional.cross_entropy(logits, target, reduction="none")
            else:
                each = self._smooth(x @ score_rows.T, target, _SCORE_SMOOTHING, None)
            total = total + each.sum() * (_SCORE_WEIGHT if kind == 2 else 1.0)
            parts[name] = float(each.detach().mean())
        return total / len(batch.where), parts


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
) -> tuple[Pocket, list[dict[str, float]]]:
    """Train until `config.tokens` tokens were seen; resumes from `out` when it holds a checkpoint.

    Args:
        config: The run.
        tables: Training tables by algorithm; empty for the synthetic prior alone.
        out: Folder of the checkpoint and of `curve.jsonl`, or None to keep nothing.
        device: Where to compute.
        save_every_s: Seconds between checkpoints.

    Returns:
        The model and its curve, a record per 50 steps.
    """
    torch.manual_seed(config.seed)
    on_cpu = device.startswith("cpu")  # autocast is no faster there
    model = Pocket(config.width, config.layers, config.heads, config.hidden, config.bf16 and on_cpu).to(
        device
    )
    if config.start:
        model.load_release(Path(config.start))
    sized = by_size(tables)
    loss_of = Loss().to(device)
    optimizers = _optimizers(model, config.learning_rate)
    step, seen, seconds = 0, 0, 0.0
    curve: list[dict[str, float]] = []
    checkpoint = out / "checkpoint.pt" if out else None
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, seen, seconds, curve = state["step"], state["seen"], state["seconds"], state["curve"]

    def save() -> None:
        if not checkpoint:
            return
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers],
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
        batch = encode(rng, draw(rng, sized, config.batch_tokens, borrow=step >= config.borrow_from))
        batch = Batch(**{k: getattr(batch, k).to(device) for k in Batch.__dataclass_fields__})
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
        if step % 50 == 0:
            now = time.monotonic()
            seconds, begun = seconds + now - begun, now
            record = {name: round(float(np.mean(values)), 4) for name, values in sums.items()}
            curve.append({"step": step, "tokens": seen, "seconds": round(seconds, 1), **record})
            print(json.dumps(curve[-1]), flush=True)
            sums = {}
            if now - saved_at > save_every_s:
                save()
                saved_at = now
    save()
    return model, curve


def write_release(model: Pocket, config: Config, out: Path) -> None:
    """Write weights, tokenizer, config and manifest of `model` to `out`: what `models/pocket/weights` holds."""
    from airtune.models.pocket.release import sha256, write

    run = asdict(config)
    if config.start:
        run["start"] = sha256(Path(config.start) / "model.safetensors")
    write(model, run, out)


# The shipped weights: first what names mean; then, from those weights on, that names may mislead, too.
STAGES = (
    Config(borrow_from=1_000_000),
    Config(seed=2, tokens=22e6, learning_rate=1.5e-3, bf16=False),
)
SMOKE = Config(width=32, layers=2, heads=2, hidden=64, tokens=1.5e5, batch_tokens=3000, bf16=False)


def main(
    smoke: bool = False,
    out: Path | None = None,
    seed: int = 0,
    tokens: float | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train `pocket`; with `smoke` a tiny one, checking that its loss falls.

    Args:
        smoke: Train the tiny one.
        out: Folder for checkpoint and release (`out/weights`); required unless `smoke`.
        seed: The run's seed.
        tokens: Tokens to see in one run from nothing, or None for the stages of the shipped weights.
        device: Where to compute, for example "cuda".

    Returns:
        First and last mean loss per proposed value (nats), tokens, and whether it fell.

    Raises:
        AirtuneError: If `out` is missing, or the smoke run's loss did not fall.
    """
    if out is None and not smoke:
        raise AirtuneError("training needs a folder to write to", allowed="a path", hint="pass --out DIR")
    training, _ = split_tables()
    start: Path | None = None
    stages = (SMOKE,) if smoke else STAGES if tokens is None else STAGES[:1]
    for number, stage in enumerate(stages, 1):
        last = number == len(stages)
        config = replace(
            stage, seed=stage.seed + seed, tokens=tokens or stage.tokens, start=str(start) if start else None
        )
        folder = out if last or out is None else out / f"stage{number}"
        model, curve = train(config, training, folder, device)
        if folder is not None:
            start = folder / "weights"
            write_release(model, config, start)
    head, tail = curve[: max(1, len(curve) // 5)], curve[-max(1, len(curve) // 5) :]
    before, after = (float(np.mean([r["position"] for r in part])) for part in (head, tail))
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
    parser.add_argument("--tokens", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    print(json.dumps(main(args.smoke, args.out, args.seed, args.tokens, args.device)))


if __name__ == "__main__":
    _command_line()
