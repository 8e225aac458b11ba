/* tokenizer.h -- what a tokenizer is made of, for the files of this folder.
 *
 * A text passes through five stations, in this order:
 *
 *   added      tokens that are found in the text itself           added.c
 *   normalizer the text changed, with where each byte came from   normalize.c
 *   pre        the text cut into words                            presplit.c
 *   model      words into ids                  bpe.c unigram.c wordpiece.c
 *   post       special tokens around them, offsets, padding       finish.c
 *
 * and ids become text again through the decoders (decode.c). Each station is a
 * list of steps; Sequences of tokenizer.json are laid flat when they are read.
 *
 * The one internal header of the folder: its parts are in the order of the
 * files, each under the name of its own.
 */
#ifndef KRSI_TOKENIZER_H
#define KRSI_TOKENIZER_H

#include "utf8.h"

#include <krs/token.h>

#include <pthread.h>

#define KRSI_NO_ID       UINT32_MAX
#define KRSI_TEXT_BYTES  ((size_t)1 << 30) /* longest text of one call */
#define KRSI_MOST_TOKENS ((uint32_t)1 << 24)
#define KRSI_META_SPACE  "\xE2\x96\x81" /* U+2581, a space made visible */
#define KRSI_META_BYTES  3

/* ---- memory.c ---- */

/* krsi_room(&data, &capacity, need, size) -- room for `need` elements of
 * `size` bytes, at least doubling; false, nothing changed, if there is none. */
bool krsi_room(void *data, size_t *capacity, size_t need, size_t size);

/* Bytes that grow. A failed allocation sticks: what follows is ignored. */
typedef struct krsi_buffer {
    char *bytes;
    size_t count, capacity;
    bool failed;
} krsi_buffer;

void krsi_buffer_add(krsi_buffer *b, const char *bytes, size_t count);
void krsi_buffer_add_code(krsi_buffer *b, uint32_t code);
void krsi_buffer_free(krsi_buffer *b);
/* a copy with a closing zero; NULL if there is no memory */
char *krsi_copy_text(const char *bytes, size_t count);
krs_status krsi_no_memory(krs_error *err, const char *what);

/* ---- unicode.c ---- */

/* krsi_utf8_last(text, bytes, &code) -- the character before the end of a text
 * that is not empty; its length. */
size_t krsi_utf8_last(const char *text, size_t bytes, uint32_t *code);
size_t krsi_utf8_put(char out[4], uint32_t code);
/* bytes at the start of a text that is not UTF-8 there which could begin a
 * character together; at least 1 */
size_t krsi_utf8_broken(const char *text, size_t bytes);
/* offset of the first byte that is not UTF-8; `bytes` if there is none */
size_t krsi_utf8_check(const char *text, size_t bytes);
/* characters in a text that is UTF-8 */
size_t krsi_utf8_count(const char *text, size_t bytes);
/* the start of the character that byte i belongs to, and its end */
size_t krsi_char_begin(const char *text, size_t i);
size_t krsi_char_end(const char *text, size_t bytes, size_t i);

/* Classes of characters: White_Space; L; N; Mn; M; P or an ASCII symbol; Cc,
 * Cf, Cs, Co. */
bool krsi_is_space(uint32_t code);
bool krsi_is_letter(uint32_t code);
bool krsi_is_number(uint32_t code);
bool krsi_is_nonspacing(uint32_t code);
bool krsi_is_mark(uint32_t code);
bool krsi_is_punctuation(uint32_t code);
bool krsi_is_other(uint32_t code);
bool krsi_is_ideograph(uint32_t code); /* CJK as BERT has them */
/* lower case: one character, or two; how many */
int krsi_lower(uint32_t code, uint32_t out[2]);

/* The alphabet of byte-level BPE (Radford et al. 2019): a printable character
 * for each byte, and back (-1: none). */
uint32_t krsi_byte_char(uint8_t byte);
int krsi_char_byte(uint32_t code);

/* ---- vocabulary.c ---- */

