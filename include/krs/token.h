/* token.h -- text to ids and back, exactly as the tokenizer of a model does.
 *
 *     krs_tokenizer *t;
 *     krs_encoding e = {0};
 *     char *text;
 *     KRS_TRY(krs_tokenizer_open("llama/tokenizer.json", &t, err));
 *     KRS_TRY(krs_tokenizer_encode(t, "Hello", 5, NULL, &e, err));
 *     KRS_TRY(krs_tokenizer_decode(t, e.ids, e.count, true, &text, NULL, err));
 *     free(text);
 *     krs_encoding_free(&e);
 *     krs_tokenizer_free(t);
 *
 * Texts are UTF-8 with a length; they may hold zeros. Offsets are in bytes of
 * the text that was given. Needs no device and no compiler: the library
 * kersey-text is this header alone.
 */
#ifndef KRS_TOKEN_H
#define KRS_TOKEN_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A text with its length. */
typedef struct krs_text {
    const char *text;
    size_t bytes;
} krs_text;

/* Immutable after it was made: any number of threads may use one. */
typedef struct krs_tokenizer krs_tokenizer;

/* krs_tokenizer_open(path, &t, err) -- read a tokenizer, whatever it lies in:
 *
 *   tokenizer.json     Hugging Face tokenizers, every kind of part there is
 *   *.model            sentencepiece: BPE, unigram, word, char
 *   vocab.txt          BERT's WordPiece: uncased, [CLS] A [SEP] B [SEP]
 *   vocab.json         with merges.txt beside it: byte-level BPE of GPT-2
 *   merges.txt         the same
 *   *.gguf             the tokenizer that a model file carries; in a folder
 *                      tokenizer.gguf, one without tensors
 *   *.tiktoken         byte-level BPE by ranks; the vocabularies of gpt2,
 *                      cl100k_base, p50k_base and LLaMA-3 are known by size
 *   a folder           the first of these that is in it
 *   "bytes"            no file: the 256 bytes are the tokens
 *
 * A tokenizer_config.json beside a vocab.txt or .model says do_lower_case,
 * add_bos_token and add_eos_token. Without one, a .model puts its bos in front
 * if it is BPE, its eos at the end if it is unigram. Which tokens are bos, eos
 * and pad, and the chat template, are taken from the files beside it too
 * (krs_tokenizer_config in pretrained.h).
 *
 * Errors     IO, MEMORY; NAME for a folder or .gguf file without a tokenizer;
 *            FORMAT with JSON path or offset. A part of an unknown
 *            kind is refused: nothing is approximated.
 * Cost       memory a small multiple of the file; ids may leave gaps, but not
 *            exceed twice the number of tokens by more than 65,536. */
KRS_API krs_status krs_tokenizer_open(const char *path, krs_tokenizer **out,
                                      krs_error *err);
/* krs_tokenizer_read(name, text, bytes, &t, err) -- a tokenizer.json in
 * memory; name stands for the file in messages. */
KRS_API krs_status krs_tokenizer_read(const char *name, const char *text,
                                      size_t bytes, krs_tokenizer **out,
                                      krs_error *err);
/* krs_tokenizer_of_model(model, vocabulary, &t, err) -- the tokenizer of a model
 * folder or .gguf file; the 256 bytes for one that has none and whose
 * vocabulary is not larger. Vocabularies of model and tokenizer may differ: a
 * matrix is often padded.
 * Errors     as above; NAME if there is none and the vocabulary is larger. */
KRS_API krs_status krs_tokenizer_of_model(const char *model, int64_t vocabulary,
                                          krs_tokenizer **out, krs_error *err);
KRS_API void krs_tokenizer_free(krs_tokenizer *t); /* NULL is fine */

/* The files that a tokenizer is read from, in memory: to put them beside a
 * model later, whatever has become of them. Immutable after open. */
typedef struct krs_tokenizer_files krs_tokenizer_files;

