/* parts_read.c -- normalizers, pre-tokenizers and decoders out of a
 * tokenizer.json.
 *
 * In: the JSON of one, or of a Sequence of them. Out: steps at the end of a
 * list, Sequences laid flat; or one sentence with the JSON path. What the file
 * must say and does not is refused, and so is a kind that is not in parts.def;
 * members that no kind knows are passed over, as the format does.
 */
#include "../load/json_file.h"
#include "tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 16 };

typedef krs_status reader(const krsi_json *value, krsi_step *step,
                          krs_error *err);

static krs_status
keep_text(const krsi_json *value, const char *key, char **out, size_t *bytes,
          krs_error *err)
{
    const char *text;
    KRS_TRY(krsi_json_string(value, key, &text, err));
    *bytes = strlen(text);
    *out = krsi_copy_text(text, *bytes);
    return *out ? KRS_OK : krsi_no_memory(err, "a tokenizer");
}

static krs_status
keep_char(const krsi_json *value, const char *key, krsi_step *step,
          krs_error *err)
{
    KRS_TRY(keep_text(value, key, &step->text, &step->text_bytes, err));
    if (krsi_utf8_count(step->text, step->text_bytes) != 1)
        return krsi_json_wrong(value, err, "%s must be one character", key);
    return KRS_OK;
}

/* A pattern error, with its place. */
static krs_status
place_error(const krsi_json *value, krs_status status, krs_error *err)
{
    krs_error inner;
    if (status == KRS_OK || status == KRS_E_MEMORY || !err)
        return status;
    inner = *err;
    krsi_json_wrong(value, err, "%s", inner.text);
    err->status = status;
    return status;
}

/* {"String": "..."} or {"Regex": "..."} */
static krs_status
read_pattern(const krsi_json *value, krsi_step *step, krs_error *err)
{
    krsi_json pattern;
    const char *text;
    KRS_TRY(krsi_json_object(value, "pattern", &pattern, err));
    if (krsi_json_has(&pattern, "String")) {
        KRS_TRY(krsi_json_string(&pattern, "String", &text, err));
        return krsi_pattern_literal(text, strlen(text), &step->pattern, err);
    }
    KRS_TRY(krsi_json_string(&pattern, "Regex", &text, err));
    return place_error(
        &pattern, krsi_pattern_regex(text, strlen(text), &step->pattern, err),
        err);
}

