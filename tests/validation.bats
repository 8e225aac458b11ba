#!/usr/bin/env bats
# validation.bats -- the validation layers of Vulkan, core and synchronisation,
# say nothing over golden cases and models, the parity suites and test_vulkan.
# Minutes, by label long; KERSEY is the program, TESTS_BIN has the suites.

bats_require_minimum_version 1.5.0

# $1 what is validated besides
use_layer() {
    export VK_LAYER_SETTINGS_PATH="$BATS_TEST_TMPDIR"
    export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
    cat >"$BATS_TEST_TMPDIR/vk_layer_settings.txt" <<END
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = error,warn,perf,info
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT$1
END
}

setup() {
    export KRS_CACHE=off
    use_layer ""
    run "$KERSEY" graph "$TESTS_DIR/graphs/mlp.krs" --stage expand \
        --backend vulkan
    [ "$status" -ne 77 ] || skip "no backend vulkan"
    [[ "$output" == *"Khronos Validation Layer Active"* ]] ||
        skip "no validation layer (Debian: vulkan-validationlayers)"
}

# what layers say, but that they are there
complaints() {
    grep -E 'UNASSIGNED-|VUID-|SYNC-HAZARD|Validation (Error|Warning|Performance)' |
        grep -v 'createinstance-status-message' || true
}

# a command that succeeds, under the layers, which are silent
silent() {
    local out="$BATS_TEST_TMPDIR/out"
    "$@" >"$out" 2>&1 || { tail -n 20 "$out"; return 1; }
    grep -q 'Khronos Validation Layer Active' "$out"
    grep -q 'Current Enables: .*SYNCHRONIZATION_VALIDATION' "$out"
    complaints <"$out" >"$out.said"
    head -n 20 "$out.said"
    [ ! -s "$out.said" ]
}

@test "what layers say is seen" {
    use_layer ",VK_VALIDATION_FEATURE_ENABLE_BEST_PRACTICES_EXT"
    run ! silent "$KERSEY" conform --cases "$TESTS_DIR/golden/ops" \
        --backend vulkan --only relu
    [[ "$output" == *"BestPractices"* ]]
}

@test "nothing is said over all golden cases" {
    silent "$KERSEY" conform --cases "$TESTS_DIR/golden/ops" --backend vulkan
}

@test "nothing is said over golden models" {
    silent "$KERSEY" verify "$TESTS_DIR/golden/models/llama_mha" \
        "$TESTS_DIR/golden/models/bert" --backend vulkan
}

@test "nothing is said over steps of training" {
    cat "$TESTS_DIR"/../README.md >"$BATS_TEST_TMPDIR/text"
    silent "$KERSEY" train llama-tiny --batch 2 --seq 16 --steps 3 \
        --eval-batches 1 --data "$BATS_TEST_TMPDIR/text" \
        --out "$BATS_TEST_TMPDIR/run" --backend vulkan
}

@test "nothing is said over the parity suites, with and without what is optional" {
    export CK_FORK=no CK_DEFAULT_TIMEOUT=600
    for suite in scalar random lengths; do
        silent "$TESTS_BIN/test_cpu_$suite" vulkan part
        silent "$TESTS_BIN/test_cpu_$suite" vulkan plain
    done
}

@test "nothing is said over test_vulkan" {
    CK_FORK=no CK_DEFAULT_TIMEOUT=600 silent "$TESTS_BIN/test_vulkan"
}
