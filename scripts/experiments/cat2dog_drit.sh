#!/usr/bin/env bash
# Cat -> dog (AFHQ) with DRIT++, whose style transforms features: its authors' advice where shapes change.
# Expected: FID 123.4
# Source: table of Han et al. 2021 (DCLGAN), which repeats it; the schedule is that of DRIT's authors
# Cost: at most 292 GPU hours, from that table: 583 epochs of about 2,575 steps at 0.70 s, the 500,000 updates of G of DRIT's authors
# Data: bash datasets/download_dataset.sh afhq; python datasets/prepare_afhq.py
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data cat2dog
train --model drit --no_concat --n_epochs 583 --n_epochs_decay 0 "$@"
translate --load_size 256 --crop_size 256
evaluate