typedef struct krsi_vocabulary {
    krsi_buffer text; /* all tokens, each closed by a zero */
    struct krsi_piece {
        uint32_t at, bytes; /* in text; at = UINT32_MAX: no such token */
    } * tokens;             /* by id */
    size_t ids, capacity;   /* one more than the highest id */
    size_t count;           /* tokens there are */
    struct krsi_slot {
        uint32_t hash, id; /* id KRSI_NO_ID: empty */
    } * slots;
    size_t slot_count; /* a power of two, or 0 */
} krsi_vocabulary;

typedef enum krsi_added_as {
    KRSI_ADDED,
    KRSI_TOKEN_TWICE,
    KRSI_ID_TWICE,
    KRSI_ADD_NO_MEMORY
} krsi_added_as;

krsi_added_as krsi_vocabulary_add(krsi_vocabulary *v, const char *text,
                                  size_t bytes, uint32_t id);
uint32_t krsi_vocabulary_find(const krsi_vocabulary *v, const char *text,
                              size_t bytes);
/* NULL if there is none */
const char *krsi_vocabulary_text(const krsi_vocabulary *v, uint32_t id,
                                 size_t *bytes);
void krsi_vocabulary_free(krsi_vocabulary *v);

/* ---- trie.c: strings of bytes, for prefix search ---- */

typedef struct krsi_trie {
    struct krsi_edge {
        uint32_t from; /* UINT32_MAX: empty */
        uint32_t to;
        uint8_t byte;
    } * edges;         /* open addressing by (from, byte) */
    size_t edge_count; /* slots, a power of two */
    uint32_t *values;  /* by node; KRSI_NO_ID: no string ends here */
    size_t nodes, capacity;
} krsi_trie;

/* a string that is there already gets the new value */
bool krsi_trie_add(krsi_trie *t, const char *text, size_t bytes,
                   uint32_t value);
/* the node after `byte`; 0 (the root) if there is none */
uint32_t krsi_trie_step(const krsi_trie *t, uint32_t node, uint8_t byte);
void krsi_trie_free(krsi_trie *t);

/* ---- aligned.c: a text and where its bytes came from ---- */

typedef struct krsi_span {
    uint32_t begin, end;
} krsi_span;

/* from[i] is the part of the input that byte i stands for; all bytes of a
 * character have the same. `first` is where the text began in the input. */
typedef struct krsi_aligned {
    char *bytes;
    krsi_span *from;
    size_t count, capacity;
    uint32_t first;
    bool failed;
} krsi_aligned;

/* text[begin..end) of an input, unchanged */
void krsi_aligned_set(krsi_aligned *a, const char *text, size_t begin,
                      size_t end);
void krsi_aligned_add(krsi_aligned *a, const char *bytes, size_t count,
                      krsi_span from);
void krsi_aligned_copy(krsi_aligned *a, const krsi_aligned *source,
                       size_t begin, size_t end);
void krsi_aligned_free(krsi_aligned *a);
void krsi_aligned_swap(krsi_aligned *a, krsi_aligned *b);

/* A walk over a source that writes a changed text (aligned.c says how). */
typedef struct krsi_change {
    const krsi_aligned *source;
    krsi_aligned *target;
    size_t at; /* bytes of the source used up */
} krsi_change;

void krsi_change_put(krsi_change *c, uint32_t code, int change);
void krsi_change_skip(krsi_change *c, size_t characters);

/* ---- unicode_form.c ---- */

typedef enum krsi_form { KRSI_NFD, KRSI_NFKD, KRSI_NFC, KRSI_NFKC } krsi_form;

/* Characters with the change that each is (krsi_change_put). */
typedef struct krsi_marked {
    uint32_t code;
    int32_t change;
} krsi_marked;

typedef struct krsi_marked_list {
    krsi_marked *items, *spare;
    size_t count, capacity, spare_capacity;
} krsi_marked_list;

bool krsi_unicode_form(krsi_form form, const char *text, size_t bytes,
                       krsi_marked_list *out);
void krsi_marked_list_free(krsi_marked_list *list);

/* ---- charsmap.c: sentencepiece's precompiled table of replacements ---- */

typedef struct krsi_charsmap krsi_charsmap;

/* data is copied. FORMAT: `where` begins the message */
krs_status krsi_charsmap_new(const char *where, const void *data, size_t bytes,
                             krsi_charsmap **out, krs_error *err);
