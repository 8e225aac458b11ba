/* test_layout.c -- the memory planner on steps made by hand and at random:
 * what may share a place, which updates are in place, how full the arena is;
 * and its verifier on layouts that were spoilt.
 */
#include "graph/sched/layout.h"
#include "suite.h"

#include <krs/random.h>

#include <string.h>
#include <time.h>

enum { MOST = 64 };

static krs_error err;
static krsi_storage values[MOST];
static krsi_layout l;

static void
begin(void)
{
    memset(&l, 0, sizeof l);
    memset(values, 0, sizeof values);
    l.values = values;
    l.steps = krsi_arena_array(&l.arena, MOST, sizeof *l.steps);
    ck_assert_ptr_nonnull(l.steps);
}

static uint32_t
value(krsi_storage_kind kind, size_t bytes)
{
    uint32_t v = (uint32_t)l.value_count++;
    values[v] =
        (krsi_storage){.kind = kind, .bytes = bytes, .partner = KRSI_NO_VALUE};
    return v;
}

static uint32_t
temporary(size_t bytes)
{
    return value(KRSI_STORAGE_TEMPORARY, bytes);
}

/* the output that a state becomes */
static uint32_t
update_of(uint32_t state)
{
    uint32_t v = value(KRSI_STORAGE_OUTPUT, values[state].bytes);
    values[v].partner = state;
    values[state].partner = v;
    return v;
}

#define NONE UINT32_MAX

/* a step that writes one value and reads up to two, the first perhaps where it
 * writes */
static krsi_step *
step(uint32_t to, uint32_t from, bool same, uint32_t also)
{
    krsi_step *s = &l.steps[l.step_count++];
    s->write = krsi_arena_array(&l.arena, 1, sizeof *s->write);
    s->read = krsi_arena_array(&l.arena, 3, sizeof *s->read);
    s->write[s->writes++] = to;
    if (from != NONE)
        s->read[s->reads++] = (krsi_read){from, same};
    if (also != NONE)
        s->read[s->reads++] = (krsi_read){also, 0};
    return s;
}

static void
copy(uint32_t to, uint32_t from)
{
    step(to, from, true, NONE)->copies = true;
}

static void
make(krsi_sharing sharing)
{
    ck_assert(krsi_layout_make(&l, sharing));
    ck_assert_msg(krsi_layout_verify(&l, &err) == KRS_OK, "%s", err.text);
}

/* ---- places ---- */

START_TEST(a_value_written_at_the_same_element_moves_in)
{
    begin();
    uint32_t a = temporary(1000), b = temporary(1000), c = temporary(1000);
    step(a, NONE, false, NONE);
    step(b, a, true, NONE);
    step(c, b, true, NONE);
    make(KRSI_SHARE);
    ck_assert_uint_eq(l.arena_bytes, 1024);
    ck_assert(l.offset[a] == l.offset[b] && l.offset[b] == l.offset[c]);
    ck_assert(l.home[c] == a);
    krsi_layout_free(&l);
}
END_TEST

START_TEST(one_that_is_read_again_or_elsewhere_keeps_its_place)
{
    for (int reason = 0; reason < 4; reason++) {
        begin();
        uint32_t a = temporary(64), b = temporary(reason == 3 ? 128 : 64);
        uint32_t c = temporary(64);
        step(a, NONE, false, NONE);
        step(b, a, reason != 0, NONE); /* 0: at other elements */
        if (reason == 1)
            step(c, a, true, NONE); /* 1: beside another reader */
        if (reason == 2)
            step(c, b, true, a); /* 2: read later */
        make(KRSI_SHARE);
        ck_assert_uint_ne(l.offset[a], l.offset[b]);
        krsi_layout_free(&l);
    }
}
END_TEST

START_TEST(a_tail_behind_each_place_stays_free)
{
    begin();
    l.tail_bytes = 256;
    uint32_t a = temporary(64), b = temporary(64), c = temporary(0);
    step(a, NONE, false, NONE);
    step(b, NONE, false, NONE);
    step(c, a, false, b);
    make(KRSI_SHARE);
    ck_assert_uint_eq(l.offset[b] > l.offset[a] ? l.offset[b] - l.offset[a]
                                                : l.offset[a] - l.offset[b],
                      64 + 256);
    ck_assert_uint_eq(l.arena_bytes, 2 * (64 + 256) + 256);
    l.offset[b] = l.offset[a] + 64; /* into the tail */
    ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
    krsi_layout_free(&l);
}
END_TEST

