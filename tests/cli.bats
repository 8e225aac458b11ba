#!/usr/bin/env bats
# cli.bats -- the frame of the kersey program: commands, help, exit codes,
# suggestions, streams. KERSEY is the program, TESTS_DIR this folder.

bats_require_minimum_version 1.5.0

commands() {
    "$KERSEY" --help | awk '/^commands:/ {on = 1; next} /^$/ {on = 0} on {print $1}'
}

@test "help names the commands and the exit codes" {
    run -0 --separate-stderr "$KERSEY" --help
    [[ "$output" == *"exit codes: 0 ok, 1 failed, 2 wrong usage, 3"* ]]
    [[ "$output" == *"77"*"130"* ]]
    [ -z "$stderr" ]
    [ "$(commands | wc -l)" -ge 5 ]
}

@test "every command has a help with usage and an example of itself" {
    [ "$(commands | wc -l)" -ge 5 ]
    for command in $(commands); do
        run -0 --separate-stderr "$KERSEY" "$command" --help
        [[ "${lines[0]}" == "kersey $command -- "* ]]
        [[ "$output" == *"usage: kersey $command"* ]]
        [[ "$output" == *"example:"*"kersey $command"* ]]
        [ -z "$stderr" ]
        first="$output"
        run -0 "$KERSEY" help "$command"
        [ "$output" = "$first" ]
        run -0 "$KERSEY" "$command" -h
        [ "$output" = "$first" ]
    done
}

@test "a help has the lines of a terminal, and says of a flag what it means there" {
    for command in $(commands); do
        "$KERSEY" "$command" --help | sed 1,3d | awk 'length > 79 {print; bad = 1}
            END {exit bad}'
    done
    help_of() {
        "$KERSEY" "$1" --help | awk -v flag="--$2" '/^  [ -]/ && !/^        / {
            on = $1 == flag || $2 == flag} on' | tr -s '\n ' ' '
    }
    [[ "$(help_of train out)" == *"--out PATH folder for metrics and checkpoints; else run " ]]
    [[ "$(help_of plot out)" == *"--out PATH SVG file; "* ]]
    [[ "$(help_of bench steps)" == *"--steps N steps that are timed; "* ]]
    [[ "$(help_of train steps)" == *"--steps N steps in all; else 1000 " ]]
    for name in cpu opencl vulkan interp eval; do
        [[ "$(help_of train backend)" == *"$name"* ]]
    done
    ! "$KERSEY" completion fish | grep -F '|check:'
}

# COMMAND FLAG UNIT of every flag in the helps; UNIT is - for a switch
flags() {
    for command in $(commands); do
        "$KERSEY" "$command" --help | sed -n 's/^  [ -].[ ,] --\([a-z0-9-]*\) \([A-Z]*\).*/\1 \2/p' |
            awk -v command="$command" '$1 != "help" {print command, $1, $2 == "" ? "-" : $2}'
    done
}

# but for that of conform, which compiles for a long time: conform.bats runs it
# (under a sanitizer also for those that have suites and compile much)
@test "the example of every help works" {
    cd "$BATS_TEST_TMPDIR"
    ln -s "$TESTS_DIR" "$TESTS_DIR/../README.md" .
    mkdir path
    ln -s "$KERSEY" path/kersey
    PATH="$PWD/path:$PATH"
    export KRS_CACHE="$PWD/cache"
    others=conform
    [ -z "${KERSEY_SLOW-}" ] || others='conform\|bench\|check\|verify'
    # plot draws the run of train
    for command in train $(commands | grep -vx "train\|$others"); do
        example=$(kersey "$command" --help | tail -n 1)
        echo "$example"
        $example >out 2>err || { cat err; return 1; }
        [ -s out ] || [ -s llama.gguf ] # all else on stdout
    done
}

