/* test_describe.c -- what `kersey inspect` prints about a weights file. */
#include <krs/weights.h>

#include "fault_memory.h"
#include "suite.h"
#include "temp_folder.h"

#include <jansson.h>
#include <math.h>

static krs_error err;

/* All lines, with a newline after each; stops after `most` lines. */
typedef struct page {
    char text[8000];
    int lines, most;
} page;

static bool
take(void *user, const char *line)
{
    page *p = user;
    ck_assert_ptr_null(strchr(line, '\n'));
    ck_assert_uint_lt(strlen(p->text) + strlen(line) + 2, sizeof p->text);
    strcat(p->text, line);
    strcat(p->text, "\n");
    return ++p->lines != p->most;
}

/* The same without Check, which allocates too. */
static bool
collect(void *user, const char *line)
{
    page *p = user;
    if (strlen(p->text) + strlen(line) + 2 > sizeof p->text)
        return false;
    strcat(strcat(p->text, line), "\n");
    return true;
}

static const float values[] = {1, 2, 3, -4, 0, NAN, INFINITY, -INFINITY};
static const int64_t shape[] = {2, 4}, two[] = {2};
static const int64_t ids[] = {-5, 7};

static krs_weights *
model(void)
{
    krs_weight_source tensors[] = {
        {"layer.weight", KRS_F32, 2, shape, values},
        {"ids\n\x1b[2J", KRS_I64, 1, two,   ids   },
    };
    krs_weights_note note = {"format", "krs"};
    krs_weights *w = NULL;
    ck_assert_int_eq(
        krs_weights_write(temp_path("x"), tensors, 2, &note, 1, &err), 0);
    ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), 0);
    return w;
}

START_TEST(statistics_keep_finite_values_apart_from_the_others)
{
    krs_weights *w = model();
    krs_weight_stats s;
    ck_assert_int_eq(krs_weights_stats(w, 1, &s, &err), 0);
    ck_assert_int_eq(s.count, 8);
    ck_assert_int_eq(s.zeros, 1);
    ck_assert_int_eq(s.nans, 1);
    ck_assert_int_eq(s.infinities, 2);
    ck_assert(s.min == -4 && s.max == 3);
    ck_assert_double_eq_tol(s.mean, 0.4, 1e-15);
    ck_assert_double_eq_tol(s.std, sqrt(5.84), 1e-14);
    ck_assert_int_eq(krs_weights_stats(w, 2, &s, &err), KRS_E_ARGUMENT);
    krs_weights_close(w);
}
END_TEST

START_TEST(a_large_mean_does_not_swallow_the_deviation)
{
    enum { N = 50000 };
    float *large = malloc(N * sizeof *large);
    int64_t n[] = {N};
    for (int i = 0; i < N; i++)
        large[i] = 1e6F + (float)(i % 2);
    krs_weight_source t = {"t", KRS_F32, 1, n, large};
    krs_weights *w = NULL;
    krs_weight_stats s;
    ck_assert_int_eq(krs_weights_write(temp_path("x"), &t, 1, NULL, 0, &err),
                     0);
    ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), 0);
    ck_assert_int_eq(krs_weights_stats(w, 0, &s, &err), 0);
    ck_assert_double_eq_tol(s.mean, 1000000.5, 1e-6);
    ck_assert_double_eq_tol(s.std, 0.5, 1e-9);
    krs_weights_close(w);
    free(large);
}
END_TEST

START_TEST(no_finite_value_gives_nan_statistics)
{
    const float nothing[] = {NAN, INFINITY};
    krs_weight_source t = {"t", KRS_F32, 1, two, nothing};
    krs_weights *w = NULL;
    krs_weight_stats s;
    ck_assert_int_eq(krs_weights_write(temp_path("x"), &t, 1, NULL, 0, &err),
                     0);
    ck_assert_int_eq(krs_weights_open(temp_path("x"), &w, &err), 0);
    ck_assert_int_eq(krs_weights_stats(w, 0, &s, &err), 0);
    ck_assert(isnan(s.min) && isnan(s.max) && isnan(s.mean) && isnan(s.std));
    krs_weights_close(w);
}
END_TEST

START_TEST(text_lines_up_and_hides_control_characters)
{
    krs_weights *w = model();
    page p = {.most = -1};
    krs_describe_options options = {.struct_size = sizeof options,
                                    .stats = true};
    ck_assert_int_eq(krs_weights_describe(w, &options, take, &p, &err), 0);
    ck_assert_str_eq(
        p.text,
        "# format = \"krs\"\n"
        "ids\\x0a\\x1b[2J  I64[2]                               16 bytes\n"
        "    min -5  max 7  mean 1  std 6  zeros 0  nan 0  inf 0\n"
        "layer.weight    F32[2,4]                             32 bytes\n"
        "    min -4  max 3  mean 0.4  std 2.41661  zeros 1  nan 1  inf 2\n"
        "F32            1 tensors              8 parameters               32 "
        "bytes\n"
        "I64            1 tensors              2 parameters               16 "
        "bytes\n"
        "total          2 tensors             10 parameters               48 "
        "bytes\n");
    memset(&p, 0, sizeof p);
    p.most = -1;
    ck_assert_int_eq(krs_weights_describe(w, NULL, take, &p, &err), 0);
    ck_assert_int_eq(p.lines, 6);
    krs_weights_close(w);
}
END_TEST

