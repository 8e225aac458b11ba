/* test_sample.c -- rules on logits against the golden cases, and the draw.
 */
#include "suite.h"

#include "models/load/json_file.h"

#include <krs/generate.h>
#include <krs/weights.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLING TESTS_DIR "/golden/sampling"

static void
ok(krs_status status, const krs_error *err)
{
    ck_assert_msg(status == KRS_OK, "%s", err->text);
}

/* A golden tensor [batch, width] in memory; free() it. */
static void *
read_tensor(const krs_weights *w, const krsi_json *item, const char *key,
            krs_dtype dtype, size_t element, int64_t *batch, int64_t *width)
{
    krs_error err = {0};
    const char *name;
    ok(krsi_json_string(item, key, &name, &err), &err);
    int64_t i = krs_weights_find(w, name);
    ck_assert_msg(i >= 0, "no tensor %s", name);
    const krs_weight *tensor = krs_weights_at(w, (size_t)i);
    ck_assert_int_eq(tensor->rank, 2);
    *batch = tensor->shape[0];
    *width = tensor->shape[1];
    size_t bytes = (size_t)tensor->count * element;
    void *data = malloc(bytes + 1);
    ck_assert_ptr_nonnull(data);
    ok(krs_weights_read(w, (size_t)i, dtype, data, bytes, &err), &err);
    return data;
}

static size_t
read_rules(const krsi_json *item, krs_logits_rule *rules, size_t room)
{
    krs_error err = {0};
    krsi_json list, step;
    size_t count;
    ok(krsi_json_array(item, "steps", &list, &count, &err), &err);
    ck_assert_uint_le(count, room);
    for (size_t i = 0; i < count; i++) {
        const char *kind;
        ok(krsi_json_item(&list, i, &step, &err), &err);
        ok(krsi_json_string(&step, "kind", &kind, &err), &err);
        ck_assert_msg(krs_logits_parse(kind, &rules[i].kind), "%s", kind);
        ok(krsi_json_double(&step, "value", KRSI_ANY_NUMBER, &rules[i].value,
                            &err),
           &err);
    }
    return count;
}

static void
expect_near(const char *name, const char *what, int64_t i, double got,
            double want, double rtol, double atol)
{
    bool near = isinf(want) ? got == want
                            : fabs(got - want) <= atol + rtol * fabs(want);
    ck_assert_msg(near, "%s: %s[%lld] is %.9g, not %.9g", name, what,
                  (long long)i, got, want);
}

static void
check_case(const krs_weights *w, const krsi_json *item)
{
    krs_error err = {0};
    krs_logits_rule rules[8];
    krsi_json tol, kept;
    const char *name;
    double rtol, atol;
    int64_t batch, vocab, length, same;
    size_t kept_count, count = read_rules(item, rules, 8);
    ok(krsi_json_string(item, "name", &name, &err), &err);
    ok(krsi_json_object(item, "tol", &tol, &err), &err);
    ok(krsi_json_double(&tol, "rtol", KRSI_NOT_NEGATIVE, &rtol, &err), &err);
    ok(krsi_json_double(&tol, "atol", KRSI_NOT_NEGATIVE, &atol, &err), &err);
    ok(krsi_json_array(item, "kept", &kept, &kept_count, &err), &err);

    float *logits = read_tensor(w, item, "logits", KRS_F32, 4, &batch, &vocab);
    float *want = read_tensor(w, item, "filtered", KRS_F32, 4, &batch, &same);
    ck_assert_int_eq(same, vocab);
    float *probs = read_tensor(w, item, "probs", KRS_F32, 4, &batch, &same);
    int64_t *ids =
        read_tensor(w, item, "input_ids", KRS_I64, 8, &same, &length);
    ck_assert_int_eq(same, batch);
    ck_assert_uint_eq(kept_count, (size_t)batch);
    double *row = calloc((size_t)vocab, sizeof *row);
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t v = 0; v < vocab; v++)
            row[v] = (double)logits[b * vocab + v];
        ok(krs_logits_apply(rules, count, row, vocab, ids + b * length,
                            (size_t)length, &err),
           &err);
        int64_t left = 0, expected;
        for (int64_t v = 0; v < vocab; v++) {
            expect_near(name, "filtered", v, row[v],
                        (double)want[b * vocab + v], rtol, atol);
            left += row[v] > -INFINITY;
        }
        krsi_json number;
        ok(krsi_json_item(&kept, (size_t)b, &number, &err), &err);
        ok(krsi_json_as_int(&number, 1, vocab, &expected, &err), &err);
        ck_assert_msg(left == expected, "%s: %lld ids stay, not %lld", name,
                      (long long)left, (long long)expected);
        krs_logits_softmax(row, vocab, row);
        for (int64_t v = 0; v < vocab; v++)
            expect_near(name, "probs", v, row[v], (double)probs[b * vocab + v],
                        rtol, atol);
    }
    free(row);
    free(ids);
    free(probs);
    free(want);
    free(logits);
}

