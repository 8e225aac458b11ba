/* test_keval.c -- the kernel interpreter: loops, groups, memory and its bounds,
 * and equal bits for vector body and scalar tail. Its scalar operations are in
 * test_keval_scalar.c, races in test_keval_race.c.
 */
#include "graph/kernel/kb.h"
#include "keval_run.h"
#include "tail_kernel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

START_TEST(carries_change_all_at_once)
{
    static const char text[] = "kernel fibonacci\n"
                               "arg n i64\n"
                               "buffer @out i64 write\n"
                               "%n:i64 = arg n\n"
                               "%0:i64 = const 0\n"
                               "%1:i64 = const 1\n"
                               "%i:i64 = for %0 to %n step %1 {\n"
                               "  %a:i64 = carry %0\n"
                               "  %b:i64 = carry %1\n"
                               "  %c:i64 = add %a %b\n"
                               "  next %a %b\n"
                               "  next %b %c\n"
                               "}\n"
                               "%f:i64 = result %a\n"
                               "%g:i64 = result %b\n"
                               "store @out %0 %f\n"
                               "store @out %1 %g\n";
    krs_error err;
    for (int64_t n = 0; n <= 10; n++) {
        int64_t out[2], a = 0, b = 1;
        void *buffers[] = {out};
        size_t bytes[] = {sizeof out};
        krs_kargument args[] = {{.i = n}};
        ck_assert_int_eq(run_text(text, 1, buffers, bytes, args, &err), KRS_OK);
        for (int64_t i = 0; i < n; i++) {
            int64_t c = a + b;
            a = b;
            b = c;
        }
        ck_assert_int_eq(out[0], a);
        ck_assert_int_eq(out[1], b);
    }
}
END_TEST

/* Each item writes its square to the tile, and reads that of the item on the
 * other side after the barrier; the scratch word of an item survives it. */
