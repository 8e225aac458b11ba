#!/usr/bin/env bats
# bench.bats -- kersey bench: what it prints, and what it says about mistakes.
# KERSEY is the program.

bats_require_minimum_version 1.5.0

setup() {
    mlp="$TESTS_DIR/graphs/mlp.krs"
    export XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache"
    unset KRS_CACHE KRS_DEBUG KRS_MODULE_PATH
}

# skip, counted, where the backend is not there
needs() {
    local code=0
    KRS_CACHE=off "$KERSEY" graph "$mlp" --stage expand --backend "$1" \
        >/dev/null 2>&1 ||
        code=$?
    [ "$code" -ne 77 ] || skip "no backend $1"
    [ "$code" -eq 0 ]
}

# what only shows numbers is left to the release, where they mean something
numbers() {
    [ -z "${KERSEY_SLOW-}" ] || skip "numbers, not memory: in the release"
}

# one JSON object of one line, true under the filter $1
holds() {
    local filter=$1
    shift
    run -0 --separate-stderr "$KERSEY" bench "$@" --json
    [ "${#lines[@]}" -eq 1 ]
    [ "$(jq "$filter" <<<"$output")" = true ]
}

product='.seconds_min > 0 and .seconds_median >= .seconds_min and .gflops > 0
    and .threads >= 1 and .m == 64 and .n == 48 and .k == 40'

@test "bench train takes an encoder, which scores some of the tokens" {
    numbers
    "$KERSEY" bench train --preset bert-tiny --batch 1 --seq 32 --steps 1 --json \
        >"$BATS_TEST_TMPDIR/json"
    # from -ln of 1 in 30522, and of 1 in 2, down by a few steps
    jq -e '.loss > 8 and .loss < 11.1 and .preset == "bert-tiny"' \
        "$BATS_TEST_TMPDIR/json"
}

@test "gemm reports sizes, times and rate" {
    for backend in interp cpu; do
        needs $backend
        holds "$product and .dtype == \"f32\"" gemm --m 64 --n 48 --k 40 \
            --backend $backend
    done
}

@test "gemm takes every type and transposed operands" {
    needs interp
    for dtype in bf16 f16; do
        holds "$product and .dtype == \"$dtype\"" gemm --m 64 --n 48 --k 40 \
            --dtype $dtype --ta --tb --backend interp
    done
    holds "$product and .ta and (.tb | not)" gemm --m 64 --n 48 --k 40 --ta \
        --backend interp
}

