/* bert.c -- the forward pass of BERT and ERNIE (bert.h).
 *
 * In: settings and a call. Out: hidden states, pooled state, logits and loss
 * as nodes of the caller's graph; the parameters are states named as in
 * Hugging Face checkpoints.
 *
 *      h_0     = layer_norm(E[ids] + P[t] + S[types] + U[tasks])
 *      a_l     = layer_norm(h_l + attention(h_l))            l = 0 .. L-1
 *      h_(l+1) = layer_norm(a_l + W_2 f(W_1 a_l + b_1) + b_2)
 *      pooled  = tanh(W_p h_L[first] + b_p)
 *      masked tokens   E layer_norm(f(W_t h_L + b_t)) + b,  next: W_n pooled + b_n
 *
 * Sizes in comments: B batch, T ids, C hidden_size, H heads, D = C/H, F
 * intermediate_size, V vocabulary.
 */
#include <krs/bert.h>
#include <krs/loss.h>
#include <krs/ops.h>

struct pass {
    krs_graph *g;
    const krs_bert_config *config;
    const krs_bert_call *call;
    int64_t B, T;
    krs_node mask; /* bool [B,1,1,T], or none */
};

/* ---- embeddings ---- */

static krs_node
norm(const struct pass *p, krs_node x, const char *name)
{
    return krs_nn_layer_norm(x, name, p->config->layer_norm_eps, KRS_WITH_BIAS);
}

/* Rows of a small table; ids that are none are all 0. */
static krs_node
kind_embedding(const struct pass *p, krs_node ids, const char *name,
               int64_t count)
{
    if (ids.graph == NULL)
        ids = krs_like(p->call->input_ids, 0); /* [B,T] */
    return krs_nn_embedding(ids, name, count, p->config->hidden_size, -1);
}

static krs_node
embeddings(const struct pass *p)
{
    const krs_bert_config *c = p->config;
    int64_t C = c->hidden_size;
    krs_node place = krs_iota(p->g, KRS_I64, KRS_SHAPE(p->T), 0); /* [T] */
    krs_scope_push(p->g, "embeddings");
    krs_node h =
        krs_nn_embedding(p->call->input_ids, "word_embeddings", c->vocab_size,
                         C, c->ids.pad_token_id); /* [B,T,C] */
    h = krs_add(h, kind_embedding(p, p->call->token_type_ids,
                                  "token_type_embeddings", c->type_vocab_size));
    h = krs_add(h, krs_nn_embedding(place, "position_embeddings",
                                    c->max_position_embeddings, C, -1));
    if (c->use_task_id)
        h = krs_add(h, kind_embedding(p, p->call->task_type_ids,
                                      "task_type_embeddings",
                                      c->task_type_vocab_size)); /* [B,T,C] */
    h = norm(p, h, "LayerNorm");
    krs_scope_pop(p->g);
    return h;
}

/* ---- a layer ---- */

/* [B,T,C] -> [B,H,T,D] */
static krs_node
head_projection(const struct pass *p, krs_node x, const char *name)
{
    int64_t C = p->config->hidden_size, H = p->config->num_attention_heads;
    x = krs_nn_linear(x, name, C, KRS_WITH_BIAS); /* [B,T,C] */
    x = krs_reshape(x, KRS_SHAPE(p->B, p->T, H, C / H));
    return krs_transpose(x, 1, 2);
}

static krs_node
self_attention(const struct pass *p, krs_node h)
{
    krs_scope_push(p->g, "self");
    krs_node q = head_projection(p, h, "query"); /* [B,H,T,D] */
    krs_node k = head_projection(p, h, "key");   /* [B,H,T,D] */
    krs_node v = head_projection(p, h, "value"); /* [B,H,T,D] */
    krs_scope_pop(p->g);
    krs_node y = krs_attention(q, k, v, p->mask, NULL); /* [B,H,T,D] */
    return krs_reshape(krs_transpose(y, 1, 2),
                       KRS_SHAPE(p->B, p->T, p->config->hidden_size));
}

