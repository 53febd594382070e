"""Fine-tune a chat model at proposing configurations: what `airtune models finetune` does.

The loss is the cross-entropy of an episode's answers alone; the answers to one prompt share it. Every step draws its
episodes from (seed, step), and what is needed to go on is kept with every checkpoint, so a run that was interrupted
and resumed sees what an uninterrupted one sees.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airtune.grammars import AirtuneError, DecodeError
from airtune.models.backends.prompts import PromptTokenizer
from airtune.models.finetuning.episodes import Episode, draw_episode
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.pocket.training.tables import Table
from airtune.models.types import Dialect

HELD_OUT_EPISODES = 48  # whose loss is watched
HELD_OUT_SEED = 2**31
_WARM_UP = 0.05  # of the steps
_IGNORED = -100
# The linear layers of a block, by the names that Llama and its relatives give them.
_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is; stored beside the weights.

    Attributes:
        steps: Optimiser steps.
        episodes: Episodes per step.
        learning_rate: Its peak; it rises over the first 5 % of the steps and then falls linearly.
        rank: Rank of the low-rank updates (LoRA, Hu et al. 2022); 0 trains all weights.
        seed: Of the episodes and of the updates' first values.
    """

    steps: int = 300
    episodes: int = 8
    learning_rate: float = 3e-4
    rank: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        for key, low in (("steps", 1), ("episodes", 1), ("rank", 0), ("seed", 0)):
            if getattr(self, key) < low:
                raise AirtuneError(
                    f"{key} cannot be {getattr(self, key)}",
                    value=getattr(self, key),
                    allowed=f"{low} or more",
                )
        if not 0 < self.learning_rate < math.inf:
            raise AirtuneError(
                f"learning rate {self.learning_rate} is no positive number",
                value=self.learning_rate,
                allowed="> 0",
            )


@dataclass(frozen=True, slots=True)
class Example:
    """An episode as tokens: the prompt, then its answers side by side, each reading the prompt and itself.

    Attributes:
        tokens: (n,) ids.
        positions: (n,) place of a token in the conversation that it belongs to.
        part: (n,) 0 for the prompt, k for answer k.
        targets: (n,) id of the token that follows, or -100 where none is to be learnt.
    """

    tokens: Tensor
    positions: Tensor
    part: Tensor
    targets: Tensor

    def mask(self) -> Tensor:
        """(1, 1, n, n), which tokens a token may look at."""
        causal = torch.ones(len(self.tokens), len(self.tokens), dtype=torch.bool).tril()
        seen = (self.part[None, :] == 0) | (self.part[None, :] == self.part[:, None])
        return (causal & seen)[None, None]


def encode(episode: Episode, dialect: Dialect, prompts: PromptTokenizer, end: int) -> Example | None:
    """An episode in a model's own tokens; None where no answer is new."""
    problem = episode.problem
    grammar = dialect.grammar(problem.space, [trial.config for trial in problem.observations])
    texts = []
    for config in episode.answers:
        try:
            texts.append(grammar.encode(grammar.snap(config)))
        except DecodeError:  # it has been tried
            continue
    if not texts:
        return None
    prompt = prompts.encode(dialect.render(problem))
    # The last token of the prompt stands before each answer, so that each predicts its own first token.
    shared = len(prompt) - 1
    tokens, positions = prompt[:-1], list(range(shared))
    part, targets = [0] * shared, [_IGNORED] * shared
    for k, text in enumerate(texts, 1):
        answer = [prompt[-1], *prompts.tokenizer.encode(text, add_special_tokens=False), end]
        length = len(answer) - 1
        tokens += answer[:-1]
        positions += range(shared, shared + length)
        part += [k] * length
        targets += answer[1:]
    return Example(*(torch.tensor(column) for column in (tokens, positions, part, targets)))


def answers_loss(model: Any, example: Example, device: torch.device) -> Tensor:
    """Mean cross-entropy (nats per token) of an example's answers."""
    hidden = model.model(
        input_ids=example.tokens[None].to(device),
        position_ids=example.positions[None].to(device),
        attention_mask=example.mask().to(device),
        use_cache=False,
    ).last_hidden_state[0]
    wanted = (example.targets != _IGNORED).to(device)
    logits = model.get_output_embeddings()(hidden[wanted])
    return nn.functional.cross_entropy(logits.float(), example.targets.to(device)[wanted])


def _examples(
    seed: Sequence[int],
    count: int,
    tables: Mapping[str, Sequence[Table]],
    encoded: Callable[[Episode], Example | None],
) -> Iterator[Example]:
    rng = np.random.default_rng(list(seed))
    while count:
        example = encoded(draw_episode(rng, tables))
        if example is not None:
            count -= 1
            yield example


