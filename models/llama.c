/* llama.c -- the forward pass of LLaMA, Mistral and Qwen2 (llama.h).
 *
 * In: settings and a call (causal.h). Out: logits, loss, hidden states and,
 * with a cache, its updates, as nodes of the caller's graph; the parameters
 * are states named as in Hugging Face checkpoints.
 *
 *      h_0     = E[ids]
 *      a_l     = h_l + attention(rms_norm(h_l))         l = 0 .. L-1
 *      h_(l+1) = a_l + W_down (silu(W_gate n) * W_up n), n = rms_norm(a_l)
 *      logits  = W_out rms_norm(h_L),  W_out = E if tied
 *      loss    = mean over t of -ln softmax(logits[t])[targets[t]]
 *
 * Sizes in comments: B batch, T ids, S keys, C hidden_size, H heads, K
 * key/value heads, D head_dim, F intermediate_size, V vocabulary.
 *
 * Positions. The id in column t (in cache slot position + t) has that number
 * as its position, wherever padding stands. Rotary embeddings make scores
 * depend on differences of positions only, so counting the first token of a
 * left-padded row from 0 instead gives the same result.
 *
 * Mask, cache and loss are those of causal_pass.c; keys are cached rotated.
 */
#include "causal_pass.h"

#include <krs/llama.h>
#include <krs/ops.h>

#include <stdlib.h>

/* What every layer of one forward pass needs. */
struct pass {
    struct krsi_causal causal;
    const krs_llama_config *config;
    krs_node angles;   /* [T, D/2] */
    double rope_scale; /* yarn's attention factor */
};

/* ---- positions ---- */

static krs_node
rotary_angles(struct pass *p)
{
    krs_graph *g = p->causal.g;
    const krs_llama_config *c = p->config;
    double *frequencies = calloc((size_t)c->head_dim / 2, sizeof *frequencies);
    if (frequencies == NULL)
        return krs_graph_fail(g, KRS_HERE, KRS_E_MEMORY,
                              "llama: no memory for the rotary frequencies");
    krs_error err;
    krs_node angles;
    if (krs_rope_frequencies(&c->rope, c->head_dim, frequencies, &p->rope_scale,
                             &err) == KRS_OK)
        angles = krs_rope_angles(krsi_causal_slots(&p->causal), frequencies,
                                 (int)(c->head_dim / 2));
    else
        angles = krs_graph_fail(g, KRS_HERE, err.status, "llama: %s", err.text);
    free(frequencies);
    return angles; /* [T, D/2] */
}

/* ---- attention ---- */

static krs_node
rotate(const struct pass *p, krs_node x)
{
    return krs_rope(x, p->angles, KRS_ROPE_HALF, p->rope_scale);
}

static krs_node
self_attention(const struct pass *p, krs_node x, int64_t i)
{
    const struct krsi_causal *m = &p->causal;
    const krs_llama_config *c = p->config;
    int64_t H = c->num_attention_heads, K = c->num_key_value_heads;
    int64_t D = c->head_dim;
    krs_bias bias = c->attention_bias ? KRS_WITH_BIAS : KRS_WITHOUT_BIAS;
    krs_bias output_bias =
        c->attention_output_bias ? KRS_WITH_BIAS : KRS_WITHOUT_BIAS;

    krs_scope_push(p->causal.g, "self_attn");
    krs_node q = krs_nn_linear(x, "q_proj", H * D, bias); /* [B,T,H*D] */
    krs_node k = krs_nn_linear(x, "k_proj", K * D, bias); /* [B,T,K*D] */
    krs_node v = krs_nn_linear(x, "v_proj", K * D, bias); /* [B,T,K*D] */
    q = rotate(p, krsi_causal_split(m, q, H, D));         /* [B,H,T,D] */
    k = rotate(p, krsi_causal_split(m, k, K, D));         /* [B,K,T,D] */
    v = krsi_causal_split(m, v, K, D);                    /* [B,K,T,D] */
    k = krsi_causal_cached(m, k, "key");                  /* [B,K,S,D] */
    v = krsi_causal_cached(m, v, "value");                /* [B,K,S,D] */
    krs_attention_options options = {.struct_size = sizeof options,
                                     .causal = true,
                                     .offset = m->call->position};
    if (i >= c->max_window_layers)
        options.window = c->sliding_window;
    krs_node y = krs_attention(q, k, v, m->mask, &options); /* [B,H,T,D] */
    y = krs_nn_linear(krsi_causal_merge(m, y), "o_proj", c->hidden_size,
                      output_bias); /* [B,T,C] */
    krs_scope_pop(p->causal.g);
    return y;
}