void krsi_charsmap_free(krsi_charsmap *map);
/* The replacement of the longest (or shortest) prefix of text that has one;
 * NULL if none has. *used: bytes of that prefix. */
const char *krsi_charsmap_longest(const krsi_charsmap *map, const char *text,
                                  size_t bytes, size_t *used,
                                  size_t *out_bytes);
const char *krsi_charsmap_shortest(const krsi_charsmap *map, const char *text,
                                   size_t bytes, size_t *out_bytes);

/* ---- base64.c ---- */

/* the bytes, to be freed; FORMAT with the offset of what is wrong */
krs_status krsi_base64(const char *where, const char *text, size_t count,
                       char **out, size_t *out_bytes, krs_error *err);

/* ---- pattern.c: what a Split or a Replace looks for ---- */

typedef struct krsi_pattern krsi_pattern;
typedef struct krsi_match {
    size_t begin, end;
} krsi_match;

krs_status krsi_pattern_literal(const char *text, size_t bytes,
                                krsi_pattern **out, krs_error *err);
/* an expression of Oniguruma; known ones are done by splitter.c */
krs_status krsi_pattern_regex(const char *text, size_t bytes,
                              krsi_pattern **out, krs_error *err);
void krsi_pattern_free(krsi_pattern *p);
/* What a search needs beside the pattern; one a thread. */
typedef struct krsi_search {
    void *data; /* pcre2_match_data */
} krsi_search;
void krsi_search_free(krsi_search *s);
/* regex.c: an expression of Oniguruma as one of PCRE2, appended to out;
 * UNSUPPORTED for what would mean something else there */
krs_status krsi_regex_translate(const char *regex, size_t bytes,
                                krsi_buffer *out, krs_error *err);
/* Where a series of searches in one text has come to; begins as KRSI_SCAN. */
typedef struct krsi_scan {
    size_t at, last_end;
} krsi_scan;
#define KRSI_SCAN ((krsi_scan){0, SIZE_MAX})
/* The next match; *found says whether there is one. */
krs_status krsi_pattern_next(const krsi_pattern *p, krsi_search *s,
                             const char *text, size_t bytes, krsi_scan *scan,
                             krsi_match *out, bool *found, krs_error *err);

/* ---- splitter.c: the expressions of well-known tokenizers by hand ---- */

typedef size_t krsi_splitter(const char *text, size_t bytes);

/* Each gives the length of the match at the start of a text that is not empty;
 * one always matches. NULL: not one of them. */
krsi_splitter *krsi_splitter_find(const char *regex);
size_t krsi_split_gpt2(const char *text, size_t bytes);
extern const char krsi_regex_gpt2[], krsi_regex_llama3[], krsi_regex_qwen2[];
/* the splitter of a pattern, if it has one */
krsi_splitter *krsi_pattern_splitter(const krsi_pattern *p);

/* ---- steps: parts.def ---- */

typedef enum krsi_behavior {
    KRSI_REMOVED,
    KRSI_ISOLATED,
    KRSI_MERGED_WITH_PREVIOUS,
    KRSI_MERGED_WITH_NEXT,
    KRSI_CONTIGUOUS
} krsi_behavior;

typedef enum krsi_prepend {
    KRSI_PREPEND_ALWAYS,
    KRSI_PREPEND_FIRST,
    KRSI_PREPEND_NEVER
} krsi_prepend;

enum krsi_normalizer {
#define NORMALIZER(NAME, name, read) KRSI_NORMALIZER_##NAME,
#define PRE(NAME, name, read)
#define DECODER(NAME, name, read)
#include "parts.def"
    KRSI_NORMALIZERS
};

enum krsi_pre {
#define NORMALIZER(NAME, name, read)
#define PRE(NAME, name, read) KRSI_PRE_##NAME,
#define DECODER(NAME, name, read)
#include "parts.def"
    KRSI_PRES
};

enum krsi_decoder {
#define NORMALIZER(NAME, name, read)
#define PRE(NAME, name, read)
#define DECODER(NAME, name, read) KRSI_DECODER_##NAME,
#include "parts.def"
    KRSI_DECODERS
};