/* krs_tokenizer_files_open(path, &f, err) -- those that krs_tokenizer_open(path)
 * reads, under names that it finds in a folder; none for "bytes".
 * krs_tokenizer_files_write(f, folder, err) -- into a folder that exists, which
 * then opens as the same tokenizer.
 * Errors     IO, MEMORY, NAME; UNSUPPORTED for .tiktoken and .gguf files but
 *            tokenizer.gguf, whose tokenizers are no files of a folder. */
KRS_API krs_status krs_tokenizer_files_open(const char *path,
                                            krs_tokenizer_files **out,
                                            krs_error *err);
KRS_API krs_status krs_tokenizer_files_write(const krs_tokenizer_files *f,
                                             const char *folder,
                                             krs_error *err);
KRS_API void krs_tokenizer_files_close(krs_tokenizer_files *f);

/* ---- from memory: what a model file carries inside ---- */

/* Algorithms that an embedded vocabulary may be for; the names are those of
 * GGUF's tokenizer.ggml.model. */
typedef enum krs_vocabulary_kind {
    KRS_VOCABULARY_LLAMA, /* "llama": sentencepiece BPE with scores */
    KRS_VOCABULARY_GPT2,  /* "gpt2": byte-level BPE with merges */
    KRS_VOCABULARY_T5,    /* "t5": unigram with scores */
    KRS_VOCABULARY_BERT   /* "bert": WordPiece, U+2581 where a word begins */
} krs_vocabulary_kind;

/* Types of tokens, numbered as in sentencepiece and GGUF. */
typedef enum krs_token_type {
    KRS_TOKEN_NORMAL = 1,
    KRS_TOKEN_UNKNOWN = 2,
    KRS_TOKEN_CONTROL = 3,
    KRS_TOKEN_USER_DEFINED = 4,
    KRS_TOKEN_UNUSED = 5,
    KRS_TOKEN_BYTE = 6
} krs_token_type;

typedef struct krs_vocabulary {
    size_t struct_size;
    krs_vocabulary_kind kind;
    const char *pre; /* gpt2, the names of GGUF's tokenizer.ggml.pre: "gpt-2",
                        "llama-bpe", "smollm", "qwen2" and those that split
                        alike; NULL counts as "gpt-2" */
    size_t count;
    const krs_text *tokens; /* [count], UTF-8; place = id */
    const float *scores;    /* [count]; NULL for gpt2 and bert */
    const int32_t *types;   /* [count] krs_token_type; NULL: all normal */
    const krs_text *merges; /* [merge_count] "left right"; gpt2 */
    size_t merge_count;
    int64_t bos, eos, unk, sep, pad, cls, mask; /* ids, -1: none */
    bool adds_bos, adds_eos;
    bool adds_space_prefix;        /* llama, t5 */
    bool removes_extra_whitespace; /* t5 */
    const void *charsmap;          /* t5: precompiled_charsmap, or NULL */
    size_t charsmap_bytes;
    const char *chat_template; /* NULL: none */
} krs_vocabulary;

/* krs_tokenizer_new(vocabulary, &t, err) -- everything is copied.
 * Control tokens, and those that the user defined, are found in the text. For
 * gpt2 and bert the normalizer and the decoder are those of the models of that
 * name.
 * Errors     ARGUMENT; FORMAT for a token that occurs twice, a merge of absent
 *            tokens, an id outside the vocabulary; UNSUPPORTED for a `pre` or
 *            kind that is not known. */
KRS_API krs_status krs_tokenizer_new(const krs_vocabulary *vocabulary,
                                     krs_tokenizer **out, krs_error *err);

/* ---- encoding ---- */

/* Where to cut what is too long. */
typedef enum krs_truncate {
    KRS_TRUNCATE_LONGEST_FIRST, /* of a pair, from the longer */
    KRS_TRUNCATE_ONLY_FIRST,
    KRS_TRUNCATE_ONLY_SECOND
} krs_truncate;

