#!/usr/bin/env bats
# files.bats -- kersey inspect and kersey convert: what is in a file, and the
# same tensors in another format.

bats_require_minimum_version 1.5.0

MODEL="$TESTS_DIR/golden/models/llama_gqa"
GGUF="$TESTS_DIR/golden/gguf/llama_gqa.gguf"

# a mistake: exit code $1, one line on stderr that says $2
refused() {
    local code=$1 says=$2
    shift 2
    run "-$code" --separate-stderr "$KERSEY" "$@"
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ "$stderr" == "kersey $1: error: "*"$says"* ]]
}

same() {
    run -0 --separate-stderr "$KERSEY" inspect "$1" --diff "$2"
    [ "$output" = "the same" ]
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

@test "inspect shows the settings, tokenizer and tensors of a GGUF file" {
    run -0 --separate-stderr "$KERSEY" inspect "$GGUF"
    [[ "$output" == *"# llama.block_count = 3"* ]]
    [[ "$output" == *'# tokenizer: "gpt2/smollm", 257 tokens, 3 merges'* ]]
    [[ "$output" == *"token_embd.weight"*"F32[257,48]"* ]]
    [[ "${lines[-1]}" == *"29 tensors"*"72576 parameters"* ]]
    "$KERSEY" inspect "$GGUF" --json >gguf.json
    [ "$(jq -r '.config["llama.embedding_length"]' gguf.json)" = 48 ]
    [ "$(jq -c '.tokenizer' gguf.json)" = \
        '{"kind":"gpt2/smollm","tokens":257,"merges":3}' ]
    [ "$(jq '.config["tokenizer.ggml.tokens"].count' gguf.json)" = 257 ]
    [ "$(jq '.tensors | length' gguf.json)" = 29 ]
}

@test "inspect shows the config and tokenizer of a folder" {
    mkdir model
    cp "$MODEL"/*.json "$MODEL/model.safetensors" model
    echo '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}' \
        >model/tokenizer.json
    run -0 --separate-stderr "$KERSEY" inspect model
    [[ "$output" == *"# hidden_size = 48"* ]]
    [[ "$output" == *'# tokenizer: "BPE", 2 tokens, 0 merges'* ]]
    [ "$("$KERSEY" inspect model --json | jq .config.vocab_size)" = 257 ]
    [ "$("$KERSEY" inspect "$MODEL" --json | jq .tokenizer)" = null ]
}

@test "inspect shows one tensor, and writes it for NumPy" {
    run -0 --separate-stderr "$KERSEY" inspect "$GGUF" --stats \
        --tensor output_norm.weight
    [ "${#lines[@]}" -eq 4 ]
    [[ "${lines[0]}" == "output_norm.weight"*"F32[48]"* ]]
    "$KERSEY" inspect "$GGUF" --tensor output_norm.weight --npy norm.npy
    [ "$(head -c 6 norm.npy | od -An -tx1)" = " 93 4e 55 4d 50 59" ]
    [ "$(stat -c %s norm.npy)" = 320 ]
    [[ "$(head -n 1 norm.npy)" == *"{'descr': '<f4', 'fortran_order': False, \
'shape': (48,), }"* ]]
    run -0 "$KERSEY" inspect norm.npy
    [[ "${lines[0]}" == "norm  F32[48]"*"192 bytes" ]]
    refused 1 'there is no tensor "x"' inspect "$GGUF" --tensor x
    refused 2 "--tensor NAME" inspect "$GGUF" --npy x.npy
    refused 2 "--diff stands alone" inspect "$GGUF" --diff x --stats
}

@test "inspect tells two models apart, tensor by tensor" {
    "$KERSEY" convert "$MODEL" -o half.safetensors --dtype f16
    run -3 --separate-stderr "$KERSEY" inspect "$MODEL" --diff half.safetensors
    [ "${#lines[@]}" -eq 29 ]
    [[ "${lines[0]}" == *"F32[257,48] and F16[257,48]: "*" of 12336 elements \
differ, most "*", by "* ]]
    [[ "$stderr" == *"29 tensors differ" ]]
    run -3 --separate-stderr "$KERSEY" inspect "$MODEL" --diff "$GGUF"
    [[ "$output" == *'"model.norm.weight": only in '* ]]
}

@test "a folder becomes the GGUF file that others write, and comes back" {
    "$KERSEY" convert "$MODEL" -o a.gguf
    same a.gguf "$GGUF"
    "$KERSEY" convert "$GGUF" -o folder/
    same folder "$MODEL"
    cmp folder/model.safetensors "$MODEL/model.safetensors"
    "$KERSEY" convert a.gguf -o again/
    cmp folder/config.json again/config.json
    for golden in golden.json golden.safetensors; do
        cp "$MODEL/$golden" folder
    done
    run -0 --separate-stderr "$KERSEY" verify folder
    [[ "$(tail -n 1 <<<"$output")" == *" passed, 0 failed" ]]
}

# it has biases, and its rows are not turned
@test "a Qwen2 becomes a GGUF file, and comes back" {
    qwen2="$TESTS_DIR/golden/models/qwen2"
    "$KERSEY" convert "$qwen2" -o qwen2.gguf
    "$KERSEY" inspect qwen2.gguf --json >json
    jq -e '.config["general.architecture"] == "qwen2" and
        .config["qwen2.attention.head_count_kv"] == 2' json
    "$KERSEY" inspect "$qwen2" --tensor model.layers.1.self_attn.q_proj.weight \
        --npy hf.npy
    "$KERSEY" inspect qwen2.gguf --tensor blk.1.attn_q.weight --npy gguf.npy
    cmp hf.npy gguf.npy
    "$KERSEY" convert qwen2.gguf -o qwen2/
    same qwen2 "$qwen2"
    cp "$qwen2"/golden.* qwen2
    run -0 --separate-stderr "$KERSEY" verify qwen2
    [[ "$(tail -n 1 <<<"$output")" == *" passed, 0 failed" ]]
}

@test "a Mistral whose queries see all keys becomes a LLaMA as GGUF" {
    mistral="$TESTS_DIR/golden/models/mistral"
    refused 1 "sliding_window is 6; GGUF has no setting for it" \
        convert "$mistral" -o mistral.gguf
    mkdir all
    cp "$mistral/model.safetensors" all
    jq '.sliding_window = null' "$mistral/config.json" >all/config.json
    "$KERSEY" convert all -o mistral.gguf
    [ "$("$KERSEY" generate mistral.gguf -p Hello -n 9 --backend eval)" = \
        "$("$KERSEY" generate all -p Hello -n 9 --backend eval)" ]
}

@test "linear rope scaling survives GGUF" {
    "$KERSEY" convert "$TESTS_DIR/golden/models/llama_rope_linear" -o rope.gguf
    "$KERSEY" convert rope.gguf -o linear/
    same linear "$TESTS_DIR/golden/models/llama_rope_linear"
    [ "$(jq -cS .rope_parameters linear/config.json)" = "$(jq -cS \
        .rope_parameters "$TESTS_DIR/golden/models/llama_rope_linear/config.json")" ]
}

@test "the divisors of llama3 are written, and recognised" {
    mkdir l3
    cp "$MODEL/model.safetensors" l3
    jq '.rope_parameters = {rope_type: "llama3", rope_theta: 500000.0,
        factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0,
        original_max_position_embeddings: 8192}' "$MODEL/config.json" \
        >l3/config.json
    "$KERSEY" convert l3 -o l3.gguf
    [ "$("$KERSEY" inspect l3.gguf --tensor rope_freqs.weight --json |
        jq -c '.tensors[0].shape')" = "[4]" ]
    "$KERSEY" convert l3.gguf -o back/
    [ "$(jq -cS .rope_parameters back/config.json)" = \
        "$(jq -cS .rope_parameters l3/config.json)" ]
    # other divisors are no llama3
    jq '.rope_parameters.low_freq_factor = 2.0' l3/config.json >changed
    mv changed l3/config.json
    "$KERSEY" convert l3 -o other.gguf
    refused 1 "rope_freqs.weight does not hold the divisors" \
        convert other.gguf -o back/
}

@test "a tokenizer.json goes into a GGUF file and out again" {
    mkdir model
    cp "$MODEL/config.json" "$MODEL/model.safetensors" model
    echo '{"model": {"type": "WordLevel", "vocab": {"ä": 0}}}' \
        >model/tokenizer.json
    "$KERSEY" convert model -o model.gguf
    "$KERSEY" convert model.gguf -o back/
    cmp model/tokenizer.json back/tokenizer.json
}

@test "converting twice gives the same bytes" {
    for out in a.gguf a.npz a.safetensors; do
        "$KERSEY" convert "$MODEL" -o "$out"
        cp "$out" first
        sleep 0.01
        "$KERSEY" convert "$MODEL" -o "$out"
        cmp "$out" first
    done
}

@test "npz holds the same tensors" {
    "$KERSEY" convert "$MODEL" -o model.npz
    same model.npz "$MODEL"
    "$KERSEY" convert model.npz -o back.safetensors
    same back.safetensors "$MODEL"
    cp -r "$TESTS_DIR/golden/npz" .
    same npz/stored.npz npz/packed.npz
    "$KERSEY" convert npz/packed.npz -o repacked.npz
    same npz/stored.npz repacked.npz
}

@test "types are chosen, and what a format has not is said" {
    for type in f32 f16 bf16 q8_0 q4_0; do
        "$KERSEY" convert "$MODEL" -o $type.gguf --dtype $type
        [ "$("$KERSEY" inspect $type.gguf --json --tensor \
            blk.0.ffn_down.weight | jq -r '.tensors[0].dtype')" = ${type^^} ]
        [ "$("$KERSEY" inspect $type.gguf --json --tensor \
            output_norm.weight | jq -r '.tensors[0].dtype')" = F32 ]
    done
    [ "$("$KERSEY" inspect q8_0.gguf --json |
        jq '.config["general.file_type"]')" = 7 ]
    # dequantised where there are no blocks
    "$KERSEY" convert q8_0.gguf -o back.npz
    [ "$("$KERSEY" inspect back.npz --json |
        jq -r '[.tensors[].dtype] | unique | join(" ")')" = F32 ]
    refused 1 "Q6_K is not written in this format" \
        convert "$MODEL" -o x.gguf --dtype q6_k
    refused 1 "BF16 is not written in this format" \
        convert "$MODEL" -o x.npz --dtype bf16
    refused 1 "Q8_0 is not written in this format" \
        convert "$MODEL" -o x.npz --dtype q8_0
    refused 1 "which is not converted to I8" \
        convert "$MODEL" -o x.npz --dtype i8
    refused 2 'no type' convert "$MODEL" -o x.gguf --dtype q9
    refused 2 "where to?" convert "$MODEL"
    refused 2 "names no format" convert "$MODEL" -o x.bin
    refused 1 "an .npy holds one tensor" convert "$MODEL" -o x.npy
    [ ! -e x.gguf ]
    [ ! -e x.npz ]
}

@test "generate continues the same text from GGUF as from the folder" {
    "$KERSEY" train llama-tiny --data "$TESTS_DIR/README.md" --steps 2 \
        --batch 2 --seq 16 --out run --backend eval 2>/dev/null
    "$KERSEY" convert run/checkpoint-* -o tiny.gguf
    "$KERSEY" convert run/checkpoint-* -o tiny-q8.gguf --dtype q8_0
    generate() {
        "$KERSEY" generate "$1" --backend eval -p "A suite" -n 12 -t 0 \
            2>/dev/null
    }
    [ "$(generate tiny.gguf)" = "$(generate run/checkpoint-*)" ]
    run -0 generate tiny-q8.gguf
    [[ "$output" == "A suite"* ]]
}

@test "convert takes tokenizer and chat template along, both ways" {
    mkdir model back
    cp "$MODEL"/*.json "$MODEL/model.safetensors" model
    cp "$TESTS_DIR/golden/tokenizers/bytelevel_bpe/tokenizer.json" model
    printf '{{ messages }}' >model/chat_template.jinja
    "$KERSEY" convert model -o model.gguf
    "$KERSEY" convert model.gguf -o back
    cmp model/tokenizer.json back/tokenizer.json
    cmp model/chat_template.jinja back/chat_template.jinja
    ids=$("$KERSEY" tokenize -t model "Hello, world")
    [ "$("$KERSEY" tokenize -t model.gguf "Hello, world")" = "$ids" ]
    [ "$("$KERSEY" tokenize -t back "Hello, world")" = "$ids" ]
    [ "$("$KERSEY" inspect model.gguf --json | jq -c .tokenizer)" = \
        "$("$KERSEY" inspect model --json | jq -c .tokenizer)" ]
    "$KERSEY" convert "$MODEL" -o plain.gguf
    refused 1 "plain.gguf: has no tokenizer" tokenize -t plain.gguf a
}

@test "a tokenizer in the keys of a GGUF file goes into a folder and back" {
    "$KERSEY" convert "$GGUF" -o folder/
    "$KERSEY" convert folder -o back.gguf
    keys() { "$KERSEY" inspect "$1" --json |
        jq -S '.config | with_entries(select(.key | startswith("tokenizer.")))'; }
    [ "$(keys "$GGUF" | wc -l)" -gt 10 ]
    diff <(keys "$GGUF") <(keys back.gguf)
    [ "$("$KERSEY" inspect folder --json | jq -c .tokenizer)" = \
        "$("$KERSEY" inspect "$GGUF" --json | jq -c .tokenizer)" ]
    # this one is no tokenizer that could be opened, and is found as such
    refused 1 "tokenizer.gguf: vocabulary: merge 0" tokenize -t folder a
    # a tokenizer.json that is put there counts
    cp "$TESTS_DIR/golden/tokenizers/bytelevel_bpe/tokenizer.json" folder
    "$KERSEY" convert folder -o other.gguf
    "$KERSEY" tokenize -t other.gguf a
}