/* One normalizer, pre-tokenizer or decoder; a kind uses what its reader in
 * parts_read.c sets. */
typedef struct krsi_step {
    int kind; /* of the station it stands in */
    bool clean_text, ideographs, strip_accents, lowercase;
    bool left, right;
    bool prefix_space, trim_offsets, split;
    bool invert, individual, cleanup;
    krsi_behavior behavior;
    krsi_prepend prepend;
    size_t start, stop;
    char *text; /* what is prepended, replaced by, stripped, ... */
    size_t text_bytes;
    char *other; /* CTC's word delimiter */
    size_t other_bytes;
    krsi_pattern *pattern;
    krsi_charsmap *charsmap;
} krsi_step;

typedef struct krsi_steps {
    krsi_step *items;
    size_t count, capacity;
} krsi_steps;

krs_status krsi_steps_add(krsi_steps *steps, krsi_step **out, krs_error *err);
void krsi_steps_free(krsi_steps *steps);

/* ---- added.c ---- */

typedef struct krsi_added_token {
    uint32_t id;
    char *content, *match; /* match: content after the normalizer */
    size_t content_bytes, match_bytes;
    bool single_word, lstrip, rstrip, normalized, special;
} krsi_added_token;

typedef struct krsi_added {
    krsi_added_token *items;
    size_t count, capacity;
    krsi_trie raw, normal; /* values: places in items */
    bool starts[2][256];   /* first bytes of raw, of normal */
    krsi_vocabulary text;  /* content -> id */
    uint32_t *by_id;       /* [limit] place in items, KRSI_NO_ID */
    size_t limit;
    krsi_pattern *word; /* one \w */
} krsi_added;

/* takes nothing over; content is copied */
krs_status krsi_added_add(krsi_added *added, const krsi_added_token *token,
                          krs_error *err);
/* after the last; matches are in place */
krs_status krsi_added_index(krsi_added *added, krs_error *err);
const krsi_added_token *krsi_added_of_id(const krsi_added *added, uint32_t id);
void krsi_added_free(krsi_added *added);

/* The next token at or after `at` in text; false if there is none. out: the
 * whole part that it takes, with the spaces it strips. `from`: the end of the
 * match before. */
typedef struct krsi_found {
    const krsi_added_token *token;
    size_t begin, end;
    size_t next; /* where to look on */
} krsi_found;
krs_status krsi_added_next(const krsi_added *added, bool normalized,
                           bool skip_special, krsi_search *search,
                           const char *text, size_t bytes, size_t from,
                           size_t at, krsi_found *out, bool *found,
                           krs_error *err);

/* ---- models ---- */

typedef enum krsi_model_kind {
    KRSI_BPE,
    KRSI_UNIGRAM,
    KRSI_WORDPIECE,
    KRSI_WORDLEVEL
} krsi_model_kind;

/* Two neighbours and what they become. Lower rank first; of equal ranks the
 * leftmost. */
typedef struct krsi_merge {
    uint64_t pair; /* left << 32 | right; UINT64_MAX: empty */
    uint32_t rank, id;
} krsi_merge;

typedef struct krsi_merges {
    krsi_merge *slots; /* open addressing */
    size_t slot_count, count;
} krsi_merges;

bool krsi_merges_room(krsi_merges *m, size_t count);
/* a pair that is there gets the new rank; room was made */
void krsi_merges_put(krsi_merges *m, uint32_t left, uint32_t right,
                     uint32_t rank, uint32_t id);
const krsi_merge *krsi_merges_find(const krsi_merges *m, uint32_t left,
                                   uint32_t right);

