#!/usr/bin/env bash
# GTA -> Cityscapes with CUT, at full resolution.
# Expected: no score; the paper shows images
# Source: Park et al. 2020; its authors hold 10 + 10 epochs likely enough: --n_epochs 10 --n_epochs_decay 10
# Cost: 522 GPU hours, a guess: 80 epochs of 24,466 steps at 4 x 0.24 s, as crops have 4 x the pixels
# Data: python datasets/prepare_gta.py, from the archives that bash datasets/download_dataset.sh gta fetches
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data gta2cityscapes
train --CUT_mode CUT --preprocess scale_width_and_crop --load_size 1024 --crop_size 512 \
    --n_epochs 40 --n_epochs_decay 40 "$@"
translate --preprocess scale_width --load_size 1024
evaluate
