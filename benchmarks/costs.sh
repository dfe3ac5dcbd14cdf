#!/bin/sh
# Costs of target shapes on one GPU (random weights, no downloads), at batches of 1 to 64 texts.
#
#     sh benchmarks/costs.sh [STAGE ...]      by default all, one after the other
#
# Each stage is one command and one file in results/costs (or $COSTS). The time goes to
# torch.compile. It compiles, of `pool`: the whole target 5 times (1 and 6 tokens of one text and of
# several, other widths), the small models 4 times, heads 16 times; a context more (--contexts) is 11
# compilations, 2 of them the target's, and a batch more 3, all of them heads'. Memory: 8B shapes
# 60 GB, qwen3-32b 76 GB with four heads. While a stage runs, FILE.unfinished has what was measured
# so far; a stage that was cut off goes on from there. What is refused because the machine did not
# run evenly is in FILE.refused.
set -u
PYTHON=${PYTHON:-python}
COSTS=${COSTS:-results/costs}
GPU=${GPU:-h100}
mkdir -p "$COSTS"

profile() {
    target=$1
    shift
    $PYTHON -m hedgespec profile --target-config "$target" --device cuda --dtype bfloat16 \
        --compile --repeats 30 --resume "$@" --out "$COSTS/$target-$GPU.json"
}

stage() {
    case $1 in
    pool)  # every drafter of the bundled traces
        $PYTHON -m benchmarks.pool_costs domain-mix-t0.7 methods-t0 --compile --batches 4 16 64 \
            --resume --out "$COSTS/smollm2-135m-zoo-$GPU.json" ;;
    pool-eager)
        $PYTHON -m benchmarks.pool_costs domain-mix-t0.7 methods-t0 --eager --batches 4 16 64 \
            --contexts 2048 --repeats 30 --resume --out "$COSTS/smollm2-135m-zoo-$GPU-eager.json" ;;
    llama-3.1-8b | qwen3-8b) profile "$1" --batches 4 16 64 ;;
    qwen3-32b) profile "$1" --heads 4 --batches 4 16 --widths 16 64 ;;
    *) echo "unknown stage $1" >&2; return 2 ;;
    esac
}

failed=0
for name in "${@:-all}"; do
    if [ "$name" = all ]; then
        set -- pool pool-eager llama-3.1-8b qwen3-8b qwen3-32b
    fi
done
for name in "$@"; do
    began=$(date +%s)
    stage "$name" || failed=1
    echo "$name: $(($(date +%s) - began)) s"
done
exit $failed
