/* train_step.c CHECKPOINT.safetensors [DEVICE] -- a training step in one's own
 * program: memory goes in without a copy, one compiled program does forward,
 * backward and AdamW, the loss comes out; saved half-way, resumed to equal bits.
 */
#include "try.h"
#include <string.h>

enum { B = 32, IN = 4, STEPS = 400, MOST = 16 };

int main(int argc, char **argv)
{
    float *x = aligned_alloc(64, B * IN * 4), *y = aligned_alloc(64, B * 4);
    for (int i = 0; i < B * IN; i++)
        x[i] = (float)(i * 37 % 64) / 32 - 1;
    for (int i = 0; i < B; i++)
        y[i] = 2 * x[IN * i] - x[IN * i + 3];

    krs_graph *g = krs_graph_new();
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(B, IN)); /* [B,IN] */
    krs_node want = krs_input(g, "y", KRS_F32, KRS_SHAPE(B, 1));
    krs_node miss = krs_sub(krs_nn_linear(in, "w", 1, KRS_WITHOUT_BIAS), want);
    krs_node mean = krs_mean(krs_square(miss), KRS_ALL_AXES);
    krs_node *weights, *kept, out[MOST];
    size_t count, kept_count, outputs;
    krs_optimizer adamw = krs_optimizer_default();
    adamw.schedule.kind = KRS_SCHEDULE_CONSTANT;
    adamw.learning_rate = 0.05, adamw.weight_decay = 0;
    TRY(krs_nn_parameters(g, &weights, &count, &err));
    TRY(krs_train_step(mean, weights, count, &adamw, out, MOST, &outputs));
    TRY(krs_nn_parameters(g, &kept, &kept_count, &err)); /* moments too */

    krs_device *device;
    krs_store *store;
    krs_program *step;
    TRY(krs_device_open(argc > 2 ? argv[2] : "cpu", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_program_new(store, out, outputs, &step, &err));
    TRY(krs_program_bind_input(step, "x", x, B * IN * 4, &err)); /* no copy */
    TRY(krs_program_bind_input(step, "y", y, B * 4, &err));

    float w[2][IN], loss = 0;
    for (int run = 0; run < 2; run++) { /* whole; then from the middle again */
        if (run == 1)
            TRY(krs_nn_load(store, kept, kept_count, argv[1], &err));
        for (int64_t i = run * STEPS / 2; i < STEPS; i++) {
            if (run == 0 && i == STEPS / 2)
                TRY(krs_nn_save(store, kept, kept_count, argv[1], &err));
            TRY(krs_store_write(store, "optimizer.step", &i, sizeof i, &err));
            TRY(krs_program_run(step, &err));
        }
        TRY(krs_program_read(step, KRS_STEP_LOSS, &loss, sizeof loss, &err));
        TRY(krs_store_read(store, "w.weight", w[run], sizeof w[run], &err));
    }
    printf("loss %.6f, w = %.3f %.3f %.3f %.3f\n", loss, w[0][0], w[0][1],
           w[0][2], w[0][3]);
    bool same = memcmp(w[0], w[1], sizeof w[0]) == 0;
    puts(same ? "resumed: the same bits" : "resumed: other bits");
    krs_program_free(step), krs_store_free(store), krs_device_close(device);
    krs_graph_free(g), free(weights), free(kept), free(x), free(y);
}
