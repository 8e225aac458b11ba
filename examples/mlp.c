/* mlp.c -- a network with a hidden layer learns which of three arms of a spiral
 * a point lies on: layers, cross entropy, AdamW; then a program without labels
 * classifies with the same store.
 */
#include "try.h"
#include <math.h>

enum { ARMS = 3, EACH = 64, B = ARMS * EACH, HIDDEN = 64 };

/* [B,2] -> [B,ARMS] */
static krs_node
network(krs_node x)
{
    krs_node h = krs_gelu(krs_nn_linear(x, "up", HIDDEN, KRS_WITH_BIAS));
    h = krs_gelu(krs_nn_linear(h, "middle", HIDDEN, KRS_WITH_BIAS));
    return krs_nn_linear(h, "down", ARMS, KRS_WITH_BIAS);
}

static void
spiral(float x[B][2], int64_t arm[B])
{
    for (int i = 0; i < B; i++) {
        double r = (i % EACH + 1.0) / EACH;
        arm[i] = i / EACH;
        double angle = 4 * r + 2.0943951 * (double)arm[i];
        x[i][0] = (float)(r * cos(angle));
        x[i][1] = (float)(r * sin(angle));
    }
}

int
main(int argc, char **argv)
{
    static float x[B][2], logits[B][ARMS];
    int64_t arm[B];
    krs_device *device;
    krs_store *store;
    krs_program *train, *classify;
    krs_node *parameters, out[64];
    size_t count, outputs;
    spiral(x, arm);

    krs_graph *g = krs_graph_new();
    krs_node points = krs_input(g, "x", KRS_F32, KRS_SHAPE(B, 2));
    krs_node labels = krs_input(g, "arm", KRS_I64, KRS_SHAPE(B));
    krs_node answer = network(points);
    krs_node loss = krs_cross_entropy(answer, labels, KRS_NONE, NULL);
    TRY(krs_nn_parameters(g, &parameters, &count, &err));
    krs_optimizer adamw = krs_optimizer_default();
    adamw.learning_rate = 0.01;
    adamw.schedule.total_steps = 300;
    TRY(krs_train_step(loss, parameters, count, &adamw, out, 64, &outputs));

    const krs_init_rule fresh[] = {
        {"*.bias", KRS_INIT_ZEROS,  0  },
        {"*",      KRS_INIT_NORMAL, 0.3}
    };
    TRY(krs_device_open(argc > 1 ? argv[1] : "cpu", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_nn_init(store, parameters, count, fresh, 2, 1, &err));
    TRY(krs_program_new(store, out, outputs, &train, &err));
    TRY(krs_program_new(store, &answer, 1, &classify, &err));
    TRY(krs_program_set_input(train, "x", x, sizeof x, &err));
    TRY(krs_program_set_input(train, "arm", arm, sizeof arm, &err));
    for (int step = 0; step < 300; step++) {
        float now;
        TRY(krs_program_run(train, &err));
        TRY(krs_program_read(train, KRS_STEP_LOSS, &now, sizeof now, &err));
        if (step % 100 == 0)
            printf("step %3d  loss %.3f\n", step, now);
    }

    int right = 0;
    TRY(krs_program_set_input(classify, "x", x, sizeof x, &err));
    TRY(krs_program_run(classify, &err));
    TRY(krs_program_read(classify, 0, logits, sizeof logits, &err));
    for (int i = 0; i < B; i++) {
        int best = 0;
        for (int a = 1; a < ARMS; a++)
            if (logits[i][a] > logits[i][best])
                best = a;
        right += best == arm[i];
    }
    printf("%d of %d right\n", right, B);
    krs_program_free(train), krs_program_free(classify);
    krs_store_free(store), krs_device_close(device);
    krs_graph_free(g), free(parameters);
    return right < B * 95 / 100;
}
