/* test_build_recurrent.c -- recurrent layers: the layer is its cell step by step,
 * with its gradients; each wrong size has its sentence. The equations are judged
 * by the golden cases (conform.bats).
 */
#include <krs/ops.h>
#include <krs/program.h>
#include <krs/recurrent.h>

#include "suite.h"

#include <math.h>
#include <string.h>

enum { B = 2, T = 3, D = 4, H = 3, OUTPUTS = 10, ROOM = 64 };

#define S(...) KRS_SHAPE(__VA_ARGS__)

static krs_error err;
#define OK(call) ck_assert_msg((call) == KRS_OK, "%s", err.text)

typedef enum family { RNN, RELU, GRU, LSTM, FAMILIES } family;
static const int64_t gates[] = {1, 1, 3, 4};

typedef struct rig {
    krs_graph *g;
    krs_node x, h, c;
    krs_recurrent_weights w;
} rig;

static krs_node
input(rig *r, const char *name, krs_shape shape)
{
    return krs_input(r->g, name, KRS_F32, shape);
}

static rig
begin(family f)
{
    rig r = {.g = krs_graph_new()};
    r.x = input(&r, "x", S(B, T, D));
    r.h = input(&r, "h", S(B, H));
    r.c = input(&r, "c", S(B, H));
    r.w.w_ih = input(&r, "ih", S(gates[f] * H, D));
    r.w.w_hh = input(&r, "jh", S(gates[f] * H, H));
    r.w.b_ih = input(&r, "b", S(gates[f] * H));
    r.w.b_hh = input(&r, "d", S(gates[f] * H));
    return r;
}

/* the cell at step t, its states changed */
static krs_node
one_step(rig *r, family f, int t)
{
    krs_node x = krs_squeeze(krs_narrow(r->x, 1, KRS_INDEX(t), 1), 1);
    switch (f) {
    case RNN: return r->h = krs_rnn_cell(x, r->h, &r->w, KRS_RNN_TANH);
    case RELU: return r->h = krs_rnn_cell(x, r->h, &r->w, KRS_RNN_RELU);
    case GRU: return r->h = krs_gru_cell(x, r->h, &r->w);
    case LSTM: return r->h = krs_lstm_cell(x, r->h, r->c, &r->w, &r->c);
    case FAMILIES: break;
    }
    return KRS_NONE;
}

static krs_node
layer(rig *r, family f, krs_scan_direction way)
{
    switch (f) {
    case RNN: return krs_rnn(r->x, r->h, &r->w, KRS_RNN_TANH, way, &r->h);
    case RELU: return krs_rnn(r->x, r->h, &r->w, KRS_RNN_RELU, way, &r->h);
    case GRU: return krs_gru(r->x, r->h, &r->w, way, &r->h);
    case LSTM: return krs_lstm(r->x, r->h, r->c, &r->w, way, &r->h, &r->c);
    case FAMILIES: break;
    }
    return KRS_NONE;
}

/* y, last states, gradients of a function of all: count of outputs */
static size_t
build(rig *r, family f, krs_scan_direction way, bool by_layer, krs_node *out)
{
    const krs_node wrt[] = {r->x,      r->h,      r->w.w_ih, r->w.w_hh,
                            r->w.b_ih, r->w.b_hh, r->c};
    krs_node y = KRS_NONE, step[T];
    if (by_layer) {
        y = layer(r, f, way);
    } else {
        for (int k = 0; k < T; k++) {
            int t = way == KRS_SCAN_REVERSE ? T - 1 - k : k;
            step[t] = one_step(r, f, t);
        }
        y = krs_stack(step, T, 1);
    }
    krs_node sum = krs_add(krs_sum(krs_sin(y), KRS_ALL_AXES),
                           krs_sum(krs_square(r->h), KRS_ALL_AXES));
    if (f == LSTM)
        sum = krs_add(sum, krs_sum(krs_cos(r->c), KRS_ALL_AXES));
    out[0] = y;
    out[1] = r->h;
    out[2] = r->c;
    krs_grad(sum, wrt, 7, out + 3);
    return OUTPUTS;
}

static void
run(rig *r, const krs_node *out, size_t count, float got[][ROOM])
{
    krs_device *device;
    krs_store *store;
    krs_program *p;
    OK(krs_graph_check(r->g, &err));
    OK(krs_device_open("interp", &device, &err));
    OK(krs_store_new(device, &store, &err));
    OK(krs_program_new(store, out, count, &p, &err));
    const krs_node in[] = {r->x, r->w.w_ih, r->w.w_hh, r->w.b_ih, r->w.b_hh};
    static const char *const names[] = {"x", "ih", "jh", "b", "d", "h", "c"};
    for (size_t i = 0; i < 7; i++) {
        float v[ROOM];
        int64_t n = B * H;
        if (i < 5)
            krs_shape_elements(krs_node_shape(in[i]), &n);
        for (int64_t k = 0; k < n; k++)
            v[k] = sinf((float)(k * 7 + (int64_t)i * 13 + 1));
        OK(krs_program_set_input(p, names[i], v, (size_t)n * 4, &err));
    }
    OK(krs_program_run(p, &err));
    for (size_t i = 0; i < count; i++) {
        int64_t n;
        krs_shape_elements(krs_node_shape(out[i]), &n);
        memset(got[i], 0, sizeof got[i]);
        OK(krs_program_read(p, i, got[i], (size_t)n * 4, &err));
    }
    krs_program_free(p);
    krs_store_free(store);
    krs_device_close(device);
    krs_graph_free(r->g);
}

