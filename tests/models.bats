#!/usr/bin/env bats
# models.bats -- kersey verify and kersey generate on the golden models, what
# they say about mistakes, and the map from equations to lines.

bats_require_minimum_version 1.5.0

MODELS="$TESTS_DIR/golden/models"

# a mistake: exit code $1, one line on stderr that says $2
refused() {
    local code=$1 says=$2
    shift 2
    run "-$code" --separate-stderr "$KERSEY" "$@"
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ "$stderr" == "kersey $1: error: "*"$says"* ]]
}

# a copy of a golden model, with config.json changed by jq
changed() {
    cp -r "$MODELS/$1" "$BATS_TEST_TMPDIR/$1"
    chmod -R u+w "$BATS_TEST_TMPDIR/$1"
    jq "$2" "$MODELS/$1/config.json" >"$BATS_TEST_TMPDIR/$1/config.json"
    echo "$BATS_TEST_TMPDIR/$1"
}

# backends whose compilers take minutes for this are tested elsewhere
@test "verify compares every tensor of every model folder on eval, interp, cpu" {
    set -o pipefail
    backends=$("$KERSEY" doctor --json | jq -r '.devices[] | select(.present and
        (.name | IN("eval", "interp", "cpu"))).name')
    [[ "$backends" == eval* ]]
    first=
    for backend in $backends; do
        run -0 --separate-stderr "$KERSEY" verify "$MODELS"/* \
            --backend "$backend"
        [ "$(tail -n 1 <<<"$output")" = "737 passed, 0 failed" ]
        [ "$(grep -c '^  grad .* passed, 0 failed' <<<"$output")" -eq 15 ]
        [ "$(grep -c '^  greedy .*; exact$' <<<"$output")" -eq 12 ]
        [ -z "$stderr" ]
        # as many of each kind in each folder as on eval
        counts=$(sed 's/;.*//' <<<"$output")
        [ -z "$first" ] || [ "$counts" = "$first" ]
        first=$counts
    done
}

@test "verify ends with 3 and names the tensors when one falls short" {
    folder=$(changed llama_mha '.rms_norm_eps = 1e-4')
    run -3 --separate-stderr "$KERSEY" verify "$folder"
    [[ "$output" == *"  logits: "*"worst at ["* ]]
    [[ "$output" == *"  grad.model.norm.weight: "* ]]
    [[ "$(tail -n 1 <<<"$output")" != *" 0 failed" ]]
}

@test "verify compares the greedy ids exactly" {
    folder=$(changed llama_mha .)
    jq '.generation[0].max_new_tokens = 11' "$MODELS/llama_mha/golden.json" \
        >"$folder/golden.json"
    run -3 --separate-stderr "$KERSEY" verify "$folder"
    [[ "$output" == *"  greedy    0 passed, 1 failed"* ]]
    [ "$(tail -n 1 <<<"$output")" = "26 passed, 1 failed" ]
}

@test "verify compares what beams find, and their scores" {
    folder=$(changed bart .)
    jq '(.generation[] | select(.kind == "beam") | .length_penalty) = 2' \
        "$MODELS/bart/golden.json" >"$folder/golden.json"
    run -3 --separate-stderr "$KERSEY" verify "$folder"
    # the order of the beams is another as well, or their scores alone
    [[ "$output" =~ "  beam      "[012]" passed, "[234]" failed" ]]
}

@test "verify says what is wrong with a folder" {
    refused 1 "nowhere/golden.json" verify nowhere
    folder=$(changed llama_mha '.num_key_value_heads = 3')
    refused 1 "config.json: \$.num_attention_heads: 4 is not a multiple of \
num_key_value_heads 3" verify "$folder"
    jq '.class = "GPT2LMHeadModel"' "$MODELS/llama_mha/golden.json" \
        >"$folder/golden.json"
    jq . "$MODELS/llama_mha/config.json" >"$folder/config.json"
    refused 1 'golden.json: $.class: expected "LlamaForCausalLM", as' \
        verify "$folder"
    rm "$folder/golden.safetensors"
    jq . "$MODELS/llama_mha/golden.json" >"$folder/golden.json"
    refused 1 "golden.safetensors" verify "$folder"
}

