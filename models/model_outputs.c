/* model_outputs.c -- what a model of any architecture computes of a batch, by
 * name (krs_model_outputs in model.h).
 *
 * In: settings and sizes. Out: a forward pass with inputs and outputs named as
 * the arguments and results of the Hugging Face classes, the loss included.
 * Verification, training steps and the list of parameters are made of it.
 */
#include <krs/model.h>
#include <krs/ops.h>

#include <stdio.h>
#include <stdlib.h>

/* Named outputs in the order in which they are put. */
struct list {
    krs_model_output *items;
    size_t count;
};

static void
put(struct list *l, krs_node node, const char *counts, const char *name)
{
    krs_model_output *o = &l->items[l->count];
    if (node.graph == NULL)
        return;
    l->count++;
    *o = (krs_model_output){.node = node, .counts = counts};
    snprintf(o->name, sizeof o->name, "%s", name);
}

static void
put_hidden(struct list *l, const krs_node *states, int64_t count,
           const char *counts, const char *name)
{
    for (int64_t i = 0; i < count; i++) {
        char text[KRS_MODEL_NAME_BYTES];
        snprintf(text, sizeof text, "%s.%lld", name, (long long)i);
        put(l, states[i], counts, text);
    }
}

static krs_status
causal_outputs(krs_graph *g, const krs_causal_model *model,
               const krs_model_sizes *s, krs_node *states, struct list *l)
{
    krs_shape shape = KRS_SHAPE(s->batch, s->time);
    krs_causal_call call = {.struct_size = sizeof call,
                            .ids = krs_input(g, "input_ids", KRS_I64, shape),
                            .attention_mask =
                                krs_input(g, "attention_mask", KRS_BOOL, shape),
                            .labels = krs_input(g, "labels", KRS_I64, shape),
                            .hidden = states};
    krs_causal_result r = {.struct_size = sizeof r};
    krs_causal_forward(g, model, &call, &r);
    put_hidden(l, states, model->layers + 1, "attention_mask", "hidden");
    put(l, r.logits, "attention_mask", "logits");
    put(l, r.loss, NULL, "loss");
    return KRS_OK;
}

static krs_status
bert_outputs(krs_graph *g, const krs_bert_config *c, const krs_model_sizes *s,
             krs_node *states, struct list *l)
{
    krs_shape shape = KRS_SHAPE(s->batch, s->time);
    krs_bert_call call = {
        .struct_size = sizeof call,
        .input_ids = krs_input(g, "input_ids", KRS_I64, shape),
        .attention_mask = krs_input(g, "attention_mask", KRS_BOOL, shape),
        .token_type_ids = krs_input(g, "token_type_ids", KRS_I64, shape),
        .hidden = states};
    if (c->use_task_id)
        call.task_type_ids = krs_input(g, "task_type_ids", KRS_I64, shape);
    if (krs_bert_has_heads(c)) {
        call.labels = krs_input(g, "labels", KRS_I64, shape);
        call.next_sentence_label =
            krs_input(g, "next_sentence_label", KRS_I64, KRS_SHAPE(s->batch));
    }
    krs_bert_result r = {.struct_size = sizeof r};
    krs_bert_forward(g, c, &call, &r);
    put_hidden(l, states, c->num_hidden_layers + 1, "attention_mask", "hidden");
    if (!krs_bert_has_heads(c))
        put(l, r.pooled, NULL, "pooler_output");
    put(l, r.prediction_logits, "attention_mask", "prediction_logits");
    put(l, r.seq_relationship_logits, NULL, "seq_relationship_logits");
    put(l, r.loss, NULL, "loss");
    return KRS_OK;
}

