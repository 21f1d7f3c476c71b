#!/bin/sh
# One call on a machine with a GPU and no network: the check of the device, then the photographic models.
#
#   recipes/photographs/device.sh DATA.npz ALEXNET OUT SECONDS [OPTIONS OF train.py]
#
# DATA.npz: of pack_data.py; ALEXNET: with LPIPS's heads; OUT: where everything goes; SECONDS: for all of it together.
# WEIGHTS: the folder of the portrait models, if not the package's own.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
data=$1 alexnet=$2 out=$3 seconds=$4
shift 4
weights=${WEIGHTS:-$here/facesynth/model/weights}
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 PYTHONPATH="$here:$here/recipes/photographs${PYTHONPATH:+:$PYTHONPATH}"
began=$(date +%s)
mkdir -p "$out"
if [ -z "${NO_CHECK:-}" ]; then
    timeout 100 "$python" "$here/benchmarks/device.py" --seconds 50 >"$out/device.txt" 2>&1 || echo "benchmarks/device.py: status $?" >>"$out/device.txt"
    cat "$out/device.txt"
fi
left=$((seconds - $(date +%s) + began - 25))
"$python" "$here/recipes/photographs/train.py" "$data" --out "$out" --weights "$alexnet" --seconds "$left" \
    --generator "$weights/portrait-generator.safetensors" --trunks "$weights" "$@" 2>&1 | tee "$out/log.txt"
