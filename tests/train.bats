#!/usr/bin/env bats
# train.bats -- kersey train: settings, files it leaves, resume, interruption,
# and what it says about mistakes. KERSEY is the program.

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    for i in $(seq 60); do
        echo "the cat number $i sat on the mat and the dog on the log"
    done >text
    small="--data text --batch 2 --seq 16 --layers 1 --dim 16 --heads 2 --ffn 32"
}

# a mistake: exit code, no data on stdout, one line on stderr that says $2
refused() {
    local code=$1 says=$2
    shift 2
    run "-$code" --separate-stderr "$KERSEY" train "$@"
    [ -z "$output" ]
    [ "${#stderr_lines[@]}" -eq 1 ]
    [[ "$stderr" == "kersey train: error: "*"$says"* ]]
}

@test "a GPT-2 is trained, goes on from its checkpoint, and generates" {
    cd "$BATS_TEST_TMPDIR"
    head -c 3000 "$TESTS_DIR/README.md" >words
    "$KERSEY" tokenizer train --data words --vocab 300 -o vocabulary 2>/dev/null
    "$KERSEY" train gpt2 --layers 1 --dim 16 --heads 2 --ffn 24 --seq 8 --batch 2 \
        --tokenizer vocabulary --data words --steps 2 --out run 2>/dev/null
    [ "$(jq -r '.model_type, .n_embd, .n_inner' run/checkpoint-00000002/config.json |
        tr '\n' ' ')" = "gpt2 16 24 " ]
    "$KERSEY" train --data words --resume run --steps 3 2>/dev/null
    "$KERSEY" generate run/checkpoint-00000003 -p "A test" -n 4 --json \
        2>/dev/null | jq -e '.ids | length > 0'
    run -2 --separate-stderr "$KERSEY" train bert-tiny --data words
    [[ "$stderr" == *'"bert" is no decoder-only'* ]]
}

@test "a run prints its checkpoint and leaves metrics of every step" {
    run -0 --separate-stderr "$KERSEY" train $small --steps 5 --out r
    [ "$output" = "r/checkpoint-00000005" ]
    [ -s r/checkpoint-00000005/model.safetensors ]
    [ -s r/checkpoint-00000005/config.json ]
    [ "$(jq -s 'map(.step) == [1, 2, 3, 4, 5]' r/metrics.jsonl)" = true ]
    [ "$(jq -s 'all(.loss > 0 and .grad_norm > 0 and .lr > 0 and .tok_s > 0)' \
        r/metrics.jsonl)" = true ]
    [ "$(jq -s 'last | .val_loss > 0 and .val_bits_per_byte > 0' \
        r/metrics.jsonl)" = true ]
    [[ "$stderr" == *"step 5/5  loss "*"grad norm "*"lr "*"tok/s  ETA 0:00"* ]]
    [[ "$stderr" == *"bits per byte"* ]]
    [[ "$stderr" != *$'\r'* && "$stderr" != *$'\033'* ]]
}

@test "with --json stdout is the metrics, line by line" {
    run -0 --separate-stderr "$KERSEY" train $small --steps 3 --out r --json
    [ "${#lines[@]}" -eq 3 ]
    same='[.step, .tokens, (.loss * 1e5 | round), has("val_loss")]'
    [ "$(jq -c "$same" <<<"$output")" = "$(jq -c "$same" r/metrics.jsonl)" ]
}

@test "training lowers the loss" {
    "$KERSEY" train $small --steps 60 --lr 1e-2 --out r
    [ "$(jq -s 'last.loss < first.loss - 1' r/metrics.jsonl)" = true ]
}

