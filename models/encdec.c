/* encdec.c -- the forward pass of the Transformer, Marian, BART and T5
 * (encdec.h).
 *
 * In: settings and a call. Out: states of encoder and decoder, logits and loss
 * as nodes of the caller's graph; the parameters are states named as in
 * Hugging Face checkpoints.
 *
 *      e_0 = s E[ids] + P            d_0 likewise of the decoder's ids
 *      e' = e + attention(e);        e'' = e' + ff(e')
 *      d' = d + causal(d);  d'' = d' + attention(d', e_L);  d''' = d'' + ff(d'')
 *      logits = W_out d_L + b
 *
 * with a norm either around each sum, norm(x + f(x)), or inside it,
 * x + f(norm(x)) and one more at the end. What an architecture fixes is a row of
 * encdec_style.c. Decoder places, masks and caches are those of causal_pass.c; while
 * texts are generated, keys and values of the source are read from states.
 *
 * Sizes in comments: B batch, S source ids, T decoder ids, C d_model, H heads,
 * D size of a head, F width of the feed-forward layers, V vocabulary.
 */
#include "encdec_pass.h"

#include <krs/array.h>
#include <krs/loss.h>
#include <krs/ops.h>

#include <math.h>

/* ---- norms and biases ---- */

static bool
is_t5(const struct krsi_encdec *p)
{
    return p->style->places == KRSI_PLACES_RELATIVE;
}

struct krsi_encdec
krsi_encdec_begin(krs_graph *g, const krs_encdec_config *c, int64_t B,
                  int64_t S, krs_node source_mask)
{
    struct krsi_encdec p = {.g = g, .config = c, .B = B, .S = S};
    p.style = krsi_encdec_style(c->architecture);
    p.norms_first = is_t5(&p) || c->normalize_before;
    if (source_mask.graph != NULL)
        p.source_mask = krs_reshape(source_mask, KRS_SHAPE(B, 1, 1, S));
    return p;
}

static krs_bias
bias_of(const struct krsi_encdec *p)
{
    return is_t5(p) ? KRS_WITHOUT_BIAS : KRS_WITH_BIAS;
}

static krs_node
norm(const struct krsi_encdec *p, krs_node x, const char *name)
{
    double eps = p->config->layer_norm_eps;
    return is_t5(p) ? krs_nn_rms_norm(x, name, eps)
                    : krs_nn_layer_norm(x, name, eps, KRS_WITH_BIAS);
}

/* What a sublayer reads of h, and h after it gave y. */
static krs_node
before(const struct krsi_encdec *p, krs_node h, const char *name)
{
    return p->norms_first ? norm(p, h, name) : h;
}

static krs_node
after(const struct krsi_encdec *p, krs_node h, krs_node y, const char *name)
{
    h = krs_add(h, y);
    return p->norms_first ? h : norm(p, h, name);
}

/* ---- embeddings ---- */

static void
push_root(const struct krsi_encdec *p)
{
    if (p->style->root != NULL)
        krs_scope_push(p->g, "%s", p->style->root);
}

static void
pop_root(const struct krsi_encdec *p)
{
    if (p->style->root != NULL)
        krs_scope_pop(p->g);
}

/* Rows of the one table, or of that of the side; T5 alone trains its padding. */
static krs_node
token_embedding(const struct krsi_encdec *p, krs_node ids, int side)
{
    const krs_encdec_config *c = p->config;
    bool own = is_t5(p) && !c->tie_word_embeddings;
    int64_t padding = is_t5(p) ? -1 : c->ids.pad_token_id;
    if (own)
        krs_scope_push(p->g, "%s", p->style->sides[side].name);
    krs_node h = krs_nn_embedding(ids, own ? "embed_tokens" : "shared",
                                  c->vocab_size, c->d_model, padding);
    if (own)
        krs_scope_pop(p->g);
    return c->scale_embedding ? krs_scale(h, sqrt((double)c->d_model)) : h;
}

