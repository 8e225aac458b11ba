#!/usr/bin/env bats
# tokenize.bats -- kersey tokenize: golden cases of every tokenizer, texts, ids,
# what is said about mistakes. KERSEY is the program, TESTS_DIR this folder.

bats_require_minimum_version 1.5.0

setup() {
    golden="$TESTS_DIR/golden/tokenizers"
    folder="$BATS_TEST_TMPDIR"
}

# cases TOKENIZER CASES -- all 290 of them agree
cases() {
    run -0 --separate-stderr "$KERSEY" tokenize -t "$golden/$1" --cases "$golden/$2"
    [ "$output" = "290 passed, 0 failed" ]
    [ -z "$stderr" ]
}

@test "BERT's WordPiece agrees with its golden cases" {
    cases bert_wordpiece/tokenizer.json bert_wordpiece/cases.jsonl
}

@test "a vocab.txt alone gives the same" {
    cases bert_wordpiece/vocab.txt bert_wordpiece/cases.jsonl
}

@test "byte-level BPE agrees with its golden cases" {
    cases bytelevel_bpe/tokenizer.json bytelevel_bpe/cases.jsonl
}

@test "byte-level BPE with single digits agrees with its golden cases" {
    cases smollm_bpe/tokenizer.json smollm_bpe/cases.jsonl
}

@test "sentencepiece BPE with bytes agrees as tokenizer.json and as .model" {
    cases spm_bpe/tokenizer.json spm_bpe/cases_tokenizer_json.jsonl
    cases spm_bpe/spm.model spm_bpe/cases.jsonl
}

@test "sentencepiece unigram agrees as tokenizer.json and as .model" {
    cases spm_unigram/tokenizer.json spm_unigram/cases_tokenizer_json.jsonl
    cases spm_unigram/spm.model spm_unigram/cases.jsonl
}

@test "vocab.json with merges.txt is the tokenizer.json they came from" {
    jq .model.vocab "$golden/bytelevel_bpe/tokenizer.json" > "$folder/vocab.json"
    { echo "#version: 0.2"; jq -r '.model.merges[] | join(" ")' \
        "$golden/bytelevel_bpe/tokenizer.json"; } > "$folder/merges.txt"
    for path in "$folder/vocab.json" "$folder/merges.txt" "$folder"; do
        run -0 "$KERSEY" tokenize -t "$path" --cases "$golden/bytelevel_bpe/cases.jsonl"
        [ "$output" = "290 passed, 0 failed" ]
    done
}

@test "a case that differs is shown, counted, and a failed check" {
    echo '{"text": "Hello", "add_special_tokens": false, "ids": [1, 2]}' > "$folder/cases.jsonl"
    echo '{"text": "A", "add_special_tokens": false, "ids": [65]}' >> "$folder/cases.jsonl"
    run -3 "$KERSEY" tokenize -t bytes --cases "$folder/cases.jsonl"
    [ "${lines[0]}" = "$folder/cases.jsonl:1: ids differ" ]
    [ "${lines[2]}" = "    got  [72,101,108,108,111]" ]
    [ "${lines[-1]}" = "1 passed, 1 failed" ]
}

@test "texts come as an operand, from a file or from stdin, a line each" {
    run -0 --separate-stderr "$KERSEY" tokenize -t bytes "Hi"
    [ "$output" = "72 105" ]
    printf 'Hi\nyou\n' > "$folder/text"
    run -0 "$KERSEY" tokenize -t bytes --data "$folder/text"
    [ "$output" = $'72 105\n121 111 117' ]
    run -0 "$KERSEY" tokenize -t bytes < "$folder/text"
    [ "$output" = $'72 105\n121 111 117' ]
}

@test "JSON has tokens, spans, types and mask; plain leaves special tokens out" {
    run -0 "$KERSEY" tokenize -t "$golden/bert_wordpiece" --json "été"
    [ "$(jq -c .tokens <<< "$output")" = '["[CLS]","et","##e","[SEP]"]' ]
    [ "$(jq -c .spans <<< "$output")" = '[[0,0],[0,3],[3,5],[0,0]]' ]
    [ "$(jq -c .attention_mask <<< "$output")" = '[1,1,1,1]' ]
    run -0 "$KERSEY" tokenize -t "$golden/bert_wordpiece" --plain --json "été"
    [ "$(jq -c .tokens <<< "$output")" = '["et","##e"]' ]
}

@test "ids become text again" {
    run -0 "$KERSEY" tokenize -t "$golden/spm_bpe/spm.model" "Hello world"
    run -0 "$KERSEY" tokenize -t "$golden/spm_bpe/spm.model" --decode "$output"
    [[ "$output" == *"Hello world" ]]
    for none in -1 "1, x" 1.5 4294967296 99999999999999999999; do
        run -1 --separate-stderr "$KERSEY" tokenize -t bytes --decode="$none"
        [ -z "$output" ]
        [[ "$stderr" == "kersey tokenize: error: --decode: \""*"\" is no id" ]]
    done
    run -0 "$KERSEY" tokenize -t bytes --decode "[72, 105]"
    [ "$output" = Hi ]
    run -1 --separate-stderr "$KERSEY" tokenize -t bytes --decode "1 256"
    [[ "$stderr" == *"id 256, number 1 of 2, is no token; ids go up to 255"* ]]

}

