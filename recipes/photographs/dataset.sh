#!/usr/bin/env bash
# A dataset folder from photos of faces, with label maps and many kinds of sketches: recipes/photographs/dataset.sh WORK PHOTO...
#
# PHOTO is a folder of photos with one face each, or a single one. WORK gets aligned/, labels/, outlines/, outlines-loose/ and the
# dataset folder data/. Needs: pip install 'facesynth[align]' (Python below 3.13). Photos in which no face is found, or whose
# label map cannot be right, are named in aligned/report.csv and labels/refused.csv, and left out. About a second a photo on a core.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: $0 WORK PHOTO..." >&2
  exit 2
fi
work=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
jobs=${JOBS:-2}

# Photos that a step leaves out make it end with 1: the others go on.
kept() { "$@" || [ $? -eq 1 ]; }

kept facesynth prep align "$@" --out "$work/aligned" --size 256
python "$here/label_maps.py" "$work/aligned" "$work/labels" --jobs "$jobs"
python "$here/outlines.py" "$work/aligned" "$work/labels" "$work/outlines"
python "$here/outlines.py" "$work/aligned" "$work/labels" "$work/outlines-loose" --loose 2 --seed 1
kept facesynth prep pairs "$work/aligned" "$work/labels" --kind labels --out "$work/data" --val 0.05 --test 0.05 -j "$jobs"
for name in outlines outlines-loose; do
  kept facesynth prep pairs "$work/aligned" "$work/$name" --kind sketch --name "$name" --out "$work/data" -j "$jobs"
done
facesynth prep sketches "$work/data" --out "$work/data" -j "$jobs" \
  --method xdog --method xdog:pencil --method xdog:ink --method fxdog --method fxdog:ink --method dodge:pencil \
  --method contours --method sobel:pencil --method sobel:ink
facesynth prep photos "$work/data" --out "$work/data" --size 128 -j "$jobs"