typedef struct krs_truncation {
    int64_t max_length; /* tokens, special ones included; 0: no limit */
    int64_t stride;     /* tokens that a part shares with the one before */
    krs_truncate strategy;
    bool left; /* cut at the beginning */
} krs_truncation;

typedef struct krs_encode_options {
    size_t struct_size;
    bool no_special;    /* no special tokens around the text */
    bool plain_special; /* special tokens written in the text are text */
    bool pieces;        /* also the strings of the tokens */
    const char *pair;   /* second text of a pair, or NULL */
    size_t pair_bytes;
    /* NULL: what the file says; max_length 0: none */
    const krs_truncation *truncation;
    /* tokens to pad to: 0 as the file says (nothing, if it does not), -1 not
     * at all, -2 to the longest of the batch */
    int64_t pad_to;
    int64_t threads; /* of a batch; 0: one a processor */
} krs_encode_options;

typedef struct krs_token_span {
    uint32_t begin, end; /* bytes of the text, or of the pair */
} krs_token_span;

/* Marks of a token. */
enum {
    KRS_TOKEN_IS_SPECIAL = 1, /* put around the text, or padding */
    KRS_TOKEN_IS_PADDING = 2, /* not to be attended to */
    KRS_TOKEN_IS_PAIR = 4     /* of the second text */
};

/* The result. Zeroed = empty; the arrays belong to it. */
typedef struct krs_encoding {
    size_t count;
    uint32_t *ids;
    uint32_t *type_ids;
    krs_token_span *spans; /* {0, 0} for special tokens */
    uint8_t *marks;
    /* With options.pieces: piece i is text[piece[i] .. piece[i + 1]), no zero
     * in between. Words as the model has them, "\xC4\xA0the". NULL else. */
    uint32_t *piece;
    char *text;
    /* the parts after the first, if it was truncated */
    struct krs_encoding *overflow;
    size_t overflow_count;
    size_t capacity, text_capacity; /* of the arrays, for reuse */
} krs_encoding;

/* krs_tokenizer_encode(t, text, bytes, options, &e, err) -- ids of a text.
 *
 *   options   NULL: with special tokens, truncated and padded as the file says
 *   e         zeroed, or of a call before: its memory is used again
 *
 * Errors     FORMAT with the offset of a byte that is not UTF-8, or where the
 *            vocabulary has neither a piece of the text nor an unknown token;
 *            RANGE over 1 GiB; ARGUMENT; MEMORY. e is empty then.
 * Cost       O(n log n) for one word of n bytes, O(n) for many. */
KRS_API krs_status krs_tokenizer_encode(const krs_tokenizer *t,
                                        const char *text, size_t bytes,
                                        const krs_encode_options *options,
                                        krs_encoding *e, krs_error *err);
KRS_API void krs_encoding_free(krs_encoding *e);

/* krs_tokenizer_encode_batch(t, texts, pairs, count, options, es, err) -- the
 * same for many texts, on options->threads threads. es[count] as above; pairs
 * NULL, or one a text. Of several errors the one of the first text is told;
 * then all of es are empty. */
KRS_API krs_status krs_tokenizer_encode_batch(const krs_tokenizer *t,
                                              const krs_text *texts,
                                              const krs_text *pairs,
                                              size_t count,
                                              const krs_encode_options *options,
                                              krs_encoding *es, krs_error *err);

/* ---- decoding ---- */

/* krs_tokenizer_decode(t, ids, count, skip_special, &text, &bytes, err) -- a
 * text to be freed, closed by a zero that bytes does not count (bytes may be
 * NULL). Bytes that make no UTF-8 become U+FFFD.
 * Errors     RANGE for an id without a token; MEMORY. */
KRS_API krs_status krs_tokenizer_decode(const krs_tokenizer *t,
                                        const uint32_t *ids, size_t count,
                                        bool skip_special, char **out,
                                        size_t *out_bytes, krs_error *err);

