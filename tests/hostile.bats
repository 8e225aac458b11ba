#!/usr/bin/env bats
# hostile.bats -- the program and the library where the world is unkind: killed at
# any moment, a full disk, no home, another locale. (Malformed files, memory that
# runs out and processes that are killed while they write have suites of their
# own.) KERSEY is the program, with libkersey.so beside it.

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    seq 300 >text
    tiny="--batch 1 --seq 8 --layers 1 --dim 8 --heads 1 --ffn 8 --backend interp"
    RANDOM=7
}

teardown() {
    local disk
    for disk in small fixed; do
        if mountpoint -q $disk; then umount $disk; fi
    done
}

# one sentence on stderr, nothing on stdout
one_sentence() {
    [ -z "$output" ]
    [ "${#stderr_lines[@]}" -eq 1 ] || { echo "$stderr"; return 1; }
    [[ "$stderr" == "kersey $1: error: "*"$2"* ]] || { echo "$stderr"; return 1; }
}

@test "a run that is interrupted at a hundred random moments goes on each time" {
    from=
    # up to twice as late as the first checkpoint; once (a second signal kills)
    began=$(date +%s%N)
    "$KERSEY" train --data text $tiny --steps 7 --out first >/dev/null 2>&1
    most=$((($(date +%s%N) - began) / 500000 + 20)) # ms
    for i in $(seq 100); do
        code=0
        timeout --foreground --preserve-status -s INT \
            "$(printf '0.%03d' $((RANDOM % (most < 990 ? most : 990) + 10)))" \
            "$KERSEY" train --data text $tiny --steps 1000000 --save-every 7 \
            --out run $from >out 2>err || code=$?
        # 130 from the program, or from the system before it listened
        [ "$code" -eq 130 ] || { cat err; return 1; }
        [ -s out ] && { cat out; return 1; }
        run ! grep -v 'parameters; \|^results in\|^continuing\|^step \|stopped after\|^saved \|^kersey train: error: training: stopped' err
        if ls run/checkpoint-* >/dev/null 2>&1; then
            from="--resume run"
        else
            rm -rf run
        fi
    done
    [ -n "$from" ]
    "$KERSEY" inspect run/checkpoint-*[0-9] >/dev/null ||
        "$KERSEY" inspect "$(ls -d run/checkpoint-* | tail -1)" >/dev/null
    # every step from the first to the last, each once
    steps=$(jq -s 'map(.step) == [range(1; length + 1)]' run/metrics.jsonl)
    [ "$steps" = true ]
    [ "$(ls run | grep -vc '^checkpoint-[0-9]*$')" -eq 1 ] # metrics.jsonl
}

@test "a full disk is one sentence, and what was whole stays whole" {
    mkdir small
    mount -t tmpfs -o size=128k none small 2>/dev/null || skip "cannot mount a small disk"
    "$KERSEY" train --data text $tiny --steps 3 --out small/run >/dev/null 2>&1
    cp -r small/run/checkpoint-00000003 before
    head -c 200000 /dev/zero >small/filler 2>/dev/null || true
    [ "$(df --output=avail small | tail -1)" -eq 0 ]
    run -1 --separate-stderr "$KERSEY" train --data text $tiny --resume small/run \
        --steps 6
    [ -z "$output" ]
    [[ "${stderr_lines[-1]}" == "kersey train: error: "*"No space left on device"* ]]
    diff -r before small/run/checkpoint-00000003
    run -1 --separate-stderr "$KERSEY" convert \
        "$TESTS_DIR/golden/models/llama_mha/model.safetensors" -o small/w.npz
    one_sentence convert "No space left on device"
    [ ! -e small/w.npz ]
    # a cache without room is a warning
    run -0 --separate-stderr env KRS_CACHE="$PWD/small/cache" "$KERSEY" conform \
        --cases "$TESTS_DIR/golden/ops" --only softmax --backend interp
    [[ "$output" == "7 passed, 0 failed, 0 skipped" ]]
    [[ "$stderr" == *"No space left on device"* ]]
    rm small/filler
    "$KERSEY" train --data text $tiny --resume small/run --steps 6 >/dev/null 2>&1
    [ -d small/run/checkpoint-00000006 ]
}

@test "without a home to write to there is no cache, and everything works" {
    mkdir fixed
    mount -t tmpfs -o ro none fixed 2>/dev/null || skip "cannot mount a read-only disk"
    for home in /dev/null "$PWD/text" "$PWD/fixed"; do
        run -0 --separate-stderr env -u KRS_CACHE -u XDG_CACHE_HOME HOME=$home \
            "$KERSEY" conform --cases "$TESTS_DIR/golden/ops" --only softmax \
            --backend interp
        [ "$output" = "7 passed, 0 failed, 0 skipped" ]
        [ "${#stderr_lines[@]}" -le 1 ]
        [ -z "$stderr" ] || [[ "$stderr" == "kersey: warning: cache $home/"* ]]
    done
    run -0 --separate-stderr env -u KRS_CACHE -u XDG_CACHE_HOME -u HOME \
        "$KERSEY" conform --cases "$TESTS_DIR/golden/ops" --only softmax
    [ "$output" = "7 passed, 0 failed, 0 skipped" ]
}

