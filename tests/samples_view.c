/* samples_view.c -- uses of views, windows, products and gathers; see
 * samples.h. */
#include "samples_leaf.h"

#include <krs/array.h>
#include <krs/conv.h>

/* ---- views ---- */

krs_node
sample_reshape(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 6), -1, 1);
    switch (which) {
    case 0: return krs_reshape(x, S(3, -1));
    case 1: return krs_reshape(x, S(1, 2, 3, 2));
    case 2: return krs_reshape(leaf_live(s, x, 0), S(2, 3, 2));
    case 3: return krs_reshape(leaf_real(s, S(1, 1), -1, 1), S0);
    case 4: return krs_reshape(leaf_real(s, S(0, 3), -1, 1), S(7, 0));
    default: return KRS_NONE;
    }
}

krs_node
sample_permute(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 3, 4), -1, 1);
    switch (which) {
    case 0: return krs_permute(x, AX(2, 0, 1));
    case 1: return krs_permute(leaf_live(s, x, 1), AX(1, 0, 2));
    default: return KRS_NONE;
    }
}

krs_node
sample_expand(sample *s, int which)
{
    krs_node x = leaf_real(s, S(2, 1), -1, 1);
    switch (which) {
    case 0: return krs_expand(x, S(3, 2, 4));
    case 1: return krs_expand(x, S(-1, 3));
    case 2:
        return krsi_expand_like(KRS_HERE, x,
                                leaf_live(s, leaf_real(s, S(2, 3), -1, 1), 1));
    case 3: return krs_expand(x, S(2, 0));
    default: return KRS_NONE;
    }
}

krs_node
sample_slice(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 5), -1, 1);
    switch (which) {
    case 0: return krs_slice(x, 1, 1, 4, 2);
    case 1: return krs_slice(x, -1, -1, KRS_END, -2);
    case 2: return krs_narrow(x, 1, leaf_var(s, "length", 3, 2), 2);
    case 3: return krs_slice(x, 0, 2, 2, 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_windows(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 7), -1, 1);
    switch (which) {
    case 0: return krs_windows(x, 1, 3, 2, 1);
    case 1: return krs_windows(x, 0, 2, 1, 2);
    case 2: return krs_windows(krs_windows(x, 1, 2, 1, 3), 0, 2, 1, 1);
    case 3: return krs_windows(leaf_real(s, S(2, 40), -1, 1), 1, 17, 3, 1);
    case 4: return krs_windows(x, 1, 8, 1, 1); /* there is none */
    default: return KRS_NONE;
    }
}

krs_node
sample_conv(sample *s, int which)
{
    krs_conv_options o = {.struct_size = sizeof o};
    switch (which) {
    case 0:
        return krs_conv1d(leaf_real(s, S(2, 3, 5), -1, 1),
                          leaf_real(s, S(4, 3, 2), -1, 1),
                          leaf_real(s, S(4), -1, 1), NULL);
    case 1:
        o.stride[0] = 2;
        o.padding[0] = o.padding[1] = 1;
        o.dilation[1] = 2;
        o.groups = 2;
        return krs_conv2d(leaf_real(s, S(1, 4, 3, 4), -1, 1),
                          leaf_real(s, S(2, 2, 2, 2), -1, 1), KRS_NONE, &o);
    default: return KRS_NONE;
    }
}

krs_node
sample_max_pool(sample *s, int which)
{
    krs_pool_options o = {
        .struct_size = sizeof o, .kernel = {2, 3}
    };
    switch (which) {
    case 0:
        o.stride[1] = 1;
        o.padding[1] = 1;
        return krs_max_pool2d(leaf_spread(s, S(1, 2, 4, 5), 0), &o);
    case 1: return krs_max_pool1d(leaf_spread(s, S(2, 1, 6), 0), &o);
    default: return KRS_NONE;
    }
}

krs_node
sample_avg_pool(sample *s, int which)
{
    krs_pool_options o = {
        .struct_size = sizeof o, .kernel = {2, 3}
    };
    switch (which) {
    case 0:
        o.padding[0] = 1;
        return krs_avg_pool2d(leaf_real(s, S(1, 2, 4, 5), -1, 1), &o);
    case 1: return krs_avg_pool1d(leaf_real(s, S(2, 1, 6), -1, 1), &o);
    default: return KRS_NONE;
    }
}

krs_node
sample_set_slice(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 5), -1, 1);
    switch (which) {
    case 0: {
        const krs_index starts[2] = {KRS_INDEX(1), KRS_INDEX(2)};
        return krs_set_slice(x, leaf_real(s, S(2, 3), -1, 1), starts);
    }
    case 1: {
        const krs_index starts[2] = {KRS_INDEX(0), leaf_var(s, "pos", 3, 2)};
        return krs_set_slice(x, leaf_real(s, S(3, 2), -1, 1), starts);
    }
    default: return KRS_NONE;
    }
}

krs_node
sample_pad(sample *s, int which)
{
    static const int64_t none[] = {0, 0}, one[] = {1, 0}, two[] = {3, 2};
    krs_node x = leaf_real(s, S(2, 3), -1, 1);
    switch (which) {
    case 0: return krs_pad(x, one, two, 0);
    case 1: return krs_pad(x, none, one, 7.5);
    default: return KRS_NONE;
    }
}

