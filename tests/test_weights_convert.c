/* test_weights_convert.c -- tensors from one file to another: shards, every
 * type, blocks, and what happens when memory runs out. files.bats converts
 * whole models.
 */
#include <krs/gguf.h>
#include <krs/llama.h>
#include <krs/weights.h>

#include "fault_memory.h"
#include "suite.h"
#include "temp_folder.h"

#include <jansson.h>
#include <sys/stat.h>

#define MODEL TESTS_DIR "/golden/models/llama_gqa"
#define GGUF  TESTS_DIR "/golden/gguf/llama_gqa.gguf"

static krs_error err;

static krs_weights *
opened(const char *path)
{
    krs_weights *w = NULL;
    ck_assert_msg(krs_weights_open(path, &w, &err) == KRS_OK, "%s", err.text);
    return w;
}

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

/* Lines into a page of 2000 bytes, NULL: nowhere. */
static bool
add_line(void *user, const char *line)
{
    char *page = user;
    if (page && strlen(page) + strlen(line) + 2 < 2000)
        strcat(strcat(page, line), "\n");
    return true;
}

static size_t
difference(const char *left, const char *right)
{
    krs_weights *a = opened(left), *b = opened(right);
    size_t differing = 99;
    must(krs_weights_diff(a, b, add_line, NULL, &differing, &err));
    krs_weights_close(a);
    krs_weights_close(b);
    return differing;
}

START_TEST(shards_hold_no_more_than_asked_and_all_of_the_model)
{
    enum { MOST = 60000 };
    krs_convert_options options = {.struct_size = sizeof options,
                                   .format = KRS_WEIGHTS_SAFETENSORS,
                                   .shard_bytes = MOST};
    krs_weights *w = opened(MODEL);
    must(krs_weights_convert(w, temp_folder(), &options, &err));
    ck_assert_uint_eq(difference(MODEL, temp_folder()), 0);
    json_t *index =
        json_load_file(temp_path("model.safetensors.index.json"), 0, NULL);
    uint64_t total = 0;
    for (size_t i = 0; i < krs_weights_count(w); i++)
        total += krs_weights_at(w, i)->bytes;
    ck_assert_uint_eq((uint64_t)json_integer_value(json_object_get(
                          json_object_get(index, "metadata"), "total_size")),
                      total);
    ck_assert_uint_eq(json_object_size(json_object_get(index, "weight_map")),
                      krs_weights_count(w));
    json_decref(index);
    int shards = count_files() - 1;
    ck_assert_int_ge(shards, 5);
    for (int i = 1; i <= shards; i++) {
        char name[64];
        uint64_t bytes = 0;
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", i,
                 shards);
        krs_weights *shard = opened(temp_path(name));
        for (size_t k = 0; k < krs_weights_count(shard); k++)
            bytes += krs_weights_at(shard, k)->bytes;
        ck_assert(bytes <= MOST && bytes > 0);
        krs_weights_close(shard);
    }
    /* a tensor alone may be larger */
    options.shard_bytes = 1;
    must(krs_weights_convert(w, temp_folder(), &options, &err));
    ck_assert_uint_eq(difference(MODEL, temp_folder()), 0);
    ck_assert_int_eq(krs_weights_convert(w, temp_path("none"), &options, &err),
                     KRS_E_ARGUMENT);
    krs_weights_close(w);
}
END_TEST

/* A file with a tensor of each plain type, its bytes 1, 2, 3, ... */
static void
write_every_type(const char *name)
{
    char header[4096], *at = header + 8;
    unsigned char data[400];
    size_t end = 0;
    *at++ = '{';
    for (int s = 0; s < KRS_STORED_COUNT; s++) {
        size_t bytes = krs_stored_bytes((krs_stored)s) * 3;
        krs_block block;
        if (krs_stored_block((krs_stored)s, &block))
            continue;
        at += sprintf(at,
                      "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[3],"
                      "\"data_offsets\":[%zu,%zu]}",
                      end ? "," : "", krs_stored_name((krs_stored)s),
                      krs_stored_name((krs_stored)s), end, end + bytes);
        for (size_t i = 0; i < bytes; i++, end++)
            data[end] = (unsigned char)(s == KRS_STORED_BOOL ? i % 2 : end + 1);
    }
    *at++ = '}';
    uint64_t length = (uint64_t)(at - header - 8);
    memcpy(header, &length, 8);
    memcpy(at, data, end);
    write_file(name, header, (size_t)(at - header) + end);
}