/* Decoding as ids come: what is put together is the text of all ids, and no
 * piece ends inside a character. One thread at a time. */
typedef struct krs_token_stream krs_token_stream;

/* the tokenizer must outlive the stream */
KRS_API krs_status krs_token_stream_new(const krs_tokenizer *t,
                                        bool skip_special,
                                        krs_token_stream **out, krs_error *err);
/* krs_token_stream_push(s, id, &text, &bytes, err) -- the text that became
 * certain, maybe empty; borrowed until the next call. krs_token_stream_end
 * gives what is left and makes the stream ready for another text.
 * Cost       O(1) a token, but for a run of bytes that is no UTF-8 yet. */
KRS_API krs_status krs_token_stream_push(krs_token_stream *s, uint32_t id,
                                         const char **out, size_t *out_bytes,
                                         krs_error *err);
KRS_API krs_status krs_token_stream_end(krs_token_stream *s, const char **out,
                                        size_t *out_bytes, krs_error *err);
KRS_API void krs_token_stream_free(krs_token_stream *s);

/* ---- the vocabulary ---- */

/* one more than the highest id */
KRS_API size_t krs_tokenizer_size(const krs_tokenizer *t);
/* the string of a token; NULL if no token has the id */
KRS_API const char *krs_tokenizer_token(const krs_tokenizer *t, uint32_t id);
/* the id of a token; -1 if there is none */
KRS_API int64_t krs_tokenizer_id(const krs_tokenizer *t, const char *token);
KRS_API bool krs_tokenizer_is_special(const krs_tokenizer *t, uint32_t id);
/* ids that the file names, -1: none */
KRS_API int64_t krs_tokenizer_bos(const krs_tokenizer *t);
KRS_API int64_t krs_tokenizer_eos(const krs_tokenizer *t);
KRS_API int64_t krs_tokenizer_pad(const krs_tokenizer *t);
/* "BPE", "Unigram", "WordPiece" or "WordLevel" */
KRS_API const char *krs_tokenizer_kind(const krs_tokenizer *t);

/* ---- conversations ---- */

/* The one list of ways to write a conversation as a text: NAME, name.
 *
 *   chatml   <|im_start|>role, the content, <|im_end|>, each on a line (OpenAI)
 *   llama2   <s>[INST] <<SYS>>..<</SYS>> user [/INST] answer </s> (Meta 2023)
 *   llama3   <|start_header_id|>role<|end_header_id|> .. <|eot_id|> (Meta 2024)
 *   alpaca   ### Instruction: .. ### Response: .. (Taori et al. 2023) */
#define KRS_CHAT_LIST(X) \
    X(CHATML, chatml)    \
    X(LLAMA2, llama2)    \
    X(LLAMA3, llama3)    \
    X(ALPACA, alpaca)

typedef enum krs_chat_kind {
#define KRS_CHAT_ENUM(NAME, name) KRS_CHAT_##NAME,
    KRS_CHAT_LIST(KRS_CHAT_ENUM)
#undef KRS_CHAT_ENUM
        KRS_CHAT_KINDS
} krs_chat_kind;

typedef struct krs_chat {
    krs_chat_kind kind;
    bool always_answers; /* the answer is begun even if it is not asked for */
    /* system message where the conversation has none; NULL: none. Borrowed
     * from the tokenizer; not closed by a zero. */
    const char *system;
    size_t system_bytes;
} krs_chat;

/* "chatml"; "?" outside the list. False if there is none of that name. */
KRS_API const char *krs_chat_name(krs_chat_kind kind);
KRS_API bool krs_chat_parse(const char *name, krs_chat *out);
/* the token behind what each has said; NULL if it is the tokenizer's eos */
KRS_API const char *krs_chat_end(krs_chat_kind kind);

/* krs_tokenizer_chat(t, &chat, err) -- the way that the file's own template
 * (Jinja) writes conversations, if it is one that is known to the letter; the
 * text of a system message in it is taken from it.
 * Errors     NAME if the file has no template; UNSUPPORTED for any other. */
