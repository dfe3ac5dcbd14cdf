#!/bin/sh
# A larger target from its zoo to the live table, in one go: heads, then tokens per second of every
# policy beside its replay, then traces with the costs of compiled decoding. For one GPU of 80 GB.
# What there is of zoo and traces is kept, so an interrupted run goes on; the live table is made anew.
#
#   sh benchmarks/second_target.sh [MODEL] [FOLDER]
#
# MODEL is a Hugging Face id, a folder or a .gguf file (Qwen/Qwen2.5-Coder-1.5B-Instruct), FOLDER
# where everything goes (build/second-target). MORE, if set, are further options of all recordings.
set -e
MODEL=${1:-Qwen/Qwen2.5-Coder-1.5B-Instruct} OUT=${2:-build/second-target} PYTHON=${PYTHON:-python3}
DOMAINS="python sql math law translation"
ZOO="--target $MODEL --zoo $OUT/zoo --domains $DOMAINS --methods --small --mixed --answer-tokens 2048
  --long-answers 0.3 --draft-vocabulary 16384 --scale 0.3 --steps 1.5"

$PYTHON -m hedgespec zoo $ZOO

HEADS=""
for head in generalist generalist-mixed $(for domain in $DOMAINS; do echo expert-$domain; done); do
  HEADS="$HEADS --drafter $head=eagle:$OUT/zoo/$head"
done
$PYTHON -m benchmarks.live --compile --target "$MODEL" $HEADS --drafter prompt-lookup \
  --domains $DOMAINS general --per-domain 11 --fit 6 --max-new-tokens 128 --hugging-face 1 \
  --trees 4 --seeds 5 --draft-length 4 --policies uniform ucbspec exp3spec hedge normalhedge \
  normalhedge@every:4 normalhedge@batch:16 normalhedge@batch:64 ftl@eliminate:0.5,0.0625 \
  normalhedge@batch:16@3 normalhedge@batch:16@0,2,3,4 --out "$OUT/live"

$PYTHON -m hedgespec traces $ZOO --out "$OUT/recordings" --per-domain 16 --temperatures 0.7 0.0 1.0 \
  --long --long-tokens 2048 --compile $MORE