@test "a run resumed at half its steps ends in the same weights" {
    # a run to step 8 whose checkpoint of step 4 is kept
    "$KERSEY" train $small --steps 8 --save-every 4 --keep 9 --out whole
    mkdir half
    cp -r whole/checkpoint-00000004 half
    cp whole/metrics.jsonl half
    run -0 --separate-stderr "$KERSEY" train --data text --resume half
    [ "$output" = "half/checkpoint-00000008" ]
    [[ "$stderr" == *"continuing after step 4"* ]]
    for file in model.safetensors optimizer.safetensors config.json; do
        cmp whole/checkpoint-00000008/$file half/checkpoint-00000008/$file
    done
    [ "$(jq -s -c 'map(.step)' half/metrics.jsonl)" = "[1,2,3,4,5,6,7,8]" ]
}

@test "a model is trained on the tokens of a tokenizer, and carries it along" {
    "$KERSEY" tokenizer train --data text --vocab 300 -o words
    jq -n '{eos_token: "<|endoftext|>"}' >words/tokenizer_config.json
    for i in $(seq 99); do echo '{"text": "the cat sat on mat '$i'"}'; done \
        >more.jsonl
    small="${small/--data text/--data more.jsonl} --tokenizer words"
    run -0 --separate-stderr "$KERSEY" train $small --steps 8 --save-every 4 \
        --keep 9 --out whole
    [[ "$stderr" == *" tokens of text, "* ]]
    last=whole/checkpoint-00000008
    [ "$(jq -c '[.vocab_size, .eos_token_id]' $last/config.json)" = "[300,0]" ]
    cmp words/tokenizer.json $last/tokenizer.json
    cmp words/tokenizer_config.json $last/tokenizer_config.json
    jq -e '.files | has("tokenizer.json")' $last/trainer.json
    # bits a byte: the loss over the bytes that a token stands for
    [ "$(jq -s 'last | .val_loss / (.val_bits_per_byte * (2 | log)) |
        1 < . and . < 8' whole/metrics.jsonl)" = true ]
    # the run goes on after the tokenizer is gone
    mkdir half
    cp -r whole/checkpoint-00000004 half
    cp whole/metrics.jsonl half
    rm -r words
    "$KERSEY" train --data more.jsonl --resume half
    cmp $last/model.safetensors half/checkpoint-00000008/model.safetensors
    cmp $last/tokenizer.json half/checkpoint-00000008/tokenizer.json
    # it is a model folder: text from it, and training that begins with it
    "$KERSEY" generate $last -p "the cat" -n 4
    "$KERSEY" train $last --data more.jsonl --seq 16 --steps 1 --out tuned
    [ "$(jq -s 'last | .tokens' tuned/metrics.jsonl)" = 128 ]
    refused 2 "leave out --tokenizer" --data text --resume half --tokenizer x
    refused 1 "x.gguf" --data text --tokenizer x.gguf
    refused 1 "has no tokenizer" --data text --tokenizer .
}

@test "shards give the same training as the text they came from" {
    "$KERSEY" tokenizer train --data text --vocab 300 -o words
    "$KERSEY" tokenize -t words --data text --shards ids
    train() { # DATA OUT
        "$KERSEY" train $small --data "$1" --tokenizer words --steps 3 \
            --out "$2"
    }
    train text whole
    train ids-00000.bin shards
    cmp whole/checkpoint-*/model.safetensors shards/checkpoint-*/model.safetensors
    jq -e -s 'last | has("val_loss") and (has("val_bits_per_byte") | not)' \
        shards/metrics.jsonl
    # cut in two, which are read as one
    head -c 400 ids-00000.bin >two-00000.bin
    tail -c +401 ids-00000.bin >two-00001.bin
    train two-00000.bin two
    cmp whole/checkpoint-*/model.safetensors two/checkpoint-*/model.safetensors
    # a file of another vocabulary
    refused 1 "the vocabulary has 256 tokens" --data ids-00000.bin
}

@test "Ctrl-C finishes the step, saves, exits 130, and the run goes on" {
    "$KERSEY" train $small --steps 1000000 --warmup 1 --out r 2>talk >data &
    pid=$!
    until [ -s r/metrics.jsonl ]; do
        kill -0 $pid
        sleep 0.05
    done
    kill -INT $pid
    code=0
    wait $pid || code=$?
    [ "$code" -eq 130 ]
    [ ! -s data ]
    grep -q "stopped after step" talk
    grep -q -- "--resume r" talk
    step=$(jq -s 'last.step' r/metrics.jsonl)
    [ -d "$(printf 'r/checkpoint-%08d' "$step")" ]
    run -0 "$KERSEY" train --data text --resume r --steps $((step + 2))
    [ "$(jq -s 'last.step' r/metrics.jsonl)" -eq $((step + 2)) ]
}

@test "a model folder can be the start" {
    "$KERSEY" train $small --steps 2 --out r
    run -0 "$KERSEY" train r/checkpoint-00000002 --data text --steps 2 \
        --batch 2 --seq 16 --out again
    [ -d again/checkpoint-00000002 ]
}

@test "every optimizer and schedule trains" {
    for optimizer in sgd adam adamw lion; do
        "$KERSEY" train $small --steps 2 --optimizer $optimizer --out $optimizer
    done
    for schedule in constant linear cosine polynomial wsd wsd_cosine noam \
        inverse_sqrt; do
        "$KERSEY" train $small --steps 3 --warmup 1 --schedule $schedule \
            --out $schedule
    done
}

@test "mistakes in the usage are told with what to do and exit 2" {
    refused 2 "--data FILE is missing"
    refused 2 "did you mean --steps" --data text --step 3
    refused 2 "did you mean llama-tiny" --data text llama-tny
    refused 2 "neither a preset nor a folder" --data text /nowhere/model
    refused 2 "there is no \"adamx\"; sgd, adam, adamw" $small --optimizer adamx
    refused 2 "there is no \"cosin\"; constant" $small --schedule cosin
    refused 2 "--batch wants a whole number from 1" --data text --batch 0
    refused 2 "--lr wants a number from 0" --data text --lr -1
    refused 2 "--steps 3 leaves nothing" --data text --steps 3 --warmup 3
    refused 2 "--validation" --data text --validation 1
    refused 2 "--keep" --data text --keep 0
    refused 2 "--heads wants a whole number from 1" --data text --heads 0
    refused 2 "leave out" --data text --resume r llama-tiny
    [ ! -e run ]
}

@test "what cannot be read or does not fit is one sentence and exits 1" {
    refused 1 "missing" --data missing
    refused 1 "nothing" --data text --resume nothing
    : >empty
    refused 1 "empty" --data empty
    mkdir bare
    refused 1 "no checkpoint" --data text --resume bare
    "$KERSEY" train $small --steps 2 --out r
    sed -i s/cat/cow/ text
    refused 1 "other data" --data text --resume r
    printf x >>r/checkpoint-00000002/model.safetensors
    refused 1 "damaged" --data text --resume r
}

@test "a run does not continue into the folder of another" {
    "$KERSEY" train $small --steps 2 --out r
    run -1 --separate-stderr "$KERSEY" train $small --steps 2 --out r
    [[ "$stderr" == *"resume that one, or choose another folder"* ]]
}

@test "a backend that is not there exits 77" {
    refused 77 "warp" $small --backend warp
}

@test "schedules of other devices train to the same bits" {
    [ -z "${KERSEY_SLOW-}" ] || skip "bits, not memory: in the release"
    for schedule in native lanes groups; do
        run -0 "$KERSEY" train llama-tiny --backend interp --cpu $schedule \
            --steps 2 --batch 2 --seq 16 --data "$TESTS_DIR/README.md" \
            --out "$BATS_TEST_TMPDIR/$schedule"
        for file in model optimizer; do
            cmp "$BATS_TEST_TMPDIR"/{native,$schedule}/checkpoint-00000002/$file.safetensors
        done
    done
}