typedef struct krsi_model {
    krsi_model_kind kind;
    uint32_t unk;          /* KRSI_NO_ID: none */
    uint32_t byte_id[256]; /* of <0x00> .. <0xFF>, or KRSI_NO_ID */
    bool byte_fallback;

    /* BPE */
    krsi_merges merges;
    uint32_t char_id[256]; /* byte-level: the token of one byte */
    char *prefix, *suffix; /* of continuing characters, of the last one */
    size_t prefix_bytes, suffix_bytes;
    bool fuse_unk, ignore_merges;
    bool byte_level;       /* words come as bytes, not in the byte alphabet */
    krsi_vocabulary words; /* byte-level: bytes of a token -> id */
    bool cut_at_space;     /* no token has U+2581 after anything else */
    krsi_trie frozen;      /* pieces of a .model that nothing is merged with */
    bool pieces;     /* of a .model: ids >= vocabulary.ids are characters */
    uint32_t *extra; /* their code points */
    size_t extra_count, extra_capacity;
    uint8_t *unused; /* [ids] pieces to be taken apart again; NULL: none */

    /* Unigram: scores by id */
    double *scores;
    krsi_trie trie;      /* also WordPiece: all tokens */
    uint32_t continuing; /* WordPiece: the node after its prefix; 0: none */
    bool bare_prefix;    /* the prefix is empty: 0 is the root */
    double unk_score, max_score;
    bool single;      /* add up in f32, as a .model does */
    uint8_t *types;   /* of pieces of a .model; NULL: tokenizer.json */
    size_t max_chars; /* WordPiece: longer words are unknown */
} krsi_model;

void krsi_model_free(krsi_model *m);
/* bpe.c: the id of a character of a .model, or of the piece of that name;
 * KRSI_NO_ID if it is part of no piece */
uint32_t krsi_piece_id(const krs_tokenizer *t, const char *text, size_t bytes);

/* A token of a word: its bytes of the word follow those of the one before. */
typedef struct krsi_token {
    uint32_t id;
    uint32_t begin, end; /* in the word */
} krsi_token;

typedef struct krsi_tokens {
    krsi_token *items;
    size_t count, capacity;
} krsi_tokens;

typedef struct krsi_work krsi_work;

/* Append the tokens of one word. MEMORY; FORMAT where the model has neither
 * the word nor an unknown token. */
krs_status krsi_bpe(const krs_tokenizer *t, krsi_work *w, const char *word,
                    size_t bytes, krsi_tokens *out, krs_error *err);
krs_status krsi_unigram(const krs_tokenizer *t, krsi_work *w, const char *word,
                        size_t bytes, krsi_tokens *out, krs_error *err);
krs_status krsi_wordpiece(const krs_tokenizer *t, krsi_work *w,
                          const char *word, size_t bytes, krsi_tokens *out,
                          krs_error *err);
krs_status krsi_wordlevel(const krs_tokenizer *t, krsi_work *w,
                          const char *word, size_t bytes, krsi_tokens *out,
                          krs_error *err);

/* ---- post ---- */

typedef enum krsi_post_kind {
    KRSI_POST_TRIM,    /* ByteLevel: no spaces in offsets */
    KRSI_POST_TEMPLATE /* also BertProcessing, RobertaProcessing */
} krsi_post_kind;

/* A piece of a template: sequence A (0) or B (1), or special ids. */
typedef struct krsi_post_piece {
    int sequence; /* -1: special */
    uint32_t type_id;
    uint32_t *ids;
    char **texts;
    size_t count;
} krsi_post_piece;

typedef struct krsi_template {
    krsi_post_piece *items;
    size_t count;
} krsi_template;

typedef struct krsi_post {
    krsi_post_kind kind;
    bool prefix_space; /* TRIM: one space in front stands for nothing */
    krsi_template single, pair;
} krsi_post;

typedef struct krsi_posts {
    krsi_post *items;
    size_t count, capacity;
} krsi_posts;

krs_status krsi_posts_add(krsi_posts *posts, krsi_post **out, krs_error *err);
krs_status krsi_template_add(krsi_template *t, krsi_post_piece **out,
                             krs_error *err);
krs_status krsi_post_piece_add(krsi_post_piece *piece, uint32_t id,
                               const char *text, krs_error *err);
void krsi_posts_free(krsi_posts *posts);

typedef struct krsi_padding {
    bool on, left;
    int64_t length; /* 0: that of the longest of a batch */
    int64_t multiple;
    uint32_t id, type_id;
    char *token;
} krsi_padding;

/* ---- what a .model says of its text (piece_text.c) ---- */

