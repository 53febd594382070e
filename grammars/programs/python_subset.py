"""A context-free grammar of a part of Python, for functions whose bodies a language model writes freely.

Every text of it parses. It is written for llguidance (Lark), one block of rules per depth of indentation.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence

DEEPEST = 4  # blocks within each other, the function's own included
LONGEST_NAME, LONGEST_TEXT = 32, 80  # characters
# What would run or reach code that is not in the program's text.
FORBIDDEN_NAMES = (
    "breakpoint", "compile", "delattr", "dir", "eval", "exec", "getattr", "globals", "help", "input", "locals", "open",
    "setattr", "vars",
)  # fmt: skip

_SIMPLE = """
simple: targets ASSIGN values | target CHANGE expr | values | "pass" | "assert " expr
targets: target (COMMA target)*
target: NAME place*
place: "." FIELD | "[" slices "]"
values: expr (COMMA expr)*

expr: either (" if " either " else " expr)? | "lambda " NAME (COMMA NAME)* ": " expr
either: every (" or " every)*
every: negated (" and " negated)*
negated: "not " negated | compared
compared: sum (COMPARE sum)*
sum: signed (OPERATOR signed)*
signed: MINUS signed | power
power: primary (POWER signed)?
primary: atom trailer* | NUMBER
trailer: "." FIELD | "(" arguments? ")" | "[" slices "]"
atom: NAME | TEXT | "True" | "False" | "None"
    | "(" values ")" | "(" expr COMMA ")" | "()" | "[" items? "]" | "{" pairs? "}" | "(" expr loops ")"
items: values | expr loops
pairs: expr ": " expr (COMMA expr ": " expr)*
loops: " for " targets " in " either (" if " either)?
arguments: argument (COMMA argument)* (COMMA option)* | option (COMMA option)* | expr loops
argument: expr | "*" either
option: NAME "=" expr
slices: slice (COMMA slice)*
slice: expr | expr? COLON expr? (COLON expr?)?
"""


def lark(signature: str, imports: Sequence[str], lines: int) -> str:
    """The grammar of the functions of a signature, which end with a `return` of their own block.

    Args:
        signature: For example "fit_predict(train_x, test_x)".
        imports: What may be imported: modules, and with them all below them.
        lines: Statements of a block, at most: a model that comes to no end has to return.
    """
    rules = [f'start: "def {signature}:\\n" line1_0{{0,{lines}}} IN1 "return " values "\\n"', _SIMPLE]
    if imports:
        modules = " | ".join(f'"{name}"' for name in imports)
        rules += [
            'imported: "import " module (" as " NAME)? | "from " module " import " alias (COMMA alias)*',
            'alias: NAME (" as " NAME)?',
            f'module: ({modules}) ("." NAME)*',
        ]
    for depth in range(1, DEEPEST + 1):
        for loop in (0, 1):
            rules += _lines(depth, loop, lines, bool(imports))
        rules.append(f'IN{depth}: "{"    " * depth}"')
    rules += [
        "NAME: FIELD & ~FORBIDDEN",
        "FIELD: WORD & ~KEYWORD & ~HIDDEN",
        f"WORD: /[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}/",
        f"FORBIDDEN: /{'|'.join(FORBIDDEN_NAMES)}/",
        f"KEYWORD: /{'|'.join(keyword.kwlist)}/",
        "HIDDEN: /.*__.*/",
        "NUMBER: /(0|[1-9][0-9]{0,8})(\\.[0-9]{1,12})?(e-?[1-9][0-9]?)?/",
        f"TEXT: /'[ -&(-\\[\\]-~]{{0,{LONGEST_TEXT}}}'/ | /\"[ !#-\\[\\]-~]{{0,{LONGEST_TEXT}}}\"/",
        "COMMA: /, ?/",
        "COLON: /:/",
        "ASSIGN: / ?= ?/",
        "CHANGE: / (\\+|-|\\*|\\/|\\/\\/|%|\\*\\*|@)= /",
        "COMPARE: / (==|!=|<|<=|>|>=|in|not in|is|is not) /",
        "OPERATOR: / ?(\\+|-|\\*|\\/|\\/\\/|%|@) ?/ | / (&|\\||\\^|<<|>>) /",
        "POWER: / ?\\*\\* ?/",
        "MINUS: /-/",
    ]
    return "\n".join(rules) + "\n"


def _lines(depth: int, loop: int, lines: int, imports: bool) -> list[str]:
    """The rules of what may stand at a depth, in a loop or outside of any."""
    name = f"line{depth}_{loop}"
    simple = ["simple"] + ["imported"] * imports
    if depth > 1:
        simple.append('"return" (" " values)?')
    if loop:
        simple += ['"break"', '"continue"']
    kinds = [f'IN{depth} ({" | ".join(simple)}) "\\n"']
    rules = []
    if depth < DEEPEST:
        same, inner, plain = (f"line{depth + 1}_{which}{{1,{lines}}}" for which in (loop, 1, 0))
        kinds += [
            f'IN{depth} "if " expr ":\\n" {same} (IN{depth} "elif " expr ":\\n" {same})* '
            f'(IN{depth} "else:\\n" {same})?',
            f'IN{depth} "for " targets " in " values ":\\n" {inner}',
            f'IN{depth} "while " expr ":\\n" {inner}',
            f'IN{depth} "with " expr (" as " target)? ":\\n" {same}',
            f'IN{depth} "def " NAME "(" (NAME (COMMA NAME)*)? "):\\n" {plain}',
        ]
    rules.append(f"{name}: " + "\n    | ".join(kinds))
    return rules