/* place i64 [L] or [B,L] -> [..,L,C] */
static krs_node
place_embedding(const struct krsi_encdec *p, krs_node place)
{
    const krs_encdec_config *c = p->config;
    if (p->style->places == KRSI_PLACES_LEARNED) {
        int64_t skip = p->style->rows_before;
        place = krs_add(place, krs_like(place, (double)skip));
        return krs_nn_embedding(place, "embed_positions",
                                c->max_position_embeddings + skip, c->d_model,
                                -1);
    }
    krs_node y = krs_sinusoidal_positions(place, c->d_model, 10000.0);
    if (p->style->places == KRSI_PLACES_SINES_IN_TURN)
        return y;
    krs_node halves[2] = {krs_slice(y, -1, 0, KRS_END, 2),
                          krs_slice(y, -1, 1, KRS_END, 2)};
    return krs_concat(halves, 2, -1);
}

/* h [B,L,C] of tokens, inside the scope of the side. */
static krs_node
embed(const struct krsi_encdec *p, krs_node h, krs_node place)
{
    if (!is_t5(p))
        h = krs_add(h, place_embedding(p, place));
    return p->style->embedding_norm ? norm(p, h, "layernorm_embedding") : h;
}

/* ---- attention ---- */

static int64_t
head_count(const struct krsi_encdec *p, int side)
{
    return side == ENCODER ? p->config->encoder_attention_heads
                           : p->config->decoder_attention_heads;
}

/* x [B,L,C] -> [B,H,L,D] */
static krs_node
split(const struct krsi_encdec *p, krs_node x, const char *name, int64_t H)
{
    const krs_encdec_config *c = p->config;
    int64_t D = c->d_kv > 0 ? c->d_kv : c->d_model / H;
    x = krs_nn_linear(x, name, H * D, bias_of(p)); /* [B,L,H*D] */
    x = krs_reshape(x, KRS_SHAPE(p->B, -1, H, D));
    return krs_transpose(x, 1, 2);
}

/* softmax(scale q k^T + mask) v, then the output matrix; -> [B,L,C]. T5 has no
 * scale: it is in the deviation of its fresh weights. */
static krs_node
attend(const struct krsi_encdec *p, krs_node q, krs_node k, krs_node v,
       krs_node mask, bool causal)
{
    krs_attention_options options = {.struct_size = sizeof options,
                                     .scale = is_t5(p) ? 1.0 : 0.0,
                                     .causal = causal};
    if (causal)
        options.offset = p->decoder.call->position;
    krs_node y = krs_attention(q, k, v, mask, &options); /* [B,H,L,D] */
    krs_shape shape = krs_node_shape(q);
    y = krs_reshape(krs_transpose(y, 1, 2),
                    KRS_SHAPE(p->B, shape.rank == 4 ? shape.dim[2] : 1, -1));
    return krs_nn_linear(y, p->style->out, p->config->d_model, bias_of(p));
}

/* The mask of T5's self-attention: a number for each head and bucket of
 * distances between query [L] and key [M], -inf for padding; f32 [.,H,L,M]. */
static krs_node
relative_mask(const struct krsi_encdec *p, int side, krs_node query,
              krs_node key, krs_node mask)
{
    const krs_encdec_config *c = p->config;
    krs_node distance =
        krs_sub(krs_unsqueeze(key, 0), krs_unsqueeze(query, 1)); /* [L,M] */
    krs_node bucket = krs_relative_buckets(
        distance, c->relative_attention_num_buckets,
        c->relative_attention_max_distance,
        side == ENCODER ? KRS_BOTH_SIDES : KRS_PAST_ONLY); /* [L,M] */
    krs_scope_push(p->g, "%s.0.%s", p->style->layers,
                   p->style->sides[side].self);
    krs_node x = krs_nn_embedding(bucket, "relative_attention_bias",
                                  c->relative_attention_num_buckets,
                                  head_count(p, side), -1); /* [L,M,H] */
    krs_scope_pop(p->g);
    x = krs_unsqueeze(krs_permute(x, KRS_AXES(2, 0, 1)), 0); /* [1,H,L,M] */
    if (mask.graph != NULL)
        x = krs_where(mask, x, krs_like(x, -(double)INFINITY));
    return x;
}

