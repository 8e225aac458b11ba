# count_tests.awk -- "PASSED FAILED": the tests in a JUnit report of CTest.
#
# A suite counts by what it says of itself: Check ("Checks: 9, Failures: 0,
# Errors: 0") or bats ("ok 1 ...", "not ok 2 ..."). One that says nothing counts
# as one test; one that failed without naming a failure, was killed, timed out
# or could not be started counts at least one failure. Skipped tests (by their
# exit code, disabled, or "# skip") count as neither.
function close_suite() {
    if (!open) return
    if (bad && lost == 0) lost = 1
    if (!bad && won + lost == 0) won = 1
    passed += won; failed += lost; open = 0
}
/<testcase / {
    close_suite()
    open = 1; won = 0; lost = 0
    bad = $0 !~ /status="run"/
    if ($0 ~ /status="disabled"/) open = 0
}
/<skipped message="SKIP_/ { open = 0 } # by its own exit code
open && match($0, /Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/) {
    split(substr($0, RSTART, RLENGTH), part, /[^0-9]+/)
    lost += part[3] + part[4]
    won += part[2] - part[3] - part[4]
}
open && match($0, /(^|>)ok [0-9]+ /) { if ($0 !~ / # skip/) won++ }
open && match($0, /(^|>)not ok [0-9]+ /) { lost++ }
END { close_suite(); print passed + 0, failed + 0 }
