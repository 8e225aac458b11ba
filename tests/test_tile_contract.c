/* test_tile_contract.c -- matrix products from templates against a plain loop
 * in the stated order (tile.h), bit for bit, on the kernel interpreter.
 *
 * Every case is a cut made by hand: sizes, how A, B and C lie, types, facts of
 * the device. Values are random with seed 1 and sums do not come out exact, so
 * another order shows. Buffers have exactly the elements that the views reach;
 * the interpreter refuses any access beyond. Block-quantised matrices are
 * random blocks, whose numbers krs_block_read gives.
 */
#include "graph/base/base.h"
#include "graph/kernel/tile.h"
#include "suite.h"

#include <krs/block.h>
#include <krs/random.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* in place of lanes: items are lanes, alone; in groups */
enum { MAX_BATCHES = 3, SINGLE = 1, GROUP = 2 };

typedef struct product {
    int64_t m, n, k;
    int batches;
    int64_t batch[MAX_BATCHES];
    bool ta, tb, tc;    /* stored turned: [K,M], [N,K], [N,M] */
    bool shared_b;      /* one B for all batches */
    int64_t pad, start; /* elements between rows, and before the first */
    int64_t spread;     /* elements from column to column; 0 means 1 */
    int64_t spare;      /* sizes at run time are so much below the largest */
    krs_dtype type, out;
    krs_dtype left, right; /* block types of A and B; 0: type */
    uint32_t lanes, workers;
    bool is_dear; /* code is: small kernels */
} product;

/* A matrix in memory, [batch.., rows, columns] or turned. */
typedef struct matrix {
    krs_dtype type;
    int64_t start, row, column, batch[MAX_BATCHES], count;
    unsigned char *data;
    float *numbers; /* the elements, where the matrix is an operand */
} matrix;

static bool
has_blocks(const matrix *x)
{
    return krs_dtype_class_of(x->type) == KRS_CLASS_BLOCK;
}

static void
lay_out(matrix *x, const product *p, int64_t rows, int64_t columns, bool turned,
        bool shared)
{
    int64_t inner = turned ? rows : columns, outer = turned ? columns : rows;
    int64_t step = p->spread ? p->spread : 1;
    int64_t line = inner * step + p->pad, size = outer * line;
    x->start = p->start;
    x->row = turned ? step : line;
    x->column = turned ? line : step;
    x->count = p->start + size;
    for (int i = p->batches - 1; i >= 0; i--) {
        x->batch[i] = shared ? 0 : size;
        size *= shared ? 1 : p->batch[i];
    }
    x->count = p->start + size;
    if (has_blocks(x)) /* whole ones */
        x->count = (x->count + 31) / 32 * 32;
    size_t bytes;
    ck_assert(krs_dtype_bytes(x->type, x->count, &bytes));
    x->data = malloc(bytes + 1);
    ck_assert_ptr_nonnull(x->data);
    memset(x->data, 0xFF, bytes);
}

static float
get(const matrix *x, int64_t i)
{
    float f;
    uint16_t half;
    if (x->type == KRS_F32) {
        memcpy(&f, x->data + 4 * i, 4);
        return f;
    }
    memcpy(&half, x->data + 2 * i, 2);
    return x->type == KRS_BF16 ? krsi_bf16_to_float(half)
                               : krsi_f16_to_float(half);
}

static void
put(matrix *x, int64_t i, float f)
{
    if (x->type == KRS_F32) {
        memcpy(x->data + 4 * i, &f, 4);
        return;
    }
    uint16_t half = x->type == KRS_BF16 ? krsi_bf16_from_double((double)f)
                                        : krsi_f16_from_double((double)f);
    memcpy(x->data + 2 * i, &half, 2);
}

/* Random blocks whose scales and minima are between 2^-6 and 2 in size, and
 * what they stand for. */
static void
fill_blocks(matrix *x, uint64_t state)
{
    krs_block format;
    size_t bytes, block, header = x->type == KRS_Q4_1 ? 4 : 2;
    ck_assert(krs_dtype_block(x->type, &format));
    krs_dtype_bytes(x->type, x->count, &bytes);
    krs_dtype_bytes(x->type, 32, &block);
    for (size_t i = 0; i < bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        x->data[i] = (unsigned char)(state >> 33);
        if (i % block < header && i % block % 2)
            x->data[i] = (unsigned char)((x->data[i] & 0x87) | 0x28);
    }
    krs_block_read(format, x->data, bytes / block, x->numbers);
}