/* layer_norm(h + W x + b) */
static krs_node
output(const struct pass *p, krs_node x, krs_node h)
{
    krs_scope_push(p->g, "output");
    x = krs_nn_linear(x, "dense", p->config->hidden_size, KRS_WITH_BIAS);
    h = norm(p, krs_add(x, h), "LayerNorm"); /* [B,T,C] */
    krs_scope_pop(p->g);
    return h;
}

static krs_node
layer(const struct pass *p, krs_node h, int64_t i)
{
    const krs_bert_config *c = p->config;
    krs_scope_push(p->g, "encoder.layer.%lld", (long long)i);
    krs_scope_push(p->g, "attention");
    h = output(p, self_attention(p, h), h); /* [B,T,C] */
    krs_scope_pop(p->g);
    krs_node f = krs_nn_linear(h, "intermediate.dense", c->intermediate_size,
                               KRS_WITH_BIAS);           /* [B,T,F] */
    h = output(p, krs_nn_activate(f, c->hidden_act), h); /* [B,T,C] */
    krs_scope_pop(p->g);
    return h;
}

/* ---- heads ---- */

static krs_node
pooler(const struct pass *p, krs_node h)
{
    int64_t C = p->config->hidden_size;
    krs_node first = krs_squeeze(krs_slice(h, 1, 0, 1, 1), 1); /* [B,C] */
    return krs_tanh(krs_nn_linear(first, "pooler.dense", C, KRS_WITH_BIAS));
}

static krs_node
masked_token_logits(const struct pass *p, krs_node h, krs_node table)
{
    const krs_bert_config *c = p->config;
    krs_scope_push(p->g, "cls.predictions");
    krs_node bias = krs_state(p->g, "bias", KRS_F32, KRS_SHAPE(c->vocab_size));
    if (!c->tie_word_embeddings)
        table = krs_state(p->g, "decoder.weight", KRS_F32,
                          KRS_SHAPE(c->vocab_size, c->hidden_size)); /* [V,C] */
    krs_scope_push(p->g, "transform");
    h = krs_nn_linear(h, "dense", c->hidden_size, KRS_WITH_BIAS); /* [B,T,C] */
    h = norm(p, krs_nn_activate(h, c->hidden_act), "LayerNorm");
    krs_scope_pop(p->g);
    krs_scope_pop(p->g);
    return krs_linear(h, table, bias); /* [B,T,V] */
}

/* The two losses, or the one whose labels are there. */
static krs_node
loss(const struct pass *p, const krs_bert_result *r)
{
    krs_node sum = KRS_NONE;
    if (p->call->labels.graph != NULL)
        sum = krs_cross_entropy(r->prediction_logits, p->call->labels, KRS_NONE,
                                NULL);
    if (p->call->next_sentence_label.graph != NULL) {
        krs_node next =
            krs_cross_entropy(r->seq_relationship_logits,
                              p->call->next_sentence_label, KRS_NONE, NULL);
        sum = sum.graph != NULL ? krs_add(sum, next) : next;
    }
    return sum;
}

/* ---- the whole ---- */

static bool
is_ids(krs_node x, krs_dtype dtype, krs_shape shape)
{
    if (x.graph == NULL)
        return true;
    krs_shape found = krs_node_shape(x);
    return krs_node_is_valid(x) && krs_node_dtype(x) == dtype &&
           found.rank == shape.rank && found.dim[0] == shape.dim[0] &&
           (shape.rank == 1 || found.dim[1] == shape.dim[1]);
}

static krs_node
refuse(krs_graph *g, krs_status status, const char *what)
{
    return krs_graph_fail(g, KRS_HERE, status, "bert: %s", what);
}

