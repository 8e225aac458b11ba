/* test_view.c -- the algebra of views: which reshapes are affine, where the
 * elements of permuted, expanded and sliced views lie, and which axes of a cut
 * merge. Each view is compared with walking the tensor element by element.
 */
#include "graph/sched/cut.h"
#include "suite.h"

#include <string.h>

/* A node of a shape, for the extents of views. */
static const krsi_node *
shaped(krs_graph *g, krs_shape shape)
{
    krs_node x = krs_full(g, KRS_F32, shape, 1);
    return krsi_get(x);
}

/* where element number i (row-major) of a view lies */
static int64_t
place(const krsi_view *v, int64_t i)
{
    int64_t at = v->offset.base;
    for (int a = v->rank - 1; a >= 0; a--) {
        at += i % v->max[a] * v->stride[a];
        i /= v->max[a];
    }
    return at;
}

/* Reshape: affine or not; if it is, element i stays element i. */
static void
assert_reshape(krs_graph *g, const krsi_view *v, krs_shape to, bool affine)
{
    krsi_view out;
    int64_t count;
    krs_shape_elements(to, &count);
    ck_assert_int_eq(krsi_view_reshape(v, shaped(g, to), &out), affine);
    if (!affine)
        return;
    ck_assert_int_eq(out.rank, to.rank);
    for (int64_t i = 0; i < count; i++)
        ck_assert_int_eq(place(&out, i), place(v, i));
}

START_TEST(reshapes_of_whole_tensors_are_affine)
{
    krs_graph *g = krs_graph_new();
    krsi_view v = krsi_view_whole(0, shaped(g, KRS_SHAPE(4, 3, 10)));
    ck_assert(krsi_view_is_whole(&v));
    assert_reshape(g, &v, KRS_SHAPE(120), true);
    assert_reshape(g, &v, KRS_SHAPE(2, 6, 5, 2), true);
    assert_reshape(g, &v, KRS_SHAPE(1, 4, 1, 30, 1), true);
    assert_reshape(g, &v, KRS_SHAPE(8, 15), true);
    krsi_view scalar = krsi_view_whole(0, shaped(g, KRS_SCALAR));
    assert_reshape(g, &scalar, KRS_SHAPE(1, 1), true);
    krs_graph_free(g);
}
END_TEST

START_TEST(reshapes_of_permuted_views_split_axes_and_merge_none)
{
    krs_graph *g = krs_graph_new();
    const int64_t order[] = {2, 0, 1};
    krsi_view v = krsi_view_whole(0, shaped(g, KRS_SHAPE(4, 3, 10)));
    krsi_view turned = krsi_view_permute(&v, order); /* [10, 4, 3] */
    ck_assert(!krsi_view_is_whole(&turned));
    ck_assert_int_eq(place(&turned, 1), 10);
    assert_reshape(g, &turned, KRS_SHAPE(2, 5, 4, 3), true);
    assert_reshape(g, &turned, KRS_SHAPE(10, 12), true); /* 4 and 3 agree */
    assert_reshape(g, &turned, KRS_SHAPE(10, 2, 6), true);
    assert_reshape(g, &turned, KRS_SHAPE(40, 3), false);
    assert_reshape(g, &turned, KRS_SHAPE(120), false);
    krs_graph_free(g);
}
END_TEST

START_TEST(reshapes_of_expanded_views_merge_repeats_only)
{
    krs_graph *g = krs_graph_new();
    krsi_view v = krsi_view_whole(0, shaped(g, KRS_SHAPE(3, 1)));
    krsi_view wide = krsi_view_expand(&v, shaped(g, KRS_SHAPE(2, 5, 3, 4)));
    ck_assert_int_eq(wide.stride[0], 0);
    ck_assert_int_eq(wide.stride[2], 1);
    ck_assert_int_eq(wide.stride[3], 0);
    assert_reshape(g, &wide, KRS_SHAPE(10, 3, 4), true);
    assert_reshape(g, &wide, KRS_SHAPE(5, 2, 3, 2, 2), true);
    assert_reshape(g, &wide, KRS_SHAPE(2, 15, 4), false);
    assert_reshape(g, &wide, KRS_SHAPE(10, 12), false);
    krs_graph_free(g);
}
END_TEST

START_TEST(slices_step_from_their_start_forwards_and_backwards)
{
    krs_graph *g = krs_graph_new();
    const krs_index start[] = {KRS_INDEX(3), KRS_INDEX(1)};
    const int64_t length[] = {2, 3}, step[] = {-2, 3};
    krsi_view v = krsi_view_whole(0, shaped(g, KRS_SHAPE(4, 10)));
    krsi_view s = krsi_view_slice(&v, start, length, step);
    const int64_t want[] = {31, 34, 37, 11, 14, 17};
    for (int64_t i = 0; i < 6; i++)
        ck_assert_int_eq(place(&s, i), want[i]);
    assert_reshape(g, &s, KRS_SHAPE(2, 1, 3), true);
    assert_reshape(g, &s, KRS_SHAPE(6), false);
    /* a start at run time goes into the offset, by the stride */
    krs_index pos = krs_var(g, "pos", 0, 2);
    const krs_index moved[] = {pos, KRS_INDEX(4)};
    const int64_t ones[] = {1, 1}, block[] = {2, 6};
    s = krsi_view_slice(&v, moved, block, ones);
    ck_assert(krs_index_equal(
        s.offset, krs_index_plus(krs_index_times(pos, 10), KRS_INDEX(4))));
    krs_graph_free(g);
}
END_TEST

