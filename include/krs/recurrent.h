/* recurrent.h -- recurrent layers over time, and their cells: one step of them.
 *
 *     krs_node h, c;
 *     krs_recurrent_weights w = {w_ih, w_hh, b_ih, b_hh};
 *     krs_node y = krs_lstm(x, h0, c0, &w, KRS_SCAN_FORWARD, &h, &c);
 *
 * Gates lie one after the other in the rows of the weights, in the order that
 * PyTorch keeps them: LSTM i, f, g, o; GRU r, z, n. All are built on krs_scan,
 * so a gradient keeps the states of each step and computes the gates again;
 * products with x are taken for all steps at once. KRS_SCAN_REVERSE runs from
 * the last step to the first; y[:,t] is the state after step t in both.
 */
#ifndef KRS_RECURRENT_H
#define KRS_RECURRENT_H

#include <krs/scan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* G gates (RNN 1, GRU 3, LSTM 4) of H units on D inputs. */
typedef struct krs_recurrent_weights {
    krs_node w_ih; /* float [G*H, D] */
    krs_node w_hh; /* as w_ih [G*H, H] */
    krs_node b_ih; /* as w_ih [G*H], or KRS_NONE */
    krs_node b_hh; /* the same */
} krs_recurrent_weights;

typedef enum krs_rnn_kind { KRS_RNN_TANH, KRS_RNN_RELU } krs_rnn_kind;

/* The cells; with a = x w_ih^T + b_ih and b = h w_hh^T + b_hh, a and b split
 * into gates, s the logistic function:
 *
 *      rnn   h' = tanh(a + b), or relu
 *      gru   r = s(a_r + b_r)   z = s(a_z + b_z)   n = tanh(a_n + r b_n)
 *            h' = n + z (h - n)
 *      lstm  i = s(a_i + b_i)   f = s(a_f + b_f)   g = tanh(a_g + b_g)
 *            o = s(a_o + b_o)
 *            c' = f c + i g     h' = o tanh(c')
 *
 *   x      float [B, D]    h, c  as x [B, H]    -> h', as x [B, H]
 *   out_c  where c' goes
 *
 * Errors    SHAPE if sizes disagree; DTYPE if types differ; ARGUMENT for a kind
 *           that is none.
 * Gradient  all operands.
 * Cost      2 B G H (D + H) flop and G H functions a row.
 * Source    Elman 1990; Cho et al. 2014, with the bias of b_n inside the
 *           product; Hochreiter & Schmidhuber 1997 with the forget gate of Gers
 *           et al. 2000. */
KRS_API krs_node krs_rnn_cell_at(krs_place at, krs_node x, krs_node h,
                                 const krs_recurrent_weights *weights,
                                 krs_rnn_kind kind);
KRS_API krs_node krs_gru_cell_at(krs_place at, krs_node x, krs_node h,
                                 const krs_recurrent_weights *weights);
KRS_API krs_node krs_lstm_cell_at(krs_place at, krs_node x, krs_node h,
                                  krs_node c,
                                  const krs_recurrent_weights *weights,
                                  krs_node *out_c);
#define krs_rnn_cell(...)  krs_rnn_cell_at(KRS_HERE, __VA_ARGS__)
#define krs_gru_cell(...)  krs_gru_cell_at(KRS_HERE, __VA_ARGS__)
#define krs_lstm_cell(...) krs_lstm_cell_at(KRS_HERE, __VA_ARGS__)

/* The layers: the cell for t = 0 .. T-1, or from the end.
 *
 *   x             float [B, T, D]; T may be 0
 *   h0, c0        as x [B, H]
 *   ->            as x [B, T, H], h' of each step
 *   out_h, out_c  where h and c of the last step go, as h0
 *
 * Errors, gradient, source  as for the cells. */
KRS_API krs_node krs_rnn_at(krs_place at, krs_node x, krs_node h0,
                            const krs_recurrent_weights *weights,
                            krs_rnn_kind kind, krs_scan_direction direction,
                            krs_node *out_h);
KRS_API krs_node krs_gru_at(krs_place at, krs_node x, krs_node h0,
                            const krs_recurrent_weights *weights,
                            krs_scan_direction direction, krs_node *out_h);
KRS_API krs_node krs_lstm_at(krs_place at, krs_node x, krs_node h0, krs_node c0,
                             const krs_recurrent_weights *weights,
                             krs_scan_direction direction, krs_node *out_h,
                             krs_node *out_c);
#define krs_rnn(...)  krs_rnn_at(KRS_HERE, __VA_ARGS__)
#define krs_gru(...)  krs_gru_at(KRS_HERE, __VA_ARGS__)
#define krs_lstm(...) krs_lstm_at(KRS_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