static void
fill(matrix *x, uint64_t seed)
{
    uint64_t state = seed * 2654435761U + 12345;
    x->numbers = malloc((size_t)x->count * sizeof *x->numbers + 1);
    ck_assert_ptr_nonnull(x->numbers);
    if (has_blocks(x)) {
        fill_blocks(x, state);
        return;
    }
    for (int64_t i = 0; i < x->count; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        put(x, i, (float)((double)(state >> 33) * 0x1p-30 - 1));
        x->numbers[i] = get(x, i);
    }
}

static int64_t
position(const matrix *x, const int64_t *batch, int batches, int64_t row,
         int64_t column)
{
    int64_t at = x->start + row * x->row + column * x->column;
    for (int i = 0; i < batches; i++)
        at += batch[i] * x->batch[i];
    return at;
}

/* The order of tile.h: chunks of 512, pairs of bf16 with the odd one first, zero
 * beyond the end. */
static float
element(const product *p, const matrix *a, const matrix *b,
        const int64_t *batch, int64_t m, int64_t n)
{
    const float *x = a->numbers + position(a, batch, p->batches, m, 0);
    const float *y = b->numbers + position(b, batch, p->batches, 0, n);
    int unit = p->type == KRS_BF16 ? 2 : 1;
    float c = 0;
    for (int64_t first = 0; first < p->k; first += 512) {
        int64_t end = first + 512 < p->k ? first + 512 : p->k;
        float s = 0;
        for (int64_t pair = first; pair < end; pair += unit)
            for (int64_t k = pair + unit - 1; k >= pair; k--)
                s = k < end ? fmaf(x[k * a->column], y[k * b->row], s)
                            : fmaf(0, 0, s);
        c = first == 0 ? s : c + s;
    }
    return c;
}

static void
set_view(krsi_view *v, const product *p, const matrix *x, uint32_t value,
         int64_t m, int64_t n, int64_t k)
{
    int rank = p->batches + 3;
    const int64_t tail[] = {m, n, k};
    *v = (krsi_view){
        .value = value, .rank = rank, .offset = KRS_INDEX(x->start)};
    for (int i = 0; i < p->batches; i++)
        v->stride[i] = x->batch[i];
    for (int i = 0; i < 3; i++)
        v->stride[p->batches + i] = tail[i];
}

static krsi_cut
make_cut(const product *p, const matrix *a, const matrix *b, const matrix *c)
{
    static krsi_load loads[2];
    static krsi_expr exprs[3];
    static krsi_out outs[1];
    krsi_cut cut = {.family = KRSI_CUT_CONTRACT,
                    .rank = p->batches + 3,
                    .loads = 2,
                    .exprs = 3,
                    .outs = 1,
                    .load = loads,
                    .expr = exprs,
                    .out = outs};
    const int64_t tail[] = {p->m, p->n, p->k};
    for (int i = 0; i < cut.rank; i++) {
        cut.max[i] = i < p->batches ? p->batch[i] : tail[i - p->batches];
        cut.extent[i] = KRS_INDEX(cut.max[i]);
        if (i >= p->batches && p->spare) {
            cut.max[i] += p->spare;
            cut.extent[i].terms = 1; /* as if of a variable that is 0 */
        }
    }
    for (int i = 0; i < 2; i++)
        cut.expr[i] = (krsi_expr){
            .kind = KRSI_X_LOAD, .dtype = i ? b->type : a->type, .load = i};
    cut.expr[0].dtype = a->type;
    set_view(&cut.load[0].view, p, a, 0, a->row, 0, a->column);
    set_view(&cut.load[1].view, p, b, 1, 0, b->column, b->row);
    set_view(&cut.out[0].view, p, c, 2, c->row, c->column, 0);
    cut.load[0].indirect = cut.load[1].indirect = -1;
    cut.load[0].fault = cut.load[1].fault = -1;
    cut.out[0].indirect = cut.out[0].fault = -1;
    cut.expr[2] = (krsi_expr){
        .kind = KRSI_X_PRODUCT, .dtype = p->out, .in = {0, 1}
    };
    cut.out[0].root = 2;
    return cut;
}

static krsi_facts
facts_of(const product *p)
{
    return (krsi_facts){
        .lanes = p->lanes <= GROUP ? 4 : p->lanes,
        .items_are_lanes = p->lanes <= GROUP,
        .group_items = p->lanes == GROUP ? 256 : 0,
        .shared_bytes = 32 << 10,
        .code_is_dear = p->is_dear,
        .registers = p->lanes == 16 ? 32 : 16,
        .workers = p->workers ? p->workers : 1,
        .cache_bytes = {32 << 10, 1 << 20, 32 << 20},
        .has_dot2_bf16 = p->lanes == 16
    };
}