START_TEST(empty_views_take_every_shape)
{
    krs_graph *g = krs_graph_new();
    const int64_t order[] = {1, 0};
    krsi_view v = krsi_view_whole(0, shaped(g, KRS_SHAPE(0, 7)));
    krsi_view turned = krsi_view_permute(&v, order);
    assert_reshape(g, &turned, KRS_SHAPE(3, 0, 5), true);
    krs_graph_free(g);
}
END_TEST

/* ---- merging ---- */

/* A cut that stores whole, and loads through one view of the same shape. */
static krsi_cut
cut_of(const krsi_view *out, const krsi_view *load)
{
    static krsi_load loads[2];
    static krsi_out outs[1];
    krsi_cut c = {
        .rank = out->rank, .loads = 1, .outs = 1, .load = loads, .out = outs};
    outs[0].view = *out;
    c.load[0].view = *load;
    c.load[0].indirect = -1;
    memcpy(c.extent, out->extent, sizeof c.extent);
    memcpy(c.max, out->max, sizeof c.max);
    return c;
}

static void
assert_axes(const krsi_cut *c, int rank, const int64_t *size)
{
    ck_assert_int_eq(c->rank, rank);
    ck_assert_int_eq(c->out[0].view.rank, rank);
    ck_assert_int_eq(c->load[0].view.rank, rank);
    for (int a = 0; a < rank; a++) {
        ck_assert_int_eq(c->max[a], size[a]);
        ck_assert_int_eq(c->load[0].view.max[a], size[a]);
    }
}
#define AXES(c, ...)                                                           \
    assert_axes(&(c), (int)(sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t)), \
                (const int64_t[]){__VA_ARGS__})

START_TEST(axes_merge_where_all_views_step_as_one)
{
    krs_graph *g = krs_graph_new();
    const krsi_node *n = shaped(g, KRS_SHAPE(2, 1, 3, 4));
    krsi_view out = krsi_view_whole(0, n), same = krsi_view_whole(1, n);
    krsi_cut c = cut_of(&out, &same);
    krsi_cut_simplify(&c);
    AXES(c, 24);
    ck_assert_int_eq(c.out[0].view.stride[0], 1);

    /* the load repeats along axis 2: that one stays apart */
    krsi_view one = krsi_view_whole(1, shaped(g, KRS_SHAPE(2, 1, 1, 4)));
    krsi_view wide = krsi_view_expand(&one, n);
    c = cut_of(&out, &wide);
    krsi_cut_simplify(&c);
    AXES(c, 2, 3, 4);

    /* a reduced axis is left alone, and so is one of size 1 */
    c = cut_of(&out, &same);
    c.family = KRSI_CUT_ROWS;
    krsi_cut_simplify(&c);
    AXES(c, 6, 4);
    krsi_view tall = krsi_view_whole(0, shaped(g, KRS_SHAPE(2, 3, 1)));
    c = cut_of(&tall, &tall);
    c.family = KRSI_CUT_ROWS;
    krsi_cut_simplify(&c);
    AXES(c, 6, 1);
    krs_graph_free(g);
}
END_TEST

START_TEST(live_and_named_axes_keep_their_place)
{
    krs_graph *g = krs_graph_new();
    krs_index length = krs_var(g, "n", 0, 4);
    krsi_view out = krsi_view_whole(0, shaped(g, KRS_SHAPE(3, 4, 5)));
    out.extent[1] = length;
    krsi_cut c = cut_of(&out, &out);
    krsi_cut_simplify(&c); /* a live axis merges inwards, not outwards */
    AXES(c, 3, 20);
    ck_assert(krs_index_equal(c.extent[1], krs_index_times(length, 5)));

    out.extent[1] = KRS_INDEX(4);
    c = cut_of(&out, &out);
    c.loads = 2; /* the position along axis 2 is asked for */
    c.load[1].view = out;
    c.load[1].view.stride[0] = c.load[1].view.stride[1] = 0;
    krsi_cut_simplify(&c);
    AXES(c, 12, 5);
    ck_assert_int_eq(c.load[1].view.stride[1], 1);
    krs_graph_free(g);
}
END_TEST

START_TEST(cuts_without_a_point_to_store_to_are_empty)
{
    krs_graph *g = krs_graph_new();
    krsi_view v = krsi_view_whole(0, shaped(g, KRS_SHAPE(3, 0)));
    krsi_cut c = cut_of(&v, &v);
    ck_assert(krsi_cut_is_empty(&c));
    c.family = KRSI_CUT_ROWS; /* sums of nothing are stored */
    ck_assert(!krsi_cut_is_empty(&c));
    krs_graph_free(g);
}
END_TEST

SUITE(reshapes_of_whole_tensors_are_affine,
      reshapes_of_permuted_views_split_axes_and_merge_none,
      reshapes_of_expanded_views_merge_repeats_only,
      slices_step_from_their_start_forwards_and_backwards,
      empty_views_take_every_shape, axes_merge_where_all_views_step_as_one,
      live_and_named_axes_keep_their_place,
      cuts_without_a_point_to_store_to_are_empty)
