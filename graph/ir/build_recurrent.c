/* build_recurrent.c -- recurrent layers (krs/recurrent.h), from scans and other
 * builders.
 *
 * A layer is its cell in a scan over time. What the cell needs of x, the product
 * with w_ih, is made before the scan for all steps at once; so cells are written
 * on that product. Sizes are checked here, before anything is built, so that a
 * mistake is told by the layer's name.
 */
#include "ir.h"

#include <krs/recurrent.h>

typedef struct layer {
    krs_place at;
    const char *name;
    int64_t gates;
    krs_rnn_kind kind; /* of an rnn */
    const krs_recurrent_weights *w;
} layer;

/* State after a step; c of an lstm alone. */
typedef struct state {
    krs_node h, c;
} state;

/* ---- checks ---- */

static bool
has_shape(krs_node x, krs_shape want)
{
    krs_shape shape = krs_node_shape(x);
    bool same = shape.rank == want.rank;
    for (int a = 0; same && a < want.rank; a++)
        same = shape.dim[a] == want.dim[a];
    return same;
}

/* x [.., D] and a state: B rows of H units for G gates? time: 1 if x has steps */
static bool
check(const layer *l, krs_node x, state s, int time)
{
    krs_graph *g = x.graph;
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    const krs_recurrent_weights *w = l->w;
    const krs_node all[] = {x, s.h, w->w_ih, w->w_hh, s.c, w->b_ih, w->b_hh};
    if (!g || g->error.status != KRS_OK)
        return false;
    for (int i = 0; i < 7; i++)
        if ((i < 4 || all[i].graph) && (all[i].graph != g || !all[i].id))
            return krsi_refuse(g, l->at, l->name, KRS_E_GRAPH, NULL,
                               "operand %d is not a node of the graph", i);
    krs_shape xs = krs_node_shape(x), hs = krs_node_shape(s.h);
    if (xs.rank != 2 + time || hs.rank != 2 || hs.dim[0] != xs.dim[0])
        return krsi_refuse_use(g, l->at, l->name, all, 7, KRS_E_SHAPE,
                               time ? "they are [B, T, D] and [B, H]"
                                    : "they are [B, D] and [B, H]",
                               "x is %s, the state %s",
                               krsi_type_text(a, krsi_get(x)),
                               krsi_type_text(b, krsi_get(s.h)));
    int64_t D = xs.dim[1 + time], H = hs.dim[1], rows = l->gates * H;
    const krs_shape want[] = {xs,
                              hs,
                              KRS_SHAPE(rows, D),
                              KRS_SHAPE(rows, H),
                              hs,
                              KRS_SHAPE(rows),
                              KRS_SHAPE(rows)};
    static const char *const what[] = {"x",        "the state", "w_ih", "w_hh",
                                       "the cell", "b_ih",      "b_hh"};
    for (int i = 1; i < 7; i++) {
        const krsi_node *n = krsi_get(all[i]);
        if (!n)
            continue;
        if (n->dtype != krsi_get(x)->dtype)
            return krsi_refuse_use(
                g, l->at, l->name, all, 7, KRS_E_DTYPE,
                "types are never promoted; use krs_cast", "x is %s, %s %s",
                krsi_type_text(a, krsi_get(x)), what[i], krsi_type_text(b, n));
        if (!has_shape(all[i], want[i]))
            return krsi_refuse_use(
                g, l->at, l->name, all, 7, KRS_E_SHAPE, NULL,
                "%s is %s where %lld gates of %lld units on %lld inputs are "
                "needed",
                what[i], krsi_type_text(b, n), (long long)l->gates,
                (long long)H, (long long)D);
    }
    return (l->kind == KRS_RNN_TANH || l->kind == KRS_RNN_RELU) ||
           krsi_refuse_use(g, l->at, l->name, all, 7, KRS_E_ARGUMENT, NULL,
                           "kind %d", (int)l->kind);
}

/* ---- cells ---- */

/* gate i of a product [B, G*H] */
static krs_node
gate(const layer *l, krs_node all, int64_t i)
{
    int64_t H = krs_node_shape(all).dim[1] / l->gates;
    return krs_slice_at(l->at, all, 1, i * H, (i + 1) * H, 1);
}

/* gate i of a + b through the logistic function */
static krs_node
opened(const layer *l, krs_node a, krs_node b, int64_t i)
{
    return krs_sigmoid_at(l->at,
                          krs_add_at(l->at, gate(l, a, i), gate(l, b, i)));
}