static krs_kernel *
lower(const product *p, const krsi_cut *cut, krsi_lowering *l)
{
    krs_kernel *kernel;
    krs_error err;
    krsi_facts facts = facts_of(p);
    *l = (krsi_lowering){.cut = cut, .facts = &facts, .lanes = (int)p->lanes};
    for (int i = 0; i < KRS_K_AXES; i++)
        l->grid[i] = (krsi_grid){KRS_INDEX(1), 1};
    l->kb = krsi_kb_new("product");
    krsi_lower_contract(l);
    if (krsi_kb_finish(l->kb, &kernel, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    ck_assert_int_eq(krs_kernel_verify(kernel, &err), KRS_OK);
    return kernel;
}

static void
run(const krs_kernel *kernel, const krsi_lowering *l, matrix *const x[3])
{
    krs_error err;
    krs_keval *keval;
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = true};
    krs_kargument args[KRSI_MAX_ARGS];
    void *buffers[3];
    size_t bytes[3];
    for (int i = 0; i < l->args; i++)
        args[i].i = l->arg[i].index.base;
    for (int i = 0; i < 3; i++) {
        buffers[i] = x[l->binding[i]]->data;
        ck_assert(krs_dtype_bytes(x[l->binding[i]]->type,
                                  x[l->binding[i]]->count, &bytes[i]));
    }
    krs_klaunch launch = {.struct_size = sizeof launch,
                          .buffers = buffers,
                          .buffer_bytes = bytes,
                          .args = args};
    for (int i = 0; i < KRS_K_AXES; i++) {
        int64_t extent = l->grid[i].extent.base, per = l->grid[i].per;
        launch.grid[i] = (extent + per - 1) / per;
    }
    ck_assert_int_eq(l->args, (int)kernel->arg_count);
    if (krs_keval_open(kernel, &facts, &keval, &err) != KRS_OK ||
        krs_keval_run(keval, &launch, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    krs_keval_close(keval);
}

static void
compare(const product *p, const matrix *a, const matrix *b, matrix *c)
{
    int64_t items = 1;
    for (int i = 0; i < p->batches; i++)
        items *= p->batch[i];
    for (int64_t item = 0; item < items; item++) {
        int64_t batch[MAX_BATCHES], rest = item;
        for (int i = p->batches - 1; i >= 0; rest /= p->batch[i], i--)
            batch[i] = rest % p->batch[i];
        for (int64_t m = 0; m < p->m; m++)
            for (int64_t n = 0; n < p->n; n++) {
                matrix one = {.type = c->type, .data = (unsigned char[4]){0}};
                put(&one, 0, element(p, a, b, batch, m, n));
                int64_t at = position(c, batch, p->batches, m, n);
                size_t width = c->type == KRS_F32 ? 4 : 2;
                if (memcmp(one.data, c->data + (size_t)at * width, width) != 0)
                    ck_abort_msg(
                        "%lldx%lldx%lld%s%s%s%s batch axes %d, %s, %s to %s, "
                        "%u "
                        "lanes, spread %lld: C[%lld,%lld,%lld] is %a, must be "
                        "%a",
                        (long long)p->m, (long long)p->n, (long long)p->k,
                        p->ta ? " ta" : "", p->tb ? " tb" : "",
                        p->tc ? " tc" : "", p->is_dear ? " small code" : "",
                        p->batches, krs_dtype_name(a->type),
                        krs_dtype_name(b->type), krs_dtype_name(p->out),
                        (unsigned)p->lanes, (long long)p->spread,
                        (long long)item, (long long)m, (long long)n,
                        (double)get(c, at), (double)get(&one, 0));
            }
    }
}

/* Returns the hash of the kernel. */
static uint64_t
check_one(product p)
{
    krsi_lowering l;
    matrix a = {.type = p.left ? p.left : p.type},
           b = {.type = p.right ? p.right : p.type}, c = {.type = p.out};
    lay_out(&a, &p, p.m, p.k, p.ta, false);
    lay_out(&b, &p, p.k, p.n, p.tb, p.shared_b);
    lay_out(&c, &p, p.m, p.n, p.tc, false);
    fill(&a, 1);
    fill(&b, 2);
    krsi_cut cut = make_cut(&p, &a, &b, &c);
    krs_kernel *kernel = lower(&p, &cut, &l);
    ck_assert(p.batches > 0 ||
              (kernel->group[0] > 1) ==
                  (p.lanes == GROUP && p.m + p.spare > KRSI_TILE_THIN &&
                   p.n + p.spare > KRSI_TILE_THIN));
    matrix *x[] = {&a, &b, &c};
    run(kernel, &l, x);
    compare(&p, &a, &b, &c);
    uint64_t hash = kernel->hash[0];
    krs_kernel_free(kernel);
    free(a.data);
    free(a.numbers);
    free(b.data);
    free(b.numbers);
    free(c.data);
    return hash;
}

/* Small code first, whose bits are the same, but for items that are lanes, whose
 * code is always small; the hash is that of the other. */
static uint64_t
check(product p)
{
    p.is_dear = p.lanes > GROUP;
    if (p.is_dear)
        check_one(p);
    p.is_dear = false;
    return check_one(p);
}

/* One product of many. With KERSEY_SLOW (the sanitizers) every seventh, which
 * takes each size, type and form in turn: no loop has a multiple of seven turns. */
static void
sweep(product p)
{
    static int turn;
    if (turn++ % 7 == 0 || !getenv("KERSEY_SLOW"))
        check(p);
}

/* lanes of a vector; and the templates single and group, of four */
static const uint32_t widths[] = {4, 8, 16, SINGLE, GROUP};
enum { WIDTHS = sizeof widths / sizeof *widths };

START_TEST(every_size_and_transposition_keeps_the_order)
{
    static const int64_t sizes[] = {1,  2,  3,  7,  8,  9, 15,
                                    16, 17, 33, 48, 49, 70};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int form = 0; form < 4; form++)
            for (int i = 0; i < SIZES; i++)
                for (int j = 0; j < 3; j++)
                    sweep((product){.m = sizes[i],
                                    .n = sizes[(i * 5 + j * 3) % SIZES],
                                    .k = sizes[(i * 7 + j * 4) % SIZES],
                                    .ta = form & 1,
                                    .tb = form >> 1,
                                    .out = KRS_F32,
                                    .lanes = widths[lane],
                                    .workers = 1 + (uint32_t)j});
}
END_TEST

START_TEST(large_and_odd_sizes_keep_the_order)
{
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int form = 0; form < 4; form++)
            sweep((product){.m = 127,
                            .n = 129,
                            .k = 65,
                            .ta = form & 1,
                            .tb = form >> 1,
                            .lanes = widths[lane],
                            .workers = 2});
    sweep((product){.m = 64, .n = 64, .k = 576, .lanes = SINGLE});
    sweep((product){.m = 128, .n = 128, .k = 32, .lanes = GROUP});
}
END_TEST

START_TEST(chunks_of_512_are_added_in_order)
{
    static const int64_t depths[] = {511, 512, 513, 1024, 1025, 1100};
    static const int64_t rows[] = {1, 2, 5, 19};
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int form = 0; form < 4; form++)
            for (int i = 0; i < 6; i++)
                sweep((product){.m = rows[(i + form) % 4],
                                .n = i % 2 ? 21 : 131,
                                .k = depths[i],
                                .ta = form & 1,
                                .tb = form >> 1,
                                .lanes = widths[lane]});
}
END_TEST