typedef struct krsi_piece_text {
    bool on;
    bool dummy_prefix, as_suffix, remove_extra, escape;
    krsi_charsmap *charsmap, *decoder_charsmap;
    bool decodes, decoder_dummy, decoder_remove, decoder_escape;
    char *unk_surface;
} krsi_piece_text;

/* ---- the tokenizer ---- */

struct krs_tokenizer {
    krsi_vocabulary vocabulary;
    krsi_added added;
    krsi_steps normalizer, pre, decoder;
    krsi_posts post;
    krsi_model model;
    krsi_piece_text piece_text;
    bool decodes; /* there is a decoder; else tokens are joined by spaces */
    krs_truncation truncation; /* max_length 0: none */
    krsi_padding padding;
    char *chat;            /* template of the file, NULL if it has none */
    int64_t bos, eos, pad; /* -1: none */
    bool adds_bos, adds_eos;

    pthread_mutex_t lock; /* of spare */
    krsi_work *spare;     /* of calls that are over */
};

/* whole.c */
krs_status krsi_tokenizer_new(krs_tokenizer **out, krs_error *err);
/* after the parts are in place: added tokens, fast ways */
krs_status krsi_tokenizer_ready(krs_tokenizer *t, krs_error *err);

/* ---- one call: work.c ---- */

/* A part of the text in w->text: a token, or a word still to be encoded. */
typedef struct krsi_part {
    uint32_t begin, end; /* in w->text */
    uint32_t id;         /* KRSI_NO_ID: a word */
} krsi_part;

typedef struct krsi_parts {
    krsi_part *items;
    size_t count, capacity;
} krsi_parts;

/* Scratch of one thread, kept between calls; the words that it has met. */
struct krsi_work {
    krsi_work *next;
    krsi_aligned text, other, third; /* text: what parts point into */
    krsi_aligned whole;              /* normalized parts put together */
    krs_encoding sequences[2];       /* a text, and its pair */
    bool plain; /* text is the input itself: text.from is not used */
    const char *input;
    size_t input_bytes;
    krsi_parts parts, spare;
    krsi_marked_list marked;
    krsi_search search;
    krsi_tokens tokens;
    struct krsi_symbol *symbols;
    size_t symbol_capacity;
    struct krsi_candidate *heap;
    size_t heap_count, heap_capacity;
    struct krsi_node *nodes;
    size_t node_capacity;
    uint32_t *apart; /* by id: the two that an unused piece was made of */
    size_t apart_capacity;
    uint32_t *stack;
    size_t stack_capacity;
    struct krsi_word *words; /* cache: open addressing */
    size_t word_count;
    krsi_buffer word_text;
    krsi_tokens word_tokens;
    struct krsi_scripts *scripts;
};

krs_status krsi_work_take(const krs_tokenizer *t, krsi_work **out,
                          krs_error *err);
void krsi_work_give(const krs_tokenizer *t, krsi_work *w);
void krsi_work_free(krsi_work *w);

/* the bytes of a part */
const char *krsi_part_text(const krsi_work *w, const krsi_part *part);
/* the input that text[begin..end) stands for */
krsi_span krsi_work_span(const krsi_work *w, size_t begin, size_t end);
krs_status krsi_part_add(krsi_parts *parts, size_t begin, size_t end,
                         uint32_t id, krs_error *err);

/* normalize.c: all steps on w->text */
krs_status krsi_normalize(const krsi_steps *steps, krsi_work *w,
                          krs_error *err);
/* presplit.c: all steps on w->parts */
krs_status krsi_presplit(const krs_tokenizer *t, krsi_work *w, krs_error *err);
/* piece_text.c: w->input[begin..end) at the end of w->text */
krs_status krsi_piece_normalize(const krsi_piece_text *p,
                                const krsi_trie *frozen, krsi_work *w,
                                size_t begin, size_t end, krs_error *err);
krs_status krsi_piece_decode(const krs_tokenizer *t, const uint32_t *ids,
                             size_t count, bool skip_special, krsi_buffer *out,
                             krs_error *err);

/* script.c: a number for the script of a character; KRSI_ANY_SCRIPT for those
 * that go with every script */