START_TEST(every_type_is_copied_bit_for_bit)
{
    krs_convert_options options = {.struct_size = sizeof options,
                                   .format = KRS_WEIGHTS_SAFETENSORS};
    size_t a_bytes, b_bytes;
    write_every_type("all");
    krs_weights *w = opened(temp_path("all"));
    ck_assert_uint_eq(krs_weights_count(w), 17);
    must(krs_weights_convert(w, temp_path("once"), &options, &err));
    ck_assert_uint_eq(difference(temp_path("all"), temp_path("once")), 0);
    krs_weights *once = opened(temp_path("once"));
    must(krs_weights_convert(once, temp_path("twice"), &options, &err));
    char *a = read_file("once", &a_bytes), *b = read_file("twice", &b_bytes);
    ck_assert_uint_eq(a_bytes, b_bytes);
    ck_assert_mem_eq(a, b, a_bytes);
    free(a);
    free(b);
    /* C64 is not told apart by its values, only by its bytes */
    options.tensor = "C64";
    options.format = KRS_WEIGHTS_NPY;
    must(krs_weights_convert(once, temp_path("c.npy"), &options, &err));
    a = read_file("c.npy", &a_bytes);
    ck_assert_uint_eq(a_bytes, 128 + 24);
    ck_assert(a[129] - a[128] == 1 && a[151] - a[150] == 1);
    free(a);
    options.tensor = "BOOL";
    options.format = KRS_WEIGHTS_GGUF;
    ck_assert_int_eq(krs_weights_convert(once, temp_path("x"), &options, &err),
                     KRS_E_DTYPE);
    ck_assert_ptr_nonnull(strstr(err.text, "BOOL, which GGUF has no type for"));
    krs_weights_close(w);
    krs_weights_close(once);
}
END_TEST

START_TEST(floats_are_rounded_once_and_only_floats_change_type)
{
    static const krs_stored bf16 = KRS_STORED_BF16;
    krs_convert_options options = {.struct_size = sizeof options,
                                   .format = KRS_WEIGHTS_SAFETENSORS,
                                   .dtype = &bf16};
    write_every_type("all");
    krs_weights *w = opened(temp_path("all"));
    must(krs_weights_convert(w, temp_path("half"), &options, &err));
    krs_weights *half = opened(temp_path("half"));
    for (size_t i = 0; i < krs_weights_count(w); i++) {
        const krs_weight *t = krs_weights_at(w, i);
        bool is_float = t->name[0] == 'F' || t->name[0] == 'B';
        is_float = is_float && t->stored != KRS_STORED_BOOL;
        ck_assert_int_eq(krs_weights_at(half, i)->stored,
                         is_float ? bf16 : t->stored);
        if (!is_float)
            continue;
        uint16_t want[3], got[3];
        must(krs_weights_read(w, i, KRS_BF16, want, sizeof want, &err));
        must(krs_weights_read(half, i, KRS_BF16, got, sizeof got, &err));
        ck_assert_mem_eq(got, want, sizeof got);
    }
    krs_weights_close(w);
    krs_weights_close(half);
}
END_TEST