static krs_status
encdec_outputs(krs_graph *g, const krs_encdec_config *c,
               const krs_model_sizes *s, krs_node *states, struct list *l)
{
    krs_shape source = KRS_SHAPE(s->batch, s->source);
    krs_shape shape = KRS_SHAPE(s->batch, s->time);
    krs_node *decoded = states + c->encoder_layers + 1;
    krs_encdec_call call = {
        .struct_size = sizeof call,
        .input_ids = krs_input(g, "input_ids", KRS_I64, source),
        .attention_mask = krs_input(g, "attention_mask", KRS_BOOL, source),
        .decoder_input_ids = krs_input(g, "decoder_input_ids", KRS_I64, shape),
        .labels = krs_input(g, "labels", KRS_I64, shape),
        .encoder_hidden = states,
        .decoder_hidden = decoded};
    krs_encdec_result r = {.struct_size = sizeof r};
    krs_encdec_forward(g, c, &call, &r);
    put_hidden(l, states, c->encoder_layers + 1, "attention_mask",
               "enc_hidden");
    put_hidden(l, decoded, c->decoder_layers + 1, "labels", "dec_hidden");
    put(l, r.logits, "labels", "logits");
    put(l, r.loss, NULL, "loss");
    return KRS_OK;
}

static krs_status
fill(krs_graph *g, const krs_model_config *c, const krs_model_sizes *s,
     krs_node *states, struct list *l, krs_error *err)
{
    krs_causal_model model;
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA:
    case KRS_FAMILY_GPT2:
        KRS_TRY(krs_model_causal(c, &model, err));
        return causal_outputs(g, &model, s, states, l);
    case KRS_FAMILY_BERT: return bert_outputs(g, &c->of.bert, s, states, l);
    case KRS_FAMILY_ENCDEC:
        return encdec_outputs(g, &c->of.encdec, s, states, l);
    }
    return KRS_OK;
}

/* How many hidden states there are. */
static size_t
state_count(const krs_model_config *c)
{
    switch (krs_architecture_family(c->architecture)) {
    case KRS_FAMILY_LLAMA: return (size_t)c->of.llama.num_hidden_layers + 1;
    case KRS_FAMILY_GPT2: return (size_t)c->of.gpt2.n_layer + 1;
    case KRS_FAMILY_BERT: return (size_t)c->of.bert.num_hidden_layers + 1;
    case KRS_FAMILY_ENCDEC:
        return (size_t)(c->of.encdec.encoder_layers +
                        c->of.encdec.decoder_layers) +
               2;
    }
    return 0;
}

krs_status
krs_model_outputs(krs_graph *g, const krs_model_config *c,
                  const krs_model_sizes *sizes, krs_model_output **out,
                  size_t *out_count, krs_error *err)
{
    enum { OTHERS = 4 }; /* logits, loss */
    size_t most = state_count(c) + OTHERS;
    krs_node *states = calloc(most, sizeof *states);
    struct list l = {calloc(most, sizeof *l.items), 0};
    krs_status status = KRS_OK;
    if (states == NULL || l.items == NULL)
        status = krs_fail(err, KRS_E_MEMORY, "no memory for %zu outputs", most);
    if (status == KRS_OK)
        status = fill(g, c, sizes, states, &l, err);
    if (status == KRS_OK)
        status = krs_graph_check(g, err);
    free(states);
    if (status != KRS_OK) {
        free(l.items);
        return status;
    }
    *out = l.items;
    *out_count = l.count;
    return KRS_OK;
}

krs_status
krs_model_parameters(const krs_model_config *c, krs_graph **out_graph,
                     krs_node **out_parameters, size_t *out_count,
                     krs_error *err)
{
    const krs_model_sizes one = {1, 1, 1};
    krs_model_output *outputs;
    size_t count;
    krs_graph *g = krs_graph_new();
    if (g == NULL)
        return krs_fail(err, KRS_E_MEMORY, "parameters: no memory for a graph");
    krs_status status = krs_model_outputs(g, c, &one, &outputs, &count, err);
    if (status == KRS_OK) {
        free(outputs);
        status = krs_nn_parameters(g, out_parameters, out_count, err);
    }
    if (status != KRS_OK) {
        krs_graph_free(g);
        return status;
    }
    *out_graph = g;
    return KRS_OK;
}
