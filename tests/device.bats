#!/usr/bin/env bats
# device.bats -- flags and variables that say where programs run, and what
# KRS_DEBUG shows. KERSEY is the program.

bats_require_minimum_version 1.5.0

setup() {
    mlp="$TESTS_DIR/graphs/mlp.krs"
    export XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache"
    unset KRS_CACHE KRS_DEBUG KRS_MODULE_PATH
}

# skip, counted, where the backend is not there
needs() {
    local code=0
    "$KERSEY" graph "$mlp" --stage expand --backend "$1" >/dev/null 2>&1 ||
        code=$?
    [ "$code" -ne 77 ] || skip "no backend $1"
    [ "$code" -eq 0 ]
}

@test "a backend that is not there exits with 77 and one sentence" {
    for name in abacus Abacus cpu:x ""; do
        run -77 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
            --backend "$name"
        [ -z "$output" ]
        [ "${#stderr_lines[@]}" -eq 1 ]
        [[ "$stderr" == "kersey graph: error: "* ]]
    done
    KRS_MODULE_PATH="$BATS_TEST_TMPDIR" run -77 --separate-stderr \
        "$KERSEY" graph "$mlp" --stage expand --backend cpu
    [ -z "$output" ]
    [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "--cpu and --threads are checked" {
    run -2 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
        --backend eval --cpu x86-64-v2
    [[ "$stderr" == *"--cpu is for --backend cpu, not eval"* ]]
    for count in 0 1025; do
        run -2 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
            --backend eval --threads $count
        [[ "$stderr" == *"--threads $count: expected 1 to 1024"* ]]
    done
    run -2 "$KERSEY" graph "$mlp" --stage expand --threads two
}

@test "--cpu refuses a processor of no such name" {
    needs cpu
    run -1 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
        --backend cpu --cpu pdp11
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ "$stderr" == *"pdp11"* ]]
}

@test "stages of a program are printed, those of another backend refused" {
    run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
        --backend eval
    [[ "$output" == *"= matmul f32"* ]]
    first="${#lines[@]}"
    run -0 "$KERSEY" graph "$mlp" --stage expand --grad --backend eval
    [ "${#lines[@]}" -gt "$first" ]
    for stage in sched kernel launch llvm asm; do
        run -1 --separate-stderr "$KERSEY" graph "$mlp" --stage $stage \
            --backend eval
        [[ "$stderr" == *"eval has no stage '$stage'"* ]]
        [ -z "$output" ]
    done
}

@test "interp and cpu print schedule, kernels and launches" {
    for backend in interp cpu; do
        needs $backend
        for stage in expand sched kernel launch; do
            run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage $stage \
                --grad --backend $backend
            [ "${#lines[@]}" -gt 3 ]
            [ -z "$stderr" ]
        done
    done
}

@test "cpu prints LLVM IR and assembly" {
    needs cpu
    run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage llvm --backend cpu
    [[ "$output" == *"define "* ]]
    run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage asm --backend cpu
    [[ "$output" == *"ret"* ]]
}

@test "a preset is a model" {
    run -0 --separate-stderr "$KERSEY" graph llama-tiny --batch 2 --seq 5
    [[ "$output" == *'= input i64[2,5] name="ids"'* ]]
    run -1 --separate-stderr "$KERSEY" graph llama-titan
    [[ "$stderr" == *"llama-titan"* ]]
}

@test "KRS_DEBUG is silent at 0 and refuses what is no level" {
    KRS_DEBUG=0 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [ -z "$stderr" ]
    for level in 8 x 11 -1; do
        KRS_DEBUG=$level run -2 --separate-stderr "$KERSEY" graph "$mlp" \
            --stage expand --backend eval
        [[ "$stderr" == *"KRS_DEBUG=$level: expected a level from 0 to 7"* ]]
    done
}

@test "KRS_DEBUG=1 names device and cache" {
    KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [[ "$stderr" == "device eval"*"$XDG_CACHE_HOME/kersey"* ]]
    KRS_CACHE=off KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" graph \
        "$mlp" --stage expand --backend eval
    [[ "$stderr" == "device eval"*"cache off"* ]]
    KRS_CACHE=/some/where KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" \
        graph "$mlp" --stage expand --backend eval
    [[ "$stderr" == *"cache /some/where"* ]]
}

@test "KRS_DEBUG=5 prints the graph, 4 does not" {
    KRS_DEBUG=4 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [[ "$stderr" != *"matmul"* ]]
    KRS_DEBUG=5 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [[ "$stderr" == *"expand:"*"= matmul f32"* ]]
}

@test "KRS_DEBUG=2 shows the kernels of a run with their times" {
    for backend in interp cpu; do
        needs $backend
        KRS_DEBUG=2 run -0 --separate-stderr "$KERSEY" conform \
            --cases "$TESTS_DIR/golden/ops" --only matmul --backend $backend
        [[ "$stderr" == *"program 1: 1 runs of "*"launches"* ]]
        [[ "$stderr" == *"  matmul  "*"%"*"conform_"*".c:"* ]]
        awk '$2 == "matmul" && $7 ~ /^[0-9.]+$/ {found = 1}
            END {exit !found}' <<<"$stderr"
    done
}