START_TEST(a_copy_onto_itself_is_not_run)
{
    begin();
    uint32_t a = temporary(64), b = temporary(64), c = temporary(64);
    step(a, NONE, false, NONE);
    copy(b, a);
    step(b, NONE, false, NONE)->after = true; /* as index_add */
    step(c, b, false, NONE);
    make(KRSI_SHARE);
    ck_assert(l.steps[1].gone);
    ck_assert(l.offset[a] == l.offset[b] && l.offset[c] != l.offset[b]);
    l.steps[1].copies = false; /* then something is missing */
    ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
    ck_assert_str_eq(err.text,
                     "memory layout: a copy is missing: values 0 and 1");
    krsi_layout_free(&l);
}
END_TEST

START_TEST(steps_of_one_wave_share_nothing)
{
    begin();
    uint32_t a = temporary(64), b = temporary(64), c = temporary(64);
    step(a, NONE, false, NONE);
    step(b, NONE, false, NONE);
    step(c, a, false, b);
    make(KRSI_SHARE);
    ck_assert_int_eq(l.waves, 2);
    ck_assert_uint_eq(l.arena_bytes, 192);
    krsi_layout_free(&l);
}
END_TEST

START_TEST(a_step_waits_until_it_is_needed_if_that_keeps_less)
{
    begin();
    uint32_t x = value(KRSI_STORAGE_INPUT, 64), zeros = temporary(1 << 20);
    uint32_t large = temporary(1 << 20), small = temporary(4096);
    uint32_t end = temporary(64);
    step(zeros, x, false, NONE);     /* from what is there: late */
    step(large, NONE, false, NONE);  /* needed by the next */
    step(small, large, false, NONE); /* small from large: at once */
    uint32_t chain = x;
    for (int i = 0; i < 8; i++) {
        uint32_t next = temporary(64);
        step(next, chain, true, NONE);
        chain = next;
    }
    step(end, chain, false, zeros)->read[0].value = small;
    l.steps[l.step_count - 1].read[2] = (krsi_read){chain, 0};
    l.steps[l.step_count - 1].reads = 3;
    make(KRSI_SHARE);
    ck_assert_int_eq(l.waves, 9);
    ck_assert_int_eq(l.steps[0].wave, 7);
    ck_assert_int_eq(l.steps[1].wave, 0);
    ck_assert_int_eq(l.steps[2].wave, 1);
    krsi_layout_free(&l);
}
END_TEST

/* ---- states ---- */

START_TEST(an_update_is_in_place_once_all_have_read_the_old_value)
{
    begin();
    uint32_t w = value(KRSI_STORAGE_STATE, 64), next = update_of(w);
    uint32_t g = temporary(64), late = temporary(64), out = temporary(64);
    step(g, w, false, NONE);
    step(next, w, true, g);
    step(late, g, true, NONE);
    step(out, late, true, w); /* the old value, in wave 2 */
    make(KRSI_SHARE);
    ck_assert(krsi_layout_in_place(&l, next));
    ck_assert_int_eq(l.steps[1].wave, 3);
    ck_assert_int_eq(l.commit, 3);
    l.steps[1].wave = 2; /* beside that reader */
    l.commit = 2;
    ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
    ck_assert_str_eq(err.text, "memory layout: the old value of a state is "
                               "gone: values 0 and 4");
    krsi_layout_free(&l);
}
END_TEST

START_TEST(states_that_exchange_values_cost_one_copy)
{
    begin();
    uint32_t a = value(KRSI_STORAGE_STATE, 64), na = update_of(a);
    uint32_t b = value(KRSI_STORAGE_STATE, 64), nb = update_of(b);
    copy(na, b);
    copy(nb, a);
    make(KRSI_SHARE);
    ck_assert_int_eq(
        krsi_layout_in_place(&l, na) + krsi_layout_in_place(&l, nb), 1);
    ck_assert(!l.steps[0].gone && !l.steps[1].gone);
    krsi_layout_free(&l);
}
END_TEST

START_TEST(a_chain_of_states_moves_along_in_place_in_any_order)
{
    for (int turn = 0; turn < 2; turn++) {
        enum { N = 5 };
        uint32_t s[N], next[N];
        begin();
        for (int i = 0; i < N; i++)
            s[i] = value(KRSI_STORAGE_STATE, 64);
        for (int i = 0; i < N; i++)
            next[i] = update_of(s[i]);
        for (int i = 0; i < N - 1; i++) { /* state i becomes state i + 1 */
            int k = turn ? N - 2 - i : i;
            copy(next[k], s[k + 1]);
        }
        step(next[N - 1], NONE, false, NONE);
        make(KRSI_SHARE);
        for (int i = 0; i < N; i++)
            ck_assert(krsi_layout_in_place(&l, next[i]));
        ck_assert_int_eq(l.waves, N);
        krsi_layout_free(&l);
    }
}
END_TEST

