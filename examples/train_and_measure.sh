#!/usr/bin/env bash
# From a folder of photos to an accuracy CSV: train a de-drifting module, fold it, and measure it beside the plain
# classifier. More steps make a better module; what is here only shows the way.
#
#     examples/train_and_measure.sh PHOTOS DATASET [STEPS]
#
# It writes to the folder where it is run, and replaces no results that are there: for a second run, take another one.
# PHOTOS need no labels. DATASET has a folder for each class; without such folders agreement is measured, not accuracy.
set -euo pipefail
photos=$1 dataset=$2 steps=${3:-2000}

afd train "$photos" --output module.safetensors --steps "$steps"
afd fuse module.safetensors fused.safetensors --photos "$photos"
afd evaluate "$dataset" --jpeg 25,18,15,10,7 --weights none,fused.safetensors --output accuracy.csv