static krs_node
self_attention(const struct krsi_encdec *p, krs_node x, int side, krs_node mask)
{
    int64_t H = head_count(p, side);
    krs_scope_push(p->g, "%s", p->style->sides[side].self);
    krs_node q = split(p, x, p->style->q, H); /* [B,H,L,D] */
    krs_node k = split(p, x, p->style->k, H); /* [B,H,L,D] */
    krs_node v = split(p, x, p->style->v, H); /* [B,H,L,D] */
    if (side == DECODER) {
        k = krsi_causal_cached(&p->decoder, k, "key");
        v = krsi_causal_cached(&p->decoder, v, "value");
    }
    krs_node y = attend(p, q, k, v, mask, side == DECODER);
    krs_scope_pop(p->g);
    return y;
}

/* ---- keys and values of the source ---- */

/* The state that holds `what` of the open scope, [B,H,S,D]. */
static krs_node
memory_state(const struct krsi_encdec *p, const char *what)
{
    const krs_encdec_config *c = p->config;
    int64_t H = c->decoder_attention_heads;
    int64_t D = c->d_kv > 0 ? c->d_kv : c->d_model / H;
    krs_scope_push(p->g, "%s_memory_%lldx%lld", what, (long long)p->B,
                   (long long)p->S);
    krs_node x = krs_state(p->g, "slots", KRS_F32, KRS_SHAPE(p->B, H, p->S, D));
    krs_scope_pop(p->g);
    return x;
}

void
krsi_encdec_keep(const struct krsi_encdec *p, krs_node *updates)
{
    int64_t H = p->config->decoder_attention_heads;
    push_root(p);
    for (int64_t i = 0; i < p->config->decoder_layers; i++) {
        krs_scope_push(p->g, "decoder.%s.%lld.%s", p->style->layers,
                       (long long)i, p->style->sides[DECODER].cross);
        updates[2 * i] = krs_update(memory_state(p, "key"),
                                    split(p, p->encoded, p->style->k, H));
        updates[2 * i + 1] = krs_update(memory_state(p, "value"),
                                        split(p, p->encoded, p->style->v, H));
        krs_scope_pop(p->g);
    }
    pop_root(p);
}

static krs_node
cross_attention(const struct krsi_encdec *p, krs_node x)
{
    int64_t H = p->config->decoder_attention_heads;
    bool kept = p->encoded.graph == NULL;
    krs_scope_push(p->g, "%s", p->style->sides[DECODER].cross);
    krs_node q = split(p, x, p->style->q, H); /* [B,H,T,D] */
    krs_node k = kept ? memory_state(p, "key")
                      : split(p, p->encoded, p->style->k, H); /* [B,H,S,D] */
    krs_node v = kept ? memory_state(p, "value")
                      : split(p, p->encoded, p->style->v, H); /* [B,H,S,D] */
    krs_node y = attend(p, q, k, v, p->source_mask, false);
    krs_scope_pop(p->g);
    return y;
}

/* ---- layers ---- */

static krs_node
feed_forward(const struct krsi_encdec *p, krs_node x, int side)
{
    const krs_encdec_config *c = p->config;
    const struct krsi_side *n = &p->style->sides[side];
    int64_t F = side == ENCODER ? c->encoder_ffn_dim : c->decoder_ffn_dim;
    bool gated = is_t5(p) && krsi_feed_forward_gated(c->feed_forward_proj);
    krs_activation f = is_t5(p) ? krsi_feed_forward_kind(c->feed_forward_proj)
                                : c->activation_function;
    krs_node y = krs_nn_linear(x, gated ? n->gate : n->up, F, bias_of(p));
    y = krs_nn_activate(y, f); /* [B,L,F] */
    if (gated)
        y = krs_mul(y, krs_nn_linear(x, n->gated_up, F, bias_of(p)));
    return krs_nn_linear(y, n->down, c->d_model, bias_of(p)); /* [B,L,C] */
}

