"""What a decoder of transformers is like, and logits of the tokens that are asked for alone where its head allows it.

Under a grammar a few of a vocabulary's tokens may come next. The product of a small model's states with the rows of all
of them costs more than the rest of a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Ids = NDArray[np.intp]
# Models of transformers whose logits are a plain product with the last hidden state: no scale, no cap.
PLAIN = frozenset({"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"})
GROUPED = "grouped_sdpa"  # the name of `airtune.models.decoding.grouped_attention`
# Of a mask that allows more than one token in so many, all logits are worked out: picking the rows would cost more.
_MANY = 4


@dataclass(frozen=True, slots=True)
class Attention:
    """How the layers of a model attend.

    Attributes:
        plain: Whether all of them are attention that takes masks of our own.
        window: The tokens that a layer with a sliding window sees; None where no layer has one.
    """

    plain: bool
    window: int | None

    @classmethod
    def of(cls, model: Any) -> Attention:
        """That of a decoder of transformers."""
        config = model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        sliding = getattr(config, "use_sliding_window", True) and (not kinds or "sliding_attention" in kinds)
        window = getattr(config, "sliding_window", None) if sliding else None
        ours = getattr(config, "_attn_implementation", None) in ("sdpa", "eager", GROUPED)
        return cls(ours and kinds <= {"full_attention", "sliding_attention"}, int(window) if window else None)


class Head:
    """The last layer of a model.

    Args:
        model: A decoder of transformers.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._last = model.get_output_embeddings()
        self.width = int(self._last.weight.shape[0])
        self._plain = type(model).__name__ in PLAIN and type(self._last) is nn.Linear

    def states(self, keep: int | Tensor, **arguments: Any) -> Tensor:
        """What logits are made of, at the last `keep` new tokens or at those of an index: (lines, kept, width).

        Args:
            keep: As transformers' `logits_to_keep`.
            arguments: Of the model's forward pass.
        """
        if not self._plain:
            logits: Tensor = self._model(**arguments, logits_to_keep=keep).logits
            return logits
        states: Tensor = self._model.model(**arguments).last_hidden_state
        return states[:, -keep:] if isinstance(keep, int) else states[:, keep]

    def groups(self, states: Tensor, columns: Sequence[Ids]) -> Iterator[tuple[list[int], Ids, NDArray[Any]]]:
        """The logits asked for; those who ask for the same tokens together.

        Args:
            states: (n, width) of `states`.
            columns: Token ids, ascending, that each of the n asks for.

        Yields:
            Which of the n, the ids they ask for, and their logits (of them, ids).
        """
        together: dict[bytes, list[int]] = {}
        keys: dict[int, bytes] = {}  # most ask with the very same array
        for i, ids in enumerate(columns):
            key = keys.get(id(ids))
            if key is None:
                key = keys[id(ids)] = ids.tobytes()
            together.setdefault(key, []).append(i)
        for rows in together.values():
            ids = columns[rows[0]]
            mine = states if len(rows) == len(states) else states[torch.tensor(rows, device=states.device)]
            yield rows, ids, self._logits(mine, ids)

    def logits(self, states: Tensor, columns: Sequence[Ids]) -> list[NDArray[Any]]:
        """The logits asked for, one by one; see `groups`."""
        lines: dict[int, NDArray[Any]] = {}
        for rows, _, scores in self.groups(states, columns):
            lines.update(zip(rows, scores, strict=True))
        return [lines[i] for i in range(len(columns))]

    def _logits(self, states: Tensor, ids: Ids) -> NDArray[Any]:
        if not self._plain:
            return np.asarray(states.float().cpu().numpy()[:, ids])
        if len(ids) * _MANY > self.width:
            return np.asarray(self._last(states).float().cpu().numpy()[:, ids])
        first, last = int(ids[0]), int(ids[-1])
        run = last - first + 1 == len(ids)  # neighbours need no copy
        pick = slice(first, last + 1) if run else torch.from_numpy(ids).to(states.device)
        bias = None if self._last.bias is None else self._last.bias[pick]
        return np.asarray(nn.functional.linear(states, self._last.weight[pick], bias).float().cpu().numpy())
