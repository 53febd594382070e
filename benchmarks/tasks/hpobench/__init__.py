"""HPOBench's tasks: its spaces, models, fidelities and protocols on its eight data sets, from tables or live."""