@test "numbers are read and written alike where the decimal point is a comma" {
    mkdir locales
    localedef -i de_DE -f UTF-8 locales/de_DE.UTF-8 2>/dev/null ||
        skip "no sources of locales (Debian: locales)"
    cat >comma.c <<'C'
#include <krs/krs.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY(call) if ((call) != KRS_OK) return puts(err.text), 1
int main(int argc, char **argv)
{
    krs_error err;
    krs_graph *g;
    char *text;
    krs_llama_config config;
    float got;
    if (argc != 3 || !setlocale(LC_ALL, "de_DE.UTF-8") ||
        strcmp(localeconv()->decimal_point, ","))
        return 77;
    const char *source = "%1 = constant f32[2] data=[0.5, 1e-05]\n"
                         "%2 = sum f32[] %1 axes=[0] keep=false\nreturn %2\n";
    krs_node out;
    TRY(krs_graph_parse(source, &g, &out, 1, NULL, &err));
    TRY(krs_graph_print(g, &out, 1, NULL, &text, &err));
    if (strcmp(text, source))
        return puts(text), 1;
    TRY(krs_llama_config_read(argv[1], &config, &err));
    if (config.rms_norm_eps <= 0 || config.rms_norm_eps >= 0.01)
        return printf("eps %g\n", config.rms_norm_eps), 1;
    TRY(krs_llama_config_write(argv[2], &config, &err));
    krs_device *device;
    krs_store *store;
    krs_program *p;
    TRY(krs_device_open("interp", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_program_new(store, &out, 1, &p, &err));
    TRY(krs_program_run(p, &err));
    TRY(krs_program_read(p, 0, &got, sizeof got, &err));
    puts(got == 0.5F + 1e-5F ? "the same" : "other");
    return 0;
}
C
    build=$(dirname "$KERSEY")
    cc comma.c -I"$TESTS_DIR/../include" -L"$build" -lkersey -Wl,-rpath,"$build" -o comma
    config="$TESTS_DIR/golden/models/llama_mha/config.json"
    run -0 env LOCPATH="$PWD/locales" ./comma "$config" written.json
    [ "$output" = "the same" ]
    [ "$(jq .rms_norm_eps written.json)" = "$(jq .rms_norm_eps "$config")" ]
}

@test "with little memory every command ends with a sentence, and none crashes" {
    golden="$TESTS_DIR/golden" model="$TESTS_DIR/golden/models/llama_mha"
    export KRS_CACHE=off
    declare -A codes=()
    limited() { # KILOBYTES COMMAND ...
        code=0
        (ulimit -v "$1" && exec timeout 60 "$KERSEY" "${@:2}") >out 2>err || code=$?
        echo "$1 kB, $2: exit code $code: $(cat err)"
        [[ "$code" =~ ^(0|1|77)$ ]]
        # doctor reports the failures of drivers on stdout
        [ "$code" -eq 0 ] || [ "$2" = doctor ] ||
            [ "$(grep -c "^kersey $2: error: " err)" -eq 1 ]
        codes[$code]=yes
    }
    # (train has more of them in device.bats)
    for kilobytes in 12000 205000 240000; do
        limited $kilobytes inspect "$model" --stats
        limited $kilobytes tokenize -t "$golden/tokenizers/bert_wordpiece" "Hello, world"
        limited $kilobytes tokenizer train --data text --vocab 300 -o words
        limited $kilobytes convert "$model" -o model.gguf --dtype q8_0
        limited $kilobytes generate "$model" -p Hello -n 4
        limited $kilobytes verify "$model"
        limited $kilobytes conform --cases "$golden/ops" --only softmax
        limited $kilobytes plan llama-tiny --batch 1 --seq 8
        limited $kilobytes bench gemm --m 256 --n 256 --k 256 --threads 2
        limited $kilobytes doctor
    done
    limited 650000 doctor
    [ -n "${codes[0]}" ] && [ -n "${codes[1]}" ]
}

@test "commands end quietly when their reader goes away" {
    for command in "ops" "graph llama-15m" "doctor --json"; do
        run bash -c "'$KERSEY' $command 2>err | head -c 10 >/dev/null; echo \${PIPESTATUS[0]}"
        # ended by SIGPIPE, or done before, or told that stdout is closed
        [[ "$output" =~ ^(141|0|1)$ ]]
        [ "$(wc -l <err)" -le 1 ]
    done
}
