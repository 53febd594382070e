"""How chat messages become the text of a prompt: a tokenizer's chat template, a plain text, or JSON.

A format also says how a prompt goes on once the model has thought aloud (`conclude`): the same text with more
after it, so that a prefix cache pays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

from airtune.models.types import ModelError

Message = dict[str, str]  # {"role": "system", "user" or "assistant", "content": text}
Template = Callable[[Sequence[Message]], str]

_MARK = "\ue000airtune\ue001"  # private-use characters: no template holds them
# Templates that write today's date (Llama 3.2's, gpt-oss's) would make another prompt of it tomorrow. This is what
# Llama 3.1's says when it is told no date.
_CLOCK = (
    "{%- macro strftime_now(format) -%}"
    "{{ '2024-07-26' if format == '%Y-%m-%d' else '26 Jul 2024' }}"
    "{%- endmacro -%}"
)


class ChatFormat(Protocol):
    """Turns a conversation into a prompt."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end free text, beside the model's own end of a turn."""

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that mean something to the format and so must not occur in what users wrote."""

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt that asks for the assistant's next message; the last of `messages` is the user's."""

    def conclude(self, prompt: str, thought: str, ask: str) -> str:
        """The prompt that goes on after the model has answered `thought`: the user says `ask`."""


@dataclass(frozen=True)
class PlainFormat:
    """For base models, which were trained on text and know no turns."""

    stops = ("\n\n",)
    markers = ()

    def render(self, messages: Sequence[Message]) -> str:
        """See `ChatFormat.render`."""
        parts = [f"Answer:\n{m['content']}" if m["role"] == "assistant" else m["content"] for m in messages]
        return "\n\n".join([*parts, "Answer:\n"])

    def conclude(self, prompt: str, thought: str, ask: str) -> str:
        """See `ChatFormat.conclude`."""
        return f"{prompt}{thought}\n\n{ask}\n\nAnswer:\n"


@dataclass(frozen=True)
class JSONFormat:
    """For servers that apply the template themselves: the prompt is the list of messages as JSON."""

    stops = ()
    markers = ()

    def render(self, messages: Sequence[Message]) -> str:
        """See `ChatFormat.render`; `read_messages` is the inverse."""
        return json.dumps(list(messages), ensure_ascii=False)

    def conclude(self, prompt: str, thought: str, ask: str) -> str:
        """See `ChatFormat.conclude`."""
        more = [{"role": "assistant", "content": thought}, {"role": "user", "content": ask}]
        return self.render([*read_messages(prompt), *more])


@dataclass(frozen=True)
class TemplateFormat:
    """A tokenizer's chat template.

    A template that refuses a system message (Gemma's), or drops it, gets its text at the head of the first
    user message instead.

    Attributes:
        template: Messages to text, the opening of the assistant's turn included.

    Raises:
        ModelError: From `render` and `conclude`, if the template cannot write a conversation.
    """

    template: Template
    stops = ()

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template writes system messages."""
        try:
            text = self.template([message("system", _MARK), message("user", "?")])
        except Exception:  # jinja's errors, and whatever else a template raises
            return False
        return _MARK in text

    @cached_property
    def _takes_user(self) -> bool:
        return _MARK in self._apply([message("user", _MARK)])

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """Words that the template itself writes, which are not plain words: "[INST]", "USER:"."""
        talk = [message("user", _MARK), message("assistant", _MARK), message("user", _MARK)]
        if self.takes_system:
            talk.insert(0, message("system", _MARK))
        pieces = {word for part in self._apply(talk).split(_MARK) for word in part.split()}
        return tuple(sorted(word for word in pieces if len(word) > 2 and not word.isalnum()))

    def render(self, messages: Sequence[Message]) -> str:
        """See `ChatFormat.render`."""
        if not self._takes_user:
            raise ModelError(
                "the tokenizer's chat template drops what the user said",
                allowed="a template that writes messages whose content is a text",
                hint="correct chat_template in tokenizer_config.json: those for pictures often take lists alone",
            )
        return self._apply(messages if self.takes_system else fold_system(messages))

    def conclude(self, prompt: str, thought: str, ask: str) -> str:
        """See `ChatFormat.conclude`: what the template writes after an assistant's message is appended."""
        talk = [message("user", "?"), message("assistant", _MARK), message("user", ask)]
        _, found, closing = self._apply(talk).partition(_MARK)
        if not found:
            raise ModelError(
                "the tokenizer's chat template drops what the assistant said before",
                hint="reasoning needs a template that keeps it: use reasoning=off",
            )
        return f"{prompt}{thought}{closing}"

    def _apply(self, messages: Sequence[Message]) -> str:
        try:
            return self.template(messages)
        except Exception as error:
            raise ModelError(
                f"the tokenizer's chat template cannot write a conversation: {error}",
                value=[one["role"] for one in messages],
                allowed="a template that takes user and assistant messages in turn",
                hint="correct chat_template in tokenizer_config.json, or remove it: the model then gets plain text",
            ) from error


def format_of(tokenizer: Any) -> ChatFormat:
    """The format of a Hugging Face tokenizer: its chat template, or plain text where it has none."""
    template = getattr(tokenizer, "chat_template", None)
    if not template:
        return PlainFormat()
    if isinstance(template, dict):  # several, by name
        if "default" not in template:
            raise ModelError(
                "the tokenizer has several chat templates, and none is called default", value=sorted(template),
                allowed="a template called default", hint="name one of them so in tokenizer_config.json",
            )  # fmt: skip
        template = template["default"]
    return template_format(str(template), partial(tokenizer.apply_chat_template, tokenize=False))


def template_format(source: str, apply: Callable[..., Any]) -> TemplateFormat:
    """The format of a chat template.

    Whatever a template would take from the clock is pinned, and a thinking mode of its own is switched off:
    reasoning is asked for in the prompt, where its length is capped and it is recorded.

    Args:
        source: The template, in jinja.
        apply: Renders messages by a template: as a tokenizer's `apply_chat_template`.
    """
    source = _CLOCK + source if "strftime_now" in source else source

    def template(messages: Sequence[Message]) -> str:
        made = apply(list(messages), chat_template=source, add_generation_prompt=True, enable_thinking=False)
        return str(made)

    return TemplateFormat(template)


def special_texts(tokenizer: Any) -> tuple[str, ...]:
    """Texts that a tokenizer reads as one special token, wherever they stand.

    More than `all_special_tokens`, which for Llama 3 holds neither `<|eot_id|>` nor `<|start_header_id|>`.
    Added tokens in brackets count too (Qwen's `<think>` is not "special"), plain ones, such as Gemma's runs of
    blanks, do not.
    """
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
    texts = {t.content for t in added if t.special or t.content[:1] in "<["}
    return tuple(sorted(texts | set(tokenizer.all_special_tokens)))


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system's text at the head of the first user message."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, first, *rest = messages
    return [message("user", f"{system['content']}\n\n{first['content']}"), *rest]


def read_messages(prompt: str) -> list[Message]:
    """The messages of a prompt that `JSONFormat` wrote; any other text is one user message."""
    try:
        found = json.loads(prompt)
    except ValueError:
        found = None
    if (
        isinstance(found, list)
        and found
        and all(isinstance(one, dict) and one.keys() == {"role", "content"} for one in found)
    ):
        return found
    return [message("user", prompt)]


def message(role: str, content: str) -> Message:
    """One message of a conversation."""
    return {"role": role, "content": content}