@test "embed gives a vector a text, in the order of the texts" {
    bert="$MODELS/bert"
    printf 'one\nanother\n\x20\n' >"$BATS_TEST_TMPDIR/lines"
    "$KERSEY" embed "$bert" --data "$BATS_TEST_TMPDIR/lines" \
        >"$BATS_TEST_TMPDIR/vectors"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/vectors")" -eq 3 ]
    [ "$(awk '{ print NF }' "$BATS_TEST_TMPDIR/vectors" | sort -u)" = 32 ]
    # alike alone and through stdin
    cmp "$BATS_TEST_TMPDIR/vectors" <("$KERSEY" embed "$bert" \
        <"$BATS_TEST_TMPDIR/lines")
    "$KERSEY" embed "$bert" another --json >"$BATS_TEST_TMPDIR/json"
    [ "$(jq -c '[.text, .tokens, (.embedding | length)]' \
        "$BATS_TEST_TMPDIR/json")" = '["another",7,32]' ]
    paste <(jq '.embedding[]' "$BATS_TEST_TMPDIR/json") \
        <(sed -n 2p "$BATS_TEST_TMPDIR/vectors" | tr ' ' '\n') |
        awk '{ d = $1 - $2; n += $1 * $1; bad += d > 1e-6 || d < -1e-6 }
            END { exit NR != 32 || bad || n < 0.999999 || n > 1.000001 }'
}

@test "generate takes GPT-2, and an encoder-decoder with the prompt as source" {
    for model in gpt2 t5 bart marian; do
        "$KERSEY" generate "$MODELS/$model" -p abc -n 5 -t 0 --json \
            >"$BATS_TEST_TMPDIR/json" 2>/dev/null
        # BART ends at once
        [ "$(jq -c '[.prompt_ids, (.ids | length) == (if .ended then 1 else 5
            end)]' "$BATS_TEST_TMPDIR/json")" = "[[97,98,99],true]" ]
        # what the other interpreter of the graph goes on with
        [ "$(jq -c .ids "$BATS_TEST_TMPDIR/json")" = "$("$KERSEY" generate \
            "$MODELS/$model" -p abc -n 5 -t 0 --json --backend eval \
            2>/dev/null | jq -c .ids)" ]
    done
    refused 1 '"bert" is no decoder-only language model' \
        generate "$MODELS/bert" -p a
}

@test "generate searches with beams, the same on every backend" {
    for model in gpt2 t5 bart marian; do
        beams() {
            "$KERSEY" generate "$MODELS/$model" -p abc -n 6 --json "$@" \
                2>/dev/null | jq -c .ids
        }
        [ "$(beams --beams 3)" = "$(beams --beams 3 --backend eval)" ]
        # the seed and what shapes a draw do not count
        [ "$(beams --beams 3)" = "$(beams --beams 3 --seed 9 --top-k 1)" ]
    done
    # a search finds what the likeliest id each time does not
    model=bart
    [ "$(beams --beams 3)" != "$(beams -t 0)" ]
    refused 2 "--beams wants a whole number from 1" \
        generate "$MODELS/bart" -p a --beams 0
}

@test "graph and plan take every architecture" {
    for model in gpt2 bert ernie bart marian t5 t5_v1_1; do
        "$KERSEY" graph "$MODELS/$model" --batch 1 --seq 4 \
            >"$BATS_TEST_TMPDIR/graph"
        tail -n 1 "$BATS_TEST_TMPDIR/graph" | grep -q '^return %'
        "$KERSEY" graph "$MODELS/$model" --batch 1 --seq 4 --stage grad |
            tail -n 1 | awk '{ exit NF < 10 }'
        "$KERSEY" plan "$MODELS/$model" --batch 1 --seq 4 --backend interp \
            --json >"$BATS_TEST_TMPDIR/json"
        # PyTorch counts the sines of Marian's two sides, [32, 32] each
        sines=0
        [ $model != marian ] || sines=2048
        [ "$(jq .parameters "$BATS_TEST_TMPDIR/json")" -eq \
            "$(jq ".parameter_count - $sines" "$MODELS/$model/golden.json")" ]
    done
    "$KERSEY" plan bert-tiny --forward --backend interp --json |
        jq -e '.total_bytes > 16e6'
    run -2 --separate-stderr "$KERSEY" bench decode --preset bert-tiny
    [[ "$stderr" == *'"bert" is no decoder-only'* ]]
}

