"""A program space built in Python: the rules of a file `*.space` as plain data."""

from airtune.grammars.programs import Alternative, Choice, Levels, Number, ProgramSpace, read_template

programs = ProgramSpace(
    [
        Choice("model", "Model", (
            Alternative("linear", read_template("Ridge(alpha={alpha: float})")),
            Alternative("forest", read_template("RandomForestRegressor({trees: int}, max_depth={depth})")),
        )),
        Number("alpha", "float", 1e-3, 1e3, log=True, default=1.0),
        Levels("trees", "int", (30, 100, 300), default=100),
        Number("depth", "int", 1, 30, log=True),
    ]
)  # fmt: skip
print(programs.render(programs.default()), end="")
print(programs.decode("RandomForestRegressor(300, max_depth=7)\n"))
print(programs.count(), "programs")