START_TEST(items_of_a_group_meet_at_barriers)
{
    static const char text[] = "kernel mirror\n"
                               "buffer @out i64 write\n"
                               "scratch @own i64 1\n"
                               "shared @tile i64 6\n"
                               "grid 2\n"
                               "group 3 2 1\n"
                               "%0:i64 = const 0\n"
                               "%1:i64 = const 1\n"
                               "%2:i64 = const 2\n"
                               "%3:i64 = const 3\n"
                               "%5:i64 = const 5\n"
                               "%6:i64 = const 6\n"
                               "%x:i64 = local 0\n"
                               "%y:i64 = local 1\n"
                               "%g:i64 = axis 0\n"
                               "%y3:i64 = mul %y %3\n"
                               "%item:i64 = add %y3 %x\n"
                               "%k:i64 = for %0 to %2 step %1 {\n"
                               "  barrier\n"
                               "  %square:i64 = mul %item %item\n"
                               "  %kk:i64 = add %square %k\n"
                               "  store @tile %item %kk\n"
                               "  store @own %0 %item\n"
                               "  barrier\n"
                               "  %other:i64 = sub %5 %item\n"
                               "  %seen:i64 = load @tile %other\n"
                               "  %mine:i64 = load @own %0\n"
                               "  %at0:i64 = mul %g %6\n"
                               "  %at:i64 = add %at0 %mine\n"
                               "  store @out %at %seen indirect\n"
                               "}\n";
    krs_error err;
    int64_t out[12];
    void *buffers[] = {out};
    size_t bytes[] = {sizeof out};
    if (run_text(text, 2, buffers, bytes, NULL, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(out[i], (5 - i % 6) * (5 - i % 6) + 1);
}
END_TEST

START_TEST(masks_keep_lanes_away_from_memory)
{
    static const char text[] = "kernel masked\n"
                               "arg n i64\n"
                               "buffer @x f32 read\n"
                               "buffer @y f32 write\n"
                               "%n:i64 = arg n\n"
                               "%0:i64 = const 0\n"
                               "%two:i64x8 = const 2\n"
                               "%l:i32x8 = lanes\n"
                               "%w:i64x8 = convert %l\n"
                               "%even:i64x8 = mul %w %two\n"
                               "%nv:i64x8 = broadcast %n\n"
                               "%in:boolx8 = lt %even %nv\n"
                               "%v:f32x8 = gather @x %0 %even mask %in\n"
                               "scatter @y %0 %l %v mask %in\n"
                               "store @y %n %v mask %in\n";
    float x[5] = {1, 2, 3, 4, 5}, y[16];
    for (int i = 0; i < 16; i++)
        y[i] = -1;
    void *buffers[] = {x, y};
    size_t bytes[] = {sizeof x, sizeof y};
    krs_kargument args[] = {{.i = 5}};
    krs_error err;
    if (run_text(text, 1, buffers, bytes, args, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    const float want[16] = {1,  3,  5,  -1, -1, 1,  3,  5,
                            -1, -1, -1, -1, -1, -1, -1, -1};
    for (int i = 0; i < 16; i++)
        ck_assert_float_eq(y[i], want[i]);
}
END_TEST

START_TEST(an_access_out_of_range_is_a_sentence)
{
    /* in turn: the access, and what the sentence must say; "" is no error */
    static const char *const cases[] = {
        "%v:f32x4 = load @x %i\n",
        "element 10 of buffer x, which has 10",
        "%v:f32 = load @x %i\n",
        "",
        "%j:i64 = add %i %i\n%v:f32 = load @x %j\n",
        "element 16 of buffer x",
        "%j:i64 = neg %i\nstore @x %j %f\n",
        "element -8 of buffer x",
        "%j:i64 = const 9223372036854775807\n%v:f32x4 = load @x %j\n",
        "element 9223372036854775807",
        "%o:i64x2 = const 9223372036854775807\n"
        "%v:f32x2 = gather @x %i %o\n",
        "of buffer x",
        "%z:i64 = sub %i %i\n%k:i64 = for %z to %i step %z {\n}\n",
        "step",
        "%v:f32 = load @s %i\n",
        "element 8 of buffer s, which has 8",
        "%v:f32x2 = load @a %one align 8\n",
        "multiple of 8",
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c += 2) {
        char text[512];
        _Alignas(8) float x[10] = {0};
        void *buffers[] = {x, x};
        size_t bytes[] = {sizeof x, sizeof x};
        krs_kargument args[] = {{.i = 8}};
        krs_error err = {KRS_OK, ""};
        snprintf(text, sizeof text,
                 "kernel range\narg i i64\nbuffer @x f32 readwrite\n"
                 "buffer @a f32 read align 8\n"
                 "scratch @s f32 1 times i\n%%i:i64 = arg i\n"
                 "%%one:i64 = const 1\n%%f:f32 = const 1\n%s",
                 cases[c]);
        krs_status status = run_text(text, 1, buffers, bytes, args, &err);
        ck_assert_msg(status == (*cases[c + 1] ? KRS_E_RANGE : KRS_OK),
                      "%s: %s %s", cases[c], krs_status_name(status), err.text);
        ck_assert_msg(strstr(err.text, cases[c + 1]), "%s: %s", cases[c],
                      err.text);
    }
}
END_TEST

START_TEST(a_bad_launch_is_a_sentence)
{
    krs_error err;
    krs_kernel *kernel;
    krsi_kb *kb = krsi_kb_new("launch");
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 64);
    krsi_kb_store(kb, (krsi_kmem){.buffer = y, .index = krsi_kb_axis(kb, 0)},
                  krsi_kb_arg(kb, "value", KRS_F32));
    krs_keval *keval = open_built(kb, true, false, &kernel);
    _Alignas(64) float out[32] = {0};
    void *buffers[] = {out};
    size_t bytes[] = {sizeof out};
    krs_kargument args[] = {{.f = 2}};
    krs_klaunch good = {
        sizeof good, {4, 1, 1},
          buffers, bytes, args
    };
    ck_assert_int_eq(krs_keval_run(keval, &good, &err), KRS_OK);
    ck_assert_float_eq(out[3], 2);
    ck_assert_float_eq(out[4], 0);
    krs_klaunch bad = good;
    bad.grid[1] = 2;
    ck_assert_int_eq(krs_keval_run(keval, &bad, &err), KRS_E_ARGUMENT);
    bad = good;
    bad.grid[0] = -1;
    ck_assert_int_eq(krs_keval_run(keval, &bad, &err), KRS_E_ARGUMENT);
    bad = good;
    bad.args = NULL;
    ck_assert_int_eq(krs_keval_run(keval, &bad, &err), KRS_E_ARGUMENT);
    buffers[0] = out + 1;
    ck_assert_int_eq(krs_keval_run(keval, &good, &err), KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "buffer y"));
    close_both(keval, kernel);
}
END_TEST

/* The kernel opened for a target that fuses. */
static krs_keval *
open_tail(const tail_function *f, int width, bool masked, krs_kernel **kernel)
{
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = true};
    krs_keval *keval;
    krs_error err;
    *kernel = tail_kernel(f, width, masked);
    ck_assert_msg(krs_keval_open(*kernel, &facts, &keval, &err) == KRS_OK, "%s",
                  err.text);
    return keval;
}

START_TEST(vector_body_and_tail_give_the_same_bits)
{
    enum { ROOM = 96 };
    float x[ROOM], z[ROOM], want[ROOM], got[ROOM];
    for (int i = 0; i < ROOM; i++) {
        x[i] = (float)(i - 40) * 0.377f;
        z[i] = (float)(i % 7 - 3) * 0.5f;
    }
    void *to_want[] = {x, z, want}, *to_got[] = {x, z, got};
    size_t bytes[] = {sizeof x, sizeof z, sizeof x};
    krs_error err;
    for (size_t f = 0; f < tail_function_count; f++) {
        const tail_function *function = &tail_functions[f];
        krs_kernel *kernel[3];
        krs_keval *keval[3] = {open_tail(function, 1, false, &kernel[0]),
                               open_tail(function, 16, false, &kernel[1]),
                               open_tail(function, 16, true, &kernel[2])};
        krs_kargument all[] = {{.i = 0}, {.i = ROOM}};
        krs_klaunch whole = {
            sizeof whole, {1, 1, 1},
              to_want, bytes, all
        };
        ck_assert_int_eq(krs_keval_run(keval[0], &whole, &err), KRS_OK);
        for (int64_t offset = 0; offset < 16; offset++)
            for (int64_t n = 1; n <= 65; n++) {
                krs_kargument args[] = {{.i = offset}, {.i = n}};
                krs_klaunch part = {
                    sizeof part, {1, 1, 1},
                      to_got, bytes, args
                };
                for (int k = 1; k < 3; k++) {
                    memset(got, 0x55, sizeof got);
                    ck_assert_int_eq(krs_keval_run(keval[k], &part, &err),
                                     KRS_OK);
                    for (int64_t i = 0; i < ROOM; i++) {
                        bool in = i >= offset && i < offset + n;
                        uint32_t bits = in ? bits_of(want[i]) : 0x55555555;
                        if (bits_of(got[i]) != bits &&
                            !(in && isnan(want[i]) && isnan(got[i])))
                            ck_abort_msg("%s: length %d, offset %d, element "
                                         "%d: %a, not %a",
                                         function->name, (int)n, (int)offset,
                                         (int)i, (double)got[i],
                                         (double)want[i]);
                    }
                }
            }
        for (int k = 0; k < 3; k++)
            close_both(keval[k], kernel[k]);
    }
}
END_TEST

/* The sum of a row in every vector width, and in plain C. */
START_TEST(a_row_sum_does_not_depend_on_the_vector_width)
{
    enum { MOST_ROW = 300 };
    float x[MOST_ROW], out;
    for (int i = 0; i < MOST_ROW; i++)
        x[i] = floats[i % 8 + 2] * (float)(i * i % 101) + 0.1f;
    for (int n = 1; n < MOST_ROW; n += 13) {
        float lanes[64] = {0};
        for (int i = 0; i < n; i++)
            lanes[i % 64] += x[i];
        for (int apart = 32; apart >= 1; apart /= 2)
            for (int i = 0; i < apart; i++)
                lanes[i] += lanes[i + apart];
        for (int width = 1; width <= 64; width *= 2) {
            int parts = KRSI_ROW_LANES / width;
            krsi_kv sum[KRSI_ROW_LANES];
            krsi_kb *kb = krsi_kb_new("row_sum");
            krsi_kmem at = {.buffer =
                                krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 0),
                            .lanes = width};
            krsi_kmem to = {.buffer =
                                krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 0),
                            .index = krsi_kb_i64(kb, 0)};
            krsi_kv length = krsi_kb_arg(kb, "n", KRS_I64);
            krsi_kv i = krsi_kb_for(kb, krsi_kb_i64(kb, 0), length,
                                    krsi_kb_i64(kb, KRSI_ROW_LANES));
            for (int p = 0; p < parts; p++)
                sum[p] = krsi_kb_carry(
                    kb, krsi_kb_broadcast(kb, width, krsi_kb_f32(kb, 0)));
            for (int p = 0; p < parts; p++) {
                at.index = krsi_kb_add(kb, i, krsi_kb_i64(kb, p * width));
                at.mask = krsi_kb_below(kb, at.index, length, width);
                krsi_kb_next(kb, sum[p],
                             krsi_kb_add(kb, sum[p], krsi_kb_load(kb, at)));
            }
            krsi_kb_end(kb);
            for (int p = 0; p < parts; p++)
                sum[p] = krsi_kb_result(kb, sum[p]);
            krsi_kb_store(kb, to, krsi_kb_row_tree(kb, KRS_KS_ADD, sum, width));
            krs_kernel *kernel;
            krs_error err;
            krs_keval *keval = open_built(kb, true, false, &kernel);
            void *buffers[] = {x, &out};
            size_t bytes[] = {(size_t)n * 4, 4};
            krs_kargument args[] = {{.i = n}};
            krs_klaunch launch = {
                sizeof launch, {1, 1, 1},
                  buffers, bytes, args
            };
            ck_assert_int_eq(krs_keval_run(keval, &launch, &err), KRS_OK);
            ck_assert_msg(bits_of(out) == bits_of(lanes[0]),
                          "%d elements, width %d: %a, not %a", n, width,
                          (double)out, (double)lanes[0]);
            close_both(keval, kernel);
        }
    }
}
END_TEST

SUITE(carries_change_all_at_once, items_of_a_group_meet_at_barriers,
      masks_keep_lanes_away_from_memory, an_access_out_of_range_is_a_sentence,
      a_bad_launch_is_a_sentence, vector_body_and_tail_give_the_same_bits,
      a_row_sum_does_not_depend_on_the_vector_width)
