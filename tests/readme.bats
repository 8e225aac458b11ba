#!/usr/bin/env bats
# readme.bats -- README.md tells the truth: its C example compiles and prints
# what it says, its commands run, its table names folders that are there.
# KERSEY is the program, with libkersey.a beside it.

bats_require_minimum_version 1.5.0

setup() {
    top=$(cd "$TESTS_DIR/.." && pwd)
    cd "$BATS_TEST_TMPDIR"
}

# the lines of the blocks of that language
blocks() {
    awk -v start="^\`\`\`$1\$" '/^```$/ {on = 0} on {print} $0 ~ start {on = 1}' \
        "$top/README.md"
}

@test "libkersey-io reads files alone, with no compiler in it" {
    cat >io.c <<'C'
#include <krs/weights.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    krs_weights *w;
    krs_error err;
    if (argc != 2 || krs_weights_open(argv[1], &w, &err))
        return 1;
    printf("%zu\n", krs_weights_count(w));
    krs_weights_close(w);
    return 0;
}
C
    library="$(dirname "$KERSEY")/libkersey-io.a"
    "${CC:-cc}" -std=c11 $KERSEY_CFLAGS io.c -I"$top/include" "$library" \
        -ljansson -lz -lm -o io
    run -0 ./io "$top/tests/golden/gguf/llama_gqa.gguf"
    [ "$output" = 29 ]
    ! nm "$library" 2>/dev/null | grep -E ' [TU] .*(LLVM|krs_graph_|krs_program_)'
}

@test "the C example compiles without a warning and prints what it says" {
    blocks c >example.c
    [ "$(wc -l <example.c)" -gt 20 ]
    "${CC:-cc}" -std=c11 -Wall -Wextra -Werror $KERSEY_CFLAGS example.c \
        -I"$top/include" "$(dirname "$KERSEY")/libkersey.a" \
        -ljansson -lxxhash -lm -pthread -o example
    run -0 ./example
    expected=$(sed -n 's|.*printf.*/\* \(.*\) \*/$|\1|p' example.c)
    [ -n "$expected" ]
    [ "$output" = "$expected" ]
}

@test "the build line of the example names what the example needs" {
    grep -q 'cc example.c -Iinclude build/libkersey.a -ljansson -lxxhash -lm' \
        "$top/README.md"
}

@test "the kersey commands run as they stand" {
    mkdir demo-run build
    bible -f gen1:1-50 >demo-run/kjv.txt
    ln -s "$KERSEY" build/kersey
    ln -s "$TESTS_DIR" tests
    blocks sh | grep '^build/kersey ' >commands
    [ "$(wc -l <commands)" -ge 5 ]
    while read -r line; do
        echo "$line"
        bash -c "$line" </dev/null
    done <commands
    [ -d run/checkpoint-00000060 ]
}

@test "the first two commands are there and take no argument by mistake" {
    for script in $(blocks sh | sed -n 's|^\(\./tools/[a-z]*\).*|\1|p'); do
        [ -x "$top/$script" ]
        run -2 "$top/$script" --no-such-flag
        [[ "$output" == *"--no-such-flag"* ]]
    done
    [ "$(blocks sh | grep -c '^\./tools/')" -eq 2 ]
}

@test "every folder of the tour is there" {
    folders=$(sed -n 's/^| `\([a-z/]*\)` |.*/\1/p' "$top/README.md")
    [ "$(wc -w <<<"$folders")" -ge 6 ]
    for folder in $folders; do
        [ -d "$top/$folder" ]
    done
}

@test "setup is quiet when nothing is missing, and lists its packages" {
    run -0 "$top/tools/setup"
    [ -z "$output" ]
    run -0 "$top/tools/setup" --list
    [[ "$output" == *"cmake"*"bible-kjv-text"* ]]
}
