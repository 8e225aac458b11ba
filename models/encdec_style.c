/* encdec_style.c -- what the architectures of encdec.h fix: places, norms, names
 * of tensors.
 *
 * In: an architecture. Out: its row. encdec.c has no case for any of them.
 */
#include "encdec_pass.h"

static const struct krsi_side marian_sides[2] = {
    {"encoder", "self_attn", "self_attn_layer_norm", NULL,           NULL, "fc1", NULL,
     NULL,                                                                                    "fc2", "final_layer_norm"},
    {"decoder", "self_attn", "self_attn_layer_norm", "encoder_attn",
     "encoder_attn_layer_norm",                                            "fc1", NULL, NULL, "fc2", "final_layer_norm"},
};

#define T5_FEED(n)                                                          \
    "layer." n ".DenseReluDense.wi", "layer." n ".DenseReluDense.wi_0",     \
        "layer." n ".DenseReluDense.wi_1", "layer." n ".DenseReluDense.wo", \
        "layer." n ".layer_norm"

static const struct krsi_side t5_sides[2] = {
    {"encoder", "layer.0.SelfAttention", "layer.0.layer_norm", NULL, NULL,
     T5_FEED("1")                                                                                      },
    {"decoder", "layer.0.SelfAttention", "layer.0.layer_norm",
     "layer.1.EncDecAttention",                                      "layer.1.layer_norm", T5_FEED("2")},
};

#define MARIAN_NAMES                                                           \
    .sides = marian_sides, .root = "model", .layers = "layers", .q = "q_proj", \
    .k = "k_proj", .v = "v_proj", .out = "out_proj",                           \
    .final_norm = "layer_norm"

static const struct krsi_style transformer_style = {
    MARIAN_NAMES, .places = KRSI_PLACES_SINES_IN_TURN};
static const struct krsi_style marian_style = {
    MARIAN_NAMES, .places = KRSI_PLACES_SINES_FIRST, .logits_bias = true};
static const struct krsi_style bart_style = {
    MARIAN_NAMES, .places = KRSI_PLACES_LEARNED, .rows_before = 2,
    .embedding_norm = true, .logits_bias = true};
static const struct krsi_style t5_style = {.sides = t5_sides,
                                           .layers = "block",
                                           .q = "q",
                                           .k = "k",
                                           .v = "v",
                                           .out = "o",
                                           .final_norm = "final_layer_norm",
                                           .places = KRSI_PLACES_RELATIVE};

const struct krsi_style *
krsi_encdec_style(krs_architecture a)
{
    return a == KRS_ARCHITECTURE_T5       ? &t5_style
           : a == KRS_ARCHITECTURE_BART   ? &bart_style
           : a == KRS_ARCHITECTURE_MARIAN ? &marian_style
                                          : &transformer_style;
}