START_TEST(a_layer_is_its_cell_step_by_step)
{
    static float got[2][OUTPUTS][ROOM];
    for (int f = 0; f < FAMILIES; f++)
        for (int way = 0; way < 2; way++) {
            krs_node out[OUTPUTS];
            for (int by_layer = 0; by_layer < 2; by_layer++) {
                rig r = begin((family)f);
                /* what the cell does not use stays an input */
                size_t n = build(&r, (family)f, (krs_scan_direction)way,
                                 by_layer, out);
                rig again = r;
                again.h = again.c = KRS_NONE;
                run(&again, out, n, got[by_layer]);
            }
            for (int i = 0; i < OUTPUTS; i++)
                for (int k = 0; k < ROOM; k++) {
                    double a = (double)got[0][i][k], b = (double)got[1][i][k];
                    ck_assert_msg(fabs(a - b) <= 1e-6 * (1 + fabs(a)),
                                  "family %d, output %d: %.9g, not %.9g", f, i,
                                  b, a);
                }
            ck_assert(got[0][3][0] != 0); /* there is a gradient */
        }
}
END_TEST

START_TEST(no_steps_leave_the_state_as_it_is)
{
    rig r = begin(LSTM);
    krs_node h, c, none = krs_narrow(r.x, 1, KRS_INDEX(0), 0);
    krs_node y = krs_lstm(none, r.h, r.c, &r.w, KRS_SCAN_FORWARD, &h, &c);
    ck_assert_int_eq(krs_node_shape(y).dim[1], 0);
    ck_assert_int_eq(krs_graph_check(r.g, &err), KRS_OK);
    ck_assert_int_eq(krs_node_shape(h).dim[1], H);
    ck_assert_int_eq(krs_node_shape(c).dim[1], H);
    krs_graph_free(r.g);
}
END_TEST

START_TEST(biases_may_be_absent)
{
    rig r = begin(GRU);
    krs_node h;
    r.w.b_ih = r.w.b_hh = KRS_NONE;
    krs_node y = krs_gru(r.x, r.h, &r.w, KRS_SCAN_FORWARD, &h);
    ck_assert_int_eq(krs_graph_check(r.g, &err), KRS_OK);
    ck_assert_int_eq(krs_node_shape(y).dim[2], H);
    krs_graph_free(r.g);
}
END_TEST

START_TEST(wrong_sizes_are_refused_by_the_name_of_the_layer)
{
    static const struct {
        int what;
        const char *says;
    } cases[] = {
        {0, "lstm: x is f32[2,3], the state f32[2,3]: "                       },
        {1, "lstm: x is f32[2,3,4], the state f32[3,3]: "                     },
        {2, "lstm: w_ih is f32[9,4] where 4 gates of 3 units on 4 inputs are "},
        {3, "lstm: b_hh is f32[9] where 4 gates of 3 units on 4 inputs are "  },
        {4, "lstm: x is f32[2,3,4], w_hh bf16[12,3]: "                        },
        {5, "lstm: the cell is f32[3,3] where 4 gates of 3 units "            },
        {6, "lstm: operand 1 is not a node of the graph "                     },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r = begin(LSTM);
        krs_node h, c, other = input(&r, "other", S(3, H));
        krs_node x = r.x;
        switch (cases[i].what) {
        case 0: x = r.h; break;
        case 1: r.h = other; break;
        case 2: r.w.w_ih = input(&r, "v", S(9, D)); break;
        case 3: r.w.b_hh = input(&r, "v", S(9)); break;
        case 4: r.w.w_hh = krs_cast(r.w.w_hh, KRS_BF16); break;
        case 5: r.c = other; break;
        default: r.h = KRS_NONE; break;
        }
        krs_node y = krs_lstm(x, r.h, r.c, &r.w, KRS_SCAN_FORWARD, &h, &c);
        ck_assert(!krs_node_is_valid(y) && !krs_node_is_valid(h) &&
                  !krs_node_is_valid(c));
        const char *text = krs_graph_error(r.g)->text;
        ck_assert_msg(strncmp(text, cases[i].says, strlen(cases[i].says)) == 0,
                      "case %zu: %s", i, text);
        ck_assert_ptr_nonnull(strstr(text, "(test_build_recurrent.c:"));
        krs_graph_free(r.g);
    }
}
END_TEST

SUITE(a_layer_is_its_cell_step_by_step, no_steps_leave_the_state_as_it_is,
      biases_may_be_absent, wrong_sizes_are_refused_by_the_name_of_the_layer)