/* A that lies by columns is packed for 48 rows at a time. */
START_TEST(slabs_of_a_turned_left_operand_keep_the_order)
{
    static const int64_t rows[] = {43, 48, 97};
    static const krs_dtype types[] = {KRS_F32, KRS_BF16};
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int i = 0; i < 3; i++)
            for (int type = 0; type < 2; type++)
                for (int dear = 0; dear < 2; dear++)
                    sweep((product){.m = rows[i],
                                    .n = 9,
                                    .k = i == 1 ? 9 : 515,
                                    .ta = true,
                                    .type = types[type],
                                    .out = types[type],
                                    .lanes = widths[lane],
                                    .is_dear = dear});
}
END_TEST

START_TEST(half_types_keep_the_order)
{
    static const krs_dtype types[] = {KRS_BF16, KRS_F16};
    static const int64_t sizes[][3] = {
        {17, 50, 33  },
        {1,  70, 40  },
        {5,  90, 513 },
        {40, 3,  1026},
        {9,  20, 64  },
        {3,  65, 7   }
    };
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int type = 0; type < 2; type++)
            for (int form = 0; form < 4; form++)
                for (int i = 0; i < 6; i++)
                    for (int out = 0; out < 2; out++)
                        sweep((product){.m = sizes[i][0],
                                        .n = sizes[i][1],
                                        .k = sizes[i][2],
                                        .ta = form & 1,
                                        .tb = form >> 1,
                                        .type = types[type],
                                        .out = out ? KRS_F32 : types[type],
                                        .lanes = widths[lane]});
}
END_TEST

