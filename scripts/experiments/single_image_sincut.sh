#!/usr/bin/env bash
# Painting -> photo with SinCUT, from one image a domain (Monet's Etretat), at full resolution.
# Expected: no score; the paper shows images
# Source: Park et al. 2020, section 4.4
# Cost: not known, Table 1 has no SinCUT: 16 epochs of 6,250 steps of 16 crops
# Data: a painting in datasets/single_image_monet_etretat/trainA, a photo in trainB; or DATAROOT with such
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

data single_image_monet_etretat
train --model sincut "$@"
translate
