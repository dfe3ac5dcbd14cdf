#!/bin/sh
# Peak memory and time of a large made-up trace: `make scale`, docs/scale.md.
#   large.sh [QUERIES] [MEMORY]    answers of 500 tokens (default: 100000, 50 million tokens), and
#                                  the MiB that the trace may take while it is replayed
# Folders go to build/scale; 50 million tokens take about 6 GB there.
set -e
QUERIES=${1:-100000} MEMORY=${2:-2000} PYTHON=${PYTHON:-.venv/bin/python}
OUT=build/scale/$QUERIES
mkdir -p "$OUT"

measured() { # NAME COMMAND...: runs it; a line with its seconds and its peak memory
  name=$1; shift
  /usr/bin/time -v -o "$OUT/$name.time" "$PYTHON" -m hedgespec "$@" > "$OUT/$name.log" 2>&1
  awk -v name="$name" -F': ' '
    /Elapsed/ {wall = $2} /User time/ {user = $2} /System time/ {kernel = $2} /Maximum resident/ {peak = $2}
    END {printf "%-10s %10s wall %9.1f s CPU %6.2f GiB\n", name, wall, user + kernel, peak / 1048576}
  ' "$OUT/$name.time"
}

if [ ! -f "$OUT/trace/manifest.json" ]; then
  rm -rf "$OUT/trace"
  measured synthetic synthetic domains --queries "$QUERIES" --tokens 500 --drafters 11 --depths 5 \
    --out "$OUT/trace"
fi
measured validate validate "$OUT/trace"
measured sim sim --traces "$OUT/trace" --selectors hedge ucbspec --seeds 1 --memory "$MEMORY" \
  --out "$OUT/sim" --force
measured report report "$OUT/sim" --out "$OUT/report"
