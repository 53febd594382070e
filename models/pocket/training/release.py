"""Write the trained model as a plain Hugging Face checkpoint: Llama weights in bf16, tokenizer, manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from airtune.models.dialects.pocket.codec import EOS, PAD, TOKEN_PATTERN, UNK, vocabulary
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.dialects.pocket.words import MORE_TOKENS
from airtune.models.pocket.training.net import Pocket

DESCRIPTION = "the bundled model, trained from scratch on generated data (CARD.md)"


def build_tokenizer() -> Any:
    """The tokenizer: one id per token of the vocabulary, no merges; loads through `AutoTokenizer`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {token: i for i, token in enumerate([*vocabulary(), *MORE_TOKENS])}
    core = Tokenizer(models.BPE(vocab=words, merges=[], unk_token=UNK, ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(TOKEN_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=EOS, pad_token=PAD, unk_token=UNK,
        model_max_length=4096, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(model: Pocket, run: dict[str, Any], out: Path) -> None:
    """Write `model` to folder `out`.

    Args:
        model: The trained model.
        run: Its training configuration, kept in `training.json`; its `alphabet` is what the prompts are written in.
        out: Folder; files of the same names are replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    plain = model.export()
    plain.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)  # it is written through a private temporary file
    build_tokenizer().save_pretrained(out)
    dialect = PocketDialect(alphabet=run.get("alphabet", 1)).name
    (out / "airtune.json").write_text(json.dumps({"dialect": dialect, "description": DESCRIPTION}) + "\n")
    (out / "training.json").write_text(json.dumps(run, indent=1, sort_keys=True) + "\n")
    files = sorted(p for p in out.iterdir() if p.is_file() and p.name != "manifest.json")
    hashes = {p.name: sha256(p) for p in files}
    (out / "manifest.json").write_text(json.dumps({"files": hashes}, indent=1, sort_keys=True) + "\n")
