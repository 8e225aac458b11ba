#!/usr/bin/env bats
# opencl.bats -- the program on an OpenCL device: golden cases of every family
# (all of them by label long), its own kernels as text, what is said where
# there is no device, and caches that are damaged.

bats_require_minimum_version 1.5.0

setup_file() {
    local code=0
    "$KERSEY" conform --cases "$TESTS_DIR/golden/ops" --only relu \
        --backend opencl >/dev/null 2>&1 || code=$?
    echo $code >"$BATS_FILE_TMPDIR/exit"
}

setup() {
    [ "$(cat "$BATS_FILE_TMPDIR/exit")" -ne 77 ] || skip "no OpenCL device"
    export KRS_CACHE="$BATS_TEST_TMPDIR/cache"
    ops="$TESTS_DIR/golden/ops"
}

@test "a case of each family passes on opencl" {
    for only in softmax_axis1 matmul_odd; do
        KRS_BACKEND=opencl run -0 --separate-stderr "$KERSEY" conform \
            --cases "$ops" --only "$only"
        [[ "$(tail -n 1 <<<"$output")" == *[1-9]*" passed, 0 failed, 0 skipped" ]]
        [ -z "$stderr" ]
    done
}

@test "every golden case and model passes on opencl" {
    [ -n "$KERSEY_LONG" ] || skip "takes minutes: ctest -R opencl_golden"
    run -0 --separate-stderr "$KERSEY" conform --cases "$ops" --backend opencl
    [[ "$(tail -n 1 <<<"$output")" == *" passed, 0 failed, 1 skipped" ]]
    run -0 --separate-stderr "$KERSEY" verify "$TESTS_DIR"/golden/models/* \
        --backend opencl
    [[ "$(tail -n 1 <<<"$output")" == *" passed, 0 failed" ]]
}

@test "the stage opencl shows what is compiled" {
    run -0 --separate-stderr "$KERSEY" graph "$TESTS_DIR/graphs/softmax.krs" \
        --stage opencl --backend opencl
    [[ "$output" == *"LOAD(__global, float, "*"__kernel"* ]]
    run -1 --separate-stderr "$KERSEY" graph "$TESTS_DIR/graphs/softmax.krs" \
        --stage llvm --backend opencl
    [[ "$stderr" == *"no stage 'llvm'"*"opencl"* ]]
}

@test "a device, a driver or a loader that is not there is one sentence and 77" {
    run -77 --separate-stderr "$KERSEY" conform --cases "$ops" \
        --only softmax --backend opencl:63
    [[ "$stderr" == *"opencl: no device 63; there are 0 to "* ]]
    [ "${#stderr_lines[@]}" -eq 1 ]
    OCL_ICD_VENDORS="$BATS_TEST_TMPDIR" run -77 --separate-stderr "$KERSEY" \
        conform --cases "$ops" --only softmax --backend opencl
    [[ "$stderr" == *"opencl: the ICD loader knows no driver"* ]]
    [ "${#stderr_lines[@]}" -eq 1 ]
    [ -z "$output" ]
}

@test "damaged binaries are compiled again, and the driver's cache is not kept" {
    for change in "" 's/.*//' 1,2d; do
        [ -z "$change" ] || for blob in "$KRS_CACHE"/*.blob; do
            sed -i "$change" "$blob"
        done
        TMPDIR="$BATS_TEST_TMPDIR" run -0 "$KERSEY" conform --cases "$ops" \
            --only relu --backend opencl
        [[ "$(tail -n 1 <<<"$output")" == *[1-9]*" passed, 0 failed, 0 skipped" ]]
    done
    [ -z "$(find "$BATS_TEST_TMPDIR" -maxdepth 1 -name 'kersey-*')" ]
}
