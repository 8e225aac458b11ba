/* test_pack.c -- which operands of products are copied first, and that no bit
 * changes.
 *
 * The rules are asked of plans for a device whose items are lanes of a
 * processor; results are compared on the interpreter, with that device's
 * schedules: as it is, and unfused, where nothing is copied.
 */
#include "../graph/kernel/lower.h"
#include "fault_memory.h"
#include "tests/one_run.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const krsi_facts lanes = {
    .lanes = 4, .bindings = 16, .items_are_lanes = true, .fuses = true};

/* x [m,k] . w^T, w [n,k]; or x^T . w, x [k,m], w [k,n] */
static krs_node
product(krs_graph *g, int64_t m, int64_t n, int64_t k, bool turns_left)
{
    krs_node x = turns_left ? krs_input(g, "x", KRS_F32, KRS_SHAPE(k, m))
                            : krs_input(g, "x", KRS_F32, KRS_SHAPE(m, k));
    krs_node w = turns_left ? krs_input(g, "w", KRS_F32, KRS_SHAPE(k, n))
                            : krs_input(g, "w", KRS_F32, KRS_SHAPE(n, k));
    return turns_left ? krs_matmul(krs_transpose(x, 0, 1), w)
                      : krs_matmul(x, krs_transpose(w, 0, 1));
}

/* maps that copy for a product, of all `cuts` */
static int
count_packs(krs_node *y, size_t count, const krsi_facts *facts, size_t *cuts)
{
    krsi_plan plan;
    krs_error err;
    int packs = 0;
    ck_assert_msg(krsi_plan_make(&plan, y->graph, y, count, facts, KRSI_SHARE,
                                 &err) == KRS_OK,
                  "%s", err.text);
    for (size_t i = 0; i < plan.sched.cut_count; i++) {
        const krsi_cut *cut = plan.sched.cuts[i];
        packs += cut->packs;
        if (!cut->packs)
            continue;
        /* whoever reads it comes later, and reads its last axis in a row */
        bool is_read = false;
        for (size_t j = i + 1; j < plan.sched.cut_count; j++) {
            const krsi_cut *reader = plan.sched.cuts[j];
            for (int l = 0; l < reader->loads; l++) {
                const krsi_view *v = &reader->load[l].view;
                if (v->value != cut->out[0].view.value)
                    continue;
                is_read = true;
                ck_assert_int_eq(reader->family, KRSI_CUT_CONTRACT);
                ck_assert_int_gt(reader->wave, cut->wave);
                ck_assert(v->stride[reader->rank - 1] == 1 ||
                          v->stride[reader->rank - 2] == 1);
            }
        }
        ck_assert(is_read);
    }
    if (cuts)
        *cuts = plan.sched.cut_count;
    krsi_plan_free(&plan);
    return packs;
}

START_TEST(rows_a_multiple_of_4096_bytes_apart_are_copied_if_read_often)
{
    const struct {
        int64_t m, n, k;
        bool turns_left;
        int packs;
    } cases[] = {
        {256,  64,  1024, false, 1},
        {256,  64,  2048, false, 1},
        {256,  64,  1028, false, 0}, /* rows fall apart */
        {256,  64,  512,  false, 0},
        {255,  64,  1024, false, 0}, /* too few rows pay for it */
        {256,  63,  1024, false, 0}, /* columns fit the cache */
        {1024, 256, 512,  true,  1},
        {1028, 256, 512,  true,  0},
        {1024, 255, 512,  true,  0},
        {1024, 256, 511,  true,  0}
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        krs_graph *g = krs_graph_new();
        krs_node y =
            product(g, cases[i].m, cases[i].n, cases[i].k, cases[i].turns_left);
        size_t cuts;
        int packs = count_packs(&y, 1, &lanes, &cuts);
        ck_assert_msg(packs == cases[i].packs && cuts == 1 + (size_t)packs,
                      "case %zu: %d of %zu", i, packs, cuts);
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(products_of_the_same_operand_share_a_copy)
{
    krs_graph *g = krs_graph_new();
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(64, 1024));
    krs_node wt = krs_transpose(w, 0, 1);
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(256, 1024));
    krs_node z = krs_input(g, "z", KRS_F32, KRS_SHAPE(4, 300, 1024));
    krs_node v = krs_input(g, "v", KRS_F32, KRS_SHAPE(64, 1024));
    krs_node y[] = {krs_matmul(x, wt), krs_matmul(z, wt),
                    krs_matmul(x, krs_transpose(v, 0, 1))};
    ck_assert_int_eq(count_packs(y, 2, &lanes, NULL), 1);
    ck_assert_int_eq(count_packs(y, 3, &lanes, NULL), 2);
    krs_graph_free(g);
}
END_TEST

START_TEST(what_is_fused_into_an_operand_or_used_elsewhere_stays)
{
    krs_graph *g = krs_graph_new();
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(64, 1024));
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(256, 1024));
    krs_node half = krs_input(g, "h", KRS_BF16, KRS_SHAPE(64, 1024));
    krs_node q = krs_input(g, "q", KRS_F32, KRS_SHAPE(256, 1024));
    krs_node y[] = {
        krs_matmul(x, krs_transpose(krs_neg(w), 0, 1)),
        krs_matmul(krs_cast(x, KRS_BF16), krs_transpose(half, 0, 1)),
        krs_matmul(q, krs_transpose(q, 0, 1))};
    ck_assert_int_eq(count_packs(&y[0], 1, &lanes, NULL), 0);
    ck_assert_int_eq(count_packs(&y[1], 1, &lanes, NULL), 0);
    ck_assert_int_eq(count_packs(&y[2], 1, &lanes, NULL), 1);
    krs_graph_free(g);
}
END_TEST

