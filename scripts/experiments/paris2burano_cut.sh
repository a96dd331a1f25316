#!/usr/bin/env bash
# Paris -> Burano with CUT.
# Expected: no score; the paper shows images
# Source: Park et al. 2020
# Cost: 27 GPU hours for every 1,000 images, from Table 1: 400 epochs at 0.24 s a step
# Data: not published; bring your own photos: DATAROOT with trainA, trainB, testA and testB
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data paris2burano
train --CUT_mode CUT --n_epochs 200 --n_epochs_decay 200 "$@"
translate
evaluate
