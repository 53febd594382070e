#!/usr/bin/env bash
# Is a search reproducible? Run it twice and compare the bytes; then derive every proposal again and compare the bits.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

airtune tune toy/branin --budget 5 --seed 3 --study "$folder/a.sqlite" --no-progress >"$folder/a.txt"
airtune tune toy/branin --budget 5 --seed 3 --study "$folder/b.sqlite" --no-progress >"$folder/b.txt"

# Without times, two identical runs are identical texts, prompts and log-probabilities of the model included.
airtune export "$folder/a.sqlite" --no-times >"$folder/a.jsonl"
airtune export "$folder/b.sqlite" --no-times >"$folder/b.jsonl"
cmp "$folder/a.jsonl" "$folder/b.jsonl" && echo "two runs, the same bytes"

# Level 0 needs no model: the recorded answers lead to the recorded trials, on any machine.
airtune replay "$folder/a.sqlite" --level 0
# Level 1 asks the model again, on the machine and with the versions it was recorded with.
airtune replay "$folder/a.sqlite" --level 1