START_TEST(other_devices_and_unfused_programs_copy_nothing)
{
    krs_graph *g = krs_graph_new();
    krs_node y = product(g, 256, 64, 1024, false);
    krsi_facts facts = lanes;
    ck_assert_int_eq(count_packs(&y, 1, &facts, NULL), 1);
    facts.fuses = false;
    ck_assert_int_eq(count_packs(&y, 1, &facts, NULL), 0);
    facts = lanes;
    facts.items_are_lanes = false;
    facts.registers = 16;
    ck_assert_int_eq(count_packs(&y, 1, &facts, NULL), 0);
    facts = lanes;
    facts.group_items = 256;
    facts.shared_bytes = 32768;
    ck_assert_int_eq(count_packs(&y, 1, &facts, NULL), 0);
    krs_graph_free(g);
}
END_TEST

static float *
random_data(size_t count)
{
    float *data = malloc(count * sizeof *data);
    uint32_t x = 7;
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < count; i++) {
        x = x * 1664525U + 1013904223U;
        data[i] = (float)(int32_t)x * 0x1p-31F;
    }
    return data;
}

/* Small, since only a part of wide rows is multiplied: x [256,64] . w^T, where w
 * is 64 columns of [64,1024]; or x^T . w, where x is 4 columns of [512,1024] and
 * w [512,256]. */
static krs_node
narrow_product(krs_graph *g, bool turns_left, int64_t size[2])
{
    enum { M = 256, N = 64, K = 512, FEW = 4, WIDE = 1024 };
    krs_node wide =
        krs_input(g, "wide", KRS_F32, KRS_SHAPE(turns_left ? K : N, WIDE));
    krs_node other = krs_input(g, "other", KRS_F32,
                               turns_left ? KRS_SHAPE(K, M) : KRS_SHAPE(M, N));
    size[0] = (int64_t)(turns_left ? K : N) * WIDE;
    size[1] = (int64_t)M * (turns_left ? K : N);
    krs_node part = krs_narrow(wide, 1, KRS_INDEX(8), turns_left ? FEW : N);
    part = krs_transpose(part, 0, 1);
    return krs_neg(turns_left ? krs_matmul(part, other)
                              : krs_matmul(other, part));
}

START_TEST(no_bit_changes)
{
    enum { ROOM = 256 * 64 };
    static float y[2][ROOM];
    for (int turns_left = 0; turns_left < 2; turns_left++) {
        for (int unfused = 0; unfused < 2; unfused++) {
            krs_graph *g = krs_graph_new();
            int64_t size[2];
            krs_node out = narrow_product(g, turns_left, size);
            const krs_device_options options = {.struct_size = sizeof options,
                                                .cpu = "lanes",
                                                .unfused = unfused};
            float *data[2];
            one_input in[] = {{.name = "wide"}, {.name = "other"}};
            krs_device *device;
            krs_error err;
            for (int i = 0; i < 2; i++) {
                data[i] = random_data((size_t)size[i]);
                in[i].data = data[i];
                in[i].bytes = (size_t)size[i] * sizeof(float);
            }
            ck_assert_int_eq(count_packs(&out, 1, &lanes, NULL), 1);
            ck_assert_int_eq(
                krs_device_open_with("interp", &options, &device, &err),
                KRS_OK);
            size_t bytes = (turns_left ? 4 * 256 : ROOM) * sizeof(float);
            void *to[] = {y[unfused]};
            one_run(device, &out, 1, in, 2, to, &bytes);
            krs_device_close(device);
            krs_graph_free(g);
            free(data[0]);
            free(data[1]);
        }
        ck_assert_mem_eq(y[0], y[1], sizeof y[0]);
    }
}
END_TEST

START_TEST(every_failed_allocation_is_a_status)
{
    krs_graph *g = krs_graph_new();
    krs_node y = product(g, 256, 64, 1024, false);
    krsi_plan plan;
    krs_error err;
    long n = 0;
    bool struck;
    do {
        memory_fail_at(++n);
        krs_status status =
            krsi_plan_make(&plan, g, &y, 1, &lanes, KRSI_SHARE, &err);
        struck = memory_struck();
        ck_assert_msg(status == (struck ? KRS_E_MEMORY : KRS_OK),
                      "allocation %ld: %s", n, krs_status_name(status));
        if (status == KRS_OK)
            krsi_plan_free(&plan);
    } while (struck);
    ck_assert_int_gt(n, 10);
    krs_graph_free(g);
}
END_TEST

SUITE(rows_a_multiple_of_4096_bytes_apart_are_copied_if_read_often,
      products_of_the_same_operand_share_a_copy,
      what_is_fused_into_an_operand_or_used_elsewhere_stays,
      other_devices_and_unfused_programs_copy_nothing, no_bit_changes,
      every_failed_allocation_is_a_status)
