"""The grammar that stands between a model and your search space: every valid configuration, and nothing else."""

from ConfigSpace import ConfigurationSpace

from airtune.grammars import DecodeError, space_grammar

space = ConfigurationSpace({"depth": (1, 3), "criterion": ["gini", "entropy"]})
grammar = space_grammar(space)
print(grammar.count(), "configurations, exactly")

# One configuration has one text, and one text one configuration.
text = grammar.encode({"depth": 2, "criterion": "gini"})
print(text)
assert grammar.decode(text) == {"depth": 2, "criterion": "gini"}

# What was tried is taken out: a model that answers under the grammar cannot say it again.
rest = space_grammar(space, exclude=[{"depth": 2, "criterion": "gini"}])
print(rest.count(), "left;", "tried one accepted:", rest.accepts(text))

try:  # what is not in the space has no text
    grammar.encode({"depth": 9, "criterion": "gini"})
except DecodeError as error:
    print("refused:", error)

# The same language for other tools: constrained decoding of servers takes one of these.
print(grammar.regex()[:70], "...")
