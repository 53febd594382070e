"""Free programs: Python functions of one signature that a language model writes without a program space.

What is claimed of them is little: they parse, and import nothing but what was allowed. Whether they run, end, and do no
harm is for a sandbox to find out.
"""

from __future__ import annotations

import ast
import re
import tomllib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from ..errors import DecodeError, SpaceError
from ..files import read_file
from .free_space import SOURCE, FreeGrammar, FreeSpace
from .python_subset import FORBIDDEN_NAMES, lark

_LEAST_TOKENS, _MOST_TOKENS = 64, 8192
TOKENS_PER_LINE = 32  # a block has a line for each so many tokens of an answer, at most
_NOT_USED = (ast.ClassDef, ast.AsyncFunctionDef, ast.Global, ast.Nonlocal)


@dataclass(frozen=True)
class FreeProgram:
    """The programs of a signature: an open-ended set, whose configurations are ``{"source": text}``.

    A program's text is its normal form, that of `ast.unparse`: two that differ in white space, quotes or brackets alone
    are one. That many others do the same thing in other words is not seen.

    Attributes:
        signature: Of the one function, as Python writes it: ``fit_predict(train_x, train_y, test_x, seed)``.
        imports: The modules that may be imported, and with them all that is below them.
        max_tokens: Where an answer of a model is cut; it is then none.

    Raises:
        SpaceError: If one of them is not usable.
    """

    signature: str
    imports: tuple[str, ...] = ()
    max_tokens: int = 512

    def __post_init__(self) -> None:
        usual = _is_signature(self.signature)
        if not usual:
            raise SpaceError(
                f"{self.signature!r} is not the signature of a function", value=self.signature,
                allowed="a name and the names of arguments: fit_predict(train_x, train_y, test_x, seed)",
                hint="write it as Python does, without defaults, types and stars",
            )  # fmt: skip
        for module in self.imports:
            if (
                not all(re.fullmatch(r"[A-Za-z]\w*", part, re.ASCII) for part in module.split("."))
                or "__" in module
            ):
                raise SpaceError(
                    f"{module!r} is not the name of a module", value=module,
                    allowed="names such as numpy or sklearn.svm", hint="correct it",
                )  # fmt: skip
        if isinstance(self.max_tokens, bool) or not isinstance(self.max_tokens, int) or not (
            _LEAST_TOKENS <= self.max_tokens <= _MOST_TOKENS
        ):  # fmt: skip
            raise SpaceError(
                f"max_tokens cannot be {self.max_tokens!r}", value=self.max_tokens,
                allowed=f"a whole number from {_LEAST_TOKENS} to {_MOST_TOKENS}", hint="512 are some twenty lines",
            )  # fmt: skip

    @cached_property
    def space(self) -> ConfigurationSpace:
        """A search space of one hyperparameter, the program's text; only language models can search it."""
        return FreeSpace(self)

    def lark(self) -> str:
        """The context-free grammar of the texts that a model can write, for llguidance. All of them parse."""
        return lark(self.signature, self.imports, self.max_tokens // TOKENS_PER_LINE)

    def grammar(self, exclude: Iterable[Mapping[str, Any]] = ()) -> FreeGrammar:
        """The language of the programs, less some; a text of one of these is refused when it is read."""
        return FreeGrammar(self, exclude)

    def render(self, config: Mapping[str, Any]) -> str:
        """The source code of a configuration."""
        return self.grammar().encode(config)

    encode = render

    def decode(self, source: str) -> dict[str, Any]:
        """The configuration of a program: its normal form.

        Raises:
            DecodeError: If the text does not parse, is not one function of the signature, imports what is not allowed,
                or uses a name that is not.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of literals that are called: it will fail, and say so
                tree = ast.parse(source)
                compile(tree, "program", "exec", dont_inherit=True)  # finds more than the parser
            normal = ast.unparse(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            said = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
            raise DecodeError(f"the program does not parse: {said}{where}", value=source) from error
        if len(tree.body) != 1 or not normal.startswith(f"def {self.signature}:"):
            raise DecodeError("the program is not one function of the signature", value=source,
                              allowed=f"def {self.signature}: and its body")  # fmt: skip
        for node in ast.walk(tree):
            self._check(node, source)
        return {SOURCE: normal + "\n"}

    def default(self) -> dict[str, Any]:
        """The configuration of a program that returns nothing: what a search space must have, and no model is shown."""
        return {SOURCE: f"def {self.signature}:\n    return None\n"}

    def accepts(self, source: str) -> bool:
        """Whether a text is one of the programs."""
        try:
            self.decode(source)
        except DecodeError:
            return False
        return True

    def _check(self, node: ast.AST, source: str) -> None:
        """Raise a DecodeError if a node imports what is not allowed, or names what may not be named."""
        line, modules = getattr(node, "lineno", "?"), list[str]()
        if isinstance(node, ast.Import):
            modules = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = ["." * node.level + (node.module or "")]
        for module in modules:
            if not any(module == one or module.startswith(one + ".") for one in self.imports):
                raise DecodeError(
                    f"line {line} imports {module!r}, which is not allowed", value=source,
                    allowed=", ".join(self.imports) or "no import at all",
                )  # fmt: skip
        fields = (value for _, value in ast.iter_fields(node))  # of some patterns a list of names
        names = [
            name
            for one in fields
            for name in (one if isinstance(one, list) else [one])
            if isinstance(name, str)
        ]
        # else it is a name of something that is called so
        own = not isinstance(node, ast.Attribute | ast.keyword)
        for name in () if isinstance(node, ast.Constant) else names:
            if "__" in name or (own and name in FORBIDDEN_NAMES):
                raise DecodeError(
                    f"line {line} uses {name!r}, which is not allowed", value=source,
                    allowed=f"names without two underscores in a row, and not {', '.join(FORBIDDEN_NAMES)}",
                )  # fmt: skip
        if isinstance(node, _NOT_USED):
            raise DecodeError(
                f"line {line} has {type(node).__name__}, which is not allowed", value=source,
                allowed="functions, and names of their own",
            )  # fmt: skip


def _is_signature(text: str) -> bool:
    """Whether a text is a function's name and the names of its arguments, written as Python writes them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (function,) = ast.parse(f"def {text}:\n pass").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if not isinstance(function, ast.FunctionDef) or not text.isascii() or "__" in text:
        return False
    names = [argument.arg for argument in function.args.args]
    return len({*names}) == len(names) and text == f"{function.name}({', '.join(names)})"


def free_from_items(items: Sequence[Any]) -> ConfigurationSpace:
    """The space of free programs of which these are the hyperparameters in ConfigSpace's JSON form.

    Raises:
        SpaceError: If there is more, or it is none.
    """
    if len(items) != 1 or items[0].get("name") != SOURCE:
        raise SpaceError(
            "a free program is a search space of its own", value=[*items], allowed=f"one hyperparameter, {SOURCE!r}",
            hint="leave the others out",
        )  # fmt: skip
    return _made(
        {key: value for key, value in items[0].items() if key not in ("type", "name")}, "the space"
    ).space


def free_program(path: str | Path) -> FreeProgram:
    """Read a free program's definition, a TOML file (`taxi.free`) with the attributes of `FreeProgram`.

    Raises:
        SpaceError: If it cannot be read, or is none.
    """
    try:
        given = tomllib.loads(read_file(path).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpaceError(
            f"cannot read the free program {str(path)!r}: {error}", value=str(path),
            allowed='a file in TOML: signature = "f(x)", imports = ["numpy"], max_tokens = 512',
            hint="check the path and its permissions" if isinstance(error, OSError) else "correct the file",
        ) from error  # fmt: skip
    return _made(given, str(path))


def _made(given: Mapping[str, Any], where: str) -> FreeProgram:
    kinds: dict[str, type] = {"signature": str, "imports": list, "max_tokens": int}
    for key, value in given.items():
        if key not in kinds:
            raise SpaceError.unknown("setting of a free program", key, kinds, where=where)
        fits = isinstance(value, (kinds[key], tuple) if key == "imports" else kinds[key])
        if not fits or (key == "imports" and not all(isinstance(one, str) for one in value)):
            raise SpaceError(f"{where}: {key} cannot be {value!r}", value=value,
                             allowed="a list of names" if key == "imports" else kinds[key].__name__,
                             hint="correct it")  # fmt: skip
    if "signature" not in given:
        raise SpaceError(f"{where}: there is no signature", value=dict(given),
            allowed='signature = "fit_predict(train_x, train_y, test_x, seed)"', hint="add it")  # fmt: skip
    return FreeProgram(given["signature"], tuple(given.get("imports", ())), given.get("max_tokens", 512))
