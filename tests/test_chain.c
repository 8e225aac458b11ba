/* test_chain.c -- long graphs: nothing recurses over nodes, and nothing takes
 * more than linear time.
 *
 * Everything runs in a thread with a small stack, where recursion over
 * 100,000 nodes would overflow. Times are CPU times of that thread, the shorter
 * one the least of two; a quadratic step would make the ratio of 100k to 25k
 * nodes 16, a linear one makes it 4. KERSEY_SLOW=1 (sanitizers) takes a fifth of
 * the nodes.
 */
#include "graph/ir/ir.h"
#include "graph/opt/opt.h"
#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STACK_BYTES = 128 * 1024 };
#define RATIO_MAX   8.0
#define SECONDS_MAX 20.0 /* of CPU for the longer one, sanitizers included */

typedef struct job {
    int length;
    double seconds; /* CPU */
    uint32_t nodes, back_nodes;
    bool same;
    krs_error err;
    krs_node (*build)(krs_graph *g, krs_node x, int length);
    krs_status (*work)(struct job *j);
} job;

/* a bit of everything, each node on the one before */
static krs_node
chain(krs_graph *g, krs_node x, int length)
{
    krs_node y = x;
    (void)g;
    for (int i = 0; i < length; i++)
        switch (i % 8) {
        case 0: y = krs_tanh(y); break;
        case 1: y = krs_mul(y, x); break;
        case 2: y = krs_sum_keep(y, KRS_AXES(0)); break;
        case 3: y = krs_silu(y); break;
        case 4: y = krs_add(y, x); break;
        case 5: y = krs_permute(y, KRS_AXES(1, 0)); break;
        case 6: y = krs_permute(krs_sin(y), KRS_AXES(1, 0)); break;
        default: y = krs_sub(y, krs_stop_gradient(x)); break;
        }
    return y;
}

/* every node used by many: a fan of sums */
static krs_node
fan(krs_graph *g, krs_node x, int length)
{
    krs_node y = x;
    (void)g;
    for (int i = 0; i < length; i++)
        y = krs_add(y, krs_scale(x, 1 + i));
    return y;
}

/* one operation with very many operands */
static krs_node
wide(krs_graph *g, krs_node x, int length)
{
    krs_node *part = malloc((size_t)length * sizeof *part);
    (void)g;
    for (int i = 0; i < length; i++)
        part[i] = krs_scale(x, 1 + i);
    krs_node y = krs_concat(part, length, 0);
    free(part);
    return y;
}

/* many names and many constants */
static krs_node
leaves(krs_graph *g, krs_node x, int length)
{
    krs_node y = x;
    for (int i = 0; i < length; i++) {
        char name[20];
        const float data[] = {(float)i, 1};
        snprintf(name, sizeof name, "w%d", i);
        krs_node w = krs_input(g, name, KRS_F32, KRS_SHAPE(2, 2));
        y = krs_add(y,
                    krs_mul(w, krs_constant(g, KRS_F32, KRS_SHAPE(2), data)));
    }
    return y;
}

/* random numbers, each with an automatic stream of its own, in two scopes */
static krs_node
random_numbers(krs_graph *g, krs_node x, int length)
{
    krs_node seed = krs_input(g, "seed", KRS_I64, KRS_SCALAR);
    krs_node step = krs_input(g, "step", KRS_I64, KRS_SCALAR), y = x;
    for (int i = 0; i < length; i++) {
        krs_scope_push(g, "part%d", i % 2);
        y = krs_add(y, krs_random_uniform(seed, step, KRS_SHAPE(2, 2),
                                          KRS_STREAM_AUTO));
        krs_scope_pop(g);
    }
    return y;
}

/* what the optimiser has rules for, each node on the one before */
static krs_node
simplified(krs_graph *g, krs_node x, int length)
{
    krs_node y = x;
    (void)g;
    for (int i = 0; i < length; i++)
        switch (i % 8) {
        case 0: y = krs_neg(y); break;
        case 1: y = krs_mul(krs_neg(y), krs_neg(x)); break;
        case 2: y = krs_reshape(y, KRS_SHAPE(4)); break;
        case 3: y = krs_reshape(y, KRS_SHAPE(2, 2)); break;
        case 4: y = krs_scale(y, 2); break;
        case 5: y = krs_scale(y, i % 16 == 5 ? 4 : 1); break;
        case 6:
            y = krs_slice(krs_stop_gradient(y), 0, KRS_END, KRS_END, -1);
            break;
        default: y = krs_add(y, krs_like(x, -0.0)); break;
        }
    return y;
}

/* made again for the gradient, a hundred nodes at a time */
static krs_node
checkpointed(krs_graph *g, krs_node x, int length)
{
    krs_node y = x, kept = x;
    (void)g;
    for (int i = 0; i < length; i++) {
        y = i % 2 ? krs_tanh(y) : krs_mul(y, x);
        if (i % 100 == 99)
            y = kept = krs_checkpoint(y, &kept, 1);
    }
    return y;
}

/* very many parts, each cut out of the whole again, and put together */
static krs_node
pieces(krs_graph *g, krs_node x, int length)
{
    krs_node *part = calloc((size_t)length, sizeof *part);
    (void)g;
    for (int i = 0; i < length; i++)
        part[i] = krs_scale(x, 1 + i);
    krs_node whole = krs_concat(part, length, 0);
    for (int i = 0; i < length; i++)
        part[i] = krs_stop_gradient(krs_slice(whole, 0, 2 * i, 2 * i + 2, 1));
    krs_node y = krs_concat(part, length, 0);
    free(part);
    return y;
}

