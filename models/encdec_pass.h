/* encdec_pass.h -- the forward pass of an encoder-decoder in parts: encdec.c
 * has the layers, encdec_style.c what differs between architectures, encdec_call.c
 * joins them to a whole or to what generation
 * needs.
 */
#ifndef KRSI_ENCDEC_PASS_H
#define KRSI_ENCDEC_PASS_H

#include "causal_pass.h"

#include <krs/encdec.h>

/* Encoder and decoder: places [side] below. */
enum { ENCODER, DECODER };

/* Names of the tensors of a layer; up alone, or gate and gated_up. */
struct krsi_side {
    const char *name, *self, *self_norm, *cross, *cross_norm;
    const char *up, *gate, *gated_up, *down, *feed_norm;
};

enum krsi_places {
    KRSI_PLACES_SINES_IN_TURN, /* sin, cos, sin, cos .. */
    KRSI_PLACES_SINES_FIRST,   /* all sines, then all cosines */
    KRSI_PLACES_LEARNED,
    KRSI_PLACES_RELATIVE /* numbers on the scores: T5 */
};

/* What an architecture fixes. */
struct krsi_style {
    const struct krsi_side *sides; /* [2] */
    const char *root;              /* scope around all but the head, or NULL */
    const char *layers, *q, *k, *v, *out, *final_norm;
    enum krsi_places places;
    int64_t rows_before; /* of a learned table, before that of place 0 */
    bool embedding_norm; /* behind the embeddings */
    bool logits_bias;    /* a bias of the logits, which is not trained */
};

/* One forward pass: begin, then encode, decode. */
struct krsi_encdec {
    krs_graph *g;
    const krs_encdec_config *config;
    const struct krsi_style *style;
    bool norms_first;
    int64_t B, S;
    krs_node source_mask;       /* bool [B,1,1,S], or none */
    krs_node encoded;           /* f32 [B,S,C]; none: keys and values of the
                                   source are read from states */
    struct krsi_causal decoder; /* of krsi_encdec_decode */
};

/* krsi_encdec_begin(g, config, B, S, mask) -- mask bool [B,S] or none.
 * krsi_encdec_encode(p, ids, hidden) -- ids i64 [B,S] to f32 [B,S,C].
 * krsi_encdec_decode(p, call, result) -- logits and loss of the decoder.
 * krsi_encdec_keep(p, updates) -- p->encoded as keys and values in states: 2
 * updates a layer. */
struct krsi_encdec krsi_encdec_begin(krs_graph *g,
                                     const krs_encdec_config *config, int64_t B,
                                     int64_t S, krs_node source_mask);
krs_node krsi_encdec_encode(const struct krsi_encdec *p, krs_node ids,
                            krs_node *hidden);
krs_node krsi_encdec_decode(struct krsi_encdec *p, const krs_causal_call *call,
                            krs_causal_result *result);
void krsi_encdec_keep(const struct krsi_encdec *p, krs_node *updates);

/* encdec_style.c */
const struct krsi_style *krsi_encdec_style(krs_architecture architecture);

/* encdec_config.c: what a row of KRS_FEED_FORWARD_LIST says */
krs_activation krsi_feed_forward_kind(krs_feed_forward feed_forward);
bool krsi_feed_forward_gated(krs_feed_forward feed_forward);

#endif
