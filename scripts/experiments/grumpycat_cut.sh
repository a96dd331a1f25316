#!/usr/bin/env bash
# Russian Blue -> Grumpy Cat with CUT; the set has no test images, so those of training are translated.
# Expected: no score; the paper shows images
# Source: Park et al. 2020
# Cost: 6 GPU hours, from Table 1: 400 epochs of about 214 steps at 0.24 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh grumpifycat
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data grumpifycat
train --CUT_mode CUT --n_epochs 200 --n_epochs_decay 200 "$@"
translate train
evaluate