START_TEST(a_block_of_a_state_is_written_without_a_copy)
{
    begin();
    uint32_t cache = value(KRSI_STORAGE_STATE, 4096), next = update_of(cache);
    uint32_t k = temporary(64), y = temporary(64);
    step(k, NONE, false, NONE);
    copy(next, cache);
    step(next, k, false, NONE)->after = true;
    step(y, next, false, NONE);
    make(KRSI_SHARE);
    ck_assert(krsi_layout_in_place(&l, next) && l.steps[1].gone);
    ck_assert_int_eq(l.steps[2].wave, 1);
    krsi_layout_free(&l);

    begin(); /* the block is made of other elements of the old value */
    cache = value(KRSI_STORAGE_STATE, 4096);
    next = update_of(cache);
    copy(next, cache);
    step(next, cache, false, NONE)->after = true;
    make(KRSI_SHARE);
    ck_assert(!krsi_layout_in_place(&l, next) && !l.steps[0].gone);
    krsi_layout_free(&l);
}
END_TEST

START_TEST(nothing_may_fault_once_a_state_is_written)
{
    begin();
    uint32_t w = value(KRSI_STORAGE_STATE, 64), next = update_of(w);
    uint32_t x = value(KRSI_STORAGE_INPUT, 64), a = temporary(64);
    uint32_t b = temporary(64);
    step(next, w, true, NONE);
    step(a, x, true, NONE);
    step(b, a, true, NONE)->faults = true;
    make(KRSI_SHARE);
    ck_assert(krsi_layout_in_place(&l, next));
    ck_assert_int_eq(l.steps[0].wave, 2);
    l.steps[0].wave = l.commit = 1;
    ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
    ck_assert_str_eq(err.text, "memory layout: a fault may come too late: "
                               "values 4 and 4");
    krsi_layout_free(&l);

    begin(); /* the fault needs the new value: so that has its own memory */
    w = value(KRSI_STORAGE_STATE, 64);
    next = update_of(w);
    a = temporary(64);
    step(next, w, true, NONE);
    step(a, next, false, NONE)->faults = true;
    make(KRSI_SHARE);
    ck_assert(!krsi_layout_in_place(&l, next));
    ck_assert_int_eq(l.commit, l.waves);
    krsi_layout_free(&l);
}
END_TEST

/* ---- the verifier ---- */

START_TEST(the_verifier_sees_every_spoilt_offset)
{
    begin();
    uint32_t v[6];
    for (int i = 0; i < 6; i++) {
        v[i] = temporary(64 * (size_t)(i + 1));
        step(v[i], i ? v[i - 1] : NONE, false, i > 1 ? v[i - 2] : NONE);
    }
    make(KRSI_SHARE);
    for (int i = 0; i < 6; i++) {
        size_t good = l.offset[v[i]];
        l.offset[v[i]] = good + 8;
        ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
        l.offset[v[i]] = l.arena_bytes;
        ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
        ck_assert_ptr_nonnull(strstr(err.text, "outside the arena"));
        if (i > 0) { /* its operand is read, not replaced */
            l.offset[v[i]] = l.offset[v[i - 1]];
            ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
        }
        l.offset[v[i]] = good;
    }
    ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_OK);
    l.steps[3].wave = 2;
    ck_assert_int_eq(krsi_layout_verify(&l, &err), KRS_E_INTERNAL);
    ck_assert_str_eq(err.text, "memory layout: read before it is written: "
                               "values 2 and 3");
    krsi_layout_free(&l);
}
END_TEST

/* ---- many ---- */

static uint32_t
draw(uint64_t seed, uint64_t *at, uint32_t below)
{
    return krs_random_u32(seed, 0, 0, (*at)++) % below;
}

