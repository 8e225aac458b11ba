/* test_gguf.c -- a GGUF file that the Python package gguf wrote
 * (golden/gguf/llama_gqa.gguf): settings, tokenizer, tensors, and the LLaMA in
 * it, which is that of golden/models/llama_gqa.
 */
#include <krs/gguf.h>
#include <krs/llama.h>

#include "suite.h"
#include "temp_folder.h"

#include <math.h>

#define FILE_NAME TESTS_DIR "/golden/gguf/llama_gqa.gguf"
#define FOLDER    TESTS_DIR "/golden/models/llama_gqa"

static krs_error err;

static krs_gguf *
opened(void)
{
    krs_gguf *g = NULL;
    ck_assert_msg(krs_gguf_open(FILE_NAME, &g, &err) == KRS_OK, "%s", err.text);
    return g;
}

START_TEST(settings_of_every_type_are_read)
{
    krs_gguf *g = opened();
    int64_t number;
    double real;
    bool yes;
    const char *text;
    ck_assert_uint_eq(krs_gguf_version(g), 3);
    ck_assert_str_eq(krs_gguf_path(g), FILE_NAME);
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {
        {"test.u8",           200                },
        {"test.i8",           -100               },
        {"test.u16",          60000              },
        {"test.i16",          -30000             },
        {"test.i32",          -2000000000        },
        {"test.i64",          -(INT64_C(1) << 62)},
        {"llama.block_count", 3                  },
    };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        ck_assert_int_eq(
            krs_gguf_int(g, ints[i].key, INT64_MIN, INT64_MAX, &number, &err),
            0);
        ck_assert_int_eq(number, ints[i].value);
    }
    ck_assert_int_eq(krs_gguf_double_or(g, "test.f64", 0, &real, &err), 0);
    ck_assert(real == 1e300);
    ck_assert_int_eq(krs_gguf_bool_or(g, "test.no", true, &yes, &err), 0);
    ck_assert(!yes);
    ck_assert_int_eq(krs_gguf_string_or(g, "general.name", NULL, &text, &err),
                     0);
    ck_assert_str_eq(text, "llama_gqa");
    const void *items;
    size_t count;
    ck_assert_int_eq(
        krs_gguf_array(g, "test.floats", KRS_GGUF_F32, &items, &count, &err),
        0);
    ck_assert_uint_eq(count, 2);
    ck_assert(((const float *)items)[1] == -2.5F);
    for (size_t i = 1; krs_gguf_at(g, i); i++)
        ck_assert_int_lt(
            strcmp(krs_gguf_at(g, i - 1)->key, krs_gguf_at(g, i)->key), 0);
    krs_gguf_close(g);
}
END_TEST

START_TEST(settings_of_another_type_or_range_are_refused)
{
    krs_gguf *g = opened();
    int64_t number = 7;
    double real;
    bool yes;
    const char *text;
    const void *items;
    size_t count;
#define REFUSED(call, says)                                                  \
    ck_assert_int_eq(call, KRS_E_FORMAT);                                    \
    ck_assert_msg(strncmp(err.text, FILE_NAME ": ", sizeof FILE_NAME + 1) == \
                          0 &&                                               \
                      strstr(err.text, says),                                \
                  "%s", err.text)
    REFUSED(krs_gguf_int(g, "test.none", 0, 9, &number, &err),
            "the setting test.none is missing");
    REFUSED(krs_gguf_int(g, "test.u8", 0, 9, &number, &err),
            "\"test.u8\": is 200, expected 0 to 9");
    REFUSED(krs_gguf_int(g, "test.u64", 0, INT64_MAX, &number, &err),
            "\"test.u64\": is above 2^63 - 1");
    REFUSED(krs_gguf_int(g, "test.f64", 0, 9, &number, &err),
            "expected an integer, found a float64");
    REFUSED(krs_gguf_int_or(g, "test.ints", 0, 9, 1, &number, &err),
            "expected an integer, found an array of 3 int32");
    REFUSED(krs_gguf_double_or(g, "test.u8", 0, &real, &err),
            "expected a float, found a uint8");
    REFUSED(krs_gguf_bool_or(g, "general.name", true, &yes, &err),
            "expected a bool, found a string");
    REFUSED(krs_gguf_string_or(g, "test.no", NULL, &text, &err),
            "expected a string, found a bool");
    REFUSED(
        krs_gguf_array(g, "test.floats", KRS_GGUF_I32, &items, &count, &err),
        "expected an array of int32, found an array of 2 float32");
    ck_assert_int_eq(number, 7);
    ck_assert_int_eq(krs_gguf_int_or(g, "test.none", 0, 9, 4, &number, &err),
                     0);
    ck_assert_int_eq(number, 4);
    krs_gguf_close(g);
}
END_TEST

