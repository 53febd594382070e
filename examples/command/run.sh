#!/usr/bin/env bash
# Tune a program that is not Python, or not yours: a command with {name} for each hyperparameter of space.json.
# The command is split into arguments before any value is put in, and no shell sees it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
study="${STUDY:-command.sqlite}"

# --timeout ends a trial that hangs: it fails, the proposer sees that, and the search goes on.
airtune tune --space space.json --command 'python train.py --lr {lr} --depth {depth}' \
    --study-name command --budget 4 --timeout 60 --study "$study" --no-progress

# The same command again does nothing, a larger budget goes on: killed, stopped or finished is all the same.
airtune tune --space space.json --command 'python train.py --lr {lr} --depth {depth}' \
    --study-name command --budget 6 --timeout 60 --study "$study" --no-progress

airtune export "$study" --csv | cut -c 1-100