KRS_API krs_status krs_tokenizer_chat(const krs_tokenizer *t, krs_chat *out,
                                      krs_error *err);

typedef struct krs_chat_message {
    const char *role; /* "system" (the first only), "user" or "assistant" */
    const char *content;
} krs_chat_message;

/* krs_chat_write(chat, t, messages, count, answer, &text, &bytes, err) -- the
 * conversation as a text to be freed, with its special tokens: encode it with
 * no_special.
 *
 *   t        whose bos and eos llama2 and llama3 write; may be NULL for others
 *   answer   end with the beginning of the assistant's answer
 *
 * Errors     ARGUMENT for an unknown role, a system message that is not first,
 *            or (llama2, alpaca) roles that do not alternate; NAME if a bos or
 *            eos is needed and the tokenizer has none; MEMORY. */
KRS_API krs_status krs_chat_write(const krs_chat *chat, const krs_tokenizer *t,
                                  const krs_chat_message *messages,
                                  size_t count, bool answer, char **out,
                                  size_t *out_bytes, krs_error *err);

/* ---- training ---- */

/* The one list of what can be trained: NAME, name.
 *
 *   bpe        byte-level BPE, words as in GPT-2; <|endoftext|>
 *   bpe-chars  BPE of characters, the last of a word marked </w>; [UNK]
 *   wordpiece  BERT's: lower case, no accents, ## inside words; its five
 *              special tokens
 *   unigram    sentencepiece's language model of pieces; <unk>, <s>, </s>
 *   word       the frequent words, cut at spaces and punctuation; [UNK]
 *   char       the frequent characters, newlines among them; [UNK] */
#define KRS_TRAIN_LIST(X)     \
    X(BPE, "bpe")             \
    X(BPE_CHARS, "bpe-chars") \
    X(WORDPIECE, "wordpiece") \
    X(UNIGRAM, "unigram")     \
    X(WORD, "word")           \
    X(CHAR, "char")

typedef enum krs_train_kind {
#define KRS_TRAIN_ENUM(NAME, name) KRS_TRAIN_##NAME,
    KRS_TRAIN_LIST(KRS_TRAIN_ENUM)
#undef KRS_TRAIN_ENUM
        KRS_TRAIN_KINDS
} krs_train_kind;

/* False if there is none of that name. */
KRS_API bool krs_train_parse(const char *name, krs_train_kind *out);

typedef struct krs_tokenizer_training {
    size_t struct_size;
    krs_train_kind kind;
    size_t vocabulary;     /* tokens in all, special ones included */
    size_t min_frequency;  /* of a pair to be merged, of a word or character;
                              0 counts as 1 */
    size_t limit_alphabet; /* most characters; 0: no limit; not for bpe, word
                              and char */
} krs_tokenizer_training;

/* krs_tokenizer_train(training, texts, count, &json, &bytes, err) -- a
 * vocabulary out of texts, as the text of a tokenizer.json, to be freed; it is
 * closed by a zero. krs_tokenizer_read makes a tokenizer of it, and so does
 * Hugging Face tokenizers.
 *
 * Equal texts give equal bytes. BPE: the pair with the highest count first, of
 * equal ones that with the smaller ids (Sennrich et al. 2016). WordPiece is
 * trained by the same counts. Unigram: expectation and maximisation over the
 * words, a quarter of the pieces dropped each time (Kudo 2018).
 * Words and characters: by count, of equal ones the smaller first.
 *
 *   texts   each line is a document
 *
 * Errors     ARGUMENT; FORMAT for a text that is not UTF-8; RANGE for a
 *            vocabulary smaller than special tokens and alphabet; MEMORY.
 * Cost       memory a small multiple of the different words. */
KRS_API krs_status krs_tokenizer_train(const krs_tokenizer_training *training,
                                       const krs_text *texts, size_t count,
                                       char **out, size_t *out_bytes,
                                       krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