@test "gradients of a model of each family are slopes of its loss" {
    check_slopes() {
        run -0 --separate-stderr "$KERSEY" check "$MODELS/$1" --grad \
            --elements 1 --batch 1 --seq 3 --backend $2
        [[ "$(tail -n 1 <<<"$output")" == *" passed, 0 failed" ]]
    }
    for model in gpt2 ernie bart t5_v1_1; do
        check_slopes $model eval
    done
    check_slopes t5 interp # relu, so kinks
}

@test "embed says what is wrong" {
    refused 1 '"gpt2" is no encoder' embed "$MODELS/gpt2" a
    refused 1 "nowhere/config.json" embed nowhere a
    refused 1 "text 0: 0 tokens" embed "$MODELS/bert" ""
    refused 2 "of TEXT and --data one is possible" \
        embed "$MODELS/bert" a --data x
}

@test "generate prints the prompt and the same bytes for the same seed" {
    run -0 --separate-stderr "$KERSEY" generate "$MODELS/llama_mqa_headdim" \
        -p "abc" -n 6 --seed 4
    [[ "$output" == abc* ]]
    [[ "$stderr" == *"tokens/s"* ]]
    continue_with() {
        "$KERSEY" generate "$MODELS/llama_mqa_headdim" -p abc -n 30 "$@" \
            2>/dev/null | od -An -tx1
    }
    [ "$(continue_with --seed 4)" = "$(continue_with --seed 4)" ]
    [ "$(continue_with --seed 4)" != "$(continue_with --seed 5)" ]
    # the likeliest token, three ways of asking for it
    [ "$(continue_with -t 0)" = "$(continue_with --top-k 1)" ]
    [ "$(continue_with -t 0)" = "$(continue_with --top-p 1e-6 --seed 7)" ]
}

@test "generate reads quantised weights as they are, and widened, to the same text" {
    ids() { # FILE FLAGS...
        "$KERSEY" generate "$1" -p abc -n 12 --seed 4 --tokenizer bytes --json \
            "${@:2}" 2>/dev/null | jq -c .ids
    }
    for type in q8_0 q4_0; do
        file="$BATS_TEST_TMPDIR/$type.gguf"
        "$KERSEY" convert "$MODELS/llama_gqa" -o "$file" --dtype "$type"
        "$KERSEY" inspect "$file" --json | jq -e --arg t "${type^^}" \
            '.dtypes[$t].tensors > 0'
        for backend in cpu interp; do
            as_they_are=$(ids "$file" --backend "$backend")
            [ "$(jq length <<<"$as_they_are")" -eq 12 ]
            [ "$as_they_are" = "$(ids "$file" --backend "$backend" --widen)" ]
        done
    done
}

@test "generate goes on beyond the context of the model" {
    folder=$(changed llama_mqa_headdim '.eos_token_id = null')
    # the model has 64 places
    "$KERSEY" generate "$folder" -p abc -n 150 --json \
        >"$BATS_TEST_TMPDIR/json" 2>/dev/null
    [ "$(jq -c '[.prompt_ids, (.ids | length), .ended]' \
        "$BATS_TEST_TMPDIR/json")" = "[[97,98,99],150,false]" ]
}

@test "what generate writes is UTF-8, whatever bytes the model makes" {
    folder=$(changed llama_mqa_headdim '.eos_token_id = null')
    "$KERSEY" generate "$folder" -p abc -n 200 --temperature 9 --seed 3 \
        >"$BATS_TEST_TMPDIR/text" 2>/dev/null
    iconv -f UTF-8 -t UTF-8 "$BATS_TEST_TMPDIR/text" >"$BATS_TEST_TMPDIR/same"
    cmp "$BATS_TEST_TMPDIR/text" "$BATS_TEST_TMPDIR/same"
    grep -q $'\xef\xbf\xbd' "$BATS_TEST_TMPDIR/text"
    # the text of --json is what is written without it
    [ "$("$KERSEY" generate "$folder" -p abc -n 200 --temperature 9 --seed 3 \
        --json 2>/dev/null | jq -j '.prompt + .text + "\n"' | sha256sum)" = \
        "$(sha256sum <"$BATS_TEST_TMPDIR/text")" ]
}

