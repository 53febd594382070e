"""A training program in any language would do: it reads its options and prints its loss as JSON, last of all."""

import argparse
import json
import math

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--depth", type=int, required=True)
options = parser.parse_args()

print("training ...")  # anything may be printed before; it is kept with a trial that fails
loss = (math.log10(options.lr) + 3.0) ** 2 + (options.depth - 5) ** 2 / 10
test_loss = loss + 0.1  # further numbers are stored and shown; nothing is chosen by them
print(json.dumps({"loss": loss, "test_loss": test_loss}))
