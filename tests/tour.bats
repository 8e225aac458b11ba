#!/usr/bin/env bats
# tour.bats -- the tours. That of a softmax in graph/README.md is what the program shows:
# its commands are run and their output compared. A block that ends in "..." is
# the beginning of one.

bats_require_minimum_version 1.5.0

setup() {
    top=$(cd "$TESTS_DIR/.." && pwd)
}

# each command of the page into a file of its own, its first line the command
blocks() {
    awk '/^```/ {on = 0} /^```$/ {begins = NR}
        begins == NR - 1 && /^\$ / {on = ++count}
        on {print > (folder "/block" on)}' folder="$1" "$top/graph/README.md"
}

@test "every stage of the tour is what the program shows" {
    blocks "$BATS_TEST_TMPDIR"
    cd "$top"
    kersey() { "$KERSEY" "$@"; }
    count=0
    for block in "$BATS_TEST_TMPDIR"/block*; do
        command=$(head -n 1 "$block")
        tail -n +2 "$block" >"$BATS_TEST_TMPDIR/said"
        eval "${command#\$ }" >"$BATS_TEST_TMPDIR/is"
        if [ "$(tail -n 1 "$block")" = "..." ]; then
            sed -i '$d' "$BATS_TEST_TMPDIR/said"
            head -n "$(wc -l <"$BATS_TEST_TMPDIR/said")" \
                "$BATS_TEST_TMPDIR/is" >"$BATS_TEST_TMPDIR/head"
            mv "$BATS_TEST_TMPDIR/head" "$BATS_TEST_TMPDIR/is"
        fi
        echo "$command"
        diff "$BATS_TEST_TMPDIR/said" "$BATS_TEST_TMPDIR/is"
        count=$((count + 1))
    done
    [ "$count" -eq 10 ]
}

@test "the tour goes through every stage before those of a backend" {
    for stage in graph grad expand opt fusion sched memory kernel launch; do
        grep -q "^\\$ .*kersey graph tests/graphs/softmax.krs --stage $stage\b" \
            "$top/graph/README.md"
    done
}

@test "the files that the tour names are there" {
    files=$(sed -n '/^## One softmax/,/^## Add an op/p' "$top/graph/README.md" |
        grep -o '`[a-z_]*/[a-z_]*\.[a-z]*`' | tr -d '`')
    [ "$(wc -w <<<"$files")" -ge 7 ]
    for file in $files; do
        [ -f "$top/graph/$file" ] || [ -f "$top/$file" ]
    done
}

@test "krs.h is a tour of forty lines at most, past every header there is" {
    cd "$top/include/krs"
    tour=$(sed '/\*\/$/q' krs.h)
    [ "$(wc -l <<<"$tour")" -le 40 ]
    [ "$(sed -n 's|^#include <krs/\(.*\)>|\1|p' krs.h | sort -c && echo sorted)" = sorted ]
    for header in *.h; do
        case $header in
        krs.h) continue ;;
        kernel.h | backend.h) includes=0 ;;
        *) includes=1 ;;
        esac
        grep -qw "${header/./\\.}" <<<"$tour" || { echo "not on the tour: $header"; return 1; }
        [ "$(grep -c "^#include <krs/$header>" krs.h)" -eq $includes ]
    done
    for header in $(grep -o '[a-z0-9]*\.\(h\|def\)\b' <<<"$tour"); do
        [ -f "$header" ] || { echo "not there: $header"; return 1; }
    done
}

@test "the README comes to its first results within a screen" {
    # both commands and what they do stand in the first 24 lines
    head -n 24 "$top/README.md" >"$BATS_TEST_TMPDIR/screen"
    cd "$BATS_TEST_TMPDIR"
    grep -q '^\./tools/demo ' screen
    grep -q '^\./tools/test ' screen
    grep -q '2\.141 bits per byte' screen
}
