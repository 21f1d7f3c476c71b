#!/usr/bin/env bash
# Models of 64 px from a few hundred photos on a CPU: recipes/few_photos.sh DATA OUT
#
# DATA is a dataset folder with label maps and XDoG sketches. First a generator learns to draw the photos again; then encoders
# learn from nothing to tell it what to draw, for label maps and for sketches, while it stays as it is. Label maps say little, so
# their encoder would sooner learn the photos by heart: it sees smaller and rougher maps, and stops early, at rates that fall.
# How good they are: python benchmarks/quality.py OUT/seg2face DATA --split val --parser ''
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: $0 DATA OUT" >&2
  exit 2
fi
data=$1 out=$2
sizes=(--preset small --model channel_base=4096 --model channel_max=128 --model style_dim=128
  --model encoder_channels=16,32,64,128 --precision bf16 --lpips 0)

facesynth train --data "$data" --task photo2face --train-generator --out "$out/generator" "${sizes[@]}" \
  --batch-size 16 --steps 1500 --interval 150 --augment 0.5
facesynth train --data "$data" --task seg2face --generator "$out/generator" --out "$out/seg2face" "${sizes[@]}" \
  --model input_size=32 --batch-size 32 --steps 160 --interval 40 --augment 2 --rough 0.5 \
  --optimizer muon --learning-rate 1e-4 --cooldown 0.7 --metric l2
facesynth train --data "$data" --task sketch2face --generator "$out/generator" --out "$out/sketch2face" "${sizes[@]}" \
  --batch-size 16 --steps 1200 --interval 100 --augment 0.5 --sketch xdog
