#!/usr/bin/env bats
# conform.bats -- the golden cases on the backends, with exact counts, and the
# proof that kersey conform notices a wrong reference.

bats_require_minimum_version 1.5.0

last_line() {
    tail -n 1 <<<"$output"
}

# backends whose compilers take minutes for this are tested elsewhere
@test "eval, interp and cpu pass every golden case whose operation exists" {
    set -o pipefail
    backends=$("$KERSEY" doctor --json | jq -r '.devices[] | select(.present and
        (.name | IN("eval", "interp", "cpu"))).name')
    [[ "$backends" == eval* ]]
    if [ -n "${KERSEY_SLOW-}" ]; then # which compiles for a minute: some
        [[ "$backends" != *cpu* ]] || run -0 "$KERSEY" conform \
            --cases "$TESTS_DIR/golden/ops" --backend cpu --only second_order
        [[ "$backends" != *cpu* ]] ||
            [ "$output" = "10 passed, 0 failed, 0 skipped" ]
        backends=${backends/cpu/}
    fi
    first=
    for backend in $backends; do
        run -0 --separate-stderr "$KERSEY" conform \
            --cases "$TESTS_DIR/golden/ops" --backend "$backend"
        [ "$(last_line)" = "248 passed, 0 failed, 1 skipped" ]
        [ "$(grep -c '^skipped ' <<<"$output")" -eq 1 ]
        [ -z "$stderr" ]
        # the cases that are left out are the same: none that eval passes
        [ -z "$first" ] || [ "$output" = "$first" ]
        first=$output
    done
}

# the interpreter checks every access, and that items of a group do not race
@test "the schedules of other devices pass every golden case" {
    for schedule in lanes groups; do
        run -0 --separate-stderr "$KERSEY" conform \
            --cases "$TESTS_DIR/golden/ops" --backend interp --cpu $schedule
        [ "$(last_line)" = "248 passed, 0 failed, 1 skipped" ]
        [ -z "$stderr" ]
    done
}

@test "only one case, one operation, or the second derivatives are run" {
    cases="$TESTS_DIR/golden/ops"
    run -0 "$KERSEY" conform --cases "$cases" --only matmul_odd
    [ "$output" = "1 passed, 0 failed, 0 skipped" ]
    run -0 "$KERSEY" conform --cases "$cases" --only rope
    [ "$output" = "8 passed, 0 failed, 0 skipped" ]
    run -0 "$KERSEY" conform --cases "$cases" --only second_order
    [ "$output" = "10 passed, 0 failed, 0 skipped" ]
    run -2 --separate-stderr "$KERSEY" conform --cases "$cases" --only nothing
    [[ "$stderr" == *"nothing"* ]]
}

# One case with one thing changed by jq must fail, and say where.
@test "a changed case fails with exit code 3" {
    cases="$BATS_TEST_TMPDIR/cases"
    mkdir "$cases"
    cp "$TESTS_DIR/golden/ops/tensors.safetensors" "$cases"
    change() {
        jq "map(select(.name == \"$1\")) | $2" \
            "$TESTS_DIR/golden/ops/cases.json" >"$cases/cases.json"
    }
    change softmax .
    run -0 "$KERSEY" conform --cases "$cases"
    # the wanted output, the gradient, the attribute, the inputs
    change softmax '.[0].output = "x"'
    run -0 "$KERSEY" conform --cases "$cases"
    [[ "$output" == *"skipped softmax"* ]]
    change softmax '.[0].grads.x = "ct.y"'
    run -3 "$KERSEY" conform --cases "$cases"
    [[ "$output" == *"gradient of x"*"worst at ["* ]]
    change softmax '.[0].attrs.axis = 0'
    run -3 "$KERSEY" conform --cases "$cases"
    [[ "$output" == *"output y"*"worst at ["* ]]
    [ "$(last_line)" = "0 passed, 1 failed, 0 skipped" ]
    change softmax '.[0].attrs.axis = 9'
    run -3 "$KERSEY" conform --cases "$cases"
    change softmax '.[0].attrs.temperature = 2'
    run -3 "$KERSEY" conform --cases "$cases"
    [[ "$output" == *"attrs.temperature is not understood"* ]]
    change softmax '.[0].attrs.axis = "last"'
    run -3 "$KERSEY" conform --cases "$cases"
    [[ "$output" == *"attrs.axis: expected an integer"* ]]
    change sub '.[0].inputs = ["b", "a"]'
    run -3 "$KERSEY" conform --cases "$cases"
    change sub '.[0].inputs = ["a", "nowhere"]'
    run -3 "$KERSEY" conform --cases "$cases"
    [[ "$output" == *'sub/nowhere'* ]]
    change sub 'del(.[0].tol)'
    run -3 "$KERSEY" conform --cases "$cases"
    [[ "$output" == *"expected a tolerance"* ]]
}

@test "a folder without cases fails with its name" {
    run -1 --separate-stderr "$KERSEY" conform --cases "$BATS_TEST_TMPDIR"
    [[ "$stderr" == *"$BATS_TEST_TMPDIR/cases.json"* ]]
    echo '{"a": 1}' >"$BATS_TEST_TMPDIR/cases.json"
    run -1 --separate-stderr "$KERSEY" conform --cases "$BATS_TEST_TMPDIR"
    [[ "$stderr" == *"expected a list of cases"* ]]
    echo '[' >"$BATS_TEST_TMPDIR/cases.json"
    run -1 --separate-stderr "$KERSEY" conform --cases "$BATS_TEST_TMPDIR"
}