START_TEST(blocks_that_are_written_are_those_of_the_reference)
{
    static const struct {
        krs_stored stored;
        const char *golden;
    } types[] = {
        {KRS_STORED_Q8_0, "write.Q8_0"},
        {KRS_STORED_Q4_0, "write.Q4_0"},
    };
    krs_weights *golden = opened(TESTS_DIR "/golden/gguf/blocks.safetensors");
    size_t v = (size_t)krs_weights_find(golden, "write.values");
    int64_t count = krs_weights_at(golden, v)->count;
    int64_t shape[] = {count / 32, 32};
    float *values = malloc((size_t)count * sizeof *values);
    must(krs_weights_read(golden, v, KRS_F32, values,
                          (size_t)count * sizeof *values, &err));
    krs_weight_source source = {"m", KRS_F32, 2, shape, values};
    must(krs_weights_write(temp_path("m"), &source, 1, NULL, 0, &err));
    krs_weights *w = opened(temp_path("m"));
    for (size_t k = 0; k < 2; k++) {
        krs_convert_options options = {.struct_size = sizeof options,
                                       .format = KRS_WEIGHTS_GGUF,
                                       .dtype = &types[k].stored};
        must(krs_weights_convert(w, temp_path("m.gguf"), &options, &err));
        krs_weights *q = opened(temp_path("m.gguf"));
        krs_dtype dtype;
        size_t g = (size_t)krs_weights_find(golden, types[k].golden);
        size_t bytes = (size_t)krs_weights_at(golden, g)->bytes;
        char *got = malloc(bytes), *want = malloc(bytes);
        ck_assert(krs_stored_dtype(types[k].stored, &dtype));
        must(krs_weights_read(golden, g, KRS_U8, want, bytes, &err));
        must(krs_weights_read(q, 0, dtype, got, bytes, &err));
        ck_assert_mem_eq(got, want, bytes);
        /* parts that begin and end inside a block */
        float *all = malloc((size_t)count * sizeof *all), part[100];
        must(krs_weights_read(q, 0, KRS_F32, all, (size_t)count * sizeof *all,
                              &err));
        for (int64_t first = 0; first < 70; first += 7)
            for (int64_t n = 1; n <= 100; n += 9) {
                must(krs_weights_read_part(q, 0, first, n, KRS_F32, part,
                                           (size_t)n * sizeof *part, &err));
                ck_assert_mem_eq(part, all + first, (size_t)n * sizeof *part);
            }
        ck_assert_int_eq(
            krs_weights_read_part(q, 0, 5, 32, dtype, part,
                                  krs_stored_bytes(types[k].stored), &err),
            KRS_E_ARGUMENT);
        free(all);
        free(got);
        free(want);
        krs_weights_close(q);
    }
    values[40] = 1e30F;
    must(krs_weights_write(temp_path("m"), &source, 1, NULL, 0, &err));
    krs_weights_close(w);
    w = opened(temp_path("m"));
    krs_convert_options options = {.struct_size = sizeof options,
                                   .format = KRS_WEIGHTS_GGUF,
                                   .dtype = &types[0].stored};
    int files = count_files();
    ck_assert_int_eq(
        krs_weights_convert(w, temp_path("n.gguf"), &options, &err),
        KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "tensor \"m\""));
    ck_assert_int_eq(count_files(), files);
    krs_weights_close(w);
    krs_weights_close(golden);
    free(values);
}
END_TEST

START_TEST(settings_given_count_instead_of_those_of_the_file)
{
    uint32_t five = 5;
    krs_gguf_text list[] = {
        {"x",    1},
        {"y\0z", 3}
    };
    krs_gguf_value settings[] = {
        {"test.u8", KRS_GGUF_U32,  false, 1, &five, 0},
        {"new",     KRS_GGUF_TEXT, true,  2, list,  0},
    };
    krs_convert_options options = {.struct_size = sizeof options,
                                   .format = KRS_WEIGHTS_GGUF,
                                   .settings = settings,
                                   .setting_count = 2};
    krs_weights *w = opened(GGUF);
    must(krs_weights_convert(w, temp_path("s.gguf"), &options, &err));
    krs_weights_close(w);
    ck_assert_uint_eq(difference(GGUF, temp_path("s.gguf")), 0);
    krs_gguf *g, *old;
    must(krs_gguf_open(temp_path("s.gguf"), &g, &err));
    must(krs_gguf_open(GGUF, &old, &err));
    int64_t number;
    must(krs_gguf_int(g, "test.u8", 0, 9, &number, &err));
    ck_assert_int_eq(number, 5);
    const krs_gguf_text *texts = krs_gguf_find(g, "new")->data;
    ck_assert_uint_eq(texts[1].bytes, 3);
    ck_assert_mem_eq(texts[1].text, "y\0z", 4);
    size_t others = 0;
    const krs_gguf_value *v;
    for (size_t i = 0; (v = krs_gguf_at(old, i)); i++) {
        const krs_gguf_value *same = krs_gguf_find(g, v->key);
        ck_assert_ptr_nonnull(same);
        if (strcmp(v->key, "test.u8") == 0)
            continue;
        others++;
        ck_assert_int_eq(same->type, v->type);
        ck_assert_uint_eq(same->count, v->count);
        ck_assert(same->is_array == v->is_array);
    }
    ck_assert_uint_ge(others, 30);
    krs_gguf_close(g);
    krs_gguf_close(old);
}
END_TEST

