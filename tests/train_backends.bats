#!/usr/bin/env bats
# train_backends.bats -- fifty steps of the demo's model in the demo's batches of
# 16 x 128 on OpenCL and Vulkan, from the states of the cpu at each step and on their own. Minutes, by label
# long; KERSEY is the program.

bats_require_minimum_version 1.5.0

setup_file() {
    export KRS_CACHE="$BATS_FILE_TMPDIR/cache"
    cd "$BATS_FILE_TMPDIR"
    cat "$TESTS_DIR"/../README.md "$TESTS_DIR"/../*/README.md >text
    for backend in eval cpu; do
        train 50 $backend $backend
    done
    train 1 start cpu
}

# $1 steps of the demo's model, into $2, on $3
train() {
    "$KERSEY" train llama-2m --batch 16 --seq 128 --lr 2e-3 --eval-batches 1 \
        --data text --out "$2" --steps "$1" --backend "$3"
}

# largest difference of the losses of two runs, in 2^-22: a unit in the last
# place of losses from 2 to 4
drift() {
    jq -s '[[.[0], .[1]] | transpose[] | (.[0] - .[1]) | fabs] | max * 4194304' \
        <(jq .loss "$1"/metrics.jsonl | jq -s .) \
        <(jq .loss "$2"/metrics.jsonl | jq -s .)
}

is_there() {
    local code=0
    "$KERSEY" graph "$TESTS_DIR/graphs/mlp.krs" --stage expand --backend "$1" \
        >/dev/null 2>&1 || code=$?
    [ "$code" -ne 77 ]
}

alone() {
    is_there "$1" || skip "no backend $1"
    cd "$BATS_FILE_TMPDIR"
    train 50 "$1" "$1"
    [ "$(wc -l <"$1/metrics.jsonl")" -ge 50 ]
    ours=$(drift "$1" eval)
    cpu=$(drift cpu eval)
    echo "drift from eval: $1 $ours, cpu $cpu"
    # four times that of the cpu, which may be nothing: then a unit
    jq -en "$ours <= 4 * ([$cpu, 1] | max)"
}

led() {
    is_there "$1" || skip "no backend $1"
    cd "$BATS_FILE_TMPDIR"
    run -0 "$KERSEY" check start/checkpoint-00000001 --backends "$1" --against cpu --steps 50 \
        --grad --batch 16 --seq 128 --within 1e-5 --grad-within 1e-5
    [[ "${lines[1]}" == "  outputs "*" 150 passed, 0 failed; "* ]]
    [[ "${lines[2]}" == "  gradients "*" passed, 0 failed; "* ]]
}

@test "opencl drifts from eval no more than four times as far as cpu does" {
    alone opencl
}

@test "vulkan drifts from eval no more than four times as far as cpu does" {
    alone vulkan
}

@test "from the cpu's states, opencl has its losses and gradients to 1e-5" {
    led opencl
}

@test "from the cpu's states, vulkan has its losses and gradients to 1e-5" {
    led vulkan
}