START_TEST(every_golden_case_is_met)
{
    krs_error err = {0};
    krsi_json_file *file;
    krs_weights *w;
    ok(krsi_json_open(SAMPLING "/cases.json", &file, &err), &err);
    ok(krs_weights_open(SAMPLING "/tensors.safetensors", &w, &err), &err);
    krsi_json root = krsi_json_root(file), item;
    size_t count = krsi_json_count(&root);
    ck_assert_uint_eq(count, 22);
    for (size_t i = 0; i < count; i++) {
        ok(krsi_json_item(&root, i, &item, &err), &err);
        check_case(w, &item);
    }
    krs_weights_close(w);
    krsi_json_close(file);
}
END_TEST

START_TEST(top_k_keeps_ties_with_the_last)
{
    double logits[] = {1, 3, 2, 2, 2, 0};
    const krs_logits_rule rule = {KRS_LOGITS_TOP_K, 2};
    ck_assert_int_eq(krs_logits_apply(&rule, 1, logits, 6, NULL, 0, NULL),
                     KRS_OK);
    ck_assert(isinf(logits[0]) && isinf(logits[5]));
    ck_assert(logits[1] == 3 && logits[2] == 2 && logits[4] == 2);
}
END_TEST

START_TEST(of_equal_tokens_top_p_keeps_the_lower_id)
{
    double logits[] = {0, 0, 0, 0};
    const krs_logits_rule rule = {KRS_LOGITS_TOP_P, 0.5};
    ck_assert_int_eq(krs_logits_apply(&rule, 1, logits, 4, NULL, 0, NULL),
                     KRS_OK);
    ck_assert(logits[0] == 0 && logits[1] == 0);
    ck_assert(isinf(logits[2]) && isinf(logits[3]));
}
END_TEST

START_TEST(the_likeliest_token_survives_every_cut)
{
    const krs_logits_rule rules[] = {
        {KRS_LOGITS_TOP_K,          1   },
        {KRS_LOGITS_TOP_P,          1e-9},
        {KRS_LOGITS_MIN_P,          1   },
        {KRS_LOGITS_EPSILON_CUTOFF, 1   },
        {KRS_LOGITS_TEMPERATURE,    1e-3}
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        double logits[] = {-1, 5, 2};
        ck_assert_int_eq(
            krs_logits_apply(&rules[i], 1, logits, 3, NULL, 0, NULL), KRS_OK);
        ck_assert_msg(krs_logits_argmax(logits, 3) == 1 && !isinf(logits[1]),
                      "%s", krs_logits_name(rules[i].kind));
    }
}
END_TEST