START_TEST(differences_are_told_with_their_place)
{
    static const float x[] = {1, 2, 3, 4}, y[] = {1, 2.5F, 3, 7};
    static const int64_t four[] = {4}, square[] = {2, 2};
    krs_weight_source left[] = {
        {"a", KRS_F32, 1, four, x},
        {"b", KRS_F32, 1, four, x},
        {"c", KRS_F32, 1, four, x},
    };
    krs_weight_source right[] = {
        {"a", KRS_F32, 1, four,   y},
        {"b", KRS_F32, 2, square, x},
        {"d", KRS_F32, 1, four,   x},
    };
    char page[2000] = "";
    size_t differing;
    must(krs_weights_write(temp_path("l"), left, 3, NULL, 0, &err));
    must(krs_weights_write(temp_path("r"), right, 3, NULL, 0, &err));
    krs_weights *a = opened(temp_path("l")), *b = opened(temp_path("r"));
    must(krs_weights_diff(a, b, add_line, page, &differing, &err));
    ck_assert_uint_eq(differing, 4);
    char want[2000];
    snprintf(want, sizeof want,
             "\"a\": F32[4]: 2 of 4 elements differ, most 3: 4 and 7, by 3\n"
             "\"b\": F32[4] and F32[2,2]\n"
             "\"c\": only in %s\n\"d\": only in %s\n",
             temp_path("l"), temp_path("r"));
    ck_assert_str_eq(page, want);
    krs_weights_close(a);
    krs_weights_close(b);
}
END_TEST

/* Every allocation of a conversion fails once. */
static void
fail_each(const char *from, const char *to, krs_weights_format format)
{
    int n = 1, files = count_files();
    for (;; n++) {
        krs_convert_options options = {.struct_size = sizeof options,
                                       .format = format};
        krs_weights *w = NULL;
        memory_fail_at(n);
        krs_status status = krs_weights_open(from, &w, &err);
        if (status == KRS_OK)
            status = krs_weights_convert(w, to, &options, &err);
        bool struck = memory_struck();
        krs_weights_close(w);
        if (!struck) {
            ck_assert_int_eq(status, KRS_OK);
            break;
        }
        if (status != KRS_OK) {
            ck_assert_msg(status == KRS_E_MEMORY || status == KRS_E_FORMAT,
                          "%s", err.text);
            ck_assert_int_eq(count_files(), files);
        } else {
            ck_assert_int_eq(remove(to), 0);
        }
    }
    ck_assert_int_ge(n, 8);
    ck_assert_uint_eq(difference(from, to), 0);
}

START_TEST(memory_that_runs_out_is_reported_and_leaves_no_file)
{
    fail_each(GGUF, temp_path("f.gguf"), KRS_WEIGHTS_GGUF);
    fail_each(TESTS_DIR "/golden/npz/packed.npz", temp_path("f.npz"),
              KRS_WEIGHTS_NPZ);
    fail_each(temp_path("f.npz"), temp_path("f.safetensors"),
              KRS_WEIGHTS_SAFETENSORS);
}
END_TEST

START_TEST(memory_that_runs_out_is_reported_for_a_whole_model)
{
    static const char *const models[][2] = {
        {MODEL, "m.gguf"},
        {GGUF,  "."     }
    };
    for (size_t k = 0; k < 2; k++)
        for (int n = 1;; n++) {
            const char *to =
                models[k][1][0] == '.' ? temp_folder() : temp_path("m.gguf");
            memory_fail_at(n);
            krs_status status = krs_llama_convert(models[k][0], to, NULL, &err);
            if (!memory_struck()) {
                must(status);
                ck_assert_int_ge(n, 20);
                break;
            }
            ck_assert_msg(status == KRS_OK || status == KRS_E_MEMORY ||
                              status == KRS_E_FORMAT,
                          "%s", err.text);
        }
}
END_TEST

SUITE(shards_hold_no_more_than_asked_and_all_of_the_model,
      every_type_is_copied_bit_for_bit,
      floats_are_rounded_once_and_only_floats_change_type,
      blocks_that_are_written_are_those_of_the_reference,
      settings_given_count_instead_of_those_of_the_file,
      differences_are_told_with_their_place,
      memory_that_runs_out_is_reported_and_leaves_no_file,
      memory_that_runs_out_is_reported_for_a_whole_model)
