#!/usr/bin/env bats
# device.bats -- flags and variables that say where programs run, and what
# KRS_DEBUG shows. KERSEY is the program.

bats_require_minimum_version 1.5.0

setup() {
    mlp="$TESTS_DIR/graphs/mlp.krs"
    export XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache"
    unset KRS_CACHE KRS_DEBUG KRS_MODULE_PATH KRS_PLAN
}

# skip, counted, where the backend is not there
needs() {
    local code=0
    KRS_CACHE=off "$KERSEY" graph "$mlp" --stage expand --backend "$1" \
        >/dev/null 2>&1 ||
        code=$?
    [ "$code" -ne 77 ] || skip "no backend $1"
    [ "$code" -eq 0 ]
}

@test "a backend that is not there exits with 77 and one sentence" {
    for name in abacus Abacus cpu:x ""; do
        run -77 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
            --backend "$name"
        [ -z "$output" ]
        [ "${#stderr_lines[@]}" -eq 1 ]
        [[ "$stderr" == "kersey graph: error: "* ]]
    done
    KRS_MODULE_PATH="$BATS_TEST_TMPDIR" run -77 --separate-stderr \
        "$KERSEY" graph "$mlp" --stage expand --backend cpu
    [ -z "$output" ]
    [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "without --backend it is cpu, or eval with a word about it" {
    KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage expand
    if [ -e "$(dirname "$KERSEY")/libkersey-cpu.so" ]; then
        [[ "$stderr" == "device cpu: "* ]]
    else
        [[ "$stderr" == *"there is no backend cpu; eval"*"device eval: "* ]]
    fi
    export KRS_MODULE_PATH="$BATS_TEST_TMPDIR"
    KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage expand
    [[ "$stderr" == *"there is no backend cpu; eval"*"device eval: "* ]]
    run -77 --separate-stderr "$KERSEY" graph "$mlp" --stage expand --threads 1
    run -77 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
        --cpu x86-64-v2
    [ -z "$output" ]
    [ "${#stderr_lines[@]}" -eq 1 ]
}

@test "a cache that cannot be used is left out with a warning" {
    needs interp
    mkdir -m 777 "$BATS_TEST_TMPDIR/open"
    touch "$BATS_TEST_TMPDIR/file"
    for folder in "$BATS_TEST_TMPDIR/open" "$BATS_TEST_TMPDIR/file/x"; do
        KRS_CACHE=$folder run -0 --separate-stderr "$KERSEY" graph "$mlp" \
            --stage kernel --backend interp
        [ -n "$output" ]
        [ "${#stderr_lines[@]}" -eq 1 ]
        [[ "$stderr" == "kersey: warning: "*"$folder"* ]]
    done
}

# 20 steps; prints the losses
losses() {
    rm -rf "$BATS_TEST_TMPDIR/run"
    "$KERSEY" train llama-tiny --data "$TESTS_DIR/cli.bats" --steps 20 \
        --batch 2 --seq 32 --json --out "$BATS_TEST_TMPDIR/run" \
        --backend cpu "$@" 2>"$BATS_TEST_TMPDIR/talk" |
        jq -c '[.step, .loss, .grad_norm, .val_loss]'
}

@test "threads and cache change no bit of a training" {
    needs cpu
    cold=$(losses --threads 1)
    [ "$(wc -l <<<"$cold")" -eq 20 ]
    [ -n "$(ls "$XDG_CACHE_HOME/kersey")" ]
    [ "$(losses --threads 1)" = "$cold" ]
    [ "$(losses --threads 2)" = "$cold" ]
    [ "$(losses --threads 4)" = "$cold" ]
    [ "$(KRS_CACHE=off losses --threads 2)" = "$cold" ]
    # what lies there may be damaged, writable by others, another user's
    entries=("$XDG_CACHE_HOME"/kersey/*.blob)
    declare -A count=()
    for i in "${!entries[@]}"; do
        case $((i % 3)) in
        0) printf 'x' | dd of="${entries[i]}" bs=1 seek=100 conv=notrunc
            says="is damaged" ;;
        1) chmod o+w "${entries[i]}"
            says="can be written by others" ;;
        2) [ "$(id -u)" -eq 0 ] || continue
            chown 12345 "${entries[i]}"
            says="belongs to another user" ;;
        esac 2>/dev/null
        count[$says]=$((${count[$says]:-0} + 1))
    done
    [ "$(losses --threads 2)" = "$cold" ]
    for says in "${!count[@]}"; do
        [ "$(grep -c "$says; the kernel .* is compiled again" \
            "$BATS_TEST_TMPDIR/talk")" -eq "${count[$says]}" ]
    done
    # and all is sound from then on
    [ "$(losses --threads 2)" = "$cold" ]
    ! grep -q "is compiled again" "$BATS_TEST_TMPDIR/talk"
}

# all that conform and verify say, but for how far off values are; conform.bats
# and models.bats have native code and all models (a model and one processor alone
# under a sanitizer, which compiles the cases for a minute)
golden() {
    { [ -n "${KERSEY_SLOW-}" ] || "$KERSEY" conform \
        --cases "$TESTS_DIR/golden/ops" --backend "$@"; } &&
        "$KERSEY" verify "$TESTS_DIR/golden/models/llama_gqa" --backend "$@" |
        sed 's/;.*//'
}

@test "kernels for other processors pass the golden cases and a model" {
    set -o pipefail
    needs cpu
    all=$(golden eval)
    [[ "$all" == *" passed, 0 failed"* ]]
    targets="x86-64-v2 x86-64-v3"
    [ -z "${KERSEY_SLOW-}" ] || targets=x86-64-v2
    for target in $targets; do
        code=0
        output=$(golden cpu --cpu $target 2>"$BATS_TEST_TMPDIR/talk") || code=$?
        ! grep -q "this processor lacks" "$BATS_TEST_TMPDIR/talk" ||
            skip "this processor is no $target"
        [ "$code" -eq 0 ]
        [ "$output" = "$all" ]
    done
}

@test "little memory on cpu is a sentence and exit code 1, never a crash" {
    needs cpu
    # a sanitizer reserves terabytes of addresses
    (ulimit -v 4000000 && "$KERSEY" --version >/dev/null 2>&1) ||
        skip "no limit can be set here"
    declare -A codes=()
    export KRS_CACHE=off
    for kilobytes in 100000 205000 220000 240000 300000 1000000; do
        code=0
        rm -rf "$BATS_TEST_TMPDIR/run"
        (
            ulimit -v $kilobytes
            "$KERSEY" train llama-tiny --data "$TESTS_DIR/cli.bats" --steps 1 \
                --batch 1 --seq 16 --out "$BATS_TEST_TMPDIR/run" \
                --backend cpu --threads 2
        ) >/dev/null 2>"$BATS_TEST_TMPDIR/talk" || code=$?
        codes[$code]=yes
        echo "$kilobytes kB: exit code $code: $(cat "$BATS_TEST_TMPDIR/talk")"
        [ $code -eq 0 ] || [ $code -eq 1 ] || [ $code -eq 77 ]
        errors=$(grep -c "^kersey train: error: " "$BATS_TEST_TMPDIR/talk") ||
            [ $code -eq 0 ]
        [ $code -eq 0 ] || [ "$errors" -eq 1 ]
    done
    [ -n "${codes[0]}" ]
    [ -n "${codes[1]}" ]
}

@test "--cpu and --threads are checked" {
    run -2 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
        --backend eval --cpu x86-64-v2
    [[ "$stderr" == *"--cpu is for backends that have kernels, not eval"* ]]
    for count in 0 1025; do
        run -2 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
            --backend eval --threads $count
        [[ "$stderr" == *"--threads $count: expected 1 to 1024"* ]]
    done
    run -2 "$KERSEY" graph "$mlp" --stage expand --threads two
}

@test "--cpu refuses a processor of no such name" {
    needs cpu
    run -1 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
        --backend cpu --cpu pdp11
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ "$stderr" == *"pdp11"* ]]
}

@test "stages of a program are printed, those of another backend refused" {
    run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage expand \
        --backend eval
    [[ "$output" == *"= matmul f32"* ]]
    first="${#lines[@]}"
    run -0 "$KERSEY" graph "$mlp" --stage expand --grad --backend eval
    [ "${#lines[@]}" -gt "$first" ]
    for stage in sched kernel launch llvm asm; do
        run -1 --separate-stderr "$KERSEY" graph "$mlp" --stage $stage \
            --backend eval
        [[ "$stderr" == *"eval has no stage '$stage'"* ]]
        [ -z "$output" ]
    done
}

@test "interp and cpu print schedule, kernels and launches" {
    for backend in interp cpu; do
        needs $backend
        for stage in expand opt sched kernel launch; do
            run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage $stage \
                --grad --backend $backend
            [ "${#lines[@]}" -gt 3 ]
            [ -z "$stderr" ]
        done
    done
}

@test "cpu prints LLVM IR and assembly" {
    needs cpu
    run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage llvm --backend cpu
    [[ "$output" == *"define "* ]]
    run -0 --separate-stderr "$KERSEY" graph "$mlp" --stage asm --backend cpu
    [[ "$output" == *"ret"* ]]
}

@test "a preset is a model" {
    run -0 --separate-stderr "$KERSEY" graph llama-tiny --batch 2 --seq 5
    [[ "$output" == *'= input i64[2,5] name="ids"'* ]]
    run -1 --separate-stderr "$KERSEY" graph llama-titan
    [[ "$stderr" == *"llama-titan"* ]]
}

@test "KRS_DEBUG is silent at 0 and refuses what is no level" {
    KRS_DEBUG=0 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [ -z "$stderr" ]
    for level in 8 x 11 -1; do
        KRS_DEBUG=$level run -2 --separate-stderr "$KERSEY" graph "$mlp" \
            --stage expand --backend eval
        [[ "$stderr" == *"KRS_DEBUG=$level: expected a level from 0 to 7"* ]]
    done
}

@test "KRS_DEBUG=1 names device and cache" {
    KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [[ "$stderr" == "device eval"*"$XDG_CACHE_HOME/kersey"* ]]
    KRS_CACHE=off KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" graph \
        "$mlp" --stage expand --backend eval
    [[ "$stderr" == "device eval"*"cache off"* ]]
    KRS_CACHE=/some/where KRS_DEBUG=1 run -0 --separate-stderr "$KERSEY" \
        graph "$mlp" --stage expand --backend eval
    [[ "$stderr" == *"cache /some/where"* ]]
}

@test "KRS_DEBUG=5 prints the graph, 4 does not" {
    KRS_DEBUG=4 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [[ "$stderr" != *"matmul"* ]]
    KRS_DEBUG=5 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage expand --backend eval
    [[ "$stderr" == *"expand:"*"= matmul f32"* ]]
    KRS_DEBUG=5 run -0 --separate-stderr "$KERSEY" graph "$mlp" \
        --stage opt --backend eval
    [[ "$stderr" == *"opt:"*"= matmul f32"* ]]
}

@test "opt is the graph that runs, expand what it is defined as; KRS_OPT=off" {
    graph="$BATS_TEST_TMPDIR/twice.krs"
    printf '%s\n' '%1 = input f32[3] name="x"' '%2 = relu f32[3] %1' \
        '%3 = neg f32[3] %2' '%4 = neg f32[3] %3' 'return %4' >"$graph"
    run -0 "$KERSEY" graph "$graph" --stage opt --backend eval
    [[ "$output" == *"= where "* && "$output" != *"= neg "* ]]
    run -0 "$KERSEY" graph "$graph" --stage expand --backend eval
    [[ "$output" == *"= where "* && "$output" == *"= neg "* ]]
    KRS_OPT=off run -0 "$KERSEY" graph "$graph" --stage sched --backend interp
    [[ "$output" == *neg* ]]
    KRS_OPT=on run -0 "$KERSEY" graph "$graph" --stage sched --backend interp
    [[ "$output" != *neg* ]]
    KRS_OPT=off run -1 --separate-stderr "$KERSEY" graph "$graph" --stage opt \
        --backend eval
    [[ "$stderr" == *"eval has no stage 'opt'"* ]]
    KRS_OPT=maybe run -2 --separate-stderr "$KERSEY" graph "$graph" \
        --stage opt --backend eval
    [[ "$stderr" == *"KRS_OPT=maybe: expected on or off"* ]]
}

@test "KRS_DEBUG=2 shows the kernels of a run with their times" {
    for backend in interp cpu; do
        needs $backend
        KRS_DEBUG=2 run -0 --separate-stderr "$KERSEY" conform \
            --cases "$TESTS_DIR/golden/ops" --only matmul --backend $backend
        [[ "$stderr" == *"program 1: 1 run of "*"launches"* ]]
        [[ "$stderr" == *"conform_"*".c:"*": matmul"* ]]
        awk '$NF == "matmul" && $6 ~ /^[0-9.]+$/ && $7 ~ /^[0-9]+%$/ {found = 1}
            END {exit !found}' <<<"$stderr"
    done
}

@test "ops --ulp measures every function within what is stated" {
    [ -z "${KERSEY_SLOW-}" ] || skip "numbers, not memory: in the release"
    for backend in interp cpu; do
        needs $backend
        [ "$("$KERSEY" ops --ulp --json --backend $backend | jq \
            'length == 12 and all(.measured_ulp > 0.5 and
            .measured_ulp <= .stated_ulp)')" = true ]
    done
    # doubles rounded once: half a unit, and what the measure itself is off
    [ "$("$KERSEY" ops --ulp --json --backend eval | jq \
        'all(.measured_ulp > 0.49 and .measured_ulp < 0.501)')" = true ]
    run -0 --separate-stderr "$KERSEY" ops --ulp --backend eval
    [ "${#lines[@]}" -eq 13 ]
    run -0 --separate-stderr "$KERSEY" ops --ulp --backend eval --only log2 \
        --samples 2097152
    [[ "${lines[0]}" == *"the worst of 2^21" ]]
    [[ "${lines[1]}" == "log2 "* ]]
    [ "${#lines[@]}" -eq 2 ]
}

@test "ops --ulp refuses samples that are no power of two, and unknown functions" {
    run -2 --separate-stderr "$KERSEY" ops --ulp --samples 1000000
    [[ "$stderr" == *"power of two from 2^20"*"not 1000000"* ]]
    run -2 --separate-stderr "$KERSEY" ops --ulp --only matmul
    [[ "$stderr" == *"matmul: no function of that name"* ]]
}

@test "cache lists and clears what was compiled, and nothing else" {
    needs interp
    run -0 --separate-stderr "$KERSEY" cache ls
    [ "$output" = "$XDG_CACHE_HOME/kersey: 0 entries, 0 bytes" ]
    "$KERSEY" graph "$mlp" --stage launch --backend interp
    touch "$XDG_CACHE_HOME/kersey/note"
    run -0 --separate-stderr "$KERSEY" cache ls
    [ "${#lines[@]}" -gt 3 ]
    [[ "${lines[0]}" == *".blob" ]]
    [ "$("$KERSEY" cache ls --json | jq '.entries > 2 and .bytes > 100')" = \
        true ]
    run -0 "$KERSEY" cache clear
    [[ "$output" == *"bytes removed" ]]
    [ "$(ls "$XDG_CACHE_HOME/kersey")" = note ]
    KRS_CACHE=off run -2 --separate-stderr "$KERSEY" cache ls
    [[ "$stderr" == *"there is no cache"* ]]
    run -2 --separate-stderr "$KERSEY" cache empty
    [[ "$stderr" == *"expected ls or clear"* ]]
    KRS_CACHE="$mlp" run -1 --separate-stderr "$KERSEY" cache clear
    [ -e "$mlp" ]
}

@test "KRS_PLAN chooses how memory is used, and results stay the same" {
    step() {
        run -0 --separate-stderr "$KERSEY" bench train --preset llama-tiny \
            --batch 2 --seq 16 --steps 2 --backend interp --json
        loss="${output##*\"loss\":}"
    }
    arena() {
        run -0 --separate-stderr "$KERSEY" graph "$mlp" --grad \
            --stage memory --backend interp
        [[ "${lines[0]}" == "arena "*" bytes, at least "* ]]
        bytes="${lines[0]#arena }"
        bytes="${bytes%% *}"
    }
    step
    expected="$loss"
    arena
    shared="$bytes"
    for use in on off poison; do
        export KRS_PLAN="$use"
        step
        [ "$loss" = "$expected" ]
    done
    export KRS_PLAN=off
    arena
    [ "$bytes" -gt "$shared" ]
    KRS_PLAN=half run -2 --separate-stderr "$KERSEY" graph "$mlp" --stage expand
    [ "$stderr" = "kersey graph: error: KRS_PLAN=half: expected on, off or poison" ] ||
        [[ "$stderr" == *"KRS_PLAN=half: expected on, off or poison"* ]]
}

@test "fusion says what became one kernel, and why the rest did not" {
    said="$BATS_TEST_TMPDIR/said" # a long text
    "$KERSEY" graph llama-tiny --grad --stage fusion \
        --backend interp >"$said"
    grep -q "mul (llama.c:.*model.layers.0.input_layernorm) into .*: one kernel" \
        "$said"
    grep -q ": no: " "$said"
    KRS_FUSE=off "$KERSEY" graph llama-tiny --grad --stage fusion \
        --backend interp >"$said"
    [ ! -s "$said" ]
}

@test "--trace writes when each kernel ran" {
    for backend in interp cpu; do
        needs $backend
        trace="$BATS_TEST_TMPDIR/$backend.json"
        run -0 --separate-stderr "$KERSEY" bench train --preset llama-tiny \
            --batch 2 --seq 16 --steps 2 --backend $backend --trace "$trace"
        [ "$(jq '.traceEvents | length > 20 and all(.ph == "X" and .dur > 0
            and (.args.at | test("[.]c:[0-9]+$")))' "$trace")" = true ]
        [ "$(jq '[.traceEvents[] | select(.name | test("matmul"))] | length > 0' \
            "$trace")" = true ]
    done
    run -1 --separate-stderr "$KERSEY" bench gemm --m 8 --n 8 --k 8 \
        --trace /nowhere/trace.json
    [[ "$stderr" == *"/nowhere/trace.json: cannot be written: No such file"* ]]
}
