/* fuzz_text.c -- libFuzzer targets for tokenizers: a tokenizer.json, a .model,
 * and texts for tokenizers that are right (fuzz_files.c says how to run them).
 *
 * Whatever is read must encode any text: ids that are tokens, spans inside the
 * text, one after the other, the same on a second call; and a stream must put
 * together what decoding all ids at once gives.
 */
#include "fuzz_files.h"

#include "models/token/pieces.h"

#include <stdlib.h>
#include <string.h>

static const char sample[] =
    "Hello, W\xC3\xB6rld! \xE6\xBC\xA2\xE5\xAD\x97 e\xCC\x81 \xF0\x9F\x99\x82 "
    "aab don't  12\n<s>[X]";

static void
require(bool holds)
{
    if (!holds)
        __builtin_trap();
}

/* What a stream gives for the ids, piece by piece. */
static void
check_stream(const krs_tokenizer *t, const krs_encoding *e)
{
    krs_token_stream *s;
    const char *piece;
    size_t bytes;
    require(krs_token_stream_new(t, false, &s, NULL) == KRS_OK);
    for (size_t i = 0; i < e->count; i++) {
        if (krs_token_stream_push(s, e->ids[i], &piece, &bytes, NULL) != KRS_OK)
            break;
        require(krsi_utf8_check(piece, bytes) == bytes);
    }
    krs_token_stream_end(s, &piece, &bytes, NULL);
    krs_token_stream_free(s);
}

static void
check_encoding(const krs_encoding *e, size_t bytes)
{
    for (size_t i = 0; i < e->count; i++) {
        require(e->spans[i].begin <= e->spans[i].end);
        require(e->spans[i].end <= bytes);
        if (e->piece)
            require(e->piece[i] <= e->piece[i + 1]);
    }
}

static void
check_text(const krs_tokenizer *t, const char *text, size_t bytes)
{
    krs_encode_options o = {.struct_size = sizeof o, .pieces = true};
    krs_encoding e = {0}, again = {0};
    char *back;
    if (krs_tokenizer_encode(t, text, bytes, &o, &e, NULL) == KRS_OK) {
        check_encoding(&e, bytes);
        require(krs_tokenizer_encode(t, text, bytes, &o, &again, NULL) ==
                KRS_OK);
        require(again.count == e.count);
        require(e.count == 0 ||
                !memcmp(again.ids, e.ids, e.count * sizeof *e.ids));
        if (krs_tokenizer_decode(t, e.ids, e.count, false, &back, &bytes,
                                 NULL) == KRS_OK)
            free(back);
        check_stream(t, &e);
    }
    krs_encoding_free(&e);
    krs_encoding_free(&again);
}

void
fuzz_tokenizer(const uint8_t *data, size_t bytes)
{
    krs_tokenizer *t;
    krs_chat chat;
    if (krs_tokenizer_read("tokenizer.json", (const char *)data, bytes, &t,
                           NULL) != KRS_OK)
        return;
    check_text(t, sample, sizeof sample - 1);
    check_text(t, "", 0);
    krs_tokenizer_chat(t, &chat, NULL);
    krs_tokenizer_free(t);
}

void
fuzz_pieces(const uint8_t *data, size_t bytes)
{
    static const krs_tokenizer_config none = {0};
    krs_tokenizer *t;
    if (krsi_parse_sentencepiece("x.model", (const char *)data, bytes, &none,
                                 &t, NULL) != KRS_OK)
        return;
    check_text(t, sample, sizeof sample - 1);
    krs_tokenizer_free(t);
}

/* Small tokenizers with as many kinds of parts as there are. */
static const char *const files[] = {
    "{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
    "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":"
    "\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},\"model\":{\"type\":"
    "\"WordPiece\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\","
    "\"max_input_chars_per_word\":20,\"vocab\":{\"u\":0,\"a\":1,\"##a\":2,"
    "\"##aa\":3}}}",
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\""
    "},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}|x*\"},\"content\":"
    "\"_\"},{\"type\":\"Nmt\"}]},\"pre_tokenizer\":{\"type\":\"Metaspace\","
    "\"replacement\":\"\xE2\x96\x81\"},\"decoder\":{\"type\":\"Metaspace\","
    "\"replacement\":\"\xE2\x96\x81\"},\"model\":{\"type\":\"Unigram\","
    "\"unk_id\":0,\"vocab\":[[\"u\",0],[\"a\",-1],[\"aa\",-1.5],[\"\xE2\x96"
    "\x81\",-2],[\"\xE2\x96\x81"
    "a\",-2]]}}",
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
    "\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\"
    "\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
    "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":"
    "\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":true,\"trim_offsets\":true},{\"type\":\"Digits\","
    "\"individual_digits\":true}]},\"post_processor\":{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":false,\"trim_offsets\":true},\"decoder\":{\"type\":"
    "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\","
    "\"fuse_unk\":true,\"vocab\":{\"u\":0,\"a\":1,\"aa\":2,\"\xC4\xA0\":3},"
    "\"merges\":[\"a a\"]}}",
    "{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"},\"decoder\":{\"type\":"
    "\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\""
    "}]},\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0,"
    "\"<0xC3>\":1,\"<0xA9>\":2,\"aa\":3,\"aaaa\":4},\"merges\":[\"a a\",\"aa "
    "aa\"]}}",
};

/* The first byte chooses the tokenizer, the rest is the text. */
void
fuzz_text(const uint8_t *data, size_t bytes)
{
    krs_tokenizer *t;
    if (bytes == 0)
        return;
    const char *file = files[data[0] % (sizeof files / sizeof *files)];
    require(krs_tokenizer_read("t", file, strlen(file), &t, NULL) == KRS_OK);
    check_text(t, (const char *)data + 1, bytes - 1);
    krs_tokenizer_free(t);
}