static krs_status
read_behavior(const krsi_json *value, krsi_step *step, krs_error *err)
{
    static const char *const names[] = {
        [KRSI_REMOVED] = "Removed",
        [KRSI_ISOLATED] = "Isolated",
        [KRSI_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [KRSI_MERGED_WITH_NEXT] = "MergedWithNext",
        [KRSI_CONTIGUOUS] = "Contiguous",
    };
    size_t i;
    KRS_TRY(krsi_json_choice(value, "behavior", names,
                             sizeof names / sizeof *names, &i, err));
    step->behavior = (krsi_behavior)i;
    return KRS_OK;
}

static krs_status
read_nothing(const krsi_json *value, krsi_step *step, krs_error *err)
{
    (void)value, (void)step, (void)err;
    return KRS_OK;
}

static krs_status
read_bert(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(krsi_json_bool(value, "clean_text", &step->clean_text, err));
    KRS_TRY(
        krsi_json_bool(value, "handle_chinese_chars", &step->ideographs, err));
    KRS_TRY(krsi_json_bool(value, "lowercase", &step->lowercase, err));
    return krsi_json_bool_or(value, "strip_accents", step->lowercase,
                             &step->strip_accents, err);
}

static krs_status
read_strip(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(krsi_json_bool(value, "strip_left", &step->left, err));
    return krsi_json_bool(value, "strip_right", &step->right, err);
}

static krs_status
read_charsmap(const krsi_json *value, krsi_step *step, krs_error *err)
{
    const char *text;
    char *data, where[KRSI_JSON_PATH + 64];
    size_t bytes;
    krs_error inner;
    KRS_TRY(krsi_json_string(value, "precompiled_charsmap", &text, err));
    snprintf(where, sizeof where, "precompiled_charsmap");
    krs_status status =
        krsi_base64(where, text, strlen(text), &data, &bytes, &inner);
    if (status == KRS_OK) {
        status = krsi_charsmap_new(where, data, bytes, &step->charsmap, &inner);
        free(data);
    }
    if (status == KRS_E_FORMAT)
        return krsi_json_wrong(value, err, "%s", inner.text);
    if (status != KRS_OK)
        return krs_fail(err, status, "%s", inner.text);
    return KRS_OK;
}

static krs_status
read_replace(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(read_pattern(value, step, err));
    return keep_text(value, "content", &step->text, &step->text_bytes, err);
}

static krs_status
read_prepend(const krsi_json *value, krsi_step *step, krs_error *err)
{
    return keep_text(value, "prepend", &step->text, &step->text_bytes, err);
}

static krs_status
read_byte_level(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(
        krsi_json_bool(value, "add_prefix_space", &step->prefix_space, err));
    KRS_TRY(krsi_json_bool(value, "trim_offsets", &step->trim_offsets, err));
    return krsi_json_bool_or(value, "use_regex", true, &step->split, err);
}

static krs_status
read_delimiter(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(keep_char(value, "delimiter", step, err));
    return krsi_pattern_literal(step->text, step->text_bytes, &step->pattern,
                                err);
}

static krs_status
read_metaspace(const krsi_json *value, krsi_step *step, krs_error *err)
{
    static const char *const names[] = {
        [KRSI_PREPEND_ALWAYS] = "always",
        [KRSI_PREPEND_FIRST] = "first",
        [KRSI_PREPEND_NEVER] = "never",
    };
    bool prefix;
    size_t i = KRSI_PREPEND_ALWAYS;
    KRS_TRY(keep_char(value, "replacement", step, err));
    if (krsi_json_has(value, "prepend_scheme"))
        KRS_TRY(krsi_json_choice(value, "prepend_scheme", names,
                                 sizeof names / sizeof *names, &i, err));
    KRS_TRY(krsi_json_bool_or(value, "add_prefix_space", true, &prefix, err));
    if (!prefix && krsi_json_has(value, "prepend_scheme") &&
        i != KRSI_PREPEND_NEVER)
        return krsi_json_wrong(value, err,
                               "add_prefix_space is false and prepend_scheme "
                               "\"%s\": they contradict each other",
                               names[i]);
    step->prepend = prefix ? (krsi_prepend)i : KRSI_PREPEND_NEVER;
    KRS_TRY(krsi_json_bool_or(value, "split", true, &step->split, err));
    return krsi_pattern_literal(step->text, step->text_bytes, &step->pattern,
                                err);
}

/* Words and what is neither word nor space, by the classes of the regex
 * package of Rust: its \w has the joiners too. */
static krs_status
read_words(const krsi_json *value, krsi_step *step, krs_error *err)
{
    static const char regex[] = "[\\w\\x{200c}\\x{200d}]+"
                                "|[^\\w\\x{200c}\\x{200d}\\s]+";
    (void)value;
    return krsi_pattern_regex(regex, sizeof regex - 1, &step->pattern, err);
}

static krs_status
read_split(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(read_pattern(value, step, err));
    KRS_TRY(read_behavior(value, step, err));
    return krsi_json_bool(value, "invert", &step->invert, err);
}

static krs_status
read_punctuation(const krsi_json *value, krsi_step *step, krs_error *err)
{
    step->behavior = KRSI_ISOLATED;
    return krsi_json_has(value, "behavior") ? read_behavior(value, step, err)
                                            : KRS_OK;
}

static krs_status
read_digits(const krsi_json *value, krsi_step *step, krs_error *err)
{
    return krsi_json_bool(value, "individual_digits", &step->individual, err);
}

static krs_status
read_size(const krsi_json *value, const char *key, int64_t least,
          int64_t absent, size_t *out, krs_error *err)
{
    int64_t number;
    KRS_TRY(
        krsi_json_int_or(value, key, least, INT32_MAX, absent, &number, err));
    *out = (size_t)number;
    return KRS_OK;
}

static krs_status
read_fixed_length(const krsi_json *value, krsi_step *step, krs_error *err)
{
    return read_size(value, "length", 1, 5, &step->start, err);
}

static krs_status
read_suffix(const krsi_json *value, krsi_step *step, krs_error *err)
{
    return keep_text(value, "suffix", &step->text, &step->text_bytes, err);
}

static krs_status
read_pieces(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(keep_text(value, "prefix", &step->text, &step->text_bytes, err));
    return krsi_json_bool(value, "cleanup", &step->cleanup, err);
}

static krs_status
read_ctc(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(keep_text(value, "pad_token", &step->text, &step->text_bytes, err));
    KRS_TRY(keep_text(value, "word_delimiter_token", &step->other,
                      &step->other_bytes, err));
    return krsi_json_bool(value, "cleanup", &step->cleanup, err);
}

static krs_status
read_strip_ends(const krsi_json *value, krsi_step *step, krs_error *err)
{
    KRS_TRY(keep_char(value, "content", step, err));
    KRS_TRY(read_size(value, "start", 0, 0, &step->start, err));
    return read_size(value, "stop", 0, 0, &step->stop, err);
}

/* ---- kinds ---- */

struct kind {
    const char *name;
    reader *read;
};

static const struct kind normalizers[] = {
#define NORMALIZER(NAME, name, read) {name, read_##read},
#define PRE(NAME, name, read)
#define DECODER(NAME, name, read)
#include "parts.def"
};
static const struct kind pres[] = {
#define NORMALIZER(NAME, name, read)
#define PRE(NAME, name, read) {name, read_##read},
#define DECODER(NAME, name, read)
#include "parts.def"
};
static const struct kind decoders[] = {
#define NORMALIZER(NAME, name, read)
#define PRE(NAME, name, read)
#define DECODER(NAME, name, read) {name, read_##read},
#include "parts.def"
};

static krs_status
read_step(const krsi_json *value, const struct kind *kinds, size_t count,
          const char *list, int depth, krsi_steps *steps, krs_error *err)
{
    const char *type;
    krsi_json items, item;
    size_t many;
    KRS_TRY(krsi_json_string(value, "type", &type, err));
    if (!strcmp(type, "Sequence")) {
        if (depth == DEEPEST)
            return krsi_json_wrong(value, err,
                                   "sequences inside sequences, deeper than %d",
                                   DEEPEST);
        KRS_TRY(krsi_json_array(value, list, &items, &many, err));
        for (size_t i = 0; i < many; i++) {
            KRS_TRY(krsi_json_item(&items, i, &item, err));
            KRS_TRY(
                read_step(&item, kinds, count, list, depth + 1, steps, err));
        }
        return KRS_OK;
    }
    for (size_t i = 0; i < count; i++) {
        krsi_step *step;
        if (strcmp(kinds[i].name, type) != 0)
            continue;
        KRS_TRY(krsi_steps_add(steps, &step, err));
        step->kind = (int)i;
        return kinds[i].read(value, step, err);
    }
    const char *names[KRSI_NORMALIZERS + KRSI_PRES + KRSI_DECODERS + 1];
    for (size_t i = 0; i < count; i++)
        names[i] = kinds[i].name;
    names[count] = "Sequence";
    size_t none;
    return krsi_json_choice(value, "type", names, count + 1, &none, err);
}

krs_status
krsi_read_normalizer(const krsi_json *value, krsi_steps *steps, krs_error *err)
{
    return read_step(value, normalizers, KRSI_NORMALIZERS, "normalizers", 0,
                     steps, err);
}

krs_status
krsi_read_pre(const krsi_json *value, krsi_steps *steps, krs_error *err)
{
    return read_step(value, pres, KRSI_PRES, "pretokenizers", 0, steps, err);
}

krs_status
krsi_read_decoder(const krsi_json *value, krsi_steps *steps, krs_error *err)
{
    return read_step(value, decoders, KRSI_DECODERS, "decoders", 0, steps, err);
}