#define KRSI_ANY_SCRIPT 0
krs_status krsi_script_of(krsi_work *w, uint32_t code, int *out,
                          krs_error *err);
void krsi_scripts_free(struct krsi_scripts *s);

/* words.c: the tokens of a word into w->tokens, from the cache or the model */
krs_status krsi_word(const krs_tokenizer *t, krsi_work *w, const char *word,
                     size_t bytes, krs_error *err);
void krsi_words_free(krsi_work *w);

/* sequence.c: the tokens of one text into e; `limit` tokens are enough (0: all
 * are wanted), counted from the end if `left` */
krs_status krsi_sequence(const krs_tokenizer *t, krsi_work *w, const char *text,
                         size_t bytes, const krs_encode_options *options,
                         size_t limit, bool left, krs_encoding *e,
                         krs_error *err);
/* the words and added tokens of w->input into w->parts */
krs_status krsi_parts_of(const krs_tokenizer *t, krsi_work *w,
                         bool plain_special, krs_error *err);
bool krsi_encoding_room(krs_encoding *e, size_t count, bool pieces);
/* a token with its string (NULL: none are kept); room was made for it, but not
 * for the string */
bool krsi_encoding_put(krs_encoding *e, uint32_t id, uint32_t type_id,
                       krs_token_span span, uint8_t marks, const char *piece,
                       size_t piece_bytes);

/* finish.c: w->sequences (1 or 2 of them) with all that comes after the model
 * but the padding of a batch */
krs_status krsi_finish(const krs_tokenizer *t, krsi_work *w,
                       const krs_text *texts, size_t count,
                       const krs_encode_options *options,
                       const krs_truncation *truncation, krs_encoding *e,
                       krs_error *err);
krs_status krsi_pad(const krs_tokenizer *t, krs_encoding *e, size_t length,
                    krs_error *err);
/* special tokens that are put around a text, or a pair */
size_t krsi_post_added(const krs_tokenizer *t, bool pair);

/* decode.c: the byte that a token like <0x0A> stands for, or -1 */
int krsi_byte_token(const char *text, size_t bytes);
/* appended to out */
krs_status krsi_decode(const krs_tokenizer *t, const uint32_t *ids,
                       size_t count, bool skip_special, krsi_buffer *out,
                       krs_error *err);

/* ---- readers ---- */

struct krsi_json; /* models/load/json_file.h */

/* parts_read.c */
krs_status krsi_read_normalizer(const struct krsi_json *value,
                                krsi_steps *steps, krs_error *err);
krs_status krsi_read_pre(const struct krsi_json *value, krsi_steps *steps,
                         krs_error *err);
krs_status krsi_read_decoder(const struct krsi_json *value, krsi_steps *steps,
                             krs_error *err);
/* post_read.c */
krs_status krsi_read_post(const struct krsi_json *value, krsi_posts *posts,
                          krs_error *err);
/* model_read.c */
krs_status krsi_read_model(const struct krsi_json *value, krs_tokenizer *t,
                           krs_error *err);
krs_status krsi_read_vocabulary(const struct krsi_json *value,
                                krsi_vocabulary *v, krs_error *err);
/* A merge of two tokens, room for which was made. FORMAT without a message if
 * one of the three tokens is missing; *missing says which. */
krs_status krsi_merge_add(krs_tokenizer *t, const char *const parts[2],
                          const size_t bytes[2], uint32_t rank,
                          krsi_buffer *whole, const char **missing,
                          size_t *missing_bytes);
/* the tries, once the vocabulary is whole */
krs_status krsi_wordpiece_index(krs_tokenizer *t, krs_error *err);
krs_status krsi_unigram_index(krs_tokenizer *t, krs_error *err);
/* tokenizer_json.c */
struct krsi_json_file;
/* all but model, added tokens, truncation and padding */
krs_status krsi_read_frame(const struct krsi_json *root, krs_tokenizer *t,
                           krs_error *err);
/* the same out of a text of ours */
krs_status krsi_frame(krs_tokenizer *t, const char *text, krs_error *err);
krs_status krsi_read_tokenizer(const struct krsi_json_file *file,
                               krs_tokenizer **out, krs_error *err);

#endif