/* Values and steps at random; states with updates among them. */
static void
make_random(uint64_t seed, krsi_storage *all, size_t count)
{
    uint64_t at = 0;
    memset(&l, 0, sizeof l);
    l.values = all;
    l.value_count = count;
    l.steps = krsi_arena_array(&l.arena, 2 * count, sizeof *l.steps);
    for (size_t v = 0; v < count; v++) {
        static const size_t size[] = {4, 64, 1000, 4096, 1 << 16};
        all[v] = (krsi_storage){.kind = KRSI_STORAGE_TEMPORARY,
                                .bytes = size[draw(seed, &at, 5)],
                                .partner = KRSI_NO_VALUE};
        if (v % 16 == 0)
            all[v].kind = KRSI_STORAGE_STATE;
    }
    for (size_t v = 1; v < count; v++) {
        if (all[v].kind == KRSI_STORAGE_STATE)
            continue;
        size_t state = draw(seed, &at, (uint32_t)(v / 16 + 1)) * 16;
        if (draw(seed, &at, 12) == 0 && all[state].partner == KRSI_NO_VALUE) {
            all[v].kind = KRSI_STORAGE_OUTPUT;
            all[v].bytes = all[state].bytes;
            all[v].partner = (uint32_t)state;
            all[state].partner = (uint32_t)v;
        }
        krsi_step *s = &l.steps[l.step_count++];
        *s = (krsi_step){.node = (uint32_t)v,
                         .faults = draw(seed, &at, 40) == 0};
        s->read = krsi_arena_array(&l.arena, 3, sizeof *s->read);
        s->write = krsi_arena_array(&l.arena, 1, sizeof *s->write);
        s->write[s->writes++] = (uint32_t)v;
        for (uint32_t i = draw(seed, &at, 4); i > 0; i--) {
            uint32_t back = draw(seed, &at, 3) ? 6 : 60;
            uint32_t from =
                (uint32_t)v - 1 - draw(seed, &at, back) % (uint32_t)v;
            bool is_known = false;
            for (uint32_t k = 0; k < s->reads; k++)
                is_known |= s->read[k].value == from;
            if (!is_known)
                s->read[s->reads++] = (krsi_read){from, draw(seed, &at, 2)};
        }
        s->copies = s->reads == 1 && s->read[0].same && !s->faults &&
                    all[s->read[0].value].bytes == all[v].bytes;
        if (s->copies && draw(seed, &at, 2)) { /* and then a block of it */
            krsi_step *block = &l.steps[l.step_count++];
            *block =
                (krsi_step){.node = (uint32_t)v, .writes = 1, .after = true};
            block->write = s->write;
        }
    }
}

START_TEST(random_layouts_are_right_and_tight)
{
    enum { COUNT = 400 };
    static krsi_storage all[COUNT];
    size_t in_place = 0, gone = 0;
    double worst = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        make_random(seed, all, COUNT);
        make(KRSI_SEPARATE);
        size_t apart = l.arena_bytes;
        krsi_layout_free(&l);
        make_random(seed, all, COUNT);
        make(KRSI_SHARE);
        ck_assert_uint_lt(l.arena_bytes, apart / 2);
        ck_assert_uint_ge(l.arena_bytes, l.live_bytes);
        double over = (double)l.arena_bytes / (double)l.live_bytes;
        worst = over > worst ? over : worst;
        for (uint32_t v = 0; v < COUNT; v++)
            in_place += krsi_layout_in_place(&l, v);
        for (size_t i = 0; i < l.step_count; i++)
            gone += l.steps[i].gone;
        krsi_layout_free(&l);
    }
    ck_assert_msg(worst < 1.1, "%.3f of the bytes that live", worst);
    ck_assert_uint_gt(in_place, 1000);
    ck_assert_uint_gt(gone, 200);
}
END_TEST

/* A forward chain whose values wait for the way back, as in training. */
static double
seconds_for(size_t length)
{
    struct timespec from, to;
    krsi_storage *all = calloc(2 * length, sizeof *all);
    memset(&l, 0, sizeof l);
    l.values = all;
    l.value_count = 2 * length;
    l.steps = krsi_arena_array(&l.arena, 2 * length, sizeof *l.steps);
    ck_assert(all && l.steps);
    for (size_t i = 0; i < 2 * length; i++) {
        uint32_t back = (uint32_t)(2 * length - 1 - i);
        all[i] = (krsi_storage){.kind = KRSI_STORAGE_TEMPORARY,
                                .bytes = 64 * (1 + i % 7),
                                .partner = KRSI_NO_VALUE};
        step((uint32_t)i, i ? (uint32_t)i - 1 : NONE, i % 3 != 0,
             i >= length && back != i - 1 ? back : NONE);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    make(KRSI_SHARE);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    ck_assert_uint_lt(l.arena_bytes, 2 * l.live_bytes);
    krsi_layout_free(&l);
    free(all);
    return (double)(to.tv_sec - from.tv_sec) +
           (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
}

START_TEST(a_hundred_thousand_steps_take_linear_time)
{
    double small = seconds_for(12500), large = seconds_for(50000);
    ck_assert_msg(large < 8 * small && large < 10, "%.3f s, then %.3f s", small,
                  large);
}
END_TEST

SUITE(a_value_written_at_the_same_element_moves_in,
      one_that_is_read_again_or_elsewhere_keeps_its_place,
      a_tail_behind_each_place_stays_free, a_copy_onto_itself_is_not_run,
      steps_of_one_wave_share_nothing,
      a_step_waits_until_it_is_needed_if_that_keeps_less,
      an_update_is_in_place_once_all_have_read_the_old_value,
      states_that_exchange_values_cost_one_copy,
      a_chain_of_states_moves_along_in_place_in_any_order,
      a_block_of_a_state_is_written_without_a_copy,
      nothing_may_fault_once_a_state_is_written,
      the_verifier_sees_every_spoilt_offset, random_layouts_are_right_and_tight,
      a_hundred_thousand_steps_take_linear_time)