START_TEST(json_is_one_valid_document)
{
    krs_weights *w = model();
    page p = {.most = -1};
    krs_describe_options options = {.struct_size = sizeof options,
                                    .format = KRS_DESCRIBE_JSON,
                                    .stats = true};
    ck_assert_int_eq(krs_weights_describe(w, &options, take, &p, &err), 0);
    json_error_t e;
    json_t *root = json_loads(p.text, JSON_REJECT_DUPLICATES, &e);
    ck_assert_msg(root != NULL, "%s in %s", e.text, p.text);
    const char *path, *name, *dtype, *format;
    json_int_t parameters, bytes, d0, d1, tensors, nans, infs, zeros, f32;
    double min, max, mean, std;
    ck_assert_int_eq(
        json_unpack_ex(
            root, &e, 0,
            "{s:s, s:{s:s}, s:I, s:I, s:{s:{s:I,s:I}},"
            " s:[{}, {s:s, s:s, s:[I,I], s:{s:F,s:F,s:F,s:F,s:I,s:I,s:I}}]}",
            "path", &path, "metadata", "format", &format, "parameters",
            &parameters, "bytes", &bytes, "dtypes", "F32", "tensors", &tensors,
            "parameters", &f32, "tensors", "name", &name, "dtype", &dtype,
            "shape", &d0, &d1, "stats", "min", &min, "max", &max, "mean", &mean,
            "std", &std, "nan", &nans, "inf", &infs, "zero", &zeros),
        0);
    ck_assert_str_eq(path, temp_path("x"));
    ck_assert_str_eq(format, "krs");
    ck_assert_str_eq(name, "layer.weight");
    ck_assert_str_eq(dtype, "F32");
    ck_assert_int_eq(parameters, 10);
    ck_assert_int_eq(bytes, 48);
    ck_assert_int_eq(f32, 8);
    ck_assert_int_eq(tensors, 1);
    ck_assert_int_eq(d0 * 10 + d1, 24);
    ck_assert(min == -4 && max == 3 && nans == 1 && infs == 2 && zeros == 1);
    ck_assert_double_eq_tol(mean, 0.4, 1e-15);
    ck_assert_double_eq_tol(std, sqrt(5.84), 1e-14);
    json_decref(root);
    krs_weights_close(w);
}
END_TEST

START_TEST(a_sink_may_stop_the_description)
{
    krs_weights *w = model();
    for (int format = 0; format < 2; format++)
        for (int most = 1; most < 6; most++) {
            page p = {.most = most};
            krs_describe_options options = {
                sizeof options, (krs_describe_format)format, false, NULL};
            ck_assert_int_eq(krs_weights_describe(w, &options, take, &p, &err),
                             KRS_E_CANCELLED);
            ck_assert_int_eq(p.lines, most);
        }
    krs_describe_options wrong = {0};
    page p = {.most = -1};
    ck_assert_int_eq(krs_weights_describe(w, &wrong, take, &p, &err),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_weights_describe(w, NULL, NULL, NULL, &err),
                     KRS_E_ARGUMENT);
    krs_weights_close(w);
}
END_TEST

START_TEST(every_failed_allocation_is_reported_or_harmless)
{
    memory_watch_json();
    krs_weights *w = model();
    krs_describe_options options = {.struct_size = sizeof options,
                                    .format = KRS_DESCRIBE_JSON,
                                    .stats = true};
    page want = {.most = -1};
    int n = 1, refused = 0;
    ck_assert_int_eq(krs_weights_describe(w, &options, collect, &want, &err),
                     0);
    for (;; n++) {
        page p = {.most = -1};
        memory_fail_at(n);
        krs_status status =
            krs_weights_describe(w, &options, collect, &p, &err);
        bool struck = memory_struck();
        if (status == KRS_OK) {
            ck_assert_str_eq(p.text, want.text);
        } else {
            ck_assert_int_eq(status, KRS_E_MEMORY);
            refused++;
        }
        if (!struck)
            break;
    }
    ck_assert_int_gt(refused, 50);
    krs_weights_close(w);
}
END_TEST

SUITE(statistics_keep_finite_values_apart_from_the_others,
      a_large_mean_does_not_swallow_the_deviation,
      no_finite_value_gives_nan_statistics,
      text_lines_up_and_hides_control_characters, json_is_one_valid_document,
      a_sink_may_stop_the_description,
      every_failed_allocation_is_reported_or_harmless)
