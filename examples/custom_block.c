/* custom_block.c -- an architecture of one's own from plain operations: a gated
 * block with a running mean over time. Its whole training step is one compiled
 * program; its gradient is checked against slopes of the loss first.
 */
#include "try.h"
#include <math.h>

enum { B = 2, T = 12, C = 8 };

/* x + out(silu(gate(n)) * mean of value(n) so far), n = rms_norm(x)
 *   x  f32 [B,T,C] -> [B,T,C]; parameters name.{norm,gate,value,out}.weight */
static krs_node
gated_mean(krs_node x, const char *name)
{
    krs_graph *g = x.graph;
    krs_scope_push(g, "%s", name);
    krs_node n = krs_nn_rms_norm(x, "norm", 1e-5);
    krs_node gate = krs_silu(krs_nn_linear(n, "gate", C, KRS_WITHOUT_BIAS));
    krs_node value = krs_nn_linear(n, "value", C, KRS_WITHOUT_BIAS);
    krs_node position = krs_iota(g, KRS_F32, KRS_SHAPE(T, 1), 0); /* [T,1] */
    krs_node count = krs_add(position, krs_like(position, 1));
    krs_node mean = krs_div(krs_cumsum(value, 1), count); /* [B,T,C] */
    krs_node y = krs_nn_linear(krs_mul(gate, mean), "out", C, KRS_WITHOUT_BIAS);
    krs_scope_pop(g);
    return krs_add(x, y);
}

static float
run_loss(krs_program *p)
{
    float loss;
    TRY(krs_program_run(p, &err));
    TRY(krs_program_read(p, 0, &loss, sizeof loss, &err));
    return loss;
}

/* The gradient of the loss against its slopes, on the interpreter; one line a
 * parameter would be options.sink. */
static void
check_gradient(krs_node loss, const krs_node *w, size_t count, const float *x)
{
    krs_device *device;
    krs_check_value in = {
        "x", {KRS_F32, KRS_SHAPE(B, T, C), x, B * T * C * 4}
    };
    krs_check_data data = {
        .struct_size = sizeof data, .values = &in, .value_count = 1, .seed = 1};
    krs_gradcheck_options all = {
        .struct_size = sizeof all, .data = &data, .elements = -1};
    TRY(krs_device_open("eval", &device, &err));
    TRY(krs_gradcheck(device, loss, w, count, &all, &err));
    krs_device_close(device);
    printf("%zu parameters, gradients as the slopes of the loss\n", count);
}

int
main(int argc, char **argv)
{
    float x[B * T * C], first = 0, last = 0;
    for (int i = 0; i < B * T * C; i++)
        x[i] = sinf((float)(i * i));
    krs_graph *g = krs_graph_new();
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(B, T, C));
    krs_node y = gated_mean(gated_mean(in, "first"), "second");
    krs_node loss = krs_mean(krs_square(krs_sub(y, krs_neg(in))), KRS_ALL_AXES);
    krs_node *w, out[64];
    size_t count, outputs;
    TRY(krs_nn_parameters(g, &w, &count, &err));
    check_gradient(loss, w, count, x);

    krs_device *device;
    krs_store *store;
    krs_program *step;
    const krs_init_rule fresh[] = {
        {"*norm.weight", KRS_INIT_ONES,   0  },
        {"*",            KRS_INIT_NORMAL, 0.3}
    };
    krs_optimizer adamw = krs_optimizer_default();
    adamw.learning_rate = 0.02;
    adamw.schedule.total_steps = 200;
    TRY(krs_train_step(loss, w, count, &adamw, out, 64, &outputs));
    TRY(krs_device_open(argc > 1 ? argv[1] : "cpu", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_nn_init(store, w, count, fresh, 2, 1, &err));
    TRY(krs_program_new(store, out, outputs, &step, &err));
    TRY(krs_program_set_input(step, "x", x, sizeof x, &err));
    for (int i = 0; i < 200; i++) {
        last = run_loss(step);
        first = i ? first : last;
    }
    printf("loss %.3f -> %.3f\n", first, last);
    krs_program_free(step), krs_store_free(store), krs_device_close(device);
    krs_graph_free(g), free(w);
    return !(last < first / 10);
}
