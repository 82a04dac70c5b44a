#!/bin/bash
# The controlled studies on synthetic faces (docs/experiments/facs_studies.md): six conditions of 25 runs, two at a time,
# which takes about two hours on two cores. After an interruption, start the script again: it continues. Arguments are
# passed to every sweep, e.g. paths.runs=elsewhere
set -euo pipefail
MFER=${MFER:-mfer}
condition() {
    OMP_NUM_THREADS=1 "$MFER" -m experiment=facs_studies name="facs_$1" "${@:2}" seed=0,1,2,3,4 loss=ce,focal,center,lgm,dsf \
        launcher=joblib trainer=cpu
}
condition clean "$@"
condition noise20 dataset.label_noise=0.2 "$@"
condition noise40 dataset.label_noise=0.4 "$@"
condition ambiguity dataset.ambiguity=0.5 "$@"
condition imbalance dataset.imbalance=36 "$@"
condition occlusion dataset.occlusion=0.4 "$@"
