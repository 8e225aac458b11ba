#!/usr/bin/env bats
# demo.bats -- tools/demo from end to end, with a few steps.

bats_require_minimum_version 1.5.0

setup() {
    out=$BATS_TEST_TMPDIR/out
    cd "$TESTS_DIR/.."
}

@test "the demo trains, saves, generates, and says where the results are" {
    run -0 tools/demo --steps 3 --out "$out" </dev/null
    [[ "$output" == *"31102 verses"* ]]
    [[ "$output" == *"step 3/3  loss "*"grad norm "*"tok/s  ETA"* ]]
    [[ "$output" == *"bits per byte"* ]]
    [ "$(jq -s length "$out/metrics.jsonl")" -eq 3 ]
    [ -s "$out/checkpoint-00000003/model.safetensors" ]
    [ -s "$out/sample.txt" ]
    [[ "${lines[-1]}" == *"$out/metrics.jsonl"*"$out/sample.txt" ]]
}

@test "a second demo continues the first" {
    tools/demo --steps 2 --out "$out" </dev/null
    run -0 tools/demo --steps 4 --out "$out" </dev/null
    [[ "$output" == *"continuing after step 2"* ]]
    [ -d "$out/checkpoint-00000004" ]
}

@test "a wrong argument exits 2 and changes nothing" {
    run -2 tools/demo --setps 3 --out "$out"
    [[ "$output" == *"--setps"*"usage"* ]]
    run -2 tools/demo --out
    [ ! -e "$out" ]
}
