#!/usr/bin/env bats
# total.bats -- the total of tools/test: what passes, fails, dies, hangs, is
# skipped or is not there is counted as what it is.

bats_require_minimum_version 1.5.0

@test "the total counts single tests, and every way to fail" {
    cd "$BATS_TEST_TMPDIR"
    cat >CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(total NONE)
enable_testing()
function(case name text)
    add_test(NAME ${name} COMMAND sh -c "${text}")
endfunction()
case(check_good "echo '100%: Checks: 9, Failures: 0, Errors: 0'")
case(check_bad "echo '70%: Checks: 10, Failures: 2, Errors: 1'; exit 1")
case(check_died "echo '100%: Checks: 4, Failures: 0, Errors: 0'; exit 3")
case(crash "kill -SEGV $$")
case(hangs "sleep 9")
case(says_nothing "true")
case(tap_bad "echo 1..3; echo ok 1 a; echo 'ok 2 b # skip no'; echo not ok 3 c; exit 1")
case(tap_good "echo 1..2; echo 'ok 1 a <b> & c'; echo ok 2 b")
case(skipped "exit 77")
case(disabled "true")
add_test(NAME absent COMMAND /nowhere/program)
set_tests_properties(hangs PROPERTIES TIMEOUT 1)
set_tests_properties(skipped PROPERTIES SKIP_RETURN_CODE 77)
set_tests_properties(disabled PROPERTIES DISABLED ON)
EOF
    cmake -G Ninja -B build . >log
    ctest --test-dir build --test-output-size-passed 16777216 \
        --output-junit "$PWD/tests.xml" >log 2>&1 || true
    # passed: 9 + 7 + 4 + 1 + 1 + 2; failed: 3 + 1 + 1 + 1 + 1 + 1
    run -0 awk -f "$TESTS_DIR/../tools/count_tests.awk" tests.xml
    [ "$output" = "24 8" ]
}

@test "a wrong argument is named, and nothing is built" {
    run -2 "$TESTS_DIR/../tools/test" --fulll
    [[ "$output" == *"--fulll"*"usage"* ]]
}