/* a = x w_ih^T + b_ih [B, G*H] */
static state
step(const layer *l, krs_node a, state s)
{
    krs_place at = l->at;
    krs_node b = krs_linear_at(at, s.h, l->w->w_hh, l->w->b_hh); /* [B, G*H] */
    if (l->gates == 1) {
        krs_node sum = krs_add_at(at, a, b);
        s.h = l->kind == KRS_RNN_TANH ? krs_tanh_at(at, sum)
                                      : krs_relu_at(at, sum);
        return s;
    }
    if (l->gates == 3) {
        krs_node r = opened(l, a, b, 0), z = opened(l, a, b, 1);
        krs_node part = krs_mul_at(at, r, gate(l, b, 2));
        krs_node n = krs_tanh_at(at, krs_add_at(at, gate(l, a, 2), part));
        s.h = krs_add_at(at, n, krs_mul_at(at, z, krs_sub_at(at, s.h, n)));
        return s;
    }
    krs_node i = opened(l, a, b, 0), f = opened(l, a, b, 1);
    krs_node g = krs_tanh_at(at, krs_add_at(at, gate(l, a, 2), gate(l, b, 2)));
    s.c = krs_add_at(at, krs_mul_at(at, f, s.c), krs_mul_at(at, i, g));
    s.h = krs_mul_at(at, opened(l, a, b, 3), krs_tanh_at(at, s.c));
    return s;
}

static state
cell(const layer *l, krs_node x, state s)
{
    if (!check(l, x, s, 0))
        return (state){krsi_poison(x.graph), krsi_poison(x.graph)};
    return step(l, krs_linear_at(l->at, x, l->w->w_ih, l->w->b_ih), s);
}

/* ---- layers ---- */

/* [B,T,..] <-> [T,B,..] */
static krs_node
swapped(const layer *l, krs_node x)
{
    return krs_transpose_at(l->at, x, 0, 1);
}

static krs_node
over_time(const layer *l, krs_node x, state first, krs_scan_direction direction,
          krs_node *out_h, krs_node *out_c)
{
    krs_place at = l->at;
    *out_h = krsi_poison(x.graph);
    if (out_c)
        *out_c = krsi_poison(x.graph);
    if (!check(l, x, first, 1))
        return krsi_poison(x.graph);
    int64_t T = krs_node_shape(x).dim[1];
    krs_node a = krs_linear_at(at, x, l->w->w_ih, l->w->b_ih); /* [B,T,G*H] */
    krs_scan scan = krs_scan_begin_at(at, x.graph, T, direction);
    state s = {krs_scan_carry_at(at, scan, first.h), KRS_NONE};
    if (out_c)
        s.c = krs_scan_carry_at(at, scan, first.c);
    state next = step(l, krs_scan_x_at(at, scan, swapped(l, a)), s);
    krs_scan_next_at(at, scan, s.h, next.h);
    if (out_c)
        krs_scan_next_at(at, scan, s.c, next.c);
    krs_scan_keep_at(at, scan, next.h);
    krs_scan_end_at(at, scan);
    *out_h = krs_scan_last_at(at, scan, s.h);
    if (out_c)
        *out_c = krs_scan_last_at(at, scan, s.c);
    return swapped(l, krs_scan_kept_at(at, scan, next.h));
}

krs_node
krs_rnn_cell_at(krs_place at, krs_node x, krs_node h,
                const krs_recurrent_weights *weights, krs_rnn_kind kind)
{
    layer l = {at, "rnn_cell", 1, kind, weights};
    return cell(&l, x, (state){h, KRS_NONE}).h;
}

krs_node
krs_gru_cell_at(krs_place at, krs_node x, krs_node h,
                const krs_recurrent_weights *weights)
{
    layer l = {at, "gru_cell", 3, KRS_RNN_TANH, weights};
    return cell(&l, x, (state){h, KRS_NONE}).h;
}

krs_node
krs_lstm_cell_at(krs_place at, krs_node x, krs_node h, krs_node c,
                 const krs_recurrent_weights *weights, krs_node *out_c)
{
    layer l = {at, "lstm_cell", 4, KRS_RNN_TANH, weights};
    state s = cell(&l, x, (state){h, c});
    *out_c = s.c;
    return s.h;
}

krs_node
krs_rnn_at(krs_place at, krs_node x, krs_node h0,
           const krs_recurrent_weights *weights, krs_rnn_kind kind,
           krs_scan_direction direction, krs_node *out_h)
{
    layer l = {at, "rnn", 1, kind, weights};
    return over_time(&l, x, (state){h0, KRS_NONE}, direction, out_h, NULL);
}

krs_node
krs_gru_at(krs_place at, krs_node x, krs_node h0,
           const krs_recurrent_weights *weights, krs_scan_direction direction,
           krs_node *out_h)
{
    layer l = {at, "gru", 3, KRS_RNN_TANH, weights};
    return over_time(&l, x, (state){h0, KRS_NONE}, direction, out_h, NULL);
}

krs_node
krs_lstm_at(krs_place at, krs_node x, krs_node h0, krs_node c0,
            const krs_recurrent_weights *weights, krs_scan_direction direction,
            krs_node *out_h, krs_node *out_c)
{
    layer l = {at, "lstm", 4, KRS_RNN_TANH, weights};
    return over_time(&l, x, (state){h0, c0}, direction, out_h, out_c);
}
