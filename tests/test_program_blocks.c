/* test_program_blocks.c -- states that a graph declares as f32 and the store
 * holds block-quantised: programs read the blocks, to the bits of the numbers;
 * they are not updated, and what the store has decides.
 */
#include "every_device.h"

#include <krs/block.h>
#include <krs/ops.h>

#include <string.h>

enum { ROWS = 40, COLUMNS = 64, TAKEN = 3 };

static krs_graph *g;
static krs_device *device;
static krs_store *store;
static krs_program *program;
static krs_error err;
static uint8_t blocks[ROWS * COLUMNS / 32 * 18];
static float wide[ROWS * COLUMNS];

#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

static void
begin(int on, bool in_blocks)
{
    krs_shape shape = KRS_SHAPE(ROWS, COLUMNS);
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (uint8_t)(i % 18 == 1 ? 0x28 + i % 7 : i * 37);
    krs_block_read(KRS_BLOCK_Q4_0, blocks, ROWS * COLUMNS / 32, wide);
    g = krs_graph_new();
    device = open_every(on, NULL);
    OK(krs_store_new(device, &store, &err));
    OK(krs_store_add(store, "net.w", in_blocks ? KRS_Q4_0 : KRS_F32, shape,
                     &err));
    if (in_blocks)
        OK(krs_store_write(store, "net.w", blocks, sizeof blocks, &err));
    else
        OK(krs_store_write(store, "net.w", wide, sizeof wide, &err));
}

static void
end(void)
{
    krs_store_free(store);
    krs_device_close(device);
    krs_graph_free(g);
}

static krs_node
declare(void)
{
    krs_scope_push(g, "net");
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(ROWS, COLUMNS));
    krs_scope_pop(g);
    return w;
}

/* An embedding, a layer and the numbers themselves. */
static void
use(krs_node out[3])
{
    static const int64_t at[TAKEN] = {ROWS - 1, 0, 7};
    krs_node w = declare();
    krs_node x = krs_take(w, krs_constant(g, KRS_I64, KRS_SHAPE(TAKEN), at),
                          0); /* [3,C] */
    out[0] = x;
    out[1] = krs_linear(x, w, KRS_NONE); /* [3,R] */
    out[2] = krs_mul(w, w);
}

static void
run_and_read(float *out[3])
{
    const size_t bytes[] = {TAKEN * COLUMNS * 4, TAKEN * ROWS * 4, sizeof wide};
    OK(krs_program_run(program, &err));
    for (size_t i = 0; i < 3; i++)
        OK(krs_program_read(program, i, out[i], bytes[i], &err));
}

START_TEST(blocks_in_the_store_give_the_bits_of_their_numbers)
{
    static float out[2][3][ROWS * COLUMNS];
    for (int on = 0; on < EVERY_DEVICE; on++) {
        for (int in_blocks = 0; in_blocks < 2; in_blocks++) {
            krs_node y[3];
            float *to[] = {out[in_blocks][0], out[in_blocks][1],
                           out[in_blocks][2]};
            begin(on, in_blocks);
            use(y);
            OK(krs_program_new(store, y, 3, &program, &err));
            run_and_read(to);
            krs_program_free(program);
            end();
        }
        ck_assert_int_eq(memcmp(out[0], out[1], sizeof out[0]), 0);
    }
}
END_TEST

START_TEST(a_program_binds_the_blocks_alone)
{
    krs_memory_info info = {.struct_size = sizeof info};
    krs_node y[3];
    krs_dtype dtype;
    begin(1, true);
    use(y);
    OK(krs_program_new(store, y, 2, &program, &err));
    OK(krs_program_memory(program, &info, &err));
    ck_assert_uint_eq(info.states_bytes, sizeof blocks);
    ck_assert_uint_lt(info.temporaries_bytes, sizeof blocks);
    OK(krs_store_find(store, "net.w", &dtype, NULL, &err));
    ck_assert_int_eq(dtype, KRS_Q4_0);
    krs_program_free(program);
    end();
}
END_TEST

START_TEST(a_clone_reads_the_blocks_of_its_store)
{
    static float out[2][3][ROWS * COLUMNS];
    float *first[] = {out[0][0], out[0][1], out[0][2]},
          *second[] = {out[1][0], out[1][1], out[1][2]};
    krs_node y[3];
    krs_program *made;
    begin(1, true);
    use(y);
    OK(krs_program_new(store, y, 3, &program, &err));
    run_and_read(first);
    OK(krs_program_clone(program, store, &made, &err));
    krs_program_free(program);
    program = made;
    run_and_read(second);
    ck_assert_int_eq(memcmp(out[0], out[1], sizeof out[0]), 0);
    krs_program_free(program);
    end();
}
END_TEST

START_TEST(blocks_are_not_updated)
{
    for (int on = 0; on < EVERY_DEVICE; on++) {
        begin(on, true);
        krs_node w = declare(), y = krs_update(w, krs_scale(w, 0.5));
        ck_assert_int_eq(krs_program_new(store, &y, 1, &program, &err),
                         KRS_E_DTYPE);
        ck_assert_msg(strstr(err.text, "update: 'net.w' is q4_0 in the store, "
                                       "and blocks are only read; load it as "
                                       "f32 (test_program_blocks.c:"),
                      "%s", err.text);
        end();
    }
}
END_TEST

START_TEST(blocks_of_another_shape_or_for_another_type_are_refused)
{
    begin(1, true);
    krs_node y = krs_state(g, "net.w", KRS_F32, KRS_SHAPE(COLUMNS, ROWS));
    ck_assert_int_eq(krs_program_new(store, &y, 1, &program, &err), KRS_E_NAME);
    ck_assert_str_eq(err.text, "program_new: state 'net.w' is q4_0[40,64] in "
                               "the store, f32[64,40] in the graph");
    krs_graph_free(g);
    g = krs_graph_new();
    y = krs_state(g, "net.w", KRS_BF16, KRS_SHAPE(ROWS, COLUMNS));
    ck_assert_int_eq(krs_program_new(store, &y, 1, &program, &err), KRS_E_NAME);
    end();
}
END_TEST

SUITE(blocks_in_the_store_give_the_bits_of_their_numbers,
      a_program_binds_the_blocks_alone, a_clone_reads_the_blocks_of_its_store,
      blocks_are_not_updated,
      blocks_of_another_shape_or_for_another_type_are_refused)
