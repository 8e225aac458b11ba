#!/usr/bin/env bats
# vulkan_smoke.bats -- the program on the Vulkan backend: a few golden cases of
# each family of kernels, and what is shown of it. KERSEY is the program. All
# cases by hand: kersey conform --backend vulkan.

bats_require_minimum_version 1.5.0

setup() {
    mlp="$TESTS_DIR/graphs/mlp.krs"
    export KRS_CACHE=off
    local code=0
    "$KERSEY" graph "$mlp" --stage expand --backend vulkan >/dev/null 2>&1 ||
        code=$?
    [ "$code" -ne 77 ] || skip "no backend vulkan"
    [ "$code" -eq 0 ]
}

@test "map, rows, walk, contract and scatter pass their golden cases" {
    for name in exp layer_norm cumsum linear_no_bias index_add; do
        run -0 "$KERSEY" conform --cases "$TESTS_DIR/golden/ops" \
            --backend vulkan --only "$name"
        [[ "$output" == *" passed, 0 failed, 0 skipped" ]]
    done
}

@test "the stage spirv shows the modules of a program" {
    run -0 "$KERSEY" graph "$mlp" --stage spirv --backend vulkan
    [[ "$output" == *"EntryPoint 5 %"* ]]
    run -0 "$KERSEY" graph "$mlp" --stage expand --backend vulkan:0
    run -77 "$KERSEY" graph "$mlp" --stage expand --backend vulkan:99
    [[ "$output" == *"vulkan: no device 99; there are "* ]]
}

@test "a loader, a driver or a device that is not there is one sentence and 77" {
    : >"$BATS_TEST_TMPDIR/libvulkan.so.1"
    check_absent() { # $1 device, $2 what is said; the rest: env
        run -77 --separate-stderr env "${@:3}" "$KERSEY" graph "$mlp" \
            --stage expand --backend "$1"
        [ -z "$output" ]
        [ "${#stderr_lines[@]}" -eq 1 ]
        [[ "$stderr" == *"$2"* ]]
    }
    check_absent vulkan "vulkan: no loader libvulkan.so.1: " \
        LD_LIBRARY_PATH="$BATS_TEST_TMPDIR"
    check_absent vulkan "vulkan: the loader knows no driver (Debian: " \
        VK_ICD_FILENAMES=/nonexistent.json
    check_absent vulkan:7 "vulkan: no device 7; there are 0 to "
    # the same process goes on with the others
    VK_ICD_FILENAMES=/nonexistent.json OCL_ICD_VENDORS=/nonexistent \
        run -0 "$KERSEY" doctor
    [[ "$output" == *"vulkan   absent  vulkan: the loader knows no driver"* ]]
    [[ "$output" != *"opencl   works"* ]]
    [[ "$output" == *"interp   works   self-test passed"* ]]
}

@test "a tensor that the device has no memory for is named with both sizes" {
    echo '%1 = input f32[1024,1024,1024] name="x"
%2 = exp f32[1024,1024,1024] %1
return %2' >"$BATS_TEST_TMPDIR/big.krs"
    run -1 --separate-stderr "$KERSEY" graph "$BATS_TEST_TMPDIR/big.krs" \
        --stage spirv --backend vulkan
    [[ "$stderr" == *"vulkan: no memory of 4294967296 bytes: "*" gives at most "* ]]
}

@test "doctor tests the device" {
    run -0 "$KERSEY" doctor
    [[ "$output" == *"vulkan   works   self-test passed"*" in one memory, "* ]]
    [[ "$output" == *" of it in a kernel, "*" shared by a group, groups of "* ]]
}
