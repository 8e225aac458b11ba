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
 * Cache. Keys (rotated) and values live in one state each a layer, [B,K,S,D].
 * A call writes its T slots in place and reads slots 0 .. position+T-1, the
 * live length, so a step costs what the text so far costs; the program is the
 * same for every position. Slots past the live length are never read before
 * they are written, so a last prefill chunk may be filled up with anything.
 */
#include <krs/llama.h>
#include <krs/loss.h>
#include <krs/ops.h>

#include <stdlib.h>

/* What every layer of one forward pass needs. */
struct pass {
    krs_graph *g;
    const krs_llama_config *config;
    const krs_causal_call *call;
    krs_causal_result *result;
    int64_t B, T, S;
    krs_node angles;   /* [T, D/2] */
    double rope_scale; /* yarn's attention factor */
    krs_node mask;     /* bool [B,1,T,S], or none */
};

/* ---- positions and mask ---- */

static krs_node
positions(const struct pass *p)
{
    krs_node column = krs_iota(p->g, KRS_I64, KRS_SHAPE(p->T), 0); /* i64 [T] */
    return krs_add(column, krs_index_node(p->g, p->call->position));
}

static krs_node
rotary_angles(struct pass *p, krs_node at)
{
    const krs_llama_config *c = p->config;
    double *frequencies = calloc((size_t)c->head_dim / 2, sizeof *frequencies);
    if (frequencies == NULL)
        return krs_graph_fail(p->g, KRS_HERE, KRS_E_MEMORY,
                              "llama: no memory for the rotary frequencies");
    krs_error err;
    krs_node angles;
    if (krs_rope_frequencies(&c->rope, c->head_dim, frequencies, &p->rope_scale,
                             &err) == KRS_OK)
        angles = krs_rope_angles(at, frequencies, (int)(c->head_dim / 2));
    else
        angles =
            krs_graph_fail(p->g, KRS_HERE, err.status, "llama: %s", err.text);
    free(frequencies);
    return angles; /* [T, D/2] */
}

static krs_index
live_length(const struct pass *p)
{
    return krs_index_plus(p->call->position, KRS_INDEX(p->T));
}

/* Keys that are tokens; and each place sees itself, so that the row of a
 * place that is padding on the left is not empty (softmax of nothing is NaN,
 * which would reach the gradients). Causality is the attention's own. */
static krs_node
padding_mask(const struct pass *p, krs_node at)
{
    krs_node tokens = krs_reshape(p->call->attention_mask,
                                  KRS_SHAPE(p->B, 1, 1, p->S)); /* [B,1,1,S] */
    krs_node slot = krs_iota(p->g, KRS_I64, KRS_SHAPE(1, p->S), 1); /* [1,S] */
    krs_node itself = krs_eq(krs_unsqueeze(at, -1), slot);          /* [T,S] */
    krs_node mask = krs_or(tokens, itself); /* [B,1,T,S] */
    if (p->call->cache_length > 0)
        mask = krs_live(mask, 3, live_length(p));
    return mask;
}

/* ---- attention ---- */

/* [B,T,n*D] -> [B,n,T,D] */
static krs_node
split_heads(const struct pass *p, krs_node x, int64_t heads)
{
    x = krs_reshape(x, KRS_SHAPE(p->B, p->T, heads, p->config->head_dim));
    return krs_transpose(x, 1, 2);
}

static krs_node
rotate(const struct pass *p, krs_node x)
{
    return krs_rope(x, p->angles, KRS_ROPE_HALF, p->rope_scale);
}

/* Write x [B,K,T,D] into the cache at the slots of the call; gives the live
 * part, [B,K,S,D]. The name carries the size: callers with other batches or
 * lengths may share the store. */
static krs_node
cached(const struct pass *p, krs_node x, const char *what)
{
    const krs_llama_config *c = p->config;
    krs_causal_result *result = p->result;
    krs_scope_push(p->g, "%s_cache_%lldx%lld", what, (long long)p->B,
                   (long long)p->S);
    krs_node cache =
        krs_state(p->g, "slots", KRS_F32,
                  KRS_SHAPE(p->B, c->num_key_value_heads, p->S, c->head_dim));
    krs_scope_pop(p->g);

    krs_index starts[4] = {KRS_INDEX(0), KRS_INDEX(0), p->call->position,
                           KRS_INDEX(0)};
    krs_node filled = krs_set_slice(cache, x, starts); /* [B,K,S,D] */
    p->call->updates[result->update_count++] = krs_update(cache, filled);
    return krs_live(filled, 2, live_length(p));
}

static krs_node
self_attention(const struct pass *p, krs_node x, int64_t i)
{
    const krs_llama_config *c = p->config;
    int64_t H = c->num_attention_heads, K = c->num_key_value_heads;
    int64_t D = c->head_dim;
    krs_bias bias = c->attention_bias ? KRS_WITH_BIAS : KRS_WITHOUT_BIAS;
    krs_bias output_bias =
        c->attention_output_bias ? KRS_WITH_BIAS : KRS_WITHOUT_BIAS;

    krs_scope_push(p->g, "self_attn");
    krs_node q = krs_nn_linear(x, "q_proj", H * D, bias); /* [B,T,H*D] */
    krs_node k = krs_nn_linear(x, "k_proj", K * D, bias); /* [B,T,K*D] */
    krs_node v = krs_nn_linear(x, "v_proj", K * D, bias); /* [B,T,K*D] */
    q = rotate(p, split_heads(p, q, H));                  /* [B,H,T,D] */
    k = rotate(p, split_heads(p, k, K));                  /* [B,K,T,D] */
    v = split_heads(p, v, K);                             /* [B,K,T,D] */
    if (p->call->cache_length > 0) {
        k = cached(p, k, "key");   /* [B,K,S,D] */
        v = cached(p, v, "value"); /* [B,K,S,D] */
    }
    krs_attention_options options = {.struct_size = sizeof options,
                                     .causal = true,
                                     .offset = p->call->position};
    if (i >= c->max_window_layers)
        options.window = c->sliding_window;
    krs_node y = krs_attention(q, k, v, p->mask, &options); /* [B,H,T,D] */
    y = krs_reshape(krs_transpose(y, 1, 2), KRS_SHAPE(p->B, p->T, H * D));
    y = krs_nn_linear(y, "o_proj", c->hidden_size, output_bias); /* [B,T,C] */
    krs_scope_pop(p->g);
    return y;
}