@test "every flag is known by its help: mistyped, without a value, with one too many" {
    cd "$BATS_TEST_TMPDIR"
    flags >all
    [ "$(wc -l <all)" -ge 100 ]
    [ -z "${KERSEY_SLOW-}" ] || sed -i -n '1~4p' all # two processes a flag
    while read -r command flag unit; do
        say="kersey $command: error:"
        typo="${flag:0:1}$flag"
        # of two letters, some are as near to others
        if [ "${#flag}" -gt 2 ]; then
            "$KERSEY" "$command" "--$typo" 2>>is || echo $? >>is
            printf '%s\n2\n' "$say unknown flag --$typo; did you mean --$flag?" >>wanted
        fi
        [ "$unit" = - ] && value="=yes" || value=
        "$KERSEY" "$command" "--$flag$value" 2>>is || echo $? >>is
        if [ "$unit" = - ]; then
            printf '%s\n2\n' "$say --$flag takes no value, but got \"yes\"" >>wanted
        else
            printf '%s\n2\n' "$say --$flag wants a value: --$flag $unit" >>wanted
        fi
    done <all
    diff wanted is
}

@test "version is one line on stdout" {
    run -0 --separate-stderr "$KERSEY" --version
    [[ "$output" =~ ^kersey\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "no command is wrong usage" {
    run -2 --separate-stderr "$KERSEY"
    [ -z "$output" ]
    [[ "$stderr" == *"kersey --help"* ]]
}

@test "a mistyped command is refused with the nearest one" {
    run -2 --separate-stderr "$KERSEY" confrom
    [[ "$stderr" == *'unknown command "confrom"; did you mean conform?'* ]]
    [ -z "$output" ]
    run -2 --separate-stderr "$KERSEY" frobnicate
    [[ "$stderr" == *"see kersey --help"* ]]
    [[ "$stderr" != *"did you mean"* ]]
}

@test "a mistyped flag is refused with the nearest one" {
    run -2 --separate-stderr "$KERSEY" conform --case x
    [[ "$stderr" == *"unknown flag --case; did you mean --cases?"* ]]
    run -2 --separate-stderr "$KERSEY" conform --bakcend=eval
    [[ "$stderr" == *"did you mean --backend?"* ]]
    run -2 --separate-stderr "$KERSEY" doctor --hlep
    [[ "$stderr" == *"did you mean --help?"* ]]
    run -2 --separate-stderr "$KERSEY" doctor --xyzzyxyzzy
    [[ "$stderr" != *"did you mean"* ]]
    run -2 --separate-stderr "$KERSEY" doctor -q
    [[ "$stderr" == *"unknown flag -q"* ]]
}

@test "a flag of another command is named as such" {
    run -2 --separate-stderr "$KERSEY" doctor --cases x
    [[ "$stderr" == *"--cases is not a flag of doctor (conform has it)"* ]]
}

@test "missing and superfluous values and operands are refused" {
    run -2 --separate-stderr "$KERSEY" conform --cases
    [[ "$stderr" == *"--cases wants a value: --cases DIR"* ]]
    run -2 --separate-stderr "$KERSEY" conform --cases --json
    [[ "$stderr" == *"--cases wants a value"* ]]
    run -2 --separate-stderr "$KERSEY" conform --json=yes
    [[ "$stderr" == *"--json takes no value"* ]]
    run -2 --separate-stderr "$KERSEY" conform
    [[ "$stderr" == *"--cases DIR is missing"* ]]
    run -2 --separate-stderr "$KERSEY" graph
    [[ "$stderr" == *"is missing"* ]]
    run -2 --separate-stderr "$KERSEY" doctor extra
    [[ "$stderr" == *'"extra" is one argument too many'* ]]
}

@test "a backend that is not there exits with 77" {
    run -77 --separate-stderr "$KERSEY" conform \
        --cases "$TESTS_DIR/golden/ops" --backend abacus
    [[ "$stderr" == *"abacus"* ]]
    [ -z "$output" ]
}

@test "the short form of a flag takes joined and separate values" {
    run -77 "$KERSEY" conform --cases x -babacus
    run -77 "$KERSEY" conform --cases x -b abacus
}

@test "doctor finds the graph interpreter working" {
    run -0 --separate-stderr "$KERSEY" doctor
    [[ "$output" =~ eval\ +works ]]
    [[ "$output" == *"processor"*"features"* ]]
}

@test "--json of every command that has it is JSON, with nothing else on stdout" {
    cd "$BATS_TEST_TMPDIR"
    export KRS_CACHE="$PWD/cache"
    golden="$TESTS_DIR/golden"
    seq 300 >text
    tiny="--layers 1 --dim 8 --heads 1 --ffn 8 --batch 1 --seq 8 --backend interp"
    covered=
    # FILTER COMMAND ...: the values that the command prints, as one array
    json() {
        "$KERSEY" "${@:2}" --json >out
        jq -es "$1" out >/dev/null || { echo "${@:2}"; head -c 300 out; return 1; }
        covered+="$2 "
    }
    json '.[0].devices[] | select(.name == "eval").works' doctor
    json '.[0] | map(.name) | index("matmul")' ops
    json '.[0] | .failed == 0 and .passed > 2 and (.cases | length) == .passed' \
        conform --cases "$golden/ops" --only add --backend interp
    json '.[0].tensors | length > 5' inspect "$golden/models/llama_mha"
    json '.[0].total_bytes > 0' plan llama-tiny --batch 1 --seq 8 --backend interp
    json 'map(.step) == [1, 2] and all(.loss > 0)' train --data text $tiny --steps 2
    json '.[0][0].metric == "loss"' plot run
    json '.[0].gflops > 0' bench gemm --m 8 --n 8 --k 8 --backend interp
    json '.[0].entries >= 0' cache ls
    json '.[0].ids | length == 3' generate "$golden/models/llama_mha" -p Hello \
        -n 3 --backend interp
    json '.[0].ids == [72, 105]' tokenize -t bytes Hi
    json '.[0].embedding | length == 32' embed "$golden/models/bert" a \
        --backend interp
    for command in $(commands); do
        if "$KERSEY" $command --help | grep -q -e ' --json '; then echo $command; fi
    done | sort >takes
    diff takes <(tr ' ' '\n' <<<"$covered" | grep . | sort)
    # graph has it as a format
    "$KERSEY" graph "$TESTS_DIR/graphs/mlp.krs" --format json | jq -e .
}

@test "ops lists every operation once, with its gradient" {
    run -2 --separate-stderr "$KERSEY" ops --backend cpu
    [[ "$stderr" == *"--backend is for --ulp" ]]
    run -0 --separate-stderr "$KERSEY" ops
    [ "$(grep -c '^matmul ' <<<"$output")" -eq 1 ]
    [[ "$(grep '^argmax ' <<<"$output")" =~ primitive\ +no ]]
    [[ "$(grep '^softmax ' <<<"$output")" =~ composite\ +yes ]]
    [ -z "$(awk '{print $1}' <<<"$output" | sort | uniq -d)" ]
}

@test "inspect lists tensors with their statistics" {
    run -0 --separate-stderr "$KERSEY" inspect --stats \
        "$TESTS_DIR/golden/models/llama_mha/model.safetensors"
    [[ "$output" == *"model.norm.weight"* ]]
    run -1 --separate-stderr "$KERSEY" inspect /nonexistent.safetensors
    [[ "$stderr" == *"/nonexistent.safetensors"* ]]
    [ -z "$output" ]
}

@test "graph prints what it read, and the gradient" {
    set -o pipefail
    file="$TESTS_DIR/graphs/mlp.krs"
    "$KERSEY" graph "$file" >"$BATS_TEST_TMPDIR/once.krs"
    "$KERSEY" graph "$BATS_TEST_TMPDIR/once.krs" |
        cmp - "$BATS_TEST_TMPDIR/once.krs"
    "$KERSEY" graph - <"$file" | cmp - "$BATS_TEST_TMPDIR/once.krs"
    run -0 --separate-stderr "$KERSEY" graph "$file" --stage grad
    [ "${#lines[@]}" -gt "$(wc -l <"$BATS_TEST_TMPDIR/once.krs")" ]
    run -0 "$KERSEY" graph "$file" --format dot
    [[ "${lines[0]}" == digraph* ]]
}

@test "graph draws through dot, and says what is missing without it" {
    file="$TESTS_DIR/graphs/mlp.krs"
    cd "$BATS_TEST_TMPDIR"
    mkdir none some
    run -1 --separate-stderr env PATH="$PWD/none" "$KERSEY" graph "$file" --format svg
    [ -z "$output" ]
    [ "$stderr" = "kersey graph: error: --format svg needs the program dot (Debian: graphviz): No such file or directory; --format dot writes what it draws" ]
    # a dot that shows what it is given
    printf '#!/bin/sh\necho "dot $*"; exec cat\n' >some/dot
    chmod +x some/dot
    run -0 --separate-stderr env PATH="$PWD/some:$PATH" "$KERSEY" graph "$file" --format svg
    [ "$output" = "dot -Tsvg
$("$KERSEY" graph "$file" --format dot)" ]
    # one that fails without reading a large graph
    printf '#!/bin/sh\nexit 7\n' >some/dot
    run -1 --separate-stderr env PATH="$PWD/some:$PATH" "$KERSEY" graph llama-110m \
        --format svg
    [ "$stderr" = "kersey graph: error: dot failed with exit code 7" ]
}

@test "the drawing of graphviz is an SVG with every node" {
    command -v dot >/dev/null || skip "no graphviz to draw with"
    run -0 "$KERSEY" graph "$TESTS_DIR/graphs/mlp.krs" --format svg
    [[ "$output" == *"<svg"*"matmul"*"f32[4,5]"*"tanh"*"</svg>"* ]]
}

@test "graph builds the forward pass of a model folder" {
    model="$TESTS_DIR/golden/models/llama_mha"
    run -0 --separate-stderr "$KERSEY" graph "$model" --batch 2 --seq 5
    [[ "$output" == *'= input i64[2,5] name="ids"'* ]]
    [[ "$output" == *'name="model.norm.weight"'* ]]
    run -0 --separate-stderr "$KERSEY" graph "$model" --stage grad
    [ "$(tail -n 1 <<<"$output" | wc -w)" -gt 10 ]
    run -1 --separate-stderr "$KERSEY" graph "$model" --batch 9223372036854775807
    run -1 --separate-stderr "$KERSEY" graph "$BATS_TEST_TMPDIR"
    [[ "$stderr" == *"config.json"* ]]
}

@test "graph refuses a broken file and unknown stages" {
    printf 'nonsense\0' >"$BATS_TEST_TMPDIR/nul.krs"
    run -1 --separate-stderr "$KERSEY" graph "$BATS_TEST_TMPDIR/nul.krs"
    [[ "$stderr" == *"nul.krs"*"NUL"* ]]
    echo nonsense >"$BATS_TEST_TMPDIR/broken.krs"
    run -1 --separate-stderr "$KERSEY" graph "$BATS_TEST_TMPDIR/broken.krs"
    [[ "$stderr" == *"broken.krs"* ]]
    run -2 --separate-stderr "$KERSEY" graph x --stage asme
    [[ "$stderr" == *"expected graph or grad"*"did you mean asm?"* ]]
    run -1 --separate-stderr "$KERSEY" graph "$TESTS_DIR/graphs/mlp.krs" \
        --stage nonsense --backend interp
    [[ "$stderr" == *"no stage 'nonsense'"* ]]
    run -2 "$KERSEY" graph x --format png
    run -2 --separate-stderr "$KERSEY" graph x --stage kernel --format dot
    [[ "$stderr" == *"--format text only"* ]]
}

@test "a stdout that cannot be written is a failure" {
    run -1 bash -c '"$KERSEY" ops >&-'
    [[ "$output" == *"cannot write to stdout"* ]]
    run -1 bash -c '"$KERSEY" --help >/dev/full'
    [[ "$output" == *"cannot write to stdout"* ]]
    run -1 bash -c '"$KERSEY" ops --json >/dev/full'
}

@test "a closed stderr changes neither data nor exit code" {
    run -2 bash -c '"$KERSEY" confrom 2>&-'
    [ -z "$output" ]
    run -0 bash -c '"$KERSEY" --version 2>&- <&-'
    [[ "$output" == kersey* ]]
}

@test "messages have no colour where there is no terminal" {
    run -2 --separate-stderr "$KERSEY" confrom
    [[ "$stderr" != *$'\033'* ]]
}

@test "a terminal gets colour unless NO_COLOR is set" {
    script -qec true /dev/null >/dev/null 2>&1 ||
        skip "no script(1), or no pseudo-terminals to make one"
    on_terminal() {
        env -u NO_COLOR TERM=xterm "$@" script -qec "$KERSEY confrom" /dev/null
    }
    run -2 on_terminal
    [[ "$output" == *$'\033[31merror:'* ]]
    run -2 on_terminal NO_COLOR=1
    [[ "$output" == *"error: unknown command"* ]]
    [[ "$output" != *$'\033'* ]]
    # and so does every command
    for command in $(commands); do
        run -2 env NO_COLOR=1 TERM=xterm script -qec \
            "$KERSEY $command --frobnicate" /dev/null
        [[ "$output" == "kersey $command: error: unknown flag --frobnicate"* ]]
        [[ "$output" != *$'\033'* ]]
    done
}

@test "a terminal is told how far compiling is" {
    [ -z "${KERSEY_SLOW-}" ] || skip "a line of text: in the release"
    script -qec true /dev/null >/dev/null 2>&1 ||
        skip "no script(1), or no pseudo-terminals to make one"
    cd "$BATS_TEST_TMPDIR"
    "$KERSEY" doctor --json |
        jq -e '.devices[] | select(.name == "cpu").works' || skip "no backend cpu"
    # a live line that is erased when all is compiled
    run -0 env TERM=xterm script -qec "$KERSEY bench compile --preset llama-tiny \
        --batch 1 --seq 8 --threads 1" /dev/null
    [[ "$output" =~ compiling:\ [0-9]+\ of\ [0-9]+\ kernels ]]
    last=${output##*compiling:}
    [[ "$last" == *$'kernels\033[?7h\r\033[K'* ]]
}

@test "plan tells the memory of a training step, and what is shared" {
    sum() {
        local total=0 part
        for part in weights optimizer gradients activations spare workspace \
            constants inputs outputs; do
            total=$((total + $(field "$part")))
        done
        echo "$total"
    }
    field() { sed -n "s/.*\"$1_bytes\":\([0-9]*\).*/\1/p" <<<"$output"; }
    run -0 "$KERSEY" plan llama-tiny --batch 2 --seq 16 --backend interp --json
    [ "$(sum)" -eq "$(field total)" ]
    [ "$(field optimizer)" -eq $((2 * $(field weights) + 8)) ]
    [ "$(field gradients)" -gt 0 ]
    [ "$(field exchanged)" -eq 0 ]
    total="$(field total)"
    KRS_PLAN=off run -0 "$KERSEY" plan llama-tiny --batch 2 --seq 16 \
        --backend interp --json
    [ "$(sum)" -eq "$(field total)" ]
    [ "$(field exchanged)" -gt 0 ]
    [ "$(field total)" -gt "$total" ]
    # 1.1 of what lives at the same time, at most
    run -0 "$KERSEY" plan llama-15m --batch 4 --seq 256 --backend interp --json
    [ $((10 * $(field spare))) -le \
        $(($(field gradients) + $(field activations))) ]
    run -0 "$KERSEY" plan llama-tiny --batch 2 --seq 16 --backend interp \
        --forward --json
    [ "$(field optimizer)" -eq 0 ]
    [ "$(field gradients)" -eq 0 ]
    run -0 "$KERSEY" plan "$TESTS_DIR/golden/models/llama_gqa" --backend interp
    [[ "${lines[0]}" == *"training step of 8 x 64 tokens, 72576 parameters"* ]]
    [[ "${lines[-1]}" == "fullest is wave "*" of "*".c:"*")" ]]
    run -2 "$KERSEY" plan llama-tiny --batch 0
    # as many rows as there may be take no longer to lay out
    run -0 timeout 20 "$KERSEY" plan llama-tiny --batch 100000000000
    [ "$(grep ' bytes .* MB' <<<"$output" | sed 's/ MB.*//' |
        awk '{print length}' | sort -u | wc -l)" -eq 1 ]
    run -2 "$KERSEY" plan nothing
    run -1 "$KERSEY" plan llama-tiny --backend eval
}