static krs_node
layer(const struct krsi_encdec *p, krs_node h, int side, int64_t i,
      krs_node mask)
{
    const struct krsi_side *n = &p->style->sides[side];
    krs_scope_push(p->g, "%s.%lld", p->style->layers, (long long)i);
    krs_node x = before(p, h, n->self_norm); /* [B,L,C] */
    h = after(p, h, self_attention(p, x, side, mask), n->self_norm);
    if (side == DECODER) {
        x = before(p, h, n->cross_norm);
        h = after(p, h, cross_attention(p, x), n->cross_norm);
    }
    x = before(p, h, n->feed_norm);
    h = after(p, h, feed_forward(p, x, side), n->feed_norm);
    krs_scope_pop(p->g);
    return h;
}

/* All layers of a side from its embeddings on; hidden may be NULL. */
static krs_node
stack(const struct krsi_encdec *p, krs_node h, int side, int64_t layers,
      krs_node mask, krs_node *hidden)
{
    for (int64_t i = 0; i <= layers; i++) {
        if (i > 0)
            h = layer(p, h, side, i - 1, mask); /* [B,L,C] */
        if (i == layers && p->norms_first)
            h = norm(p, h, p->style->final_norm);
        if (hidden != NULL)
            hidden[i] = h;
    }
    return h;
}

krs_node
krsi_encdec_encode(const struct krsi_encdec *p, krs_node ids, krs_node *hidden)
{
    krs_node place = krs_iota(p->g, KRS_I64, KRS_SHAPE(p->S), 0); /* [S] */
    push_root(p);
    krs_node h = token_embedding(p, ids, ENCODER), mask = p->source_mask;
    krs_scope_push(p->g, "encoder");
    h = embed(p, h, place); /* [B,S,C] */
    if (is_t5(p))
        mask = relative_mask(p, ENCODER, place, place, mask); /* [B,H,S,S] */
    h = stack(p, h, ENCODER, p->config->encoder_layers, mask, hidden);
    krs_scope_pop(p->g);
    pop_root(p);
    return h;
}

/* Of T5: the decoder's mask, the live part of its keys. */
static krs_node
decoder_mask(const struct krsi_encdec *p)
{
    const struct krsi_causal *d = &p->decoder;
    krs_node key = krs_iota(p->g, KRS_I64, KRS_SHAPE(d->S), 0); /* [M] */
    if (!is_t5(p))
        return d->mask;
    krs_node mask =
        relative_mask(p, DECODER, krsi_causal_slots(d), key, d->mask);
    return d->call->cache_length > 0 ? krs_live(mask, 3, krsi_causal_live(d))
                                     : mask;
}

krs_node
krsi_encdec_decode(struct krsi_encdec *p, const krs_causal_call *call,
                   krs_causal_result *result)
{
    const krs_encdec_config *c = p->config;
    krs_shape table = KRS_SHAPE(c->vocab_size, c->d_model);
    int64_t most =
        c->max_position_embeddings > 0 ? c->max_position_embeddings : INT32_MAX;
    p->decoder = krsi_causal_begin(p->g, call, result);
    p->decoder.mask = krsi_causal_mask(&p->decoder);
    push_root(p);
    krs_node h = token_embedding(p, call->ids, DECODER); /* [B,T,C] */
    krs_node weight = krs_state(p->g, "shared.weight", KRS_F32, table);
    krs_scope_push(p->g, "decoder");
    h = embed(p, h, krsi_causal_places(&p->decoder, most));
    h = stack(p, h, DECODER, c->decoder_layers, decoder_mask(p), call->hidden);
    krs_scope_pop(p->g);
    pop_root(p);
    if (c->scale_decoder_outputs)
        h = krs_scale(h, 1.0 / sqrt((double)c->d_model));
    if (!c->tie_word_embeddings)
        weight = krs_state(p->g, "lm_head.weight", KRS_F32, table); /* [V,C] */
    krs_node bias = KRS_NONE;
    if (p->style->logits_bias)
        bias = krs_reshape(
            krs_stop_gradient(krs_state(p->g, "final_logits_bias", KRS_F32,
                                        KRS_SHAPE(1, c->vocab_size))),
            KRS_SHAPE(c->vocab_size));                       /* [V] */
    return krsi_causal_finish(&p->decoder, h, weight, bias); /* [B,T,V] */
}