@test "generate takes the tokenizer of the folder, and stops where it ends" {
    tokenizer="$TESTS_DIR/golden/tokenizers/bytelevel_bpe"
    size=$(jq '[.model.vocab[], .added_tokens[].id] | max + 1' \
        "$tokenizer/tokenizer.json")
    # the sizes of the model, with fresh weights for this vocabulary
    "$KERSEY" train llama-tiny --tokenizer "$tokenizer/tokenizer.json" \
        --data "$TESTS_DIR/README.md" --steps 1 --batch 1 --seq 8 \
        --out "$BATS_TEST_TMPDIR/run" 2>/dev/null
    model=$(echo "$BATS_TEST_TMPDIR"/run/checkpoint-*)
    [ "$(jq .vocab_size "$model/config.json")" -eq "$size" ]
    cmp "$tokenizer/tokenizer.json" "$model/tokenizer.json"
    "$KERSEY" generate "$model" -p "Hello, world" -n 9 --json 2>/dev/null \
        >"$BATS_TEST_TMPDIR/json"
    [ "$(jq -c .prompt_ids "$BATS_TEST_TMPDIR/json")" = "[$("$KERSEY" \
        tokenize -t "$model" "Hello, world" | tr ' ' ,)]" ]
    ids=$(jq -r '.ids | map(tostring) | join(" ")' "$BATS_TEST_TMPDIR/json")
    # another tokenizer of the same size gives the same ids
    [ "$("$KERSEY" generate "$model" --tokenizer "$tokenizer" -n 9 --json \
        -p "Hello, world" 2>/dev/null | jq -r \
        '.ids | map(tostring) | join(" ")')" = "$ids" ]
    # the first new id as eos: nothing is written, the answer has ended
    first=${ids%% *}
    echo "{\"eos_token_id\": [$first]}" >"$model/generation_config.json"
    [ "$("$KERSEY" generate "$model" -p "Hello, world" -n 9 --json \
        2>/dev/null | jq -c '[.ids, .ended]')" = "[[$first],true]" ]
}

@test "generate ends with 130 when it is interrupted" {
    folder=$(changed llama_mqa_headdim '.eos_token_id = null')
    text="$BATS_TEST_TMPDIR/text"
    : >"$text"
    set -m # so that the program does not ignore the signal
    "$KERSEY" generate "$folder" -p abc -n 10000000 >"$text" \
        2>"$BATS_TEST_TMPDIR/talk" &
    while [ "$(wc -c <"$text")" -le 100 ]; do
        kill -0 $!
        sleep 0.1
    done
    kill -INT $!
    code=0
    wait $! || code=$?
    [ "$code" -eq 130 ]
    grep -q "tokens/s$" "$BATS_TEST_TMPDIR/talk"
}

@test "generate says what is wrong" {
    mha="$MODELS/llama_mha"
    refused 2 "-p TEXT" generate "$mha"
    refused 2 "-p TEXT" generate "$mha" -p ""
    refused 1 "id 230 at byte 0 of the prompt is outside the model's \
vocabulary" generate "$mha" -p "日" -n 1
    refused 1 "vocabulary of 257 is more than bytes" \
        generate "$MODELS/llama_gqa" -p a
    refused 1 "byte 1" generate "$mha" -p $'a\xff' -n 1
    refused 1 "no chat template" generate "$mha" -p a --chat
    refused 1 "no chat template" generate "$mha" -p a --system s
    refused 1 'there is no "morse"' generate "$mha" -p a --template morse
    refused 1 "needs the bos token" generate "$mha" -p a --template llama3
    refused 1 "nowhere: there is no such file or folder" \
        generate "$mha" -p a --tokenizer nowhere
    refused 2 "--temperature wants a number from 0" generate "$mha" -p a --temperature -1
    refused 1 "top_p 1.5" generate "$mha" -p a --top-p 1.5
    refused 1 "nowhere" generate nowhere -p a
    refused 77 "nothing" generate "$mha" -p a --backend nothing
}

# | equation | source | file:line | `code` |
@test "each line of the equation map holds the code beside it" {
    folder="$TESTS_DIR/../models"
    rows=0
    while IFS= read -r row; do
        place=$(sed -E 's/.*\| ([a-z_]+\.c:[0-9]+) \|.*/\1/' <<<"$row")
        code=$(sed -E 's/.*\| `(.*)` \|$/\1/' <<<"$row")
        line=$(sed -n "${place#*:}p" "$folder/${place%:*}")
        [[ "$line" == *"$code"* ]] || {
            echo "$place is \"$line\", without \"$code\""
            false
        }
        rows=$((rows + 1))
    done < <(grep -E '^\|.*\| [a-z_]+\.c:[0-9]+ \|' "$folder/README.md")
    [ "$rows" -ge 20 ]
}
