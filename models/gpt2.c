/* gpt2.c -- the forward pass of GPT-2 (gpt2.h).
 *
 * In: settings and a call (causal.h). Out: logits, loss, hidden states and,
 * with a cache, its updates, as nodes of the caller's graph; the parameters
 * are states named and laid out as in Hugging Face checkpoints, where the
 * matrices of a layer are [inputs, outputs].
 *
 *      h_0     = E[ids] + P[place]
 *      a_l     = h_l + attention(layer_norm(h_l))             l = 0 .. L-1
 *      h_(l+1) = a_l + f(n W_1 + b_1) W_2 + b_2, n = layer_norm(a_l)
 *      logits  = W_out layer_norm(h_L),  W_out = E if tied
 *
 * Sizes in comments: B batch, T ids, S keys, C n_embd, H heads, D = C/H, F
 * n_inner, V vocabulary.
 */
#include "causal_pass.h"

#include <krs/gpt2.h>
#include <krs/ops.h>

#include <math.h>

struct pass {
    struct krsi_causal causal;
    const krs_gpt2_config *config;
};

/* x W + b, W = name.weight [I,O] */
static krs_node
project(const struct pass *p, krs_node x, const char *name, int64_t inputs,
        int64_t outputs)
{
    krs_graph *g = p->causal.g;
    krs_scope_push(g, "%s", name);
    krs_node w = krs_state(g, "weight", KRS_F32, KRS_SHAPE(inputs, outputs));
    krs_node b = krs_state(g, "bias", KRS_F32, KRS_SHAPE(outputs)); /* [O] */
    krs_node y = krs_add(krs_matmul(x, w), b);                      /* [..,O] */
    krs_scope_pop(g);
    return y;
}

static krs_node
self_attention(const struct pass *p, krs_node x, int64_t i)
{
    const struct krsi_causal *m = &p->causal;
    const krs_gpt2_config *c = p->config;
    int64_t C = c->n_embd, H = c->n_head, D = C / H;
    double scale = c->scale_attn_weights ? 1.0 / sqrt((double)D) : 1.0;
    if (c->scale_attn_by_inverse_layer_idx)
        scale /= (double)(i + 1);

    krs_scope_push(m->g, "attn");
    krs_node qkv = project(p, x, "c_attn", C, 3 * C); /* [B,T,3*C] */
    krs_node q = krs_slice(qkv, 2, 0, C, 1);          /* [B,T,C] */
    krs_node k = krs_slice(qkv, 2, C, 2 * C, 1);      /* [B,T,C] */
    krs_node v = krs_slice(qkv, 2, 2 * C, 3 * C, 1);  /* [B,T,C] */
    q = krsi_causal_split(m, q, H, D);                /* [B,H,T,D] */
    k = krsi_causal_split(m, k, H, D);                /* [B,H,T,D] */
    v = krsi_causal_split(m, v, H, D);                /* [B,H,T,D] */
    k = krsi_causal_cached(m, k, "key");              /* [B,H,S,D] */
    v = krsi_causal_cached(m, v, "value");            /* [B,H,S,D] */
    krs_attention_options options = {.struct_size = sizeof options,
                                     .scale = scale,
                                     .causal = true,
                                     .offset = m->call->position};
    krs_node y = krs_attention(q, k, v, m->mask, &options);  /* [B,H,T,D] */
    y = project(p, krsi_causal_merge(m, y), "c_proj", C, C); /* [B,T,C] */
    krs_scope_pop(m->g);
    return y;
}

static krs_node
mlp(const struct pass *p, krs_node x)
{
    const krs_gpt2_config *c = p->config;
    int64_t C = c->n_embd, F = c->n_inner > 0 ? c->n_inner : 4 * C;
    krs_scope_push(p->causal.g, "mlp");
    krs_node y = project(p, x, "c_fc", C, F);       /* [B,T,F] */
    y = krs_nn_activate(y, c->activation_function); /* [B,T,F] */
    y = project(p, y, "c_proj", F, C);              /* [B,T,C] */
    krs_scope_pop(p->causal.g);
    return y;
}

static krs_node
layer(const struct pass *p, krs_node h, int64_t i)
{
    double eps = p->config->layer_norm_epsilon;
    krs_scope_push(p->causal.g, "h.%lld", (long long)i);
    krs_node n = krs_nn_layer_norm(h, "ln_1", eps, KRS_WITH_BIAS); /* [B,T,C] */
    h = krs_add(h, self_attention(p, n, i));
    n = krs_nn_layer_norm(h, "ln_2", eps, KRS_WITH_BIAS); /* [B,T,C] */
    h = krs_add(h, mlp(p, n));
    krs_scope_pop(p->causal.g);
    return h;
}

static krs_node
forward(krs_graph *g, const void *settings, const krs_causal_call *call,
        krs_causal_result *result)
{
    const krs_gpt2_config *c = settings;
    int64_t V = c->vocab_size, C = c->n_embd;
    krs_error err;
    if (krs_gpt2_check(c, &err) != KRS_OK)
        return krs_graph_fail(g, KRS_HERE, err.status, "gpt2: %s", err.text);
    struct pass p = {.causal = krsi_causal_begin(g, call, result), .config = c};
    if (p.causal.T > c->n_positions)
        return krs_graph_fail(g, KRS_HERE, KRS_E_RANGE,
                              "gpt2: %lld ids, there are %lld positions "
                              "(n_positions)",
                              (long long)p.causal.T, (long long)c->n_positions);
    p.causal.mask = krsi_causal_mask(&p.causal);
    krs_node place = krsi_causal_places(&p.causal, c->n_positions); /* [B,T] */

    krs_scope_push(g, "transformer");
    krs_node h = krs_nn_embedding(call->ids, "wte", V, C, -1); /* [B,T,C] */
    h = krs_add(h, krs_nn_embedding(place, "wpe", c->n_positions, C, -1));
    krs_node table = krs_state(g, "wte.weight", KRS_F32, KRS_SHAPE(V, C));
    krsi_causal_keep(&p.causal, 0, h);
    for (int64_t i = 0; i < c->n_layer; i++) {
        h = layer(&p, h, i);
        krsi_causal_keep(&p.causal, i + 1, h);
    }
    h = krs_nn_layer_norm(h, "ln_f", c->layer_norm_epsilon, KRS_WITH_BIAS);
    krsi_causal_keep(&p.causal, c->n_layer, h);
    krs_scope_pop(g);

    if (!c->tie_word_embeddings)
        table = krs_state(g, "lm_head.weight", KRS_F32, KRS_SHAPE(V, C));
    return krsi_causal_finish(&p.causal, h, table, KRS_NONE);
}

krs_causal_model
krs_gpt2_model(const krs_gpt2_config *config)
{
    return (krs_causal_model){.config = config,
                              .forward = forward,
                              .vocab_size = config->vocab_size,
                              .layers = config->n_layer,
                              .max_position_embeddings = config->n_positions};
}