krs_node
sample_concat(sample *s, int which)
{
    krs_node part[12];
    switch (which) {
    case 0:
        part[0] = leaf_real(s, S(2, 3), -1, 1);
        part[1] = leaf_real(s, S(2, 1), -1, 1);
        part[2] = part[0];
        return krs_concat(part, 3, 1);
    case 1:
        part[0] = INTS(s, KRS_I64, S(1), 4);
        part[1] = INTS(s, KRS_I64, S(0), 4);
        return krs_concat(part, 2, 0);
    case 2: /* more operands than fit on a stack of eight */
        part[0] = leaf_real(s, S(1, 2), -1, 1);
        for (int i = 1; i < 12; i++)
            part[i] = krs_neg(part[i - 1]);
        return krs_concat(part, 12, 0);
    default: return KRS_NONE;
    }
}

krs_node
sample_live(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: return leaf_live(s, x, 0);
    case 1:
        return krs_live(leaf_live(s, x, 0), 1,
                        krs_index_plus(leaf_var(s, "pos", 3, 1), KRS_INDEX(1)));
    default: return KRS_NONE;
    }
}

/* ---- products and gathers ---- */

krs_node
sample_matmul(sample *s, int which)
{
    switch (which) {
    case 0: {
        krs_node a = leaf_real(s, S(2, 3), -1, 1);
        return krs_matmul(a, leaf_real(s, S(3, 4), -1, 1));
    }
    case 1: {
        krs_node a = leaf_real(s, S(2, 3), -1, 1);
        return krs_matmul_nt(a, leaf_real(s, S(4, 3), -1, 1));
    }
    case 2: {
        krs_node a = leaf_real(s, S(3, 2), -1, 1);
        return krs_matmul_tn(a, leaf_real(s, S(3, 4), -1, 1));
    }
    case 3: { /* batches broadcast */
        krs_node a = leaf_real(s, S(2, 1, 2, 3), -1, 1);
        return krs_matmul(a, leaf_real(s, S(3, 3, 2), -1, 1));
    }
    case 4: { /* both transposed, live inner axis */
        krs_node a = leaf_live(s, leaf_real(s, S(3, 2), -1, 1), 0);
        krs_node b = leaf_live(s, leaf_real(s, S(4, 3), -1, 1), 1);
        return krsi_matmul(KRS_HERE, a, b, true, true);
    }
    case 5: {
        krs_node a = leaf_real(s, S(2, 0), -1, 1);
        return krs_matmul(a, leaf_real(s, S(0, 3), -1, 1));
    }
    case 6: /* block-quantised weights */
        return krs_matmul_nt(krs_input(s->graph, "a", KRS_F32, S(2, 32)),
                             krs_input(s->graph, "b", KRS_Q8_0, S(3, 32)));
    default: return KRS_NONE;
    }
}

krs_node
sample_take(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: return krs_take(x, INTS(s, KRS_I64, S(2, 2), 2, 0, 2, 1), 0);
    case 1: return krs_take(x, INTS(s, KRS_I32, S0, 3), -1);
    case 2:
        s->leaf[0].differentiable = false;
        return krs_take(krs_input(s->graph, "w", KRS_Q4_1, S(4, 32)),
                        INTS(s, KRS_I64, S(2), 1, 3), 0);
    default: return KRS_NONE;
    }
}

krs_node
sample_index_add(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: {
        krs_node i = INTS(s, KRS_I64, S(3), 2, 0, 2);
        return krs_index_add(x, i, leaf_real(s, S(3, 4), -1, 1), 0);
    }
    case 1: {
        krs_node i = INTS(s, KRS_I32, S(2, 1), 1, 1);
        return krs_index_add(x, i, leaf_real(s, S(3, 2, 1), -1, 1), 1);
    }
    default: return KRS_NONE;
    }
}

krs_node
sample_gather(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -1, 1);
    switch (which) {
    case 0: return krs_gather(x, INTS(s, KRS_I64, S(2, 4), 2, 0, 2, 1), 0);
    case 1: return krs_gather(x, INTS(s, KRS_I64, S(3, 1), 3, 0), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_scatter_add(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -1, 1);
    krs_node i = INTS(s, KRS_I64, S(2, 4), 2, 0, 2, 1, 2);
    switch (which) {
    case 0: return krs_scatter_add(x, i, leaf_real(s, S(2, 4), -1, 1), 0);
    case 1: return krs_scatter_add(x, i, leaf_real(s, S(2, 4), -1, 1), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_scatter(sample *s, int which)
{
    krs_node x = leaf_real(s, S(3, 4), -1, 1);
    krs_node i = INTS(s, KRS_I64, S(2, 4), 2, 0, 2, 1, 2);
    switch (which) {
    case 0: return krs_scatter(x, i, leaf_real(s, S(2, 4), -1, 1), 0);
    case 1: return krs_scatter(x, i, leaf_real(s, S(2, 4), -1, 1), 1);
    case 2: return krs_scatter(BOOLS(s, S(3, 4)), i, BOOLS(s, S(2, 4)), -1);
    default: return KRS_NONE;
    }
}

krs_node
sample_embedding(sample *s, int which)
{
    krs_node w = leaf_real(s, S(4, 3), -1, 1);
    switch (which) {
    case 0: return krs_embedding(w, INTS(s, KRS_I64, S(2, 2), 2, 0, 2), -1);
    case 1: return krs_embedding(w, INTS(s, KRS_I32, S(3), 3, 0, 2), 1);
    default: return KRS_NONE;
    }
}

krs_node
sample_one_hot(sample *s, int which)
{
    switch (which) {
    case 0: return krs_one_hot(INTS(s, KRS_I64, S(3), 2, 0, 9), 4, KRS_F32);
    case 1: return krs_one_hot(INTS(s, KRS_I32, S0, 1), 3, KRS_BOOL);
    default: return KRS_NONE;
    }
}