/* ---- the rest of a layer ---- */

static krs_node
mlp(const struct pass *p, krs_node x)
{
    const krs_llama_config *c = p->config;
    int64_t F = c->intermediate_size;
    krs_bias bias = c->mlp_bias ? KRS_WITH_BIAS : KRS_WITHOUT_BIAS;
    krs_scope_push(p->g, "mlp");
    krs_node gate = krs_nn_linear(x, "gate_proj", F, bias); /* [B,T,F] */
    krs_node up = krs_nn_linear(x, "up_proj", F, bias);     /* [B,T,F] */
    krs_node y = krs_nn_linear(krs_swiglu(gate, up), "down_proj",
                               c->hidden_size, bias); /* [B,T,C] */
    krs_scope_pop(p->g);
    return y;
}

static krs_node
layer(const struct pass *p, krs_node h, int64_t i)
{
    double eps = p->config->rms_norm_eps;
    krs_scope_push(p->g, "layers.%lld", (long long)i);
    krs_node n = krs_nn_rms_norm(h, "input_layernorm", eps); /* [B,T,C] */
    h = krs_add(h, self_attention(p, n, i));
    n = krs_nn_rms_norm(h, "post_attention_layernorm", eps);
    h = krs_add(h, mlp(p, n));
    krs_scope_pop(p->g);
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
    return krs_state(p->g, "lm_head.weight", KRS_F32, shape);
}

static krs_node
output_logits(const struct pass *p, krs_node h, krs_node weight)
{
    if (p->call->logits_once)
        h = krs_narrow(h, 1, p->call->logits_at, 1); /* [B,1,C] */
    return krs_linear(h, weight, KRS_NONE);          /* [B,T,V] */
}

/* What is scored at t is labels[t+1]: the labels move one to the left, and the
 * last place, which has nothing to predict, is not counted. */
static krs_node
moved_labels(const struct pass *p)
{
    const int64_t before[2] = {0, 0}, after[2] = {0, 1};
    krs_node next = krs_slice(p->call->labels, 1, 1, KRS_END, 1); /* [B,T-1] */
    return krs_pad(next, before, after, -100.0);                  /* [B,T] */
}

static void
keep_hidden(const struct pass *p, int64_t i, krs_node h)
{
    if (p->call->hidden != NULL)
        p->call->hidden[i] = h;
}

static krs_node
forward(krs_graph *g, const void *settings, const krs_causal_call *call,
        krs_causal_result *result)
{
    const krs_llama_config *c = settings;
    krs_error err;
    if (krs_llama_check(c, &err) != KRS_OK)
        return krs_graph_fail(g, KRS_HERE, err.status, "llama: %s", err.text);

    krs_shape shape = krs_node_shape(call->ids);
    struct pass p = {.g = g, .config = c, .call = call, .result = result};
    p.B = shape.dim[0];
    p.T = shape.dim[1];
    p.S = call->cache_length > 0 ? call->cache_length : p.T;
    krs_node at = positions(&p); /* i64 [T] */
    p.angles = rotary_angles(&p, at);
    p.mask =
        call->attention_mask.graph != NULL ? padding_mask(&p, at) : KRS_NONE;

    krs_scope_push(g, "model");
    krs_node h = krs_nn_embedding(call->ids, "embed_tokens", c->vocab_size,
                                  c->hidden_size, -1); /* [B,T,C] */
    krs_node table = krs_state(g, "embed_tokens.weight", KRS_F32,
                               KRS_SHAPE(c->vocab_size, c->hidden_size));
    keep_hidden(&p, 0, h);
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        h = layer(&p, h, i);
        keep_hidden(&p, i + 1, h);
    }
    h = krs_nn_rms_norm(h, "norm", c->rms_norm_eps);
    keep_hidden(&p, c->num_hidden_layers, h);
    krs_scope_pop(g);

    krs_node weight = output_weight(&p, table);
    krs_node targets =
        call->labels.graph != NULL ? moved_labels(&p) : call->targets;
    if (targets.graph != NULL)
        result->loss =
            krs_linear_cross_entropy(h, weight, targets, KRS_NONE, NULL);
    return output_logits(&p, h, weight);
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

krs_status
krs_llama_init(krs_store *store, const krs_llama_config *config, uint64_t seed,
               krs_error *err)
{
    const krs_init_rule rules[] = {
        {"*norm.weight", KRS_INIT_ONES,   0.0                      },
        {"*.bias",       KRS_INIT_ZEROS,  0.0                      },
        {"*",            KRS_INIT_NORMAL, config->initializer_range},
    };
    krs_causal_model model = krs_llama_model(config);
    krs_graph *g;
    krs_node *parameters;
    size_t count;
    KRS_TRY(krs_causal_parameters(&model, &g, &parameters, &count, err));
    krs_status status = krs_nn_init(store, parameters, count, rules,
                                    sizeof rules / sizeof *rules, seed, err);
    free(parameters);
    krs_graph_free(g);
    return status;
}
