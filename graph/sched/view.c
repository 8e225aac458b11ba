/* view.c -- affine views: how strides follow permute, expand, slice, reshape,
 * and how a cut's axes are merged.
 *
 * Source: the "view" of NumPy's ndarray; merging as in loop coalescing
 * (Polychronopoulos 1987), only where no division is needed to undo it.
 */
#include "cut.h"

#include <string.h>

krsi_view
krsi_view_whole(uint32_t value, const krsi_node *n)
{
    krsi_view v = {.value = value, .rank = n->rank, .offset = KRS_INDEX(0)};
    int64_t stride = 1;
    for (int a = n->rank - 1; a >= 0; a--) {
        v.stride[a] = stride;
        v.max[a] = n->dim[a];
        v.extent[a] = n->live_axes >> a & 1 ? n->live[a] : KRS_INDEX(n->dim[a]);
        stride *= n->dim[a] ? n->dim[a] : 1;
    }
    return v;
}

bool
krsi_view_is_whole(const krsi_view *v)
{
    int64_t stride = 1;
    if (v->offset.terms || v->offset.base)
        return false;
    for (int a = v->rank - 1; a >= 0; a--) {
        if ((v->max[a] > 1 && v->stride[a] != stride) || v->extent[a].terms)
            return false;
        stride *= v->max[a] ? v->max[a] : 1;
    }
    return true;
}

krsi_view
krsi_view_permute(const krsi_view *v, const int64_t *axis)
{
    krsi_view out = *v;
    for (int a = 0; a < v->rank; a++) {
        out.stride[a] = v->stride[axis[a]];
        out.extent[a] = v->extent[axis[a]];
        out.max[a] = v->max[axis[a]];
    }
    return out;
}

krsi_view
krsi_view_expand(const krsi_view *v, const krsi_node *to)
{
    krsi_view out = krsi_view_whole(v->value, to); /* for the extents */
    int lead = to->rank - v->rank;
    out.offset = v->offset;
    for (int a = 0; a < to->rank; a++) {
        bool kept = a >= lead && v->max[a - lead] == to->dim[a] &&
                    (v->max[a - lead] != 1 || !(to->live_axes >> a & 1));
        out.stride[a] = kept ? v->stride[a - lead] : 0;
    }
    return out;
}

krsi_view
krsi_view_slice(const krsi_view *v, const krs_index *start,
                const int64_t *length, const int64_t *step)
{
    krsi_view out = *v;
    for (int a = 0; a < v->rank; a++) {
        out.offset =
            krs_index_plus(out.offset, krs_index_times(start[a], v->stride[a]));
        out.stride[a] = v->stride[a] * step[a];
        if (length[a] != v->max[a] || !v->extent[a].terms)
            out.extent[a] = KRS_INDEX(length[a]);
        out.max[a] = length[a];
    }
    return out;
}

/* Old and new axes are matched in groups of equal products. Inside a group
 * the old axes must step through memory as one, and the new ones divide that
 * step. An axis with a live length forms a group with an equal axis alone. */
bool
krsi_view_reshape(const krsi_view *v, const krsi_node *to, krsi_view *out)
{
    *out = krsi_view_whole(v->value, to);
    out->offset = v->offset;
    for (int a = 0; a < to->rank; a++)
        if (to->dim[a] == 0)
            return true; /* nothing is ever loaded */
    int old = 0, new = 0;
    while (old < v->rank || new < to->rank) {
        int old_end = old, new_end = new;
        int64_t from = 1, into = 1;
        do { /* grow the smaller side until the products meet */
            if (from <= into && old_end < v->rank)
                from *= v->max[old_end++];
            else if (new_end < to->rank)
                into *= to->dim[new_end++];
            else if (old_end < v->rank)
                from *= v->max[old_end++];
            else
                break;
        } while (from != into);
        while (old_end < v->rank && v->max[old_end] == 1)
            old_end++;
        while (new_end < to->rank && to->dim[new_end] == 1)
            new_end++;
        int64_t stride = 0; /* of the group's innermost axis that moves */
        int64_t outer = -1; /* what the next axis outwards must step by */
        for (int a = old_end - 1; a >= old; a--) {
            if (v->max[a] == 1)
                continue;
            if (outer < 0)
                stride = v->stride[a];
            else if (v->stride[a] != outer)
                return false;
            outer = v->stride[a] * v->max[a];
            if (v->stride[a] < 0 && v->max[a] != from)
                return false; /* backwards axes stay alone */
        }
        for (int a = new_end - 1; a >= new; a--) {
            out->stride[a] = stride;
            stride *= to->dim[a];
        }
        old = old_end;
        new = new_end;
    }
    return true;
}

/* ---- merging axes of a cut ---- */

/* view i of a cut: those of its loads, then those of its outs */
static krsi_view *
view_of(krsi_cut *cut, int i)
{
    return i < cut->loads ? &cut->load[i].view : &cut->out[i - cut->loads].view;
}

static bool
steps_as_one(const krsi_view *v, int a)
{
    return v->stride[a] == v->stride[a + 1] * v->max[a + 1];
}

static void
remove_axis(krsi_cut *cut, int axis)
{
    size_t after = (size_t)(cut->rank - axis - 1);
    memmove(cut->extent + axis, cut->extent + axis + 1,
            after * sizeof *cut->extent);
    memmove(cut->max + axis, cut->max + axis + 1, after * sizeof *cut->max);
    for (int i = 0; i < cut->loads + cut->outs; i++) {
        krsi_view *v = view_of(cut, i);
        memmove(v->stride + axis, v->stride + axis + 1,
                after * sizeof *v->stride);
        memmove(v->extent + axis, v->extent + axis + 1,
                after * sizeof *v->extent);
        memmove(v->max + axis, v->max + axis + 1, after * sizeof *v->max);
        v->rank--;
    }
    cut->rank--;
}

void
krsi_cut_simplify(krsi_cut *cut)
{
    int kept = krsi_family_axes(cut->family);
    for (int a = cut->rank - kept - 1; a >= 0; a--)
        if (cut->max[a] == 1 && !cut->extent[a].terms)
            remove_axis(cut, a);
    for (int a = cut->rank - kept - 2; a >= 0; a--) {
        bool merges = !cut->extent[a + 1].terms;
        for (int i = 0; merges && i < cut->loads + cut->outs; i++)
            merges = steps_as_one(view_of(cut, i), a);
        if (!merges)
            continue;
        int64_t inner = cut->max[a + 1];
        krs_index extent = krs_index_times(cut->extent[a], inner);
        int64_t max = cut->max[a] * inner;
        remove_axis(cut, a);
        cut->extent[a] = extent;
        cut->max[a] = max;
        for (int i = 0; i < cut->loads + cut->outs; i++) {
            krsi_view *v = view_of(cut, i);
            v->extent[a] = extent;
            v->max[a] = max;
        }
    }
}

bool
krsi_cut_is_empty(const krsi_cut *cut)
{
    bool sums =
        cut->family == KRSI_CUT_ROWS || cut->family == KRSI_CUT_CONTRACT;
    for (int a = 0; a < cut->rank - sums; a++)
        if (cut->max[a] == 0)
            return true;
    return false;
}