/* ---- the rest of a layer ---- */

static krs_node
mlp(const struct pass *p, krs_node x)
{
    const krs_llama_config *c = p->config;
    int64_t F = c->intermediate_size;
    krs_bias bias = c->mlp_bias ? KRS_WITH_BIAS : KRS_WITHOUT_BIAS;
    krs_scope_push(p->causal.g, "mlp");
    krs_node gate = krs_nn_linear(x, "gate_proj", F, bias); /* [B,T,F] */
    krs_node up = krs_nn_linear(x, "up_proj", F, bias);     /* [B,T,F] */
    krs_node y = krs_nn_linear(krs_swiglu(gate, up), "down_proj",
                               c->hidden_size, bias); /* [B,T,C] */
    krs_scope_pop(p->causal.g);
    return y;
}

static krs_node
layer(const struct pass *p, krs_node h, int64_t i)
{
    double eps = p->config->rms_norm_eps;
    krs_scope_push(p->causal.g, "layers.%lld", (long long)i);
    krs_node n = krs_nn_rms_norm(h, "input_layernorm", eps); /* [B,T,C] */
    h = krs_add(h, self_attention(p, n, i));
    n = krs_nn_rms_norm(h, "post_attention_layernorm", eps);
    h = krs_add(h, mlp(p, n));
    krs_scope_pop(p->causal.g);
    return h;
}

/* ---- the whole ---- */

/* W_out [V,C] */
static krs_node
output_weight(const struct pass *p, krs_node table)
{
    const krs_llama_config *c = p->config;
    if (c->tie_word_embeddings)
        return table;
    krs_shape shape = KRS_SHAPE(c->vocab_size, c->hidden_size);
    return krs_state(p->causal.g, "lm_head.weight", KRS_F32, shape);
}

static krs_node
forward(krs_graph *g, const void *settings, const krs_causal_call *call,
        krs_causal_result *result)
{
    const krs_llama_config *c = settings;
    krs_error err;
    if (krs_llama_check(c, &err) != KRS_OK)
        return krs_graph_fail(g, KRS_HERE, err.status, "llama: %s", err.text);

    struct pass p = {.causal = krsi_causal_begin(g, call, result), .config = c};
    p.angles = rotary_angles(&p);
    p.causal.mask = krsi_causal_mask(&p.causal);

    krs_scope_push(g, "model");
    krs_node h = krs_nn_embedding(call->ids, "embed_tokens", c->vocab_size,
                                  c->hidden_size, -1); /* [B,T,C] */
    krs_node table = krs_state(g, "embed_tokens.weight", KRS_F32,
                               KRS_SHAPE(c->vocab_size, c->hidden_size));
    krsi_causal_keep(&p.causal, 0, h);
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        h = layer(&p, h, i);
        krsi_causal_keep(&p.causal, i + 1, h);
    }
    h = krs_nn_rms_norm(h, "norm", c->rms_norm_eps);
    krsi_causal_keep(&p.causal, c->num_hidden_layers, h);
    krs_scope_pop(g);

    return krsi_causal_finish(&p.causal, h, output_weight(&p, table), KRS_NONE);
}

/* ---- as a model of causal.h ---- */

krs_causal_model
krs_llama_model(const krs_llama_config *config)
{
    return (krs_causal_model){.config = config,
                              .forward = forward,
                              .vocab_size = config->vocab_size,
                              .layers = config->num_hidden_layers,
                              .max_position_embeddings =
                                  config->max_position_embeddings};
}