/* building alone: what is quadratic with a small factor shows here only */
static krs_status
build_it(job *j)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 2));
    j->build(g, x, j->length);
    KRS_TRY(krs_graph_check(g, &j->err));
    j->nodes = j->back_nodes = krs_graph_size(g);
    j->same = true;
    krs_graph_free(g);
    return KRS_OK;
}

/* built, differentiated, printed, read, printed again, drawn, compiled */
static krs_status
do_all(job *j)
{
    krs_graph *g = krs_graph_new(), *back, *compiled;
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 2)), out[2], read[2];
    char *text, *again;
    size_t count;
    uint32_t root[2];
    out[0] = krs_sum(j->build(g, x, j->length), KRS_ALL_AXES);
    krs_grad(out[0], &x, 1, &out[1]);
    KRS_TRY(krs_graph_check(g, &j->err));
    KRS_TRY(krsi_verify(g, &j->err));
    KRS_TRY(krs_graph_print(g, out, 2, NULL, &text, &j->err));
    KRS_TRY(krs_graph_parse(text, &back, read, 2, &count, &j->err));
    KRS_TRY(krs_graph_print(back, read, 2, NULL, &again, &j->err));
    j->same = strcmp(text, again) == 0;
    free(text);
    free(again);
    KRS_TRY(krs_graph_print_dot(g, out, 2, NULL, &text, &j->err));
    free(text);
    KRS_TRY(krs_graph_print_json(g, out, 2, NULL, &text, &j->err));
    free(text);
    root[0] = out[0].id;
    root[1] = out[1].id;
    KRS_TRY(krsi_compile(g, root, 2, NULL, KRSI_KEEP_PRIMITIVES, &compiled,
                         root, &j->err));
    j->nodes = krs_graph_size(g);
    j->back_nodes = krs_graph_size(back);
    krs_graph_free(compiled);
    krs_graph_free(back);
    krs_graph_free(g);
    return KRS_OK;
}

static void *
run(void *argument)
{
    job *j = argument;
    struct timespec from, to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    j->err.status = j->work(j);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    j->seconds = (double)(to.tv_sec - from.tv_sec) +
                 (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
    return NULL;
}

static job
run_on_a_small_stack(krs_status (*work)(job *),
                     krs_node (*build)(krs_graph *, krs_node, int), int length)
{
    job j = {.length = length, .build = build, .work = work};
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, run, &j), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    ck_assert_msg(j.err.status == KRS_OK, "%s", j.err.text);
    ck_assert(j.same);
    ck_assert_uint_gt(j.nodes, (uint32_t)length);
    ck_assert_uint_le(j.back_nodes, j.nodes);
    return j;
}

/* four times as long takes less than eight times as long */
static void
assert_linear(const char *what, krs_status (*work)(job *),
              krs_node (*build)(krs_graph *, krs_node, int), int length)
{
    if (getenv("KERSEY_SLOW"))
        length /= 5;
    double small = 1e9;
    for (int i = 0; i < 2; i++) {
        double seconds = run_on_a_small_stack(work, build, length / 4).seconds;
        small = seconds < small ? seconds : small;
    }
    double large = run_on_a_small_stack(work, build, length).seconds;
    printf("%s: %d nodes %.3f s, %d nodes %.3f s\n", what, length / 4, small,
           length, large);
    ck_assert_msg(large < RATIO_MAX * small && large < SECONDS_MAX,
                  "%d nodes take %.3f s, %d nodes %.3f s", length / 4, small,
                  length, large);
}

START_TEST(a_chain_of_100000_nodes_takes_linear_time)
{
    assert_linear("a chain", do_all, chain, 100000);
}
END_TEST

START_TEST(a_chain_of_100000_nodes_is_simplified_in_linear_time)
{
    assert_linear("a chain, simplified", do_all, simplified, 100000);
}
END_TEST

START_TEST(a_chain_of_100000_nodes_is_made_again_in_linear_time)
{
    assert_linear("a chain, made again", do_all, checkpointed, 100000);
}
END_TEST

START_TEST(a_tensor_in_50000_pieces_takes_linear_time)
{
    assert_linear("a tensor in pieces", do_all, pieces, 50000);
}
END_TEST

START_TEST(a_node_with_50000_users_takes_linear_time)
{
    assert_linear("users of one node", do_all, fan, 50000);
}
END_TEST

START_TEST(a_node_with_20000_operands_takes_linear_time)
{
    assert_linear("operands of one node", do_all, wide, 20000);
}
END_TEST

START_TEST(names_and_constants_20000_of_each_take_linear_time)
{
    assert_linear("names and constants", do_all, leaves, 20000);
}
END_TEST

START_TEST(random_nodes_100000_with_automatic_streams_take_linear_time)
{
    assert_linear("random numbers, built", build_it, random_numbers, 100000);
    assert_linear("random numbers", do_all, random_numbers, 20000);
}
END_TEST

SUITE(a_chain_of_100000_nodes_takes_linear_time,
      a_chain_of_100000_nodes_is_simplified_in_linear_time,
      a_chain_of_100000_nodes_is_made_again_in_linear_time,
      a_tensor_in_50000_pieces_takes_linear_time,
      a_node_with_50000_users_takes_linear_time,
      a_node_with_20000_operands_takes_linear_time,
      names_and_constants_20000_of_each_take_linear_time,
      random_nodes_100000_with_automatic_streams_take_linear_time)
