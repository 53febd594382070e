"""A LoRA adapter on disk, for vLLM."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airtune.models.backends.checkpoint import file_hashes
from airtune.models.types import ModelError

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # those vLLM has kernels for


@dataclass(frozen=True)
class Adapter:
    """A directory with adapter_config.json and adapter_model.safetensors.

    Attributes:
        path: The directory.

    Raises:
        ModelError: If one of the files is missing or cannot be read, or the rank is too large for vLLM.
    """

    path: Path

    def __post_init__(self) -> None:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if not (self.path / name).is_file():
                raise ModelError(
                    f"the LoRA adapter {self.path} has no {name}",
                    value=str(self.path),
                    allowed="a directory with adapter_config.json and adapter_model.safetensors",
                    hint="peft's save_pretrained(..., safe_serialization=True) writes both",
                )
        if self.rank > _RANKS[-1]:
            raise ModelError(
                f"the LoRA adapter has rank {self.rank}", value=self.rank, allowed=f"up to {_RANKS[-1]}"
            )

    @property
    def rank(self) -> int:
        """The rank of its matrices."""
        try:
            return int(json.loads((self.path / "adapter_config.json").read_text(encoding="utf-8"))["r"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{self.path / 'adapter_config.json'} names no rank: {error!r}", allowed='{"r": 16, ...}'
            ) from error

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What vLLM must be started with."""
        rank = next(r for r in _RANKS if r >= self.rank)
        return {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": given.get("max_lora_rank", rank),
        }

    def request(self) -> Any:
        """What goes with each request."""
        from vllm.lora.request import LoRARequest

        return LoRARequest("adapter", 1, str(self.path.resolve()))

    def hashes(self) -> dict[str, str]:
        """SHA-256 of its files, for the manifest: another adapter is another model."""
        return {f"lora/{name}": digest for name, digest in file_hashes(self.path).items()}