@test "gemm measures the products of the gradient too" {
    layouts=("" --ta --tb "--ta --tb")
    [ -z "${KERSEY_SLOW-}" ] || layouts=("--ta --tb")
    for lies in "${layouts[@]}"; do
        run -0 --separate-stderr "$KERSEY" bench gemm --m 24 --n 16 --k 40 \
            --backward --json $lies
        [ "$(jq -s 'map(.product) == ["y", "da", "db"] and
            all(.gflops > 0 and .m * .n * .k == 24 * 16 * 40)' \
            <<<"$output")" = true ]
    done
}

@test "gemm says how many threads it had" {
    needs cpu
    for threads in 1 2; do
        holds "$product and .threads == $threads" gemm --m 64 --n 48 --k 40 \
            --threads $threads --backend cpu
    done
}

@test "train reports a step" {
    needs cpu
    holds '.preset == "llama-tiny" and .batch == 2 and .seq == 16
        and .dtype == "f32" and .compile_s > 0 and .step_s_min > 0
        and .step_s_median >= .step_s_min and .tok_s > 0 and .peak_rss_mb > 1
        and .loss > 1 and .loss < 6' \
        train --preset llama-tiny --batch 2 --seq 16 --steps 2 --backend cpu
}

@test "decode: a token costs more the more there are, not the more there may be" {
    needs cpu
    numbers
    holds '.preset == "llama-tiny" and .batch == 1 and .slots == 8192
        and (.points | map(.length)) == [512, 2048, 4096, 8176]
        and all(.points[]; .prefill_tok_s > 0 and .step_s_min > 0
            and .step_s_median >= .step_s_min)' \
        decode --preset llama-tiny --seq 8192 --backend cpu
    # 2.7 times as much where nothing else runs; other suites may disturb either
    for try in 1 2 3 4 5; do
        least=$(jq '.points[3].step_s_min / .points[0].step_s_min' <<<"$output")
        jq -ne "$least > 1.5" && break
        [ "$try" -lt 5 ]
        run -0 --separate-stderr "$KERSEY" bench decode --preset llama-tiny \
            --seq 8192 --backend cpu --json
    done
    run -2 --separate-stderr "$KERSEY" bench decode --seq 4
    [[ "$stderr" == *"--seq at least 32"* ]]
}

@test "compile is faster with the cache, which is removed" {
    needs cpu
    mkdir "$BATS_TEST_TMPDIR/t"
    TMPDIR="$BATS_TEST_TMPDIR/t" holds \
        '.warm_s < .cold_s and .kernels > 3 and .launches > .kernels' \
        compile --preset llama-tiny --batch 2 --seq 16 --backend cpu
    [ -z "$(ls -A "$BATS_TEST_TMPDIR/t")" ]
}

@test "graph times any graph, a model too, on any device" {
    softmax="$TESTS_DIR/graphs/softmax.krs"
    for backend in interp cpu; do
        needs $backend
        holds '.seconds_min > 0 and .seconds_median >= .seconds_min and
            .elements == 16 and .bytes >= 128 and .launches >= 1 and
            .gelements_s > 0 and .gbytes_s > 0 and .threads >= 1' \
            graph "$softmax" --backend $backend
    done
    run -0 --separate-stderr "$KERSEY" bench graph - --backend eval <"$softmax"
    [[ "$output" == "-, "*" G elements/s" ]] # without kernels nothing is known
    # indices of an embedding, and states
    holds '.graph == "llama-tiny" and .elements % 8 == 0 and .elements > 64' \
        graph llama-tiny --batch 1 --seq 8 --backend interp
}

@test "without --json there is text" {
    run -0 --separate-stderr "$KERSEY" bench gemm --m 8 --n 8 --k 8 \
        --backend eval
    [[ "$output" == *"GFLOP/s" ]]
    [ -z "$stderr" ]
    run -0 --separate-stderr "$KERSEY" bench train --preset llama-tiny \
        --batch 1 --seq 4 --steps 1 --backend eval
    [[ "$output" == *"tokens/s"*"loss"* ]]
}

# a mistake: exit code, no data on stdout, one line on stderr that says $2
refused() {
    local code=$1 says=$2
    shift 2
    run "-$code" --separate-stderr "$KERSEY" bench "$@"
    [ -z "$output" ]
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ "$stderr" == "kersey bench: error: "*"$says"* ]]
}

@test "mistakes are named" {
    refused 2 'no benchmark "gem"; did you mean gemm' gem
    refused 2 '"llama-15n" is no preset; did you mean llama-15m' \
        train --preset llama-15n
    refused 2 "training steps are f32 only" train --dtype bf16
    refused 2 "expected f32, bf16 or f16" gemm --dtype i64
    refused 2 "--m wants a whole number from 1" gemm --m 0
    refused 2 "--batch wants a whole number from 1" train --batch 0
    refused 2 "--steps 0" train --steps 0
    refused 2 "graph needs a FILE" graph
    refused 2 'gemm takes no "x.krs"' gemm x.krs
    refused 1 "none.krs: " graph none.krs --backend eval
    refused 77 "abacus" gemm --backend abacus
    refused 77 "abacus" train --backend abacus
    refused 77 "abacus" compile --backend abacus
    refused 1 "" gemm --m 9223372036854775807 --backend eval
}

@test "attention reports sizes, times and rates of both directions" {
    for backend in interp cpu; do
        needs $backend
        holds '.forward_s_min > 0 and .forward_s_median >= .forward_s_min and
            .both_s_min > 0 and .both_s_median >= .both_s_min and
            .forward_gflops > 0 and .both_gflops > 0 and .batch == 2 and
            .heads == 4 and .kv_heads == 2 and .seq == 10 and
            .head_dim == 6 and .causal and .dtype == "bf16" and .threads >= 1' \
            attention --batch 2 --heads 4 --kv-heads 2 --seq 10 --head-dim 6 \
            --dtype bf16 --causal --backend $backend
    done
}

@test "attention refuses sizes and types that cannot be" {
    run -2 --separate-stderr "$KERSEY" bench attention --seq 0
    [[ "$stderr" == *"--seq wants a whole number from 1"* ]]
    run -2 --separate-stderr "$KERSEY" bench attention --dtype i32
    [[ "$stderr" == *"--dtype i32"* ]]
    run -1 --separate-stderr "$KERSEY" bench attention --heads 3 --kv-heads 2
    [[ "$stderr" == *"3 query heads are not a multiple of 2 key heads"* ]]
}