def held_out_loss(
    model: Any,
    encoded: Callable[[Episode], Example | None],
    device: torch.device,
) -> float:
    """Mean loss (nats per token) on tables and functions that are never trained on."""
    training, kept = split_tables()
    tables = {name: kept[name] for name in training}  # not the algorithms that suites report on
    with torch.inference_mode():
        losses = [
            float(answers_loss(model, example, device))
            for example in _examples([HELD_OUT_SEED], HELD_OUT_EPISODES, tables, encoded)
        ]
    return float(np.mean(losses))


def _rate(step: int, run: Run) -> float:
    warm = min(1.0, (step + 1) / max(1.0, _WARM_UP * run.steps))
    return run.learning_rate * warm * (1 - step / run.steps)


def with_updates(model: Any, rank: int, seed: int) -> Any:
    """The model with low-rank updates that alone are trained; as it is with rank 0.

    Raises:
        AirtuneError: If peft is not installed, or the model has none of the layers that are updated.
    """
    if not rank:
        return model.requires_grad_(True)
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise AirtuneError("LoRA needs peft", hint="pip install 'airtune[finetune]', or --rank 0") from error
    names = {
        name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)
    }
    layers = sorted(names & set(_LAYERS))
    if not layers:
        raise AirtuneError(
            f"{type(model).__name__} has no layer that is known here",
            value=sorted(names),
            allowed=", ".join(_LAYERS),
            hint="--rank 0 trains all weights",
        )
    torch.manual_seed(seed)
    with warnings.catch_warnings():  # of transformers' own names, which peft uses
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(
            model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers, task_type="CAUSAL_LM")
        )


def finetune(
    model: Any,
    encoded: Callable[[Episode], Example | None],
    run: Run,
    out: Path,
    *,
    save_every: int = 10,
    held_out_every: int = 50,
    say: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> list[dict[str, float]]:
    """Train the model's weights that ask for a gradient, in place; resumes from `out` what was begun there.

    Args:
        model: A model of transformers, with or without low-rank updates.
        encoded: Turns an episode into tokens.
        run: The run.
        out: Folder of the checkpoint.
        save_every: Steps between checkpoints.
        held_out_every: Steps between losses on what is held out.
        say: Is told every record of the curve.

    Returns:
        The curve: records of step, loss, seconds, and now and then the loss on what is held out.

    Raises:
        AirtuneError: If another run was begun in `out`, or the loss is no longer finite.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    inner = model.get_base_model() if run.rank else model
    device = next(iter(trained.values())).device
    optimizer = torch.optim.AdamW(trained.values(), lr=run.learning_rate, weight_decay=0.0)
    tables = split_tables()[0]
    checkpoint = out / "checkpoint.pt"
    step, seconds, curve = 0, 0.0, []
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["run"] != asdict(run):
            raise AirtuneError(
                f"{out} holds another run",
                value=asdict(run),
                allowed=state["run"],
                hint="choose another folder",
            )
        with torch.no_grad():
            for name, p in trained.items():
                p.copy_(state["weights"][name])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds, curve = state["step"], state["seconds"], state["curve"]

    def save() -> None:
        state = {
            "weights": {name: p.detach() for name, p in trained.items()}, "optimizer": optimizer.state_dict(),
            "step": step, "seconds": seconds, "curve": curve, "run": asdict(run),
        }  # fmt: skip
        partial = checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(checkpoint)

    out.mkdir(parents=True, exist_ok=True)
    if not curve:
        curve.append({"step": 0, "held_out": held_out_loss(inner, encoded, device)})
        say(curve[-1])
    begun = time.monotonic()
    while step < run.steps:
        losses = []
        for example in _examples([run.seed, step], run.episodes, tables, encoded):
            loss = answers_loss(inner, example, device)
            torch.autograd.backward(loss / run.episodes)
            losses.append(float(loss.detach()))
        nn.utils.clip_grad_norm_(trained.values(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, run)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not np.isfinite(losses).all():
            raise AirtuneError(f"the loss became {losses} at step {step}", hint="a lower --learning-rate")
        step += 1
        now = time.monotonic()
        seconds, begun = seconds + now - begun, now
        curve.append({"step": step, "loss": round(float(np.mean(losses)), 4), "seconds": round(seconds, 1)})
        if step % held_out_every == 0 or step == run.steps:
            curve[-1]["held_out"] = round(held_out_loss(inner, encoded, device), 4)
        say(curve[-1])
        if step % save_every == 0 or step == run.steps:
            save()
    return curve