static const krs_dtype block_types[] = {KRS_Q8_0, KRS_Q4_0, KRS_Q4_1};
enum { BLOCK_TYPES = sizeof block_types / sizeof *block_types };

START_TEST(blocks_keep_the_order)
{
    static const int64_t sizes[][3] = {
        {1,  96,  64  },
        {1,  37,  544 },
        {2,  64,  32  },
        {3,  70,  96  },
        {4,  33,  1056},
        {8,  64,  64  },
        {9,  32,  64  },
        {20, 3,   96  },
        {65, 64,  32  },
        {70, 130, 96  }
    };
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int type = 0; type < BLOCK_TYPES; type++)
            for (int i = 0; i < 10; i++) {
                product p = {.m = sizes[i][0],
                             .n = sizes[i][1],
                             .k = sizes[i][2],
                             .ta = i % 4 == 1,
                             .tb = true,
                             .tc = i % 3 == 2,
                             .start = 32 * (i % 2),
                             .pad = 32 * (i % 3),
                             .right = block_types[type],
                             .lanes = widths[lane],
                             .workers = 1 + (uint32_t)i % 2};
                sweep(p);
            }
}
END_TEST

/* Rows of A that are read in place, converted, or turned, over several chunks;
 * columns of whole tiles, and of vectors that are not whole. */
START_TEST(few_rows_meet_blocks_over_chunks)
{
    static const krs_dtype types[] = {KRS_F32, KRS_F16};
    static const int64_t rows[] = {1, 2, 3, 8};
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int type = 0; type < BLOCK_TYPES; type++)
            for (int i = 0; i < 4; i++)
                check((product){.m = rows[i],
                                .n = 64 + 9 * i,
                                .k = 544,
                                .ta = i > 1,
                                .tb = true,
                                .type = types[i % 2],
                                .out = KRS_F32,
                                .right = block_types[type],
                                .lanes = widths[lane],
                                .workers = 2});
}
END_TEST

/* [K,N] blocks along n, blocks on the left, and batches of blocks */
START_TEST(blocks_on_either_side_keep_the_order)
{
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int type = 0; type < BLOCK_TYPES; type++)
            for (int i = 0; i < 3; i++) {
                product p = {
                    .m = (int64_t[]){1, 5, 40}
                      [i],
                    .n = 96,
                    .k = 64,
                    .right = block_types[type],
                    .lanes = widths[lane]
                };
                sweep(p);
                p.batches = 1;
                p.batch[0] = 2;
                p.tb = true;
                sweep(p);
                p.batches = 0;
                p.left = p.right;
                p.right = KRS_F32;
                sweep(p);
                p.ta = true;
                p.m = 64;
                p.n = (int64_t[]){1, 9, 40}[i];
                sweep(p);
            }
}
END_TEST

START_TEST(blocks_that_no_row_begins_with_keep_the_order)
{
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int type = 0; type < BLOCK_TYPES; type++)
            for (int form = 0; form < 4; form++)
                sweep((product){.m = 1 + form * 4,
                                .n = 40,
                                .k = 21,
                                .tb = form & 1,
                                .start = 3,
                                .pad = 2,
                                .spread = 1 + form / 2,
                                .right = block_types[type],
                                .lanes = widths[lane]});
}
END_TEST

START_TEST(strides_offsets_and_turned_results_are_followed)
{
    static const int64_t sizes[][3] = {
        {21, 60, 30  },
        {2,  80, 530 },
        {30, 4,  9   },
        {9,  9,  1030}
    };
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int form = 0; form < 8; form++)
            for (int i = 0; i < 4; i++)
                for (int spread = 1; spread < 4; spread += 2)
                    sweep((product){.m = sizes[i][0],
                                    .n = sizes[i][1],
                                    .k = sizes[i][2],
                                    .ta = form & 1,
                                    .tb = form >> 1 & 1,
                                    .tc = form >> 2,
                                    .pad = 3,
                                    .start = 5,
                                    .spread = spread,
                                    .lanes = widths[lane],
                                    .workers = 4});
}
END_TEST

