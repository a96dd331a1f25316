#!/usr/bin/env bash
# Russian Blue -> Grumpy Cat with FastCUT; the set has no test images, so those of training are translated.
# Expected: no score; the paper shows images
# Source: Park et al. 2020
# Cost: 2 GPU hours, from Table 1: 200 epochs of about 214 steps at 0.15 s on a GPU of 2020
# Data: bash datasets/download_dataset.sh grumpifycat
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data grumpifycat
train --CUT_mode FastCUT --n_epochs 150 --n_epochs_decay 50 "$@"
translate train
evaluate