@test "wrong usage is refused with what to do" {
    run -2 --separate-stderr "$KERSEY" tokenize Hello
    [[ "$stderr" == *"-t TOKENIZER"* ]]
    run -2 --separate-stderr "$KERSEY" tokenize -t bytes --decode 1 Hello
    [[ "$stderr" == *"one is possible"* ]]
    run -1 --separate-stderr "$KERSEY" tokenize -t "$folder/none.json" Hello
    [[ "$stderr" == *"none.json: cannot open"* ]]
    run -1 --separate-stderr "$KERSEY" tokenize -t "$folder" Hello
    [[ "$stderr" == *"has no tokenizer"* ]]
    printf 'a\xffb' > "$folder/text"
    run -1 --separate-stderr "$KERSEY" tokenize -t bytes --data "$folder/text"
    [[ "$stderr" == *"not UTF-8 at byte 1, 0xff"* ]]
}

@test "every kind of part of a tokenizer.json does what the original does" {
    local count=0
    charsmap=$(jq -c '.normalizer.normalizers[0].precompiled_charsmap' \
        "$golden/spm_unigram/tokenizer.json")
    while IFS= read -r line; do
        jq -c --slurpfile map <(echo "$charsmap") '.tokenizer |
            if .normalizer.type == "Precompiled"
            then .normalizer.precompiled_charsmap = $map[0] else . end' \
            <<< "$line" > "$folder/t.json"
        jq -c '.cases[]' <<< "$line" > "$folder/cases.jsonl"
        run -0 "$KERSEY" tokenize -t "$folder/t.json" --cases "$folder/cases.jsonl"
        [[ "${lines[-1]}" == *" passed, 0 failed" ]]
        count=$((count + 1))
    done < "$golden/parts.jsonl"
    [ "$count" -eq 85 ]
}

@test "training BPE gives the golden merges and vocabulary" {
    run -0 "$KERSEY" tokenizer train --kind bpe --vocab 600 \
        --data "$golden/train/text.txt" -o "$folder/out"
    cmp <(jq -c '.model.merges' "$folder/out/tokenizer.json") \
        <(jq -c '.merges' "$golden/train/bpe_bytelevel.json")
    cmp <(jq -cS '.model.vocab' "$folder/out/tokenizer.json") \
        <(jq -cS '.vocab' "$golden/train/bpe_bytelevel.json")
    cp "$folder/out/tokenizer.json" "$folder/first.json"
    run -0 "$KERSEY" tokenizer train --kind bpe --vocab 600 \
        --data "$golden/train/text.txt" -o "$folder/out"
    cmp "$folder/out/tokenizer.json" "$folder/first.json"
}

@test "training BPE over characters gives the golden merges and vocabulary" {
    run -0 "$KERSEY" tokenizer train --kind bpe-chars --vocab 600 \
        --min-frequency 2 --limit-alphabet 100 \
        --data "$golden/train/text.txt" -o "$folder/out"
    cmp <(jq -c '.model.merges' "$folder/out/tokenizer.json") \
        <(jq -c '.merges' "$golden/train/bpe_chars.json")
    cmp <(jq -c '.model.vocab | to_entries | sort_by(.value) | map(.key)' \
        "$folder/out/tokenizer.json") \
        <(jq -c '.vocab_in_id_order' "$golden/train/bpe_chars.json")
}

@test "training WordPiece gives the golden vocabulary" {
    run -0 "$KERSEY" tokenizer train --kind wordpiece --vocab 600 \
        --limit-alphabet 200 --data "$golden/train/text.txt" -o "$folder/out"
    cmp <(jq -r '.model.vocab | to_entries | sort_by(.value)[].key' \
        "$folder/out/tokenizer.json") "$golden/train/wordpiece_vocab.txt"
    run -0 "$KERSEY" tokenize -t "$folder/out" --plain "The thing"
    [ -n "$output" ]
}