/* None if the call can be followed. */
static krs_node
check_call(krs_graph *g, const krs_bert_config *c, const krs_bert_call *call)
{
    krs_shape shape = krs_node_shape(call->input_ids);
    bool scored = call->labels.graph || call->next_sentence_label.graph;
    if (!krs_node_is_valid(call->input_ids) || shape.rank != 2 ||
        krs_node_dtype(call->input_ids) != KRS_I64)
        return refuse(g, KRS_E_SHAPE, "input_ids must be i64 [B, T]");
    if (!is_ids(call->attention_mask, KRS_BOOL, shape))
        return refuse(g, KRS_E_SHAPE,
                      "attention_mask must be bool [B, T] as the ids");
    if (!is_ids(call->token_type_ids, KRS_I64, shape) ||
        !is_ids(call->task_type_ids, KRS_I64, shape) ||
        !is_ids(call->labels, KRS_I64, shape))
        return refuse(g, KRS_E_SHAPE,
                      "token types, tasks and labels must be i64 [B, T] as the "
                      "ids");
    if (!is_ids(call->next_sentence_label, KRS_I64, KRS_SHAPE(shape.dim[0])))
        return refuse(g, KRS_E_SHAPE, "next_sentence_label must be i64 [B]");
    if (call->task_type_ids.graph != NULL && !c->use_task_id)
        return refuse(g, KRS_E_ARGUMENT, "there are no embeddings of tasks");
    if (scored && !krs_bert_has_heads(c))
        return refuse(g, KRS_E_ARGUMENT,
                      "labels need the heads, which the encoder alone lacks");
    if (shape.dim[1] < 1 || shape.dim[1] > c->max_position_embeddings)
        return krs_graph_fail(g, KRS_HERE, KRS_E_RANGE,
                              "bert: %lld ids a row, there are from 1 to %lld "
                              "places (max_position_embeddings)",
                              (long long)shape.dim[1],
                              (long long)c->max_position_embeddings);
    return KRS_NONE;
}

krs_node
krs_bert_forward(krs_graph *g, const krs_bert_config *c,
                 const krs_bert_call *call, krs_bert_result *result)
{
    krs_error err;
    if (call->struct_size != sizeof *call ||
        result->struct_size != sizeof *result)
        return refuse(g, KRS_E_ARGUMENT, "struct_size of another version");
    *result = (krs_bert_result){.struct_size = sizeof *result};
    if (krs_bert_check(c, &err) != KRS_OK)
        return refuse(g, err.status, err.text);
    krs_node wrong = check_call(g, c, call);
    if (wrong.graph != NULL)
        return wrong;
    krs_shape shape = krs_node_shape(call->input_ids);
    struct pass p = {g, c, call, shape.dim[0], shape.dim[1], KRS_NONE};
    if (call->attention_mask.graph != NULL)
        p.mask = krs_reshape(call->attention_mask, KRS_SHAPE(p.B, 1, 1, p.T));

    if (krs_bert_has_heads(c))
        krs_scope_push(g, "%s", krs_architecture_type(c->architecture));
    krs_node h = embeddings(&p); /* [B,T,C] */
    krs_node table =
        krs_state(g, "embeddings.word_embeddings.weight", KRS_F32,
                  KRS_SHAPE(c->vocab_size, c->hidden_size)); /* [V,C] */
    for (int64_t i = 0; i <= c->num_hidden_layers; i++) {
        h = i > 0 ? layer(&p, h, i - 1) : h; /* [B,T,C] */
        if (call->hidden != NULL)
            call->hidden[i] = h;
    }
    result->last_hidden = h;
    result->pooled = pooler(&p, h); /* [B,C] */
    if (!krs_bert_has_heads(c))
        return h;
    krs_scope_pop(g);
    result->prediction_logits = masked_token_logits(&p, h, table);
    result->seq_relationship_logits = krs_nn_linear(
        result->pooled, "cls.seq_relationship", 2, KRS_WITH_BIAS); /* [B,2] */
    result->loss = loss(&p, result);
    return h;
}