START_TEST(batches_keep_the_order)
{
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int batches = 1; batches <= MAX_BATCHES; batches++)
            for (int form = 0; form < 8; form++)
                sweep((product){
                    .m = form == 4 ? 3 : 11,
                    .n = 50,
                    .k = 20,
                    .batches = batches,
                    .batch = {2, 3, 2},
                    .ta = form & 1,
                    .tb = form >> 1 & 1,
                    .shared_b = form >> 2,
                    .lanes = widths[lane],
                    .workers = 2
                });
}
END_TEST

START_TEST(sizes_known_only_at_run_time_keep_the_order)
{
    static const int64_t sizes[][3] = {
        {1,  70, 5  },
        {6,  90, 515},
        {30, 50, 33 },
        {40, 2,  7  }
    };
    static const krs_dtype types[] = {KRS_F32, KRS_BF16};
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int form = 0; form < 4; form++)
            for (int i = 0; i < 4; i++)
                for (int type = 0; type < 2; type++)
                    sweep((product){.m = sizes[i][0],
                                    .n = sizes[i][1],
                                    .k = sizes[i][2],
                                    .spare = 300,
                                    .ta = form & 1,
                                    .tb = form >> 1,
                                    .type = types[type],
                                    .out = types[type],
                                    .lanes = widths[lane],
                                    .workers = 3});
}
END_TEST

START_TEST(empty_sizes_are_fine_and_no_k_gives_zeros)
{
    static const krs_dtype types[] = {KRS_F32, KRS_BF16};
    for (int lane = 0; lane < WIDTHS; lane++)
        for (int form = 0; form < 4; form++)
            for (int empty = 0; empty < 3; empty++)
                for (int type = 0; type < 2; type++)
                    for (int rows = 1; rows < 20; rows += 17)
                        sweep((product){.m = empty == 0 ? 0 : rows,
                                        .n = empty == 1 ? 0 : 70,
                                        .k = empty == 2 ? 0 : 6,
                                        .ta = form & 1,
                                        .tb = form >> 1,
                                        .type = types[type],
                                        .out = types[type],
                                        .lanes = widths[lane]});
}
END_TEST

START_TEST(splits_do_not_change_a_bit)
{
    for (uint32_t workers = 1; workers <= 64; workers *= 4)
        check((product){.m = 100,
                        .n = 200,
                        .k = 30,
                        .tb = true,
                        .lanes = 16,
                        .workers = workers});
}
END_TEST

START_TEST(shapes_share_kernels)
{
    product p = {.m = 100, .n = 200, .k = 130, .tb = true, .lanes = 16};
    uint64_t first = check(p);
    p.m = 64;
    p.n = 300;
    p.k = 96;
    p.workers = 8;
    p.pad = 1;
    ck_assert_uint_eq(first, check(p));
    p.tb = false;
    ck_assert_uint_ne(first, check(p));
}
END_TEST

START_TEST(products_of_integers_are_refused)
{
    product p = {.m = 4, .n = 4, .k = 4, .lanes = 4};
    matrix x = {.row = 4, .column = 1};
    krsi_cut cut = make_cut(&p, &x, &x, &x);
    krsi_facts facts = facts_of(&p);
    krsi_lowering l = {.cut = &cut, .facts = &facts};
    krs_kernel *kernel;
    krs_error err;
    cut.expr[0].dtype = KRS_I32;
    l.kb = krsi_kb_new("product");
    krsi_lower_contract(&l);
    ck_assert_int_eq(krsi_kb_finish(l.kb, &kernel, &err), KRS_E_UNSUPPORTED);
    ck_assert_str_eq(err.text, "kernel product: no product of i32 and f32 "
                               "here; the device eval has it");
}
END_TEST

SUITE(every_size_and_transposition_keeps_the_order,
      large_and_odd_sizes_keep_the_order, chunks_of_512_are_added_in_order,
      slabs_of_a_turned_left_operand_keep_the_order, half_types_keep_the_order,
      blocks_keep_the_order, few_rows_meet_blocks_over_chunks,
      blocks_on_either_side_keep_the_order,
      blocks_that_no_row_begins_with_keep_the_order,
      strides_offsets_and_turned_results_are_followed, batches_keep_the_order,
      sizes_known_only_at_run_time_keep_the_order,
      empty_sizes_are_fine_and_no_k_gives_zeros, splits_do_not_change_a_bit,
      shapes_share_kernels, products_of_integers_are_refused)