@test "training words and characters gives the golden vocabularies" {
    for row in word:600 char:120; do
        run -0 "$KERSEY" tokenizer train --kind ${row%:*} --vocab ${row#*:} \
            --data "$golden/train/text.txt" -o "$folder/${row%:*}"
        cmp <(jq -c '.model.vocab | to_entries | sort_by(.value) | map(.key)' \
            "$folder/${row%:*}/tokenizer.json") \
            <(jq -c .vocab_in_id_order "$golden/train/${row%:*}.json")
    done
    # of characters a text is put together as it was, but for what is unknown
    text=$'thé tide\n is out \xe2\x98\x83'
    ids=$("$KERSEY" tokenize -t "$folder/char" "$text")
    [ "$(wc -w <<<"$ids")" -eq "$(jq -n --arg text "$text" '$text | length')" ]
    [ "$("$KERSEY" tokenize -t "$folder/char" --decode "$ids")" = \
        "${text/$'\xe2\x98\x83'/[UNK]}" ]
    # all that occur at least twice
    run -0 "$KERSEY" tokenizer train --kind char --min-frequency 2 \
        --data <(printf 'abacab\nb\n') -o "$folder/few"
    [ "$(jq -c .model.vocab "$folder/few/tokenizer.json")" = \
        '{"[UNK]":0,"a":1,"b":2,"\n":3}' ]
}

@test "training unigram is the same each time, and cuts a text it can put together" {
    for name in a b; do
        run -0 "$KERSEY" tokenizer train --kind unigram --vocab 400 \
            --data "$golden/train/text.txt" -o "$folder/$name"
    done
    cmp "$folder/a/tokenizer.json" "$folder/b/tokenizer.json"
    [ "$(jq '.model.vocab | length' "$folder/a/tokenizer.json")" -eq 400 ]
    # a text of the training has fewer pieces than characters, and none unknown
    text=$(sed -n 20p "$golden/train/text.txt" | tr -s ' ')
    run -0 "$KERSEY" tokenize -t "$folder/a" "$text"
    ids=$output
    [ "$(wc -w <<< "$ids")" -lt "${#text}" ]
    [[ " $ids " != *" 0 "* ]]
    run -0 "$KERSEY" tokenize -t "$folder/a" --decode "$ids"
    [ "$output" = "$text" ]
}

@test "training refuses what it cannot do" {
    run -2 --separate-stderr "$KERSEY" tokenizer train
    [[ "$stderr" == *"which text? --data FILE"* ]]
    run -2 --separate-stderr "$KERSEY" tokenizer train --data x --kind sentence
    [[ "$stderr" == *"expected bpe, bpe-chars, wordpiece, unigram, word or char"* ]]
    run -2 --separate-stderr "$KERSEY" tokenizer train --data x
    [[ "$stderr" == *"where to? -o FOLDER"* ]]
    run -2 --separate-stderr "$KERSEY" tokenizer learn --data x
    [[ "$stderr" == *"can train, not \"learn\""* ]]
    run -1 --separate-stderr "$KERSEY" tokenizer train --vocab 200 \
        --data "$golden/train/text.txt" -o "$folder/out"
    [[ "$stderr" == *"are 257 tokens, the vocabulary shall have 200"* ]]
}

@test "documents become shards of ids, an eos behind each" {
    cd "$folder"
    for i in $(seq 40); do echo '{"text": "one two '$i'"}'; done >a.jsonl
    "$KERSEY" tokenizer train --data a.jsonl --vocab 300 -o words
    jq -n '{eos_token: "<|endoftext|>"}' >words/tokenizer_config.json
    "$KERSEY" tokenize -t words --data a.jsonl --shards ids
    want=$(jq -r .text a.jsonl | while read -r text; do
        "$KERSEY" tokenize -t words "$text"
        echo 0
    done | xargs)
    [ "$(od -An -v -tu2 ids-00000.bin | xargs)" = "$want" ]
    # compressed, a vocabulary beyond 65,536, an older file in the way
    zstd -q a.jsonl
    "$KERSEY" tokenize -t words --data a.jsonl.zst --shards packed
    cmp ids-00000.bin packed-00000.bin
    jq '.model.vocab += ([range(300; 65600)] | map({("<\(.)>"): .}) | add)' \
        words/tokenizer.json >big.json
    "$KERSEY" tokenize -t big.json --data a.jsonl --shards big
    [ "$(od -An -v -tu4 big-00000.bin | xargs)" = "$(xargs -n1 <<<"$want" |
        grep -vx 0 | xargs)" ]
    : >ids-00001.bin
    run -1 --separate-stderr "$KERSEY" tokenize -t words --data a.jsonl \
        --shards ids
    [[ "$stderr" == *"ids-00001.bin: is there already"* ]]
    run -2 --separate-stderr "$KERSEY" tokenize -t words --shards ids
}

@test "bench tokenize tells what it measured" {
    run -0 "$KERSEY" bench tokenize -t "$golden/bytelevel_bpe" \
        --data "$golden/train/text.txt" --threads 2 --steps 1 --json
    [ "$(jq '.bytes == 201183 and .tokens > 1000 and .seconds_median > 0' \
        <<< "$output")" = true ]
    run -2 --separate-stderr "$KERSEY" bench tokenize
    [[ "$stderr" == *"-t TOKENIZER --data"* ]]
}

@test "a mebibyte of one letter is encoded in less than a second a tokenizer" {
    [ -z "${KERSEY_SLOW-}" ] || skip "a time: in the release"
    head -c 1048576 /dev/zero | tr '\0' a > "$folder/a.txt"
    for name in bert_wordpiece bytelevel_bpe smollm_bpe spm_bpe spm_unigram; do
        run -0 "$KERSEY" bench tokenize -t "$golden/$name" --whole \
            --data "$folder/a.txt" --threads 1 --steps 3 --json
        [ "$(jq '.seconds_min < 1' <<< "$output")" = true ]
    done
}
