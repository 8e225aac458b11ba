#!/usr/bin/env bats
# demo.bats -- tools/demo from end to end, with a few steps.

bats_require_minimum_version 1.5.0

setup() {
    out=$BATS_TEST_TMPDIR/out
    cd "$TESTS_DIR/.."
}

# judging the model on the validation text takes longer than its steps: two runs
@test "the demo trains, saves, generates, says where the results are, and continues" {
    run -0 tools/demo --steps 2 --out "$out" </dev/null
    [[ "$output" == *"31102 verses"* ]]
    [[ "$output" == *"step 2/2  loss "*"grad norm "*"tok/s  ETA"* ]]
    [[ "$output" == *"bits per byte"* ]]
    [ "$(jq -s length "$out/metrics.jsonl")" -eq 2 ]
    [ -s "$out/checkpoint-00000002/model.safetensors" ]
    [ -s "$out/sample.txt" ]
    [[ "${lines[-1]}" == *"$out/metrics.jsonl"*"$out/sample.txt" ]]
    run -0 tools/demo --steps 4 --out "$out" </dev/null
    [[ "$output" == *"continuing after step 2"* ]]
    [ "$(jq -s length "$out/metrics.jsonl")" -eq 4 ]
    [ -d "$out/checkpoint-00000004" ]
}

@test "a wrong argument exits 2 and changes nothing" {
    run -2 tools/demo --setps 3 --out "$out"
    [[ "$output" == *"--setps"*"usage"* ]]
    run -2 tools/demo --out
    [ ! -e "$out" ]
}