START_TEST(values_out_of_bounds_are_refused_by_name)
{
    static const struct {
        krs_logits_rule rule;
        const char *text;
    } wrong[] = {
        {{KRS_LOGITS_TEMPERATURE, 0},        "temperature 0"         },
        {{KRS_LOGITS_TEMPERATURE, NAN},      "temperature nan"       },
        {{KRS_LOGITS_TOP_K, 0},              "top_k 0"               },
        {{KRS_LOGITS_TOP_K, 2.5},            "top_k 2.5"             },
        {{KRS_LOGITS_TOP_P, 0},              "top_p 0"               },
        {{KRS_LOGITS_TOP_P, 1.5},            "top_p 1.5"             },
        {{KRS_LOGITS_MIN_P, -0.5},           "min_p -0.5"            },
        {{KRS_LOGITS_REPETITION_PENALTY, 0}, "repetition_penalty 0"  },
        {{KRS_LOGITS_NO_REPEAT_NGRAM, 0},    "no_repeat_ngram_size 0"},
        {{(krs_logits_kind)99, 0},           "99 is not a kind"      },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        double logits[] = {1, 2};
        krs_error err = {0};
        ck_assert_int_eq(
            krs_logits_apply(&wrong[i].rule, 1, logits, 2, NULL, 0, &err),
            KRS_E_RANGE);
        ck_assert_msg(strstr(err.text, wrong[i].text) != NULL, "%s", err.text);
        ck_assert(logits[0] == 1 && logits[1] == 2);
    }
}
END_TEST

START_TEST(unusable_logits_and_foreign_ids_are_refused)
{
    krs_error err = {0};
    double logits[] = {1, NAN, 2};
    const int64_t history[] = {0, 3};
    ck_assert_int_eq(krs_logits_apply(NULL, 0, logits, 3, NULL, 0, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "nan for id 1"));
    logits[1] = INFINITY;
    ck_assert_int_eq(krs_logits_apply(NULL, 0, logits, 3, NULL, 0, &err),
                     KRS_E_RANGE);
    logits[1] = -INFINITY;
    ck_assert_int_eq(krs_logits_apply(NULL, 0, logits, 3, history, 2, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "id 3 at place 1"));
}
END_TEST

START_TEST(the_draw_divides_the_unit_interval_by_probability)
{
    const double logits[] = {log(0.5), -INFINITY, log(0.25), log(0.25)};
    ck_assert_int_eq(krs_logits_draw(logits, 4, 0.0), 0);
    ck_assert_int_eq(krs_logits_draw(logits, 4, 0.499999), 0);
    ck_assert_int_eq(krs_logits_draw(logits, 4, 0.500001), 2);
    ck_assert_int_eq(krs_logits_draw(logits, 4, 0.749999), 2);
    ck_assert_int_eq(krs_logits_draw(logits, 4, 0.750001), 3);
    ck_assert_int_eq(krs_logits_draw(logits, 4, 1.0 - 0x1p-53), 3);
}
END_TEST

START_TEST(a_removed_first_token_is_never_drawn)
{
    const double logits[] = {-INFINITY, 0.0, -INFINITY};
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(krs_logits_draw(logits, 3, i / 1000.0), 1);
}
END_TEST

START_TEST(names_and_kinds_belong_together)
{
    for (int kind = 0; kind < KRS_LOGITS_KINDS; kind++) {
        krs_logits_kind back;
        ck_assert(
            krs_logits_parse(krs_logits_name((krs_logits_kind)kind), &back));
        ck_assert_int_eq(back, kind);
    }
    krs_logits_kind kind;
    ck_assert(!krs_logits_parse("top_q", &kind));
    ck_assert_str_eq(krs_logits_name(KRS_LOGITS_KINDS), "?");
}
END_TEST

SUITE(every_golden_case_is_met, top_k_keeps_ties_with_the_last,
      of_equal_tokens_top_p_keeps_the_lower_id,
      the_likeliest_token_survives_every_cut,
      values_out_of_bounds_are_refused_by_name,
      unusable_logits_and_foreign_ids_are_refused,
      the_draw_divides_the_unit_interval_by_probability,
      a_removed_first_token_is_never_drawn, names_and_kinds_belong_together)