START_TEST(the_tokenizer_is_handed_out_as_arrays)
{
    krs_gguf *g = opened();
    krs_gguf_tokenizer t;
    ck_assert_msg(krs_gguf_read_tokenizer(g, &t, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_str_eq(t.model, "gpt2");
    ck_assert_str_eq(t.pre, "smollm");
    ck_assert_uint_eq(t.token_count, 257);
    ck_assert_str_eq(t.tokens[255].text, "t\xC3\xA4g255");
    ck_assert_uint_eq(t.tokens[255].bytes, 7);
    ck_assert(t.scores[8] == -2);
    ck_assert_int_eq(t.types[7], 2);
    ck_assert_uint_eq(t.merge_count, 3);
    ck_assert_str_eq(t.merges[1].text, "ab c");
    ck_assert_int_eq(t.bos, 1);
    ck_assert_int_eq(t.eos, 2);
    ck_assert_int_eq(t.padding, 0);
    ck_assert_int_eq(t.unknown, -1);
    ck_assert(t.add_bos && t.has_add_bos && !t.add_eos && !t.has_add_eos);
    ck_assert(t.add_space_prefix);
    ck_assert_str_eq(t.chat_template, "{{ messages[0]['content'] }}");
    ck_assert_ptr_null(t.huggingface);
    krs_gguf_close(g);
}
END_TEST

START_TEST(its_llama_is_that_of_the_folder)
{
    krs_llama_config got, want;
    krs_weights *a, *b;
    ck_assert_msg(krs_llama_weights(FILE_NAME, &got, &a, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_int_eq(krs_llama_weights(FOLDER, &want, &b, &err), 0);
    ck_assert_int_eq(got.vocab_size, want.vocab_size);
    ck_assert_int_eq(got.hidden_size, want.hidden_size);
    ck_assert_int_eq(got.intermediate_size, want.intermediate_size);
    ck_assert_int_eq(got.num_hidden_layers, want.num_hidden_layers);
    ck_assert_int_eq(got.num_attention_heads, want.num_attention_heads);
    ck_assert_int_eq(got.num_key_value_heads, want.num_key_value_heads);
    ck_assert_int_eq(got.head_dim, want.head_dim);
    ck_assert_int_eq(got.max_position_embeddings, want.max_position_embeddings);
    ck_assert(got.rms_norm_eps == want.rms_norm_eps);
    ck_assert(got.rope.rope_theta == want.rope.rope_theta);
    ck_assert_int_eq(got.rope.type, want.rope.type);
    ck_assert(got.tie_word_embeddings && want.tie_word_embeddings);
    ck_assert_int_eq(got.bos_token_id, want.bos_token_id);
    ck_assert_int_eq(got.pad_token_id, want.pad_token_id);
    ck_assert_int_eq(got.eos_count, 1);
    ck_assert_int_eq(got.eos_token_id[0], want.eos_token_id[0]);

    ck_assert_uint_eq(krs_weights_count(a), krs_weights_count(b));
    int turned = 0;
    for (size_t i = 0; i < krs_weights_count(a); i++) {
        const krs_weight *s = krs_weights_at(a, i), *t = krs_weights_at(b, i);
        ck_assert_str_eq(s->name, t->name);
        ck_assert_int_eq(s->rank, t->rank);
        ck_assert_int_eq(s->count, t->count);
        size_t bytes = (size_t)s->count * sizeof(float);
        float *x = malloc(bytes), *y = malloc(bytes), part[60];
        ck_assert_int_eq(krs_weights_read(a, i, KRS_F32, x, bytes, &err), 0);
        ck_assert_int_eq(krs_weights_read(b, i, KRS_F32, y, bytes, &err), 0);
        ck_assert_msg(memcmp(x, y, bytes) == 0, "%s", s->name);
        if (strstr(s->name, "q_proj")) { /* parts too, across rows */
            turned++;
            ck_assert_int_eq(krs_weights_read_part(a, i, 40, 60, KRS_F32, part,
                                                   sizeof part, &err),
                             0);
            ck_assert_mem_eq(part, y + 40, sizeof part);
        }
        free(x);
        free(y);
    }
    ck_assert_int_eq(turned, 3);
    krs_weights_close(a);
    krs_weights_close(b);
}
END_TEST

START_TEST(other_formats_have_no_gguf_header)
{
    krs_weights *w;
    krs_gguf *g = NULL;
    krs_llama_config c;
    ck_assert_int_eq(krs_weights_open(FOLDER, &w, &err), 0);
    ck_assert_ptr_null(krs_weights_gguf(w));
    krs_weights_close(w);
    ck_assert_int_eq(krs_gguf_open(FOLDER "/model.safetensors", &g, &err),
                     KRS_E_FORMAT);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(
        krs_llama_weights(FOLDER "/model.safetensors", &c, &w, &err),
        KRS_E_UNSUPPORTED);
    ck_assert_int_eq(krs_gguf_open(NULL, &g, &err), KRS_E_ARGUMENT);
    krs_gguf_close(NULL);
}
END_TEST

SUITE(settings_of_every_type_are_read,
      settings_of_another_type_or_range_are_refused,
      the_tokenizer_is_handed_out_as_arrays, its_llama_is_that_of_the_folder,
      other_formats_have_no_gguf_header)
