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

@test "doctor tests the device" {
    run -0 "$KERSEY" doctor
    [[ "$output" == *"vulkan   works   self-test passed"*" in one memory, "* ]]
    [[ "$output" == *" of it in a kernel, "*" shared by a group, groups of "* ]]
}
