/* train.h -- training: learning rate, clipping, optimizers, the trainer.
 *
 * The first half is graph code: functions that add nodes, so that forward,
 * backward, clipping, schedule, optimizer and the step counter are one
 * program (krs_train_step). The second half, krs_trainer, drives that program
 * over a text: batches, validation, metrics, checkpoints, resume.
 *
 * A trainer is for one thread at a time; krs_trainer_stop alone may be called
 * from a signal handler or another thread.
 */
#ifndef KRS_TRAIN_H
#define KRS_TRAIN_H

#include <krs/data.h>
#include <krs/graph.h>
#include <krs/program.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- learning rate ---- */

/* The shapes a learning rate takes after the warm-up: NAME, name. With
 * r = (total - s) / (total - warmup), held in [0, 1], at step s, and
 * low = min_ratio:
 *
 *   constant      1
 *   linear        low + (1-low) r
 *   cosine        low + (1-low) (1 + cos(pi (1-r))) / 2
 *   polynomial    low + (1-low) r^power
 *   wsd           1 for stable_steps, then as linear over the rest
 *   wsd_cosine    1 for stable_steps, then as cosine over the rest
 *   noam          model_size^-1/2 min((s+1)^-1/2, (s+1) warmup^-3/2), from
 *                 the first step on
 *   inverse_sqrt  sqrt(warmup / s)
 *
 * Sources: cosine: Loshchilov & Hutter 2017, eq. 5; wsd: Hu et al. 2024,
 * section 4; noam: Vaswani et al. 2017, eq. 3. */
#define KRS_SCHEDULE_LIST(X)  \
    X(CONSTANT, constant)     \
    X(LINEAR, linear)         \
    X(COSINE, cosine)         \
    X(POLYNOMIAL, polynomial) \
    X(WSD, wsd)               \
    X(WSD_COSINE, wsd_cosine) \
    X(NOAM, noam)             \
    X(INVERSE_SQRT, inverse_sqrt)

typedef enum krs_schedule_kind {
#define KRS_SCHEDULE_ENUM(NAME, name) KRS_SCHEDULE_##NAME,
    KRS_SCHEDULE_LIST(KRS_SCHEDULE_ENUM)
#undef KRS_SCHEDULE_ENUM
        KRS_SCHEDULE_COUNT
} krs_schedule_kind;

typedef struct krs_schedule {
    size_t struct_size; /* sizeof (krs_schedule) */
    krs_schedule_kind kind;
    int64_t warmup_steps;  /* 0: none */
    int64_t warmup_offset; /* factor (s + offset) / warmup while s < warmup:
                              0 starts at 0, 1 moves from the first step */
    int64_t total_steps;   /* the end of the decay */
    int64_t stable_steps;  /* wsd */
    double min_ratio;      /* in [0, 1] */
    double power;          /* polynomial */
    double model_size;     /* noam */
} krs_schedule;

/* krs_schedule_name(kind) -- "cosine"; "?" outside the list.
 * krs_schedule_parse(name, &kind) -- false if there is none of that name.
 * krs_schedule_default() -- cosine to a tenth, offset 1, no steps set. */
KRS_API const char *krs_schedule_name(krs_schedule_kind kind);
KRS_API bool krs_schedule_parse(const char *name, krs_schedule_kind *out);
KRS_API krs_schedule krs_schedule_default(void);

/* krs_schedule_factor(step, schedule) -- the factor on the peak learning rate.
 *
 *   step   i64 scalar, 0 at the first step     ->  f32 scalar
 *
 * Errors     RANGE for a schedule that contradicts itself. Good to about
 *            3e-7 of the value: r comes from an integer difference and the
 *            cosine is taken as sin^2(pi r / 2), which does not cancel. */
KRS_API krs_node krs_schedule_factor_at(krs_place at, krs_node step,
                                        const krs_schedule *schedule);
#define krs_schedule_factor(step, schedule) \
    krs_schedule_factor_at(KRS_HERE, step, schedule)

/* ---- gradients ---- */

/* krs_global_norm(x, count) -- sqrt of the sum of all squares of all tensors,
 * f32. krs_clip_factor(norm, max_norm) -- max_norm / (norm + 1e-6) where that
 * is below 1, else 1. Source: Pascanu et al. 2013, algorithm 1. */
KRS_API krs_node krs_global_norm_at(krs_place at, const krs_node *x,
                                    size_t count);
KRS_API krs_node krs_clip_factor_at(krs_place at, krs_node norm,
                                    double max_norm);
#define krs_global_norm(x, count) krs_global_norm_at(KRS_HERE, x, count)
#define krs_clip_factor(norm, max_norm) \
    krs_clip_factor_at(KRS_HERE, norm, max_norm)

/* ---- optimizers ---- */

/* NAME, name, tensors kept for each parameter. g is the clipped gradient, d
 * the weight decay, t = s + 1:
 *
 *   sgd     g += d p;  m = momentum m + (1-dampening) g (m = g at first);
 *           p -= lr m, or lr (g + momentum m) with nesterov
 *   adam    g += d p, then as adamw without its decay
 *   adamw   p -= lr d p;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
 *           p -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
 *   lion    p -= lr d p;  p -= lr sign(b1 m + (1-b1) g);
 *           m = b2 m + (1-b2) g
 *
 * Sources: adam: Kingma & Ba 2015; adamw: Loshchilov & Hutter 2019,
 * algorithm 2; lion: Chen et al. 2023, algorithm 2. */
#define KRS_OPTIMIZER_LIST(X) \
    X(SGD, sgd, 1)            \
    X(ADAM, adam, 2)          \
    X(ADAMW, adamw, 2)        \
    X(LION, lion, 1)
#define KRS_OPTIMIZER_MOMENTS_MAX 2

typedef enum krs_optimizer_kind {
#define KRS_OPTIMIZER_ENUM(NAME, name, moments) KRS_OPTIMIZER_##NAME,
    KRS_OPTIMIZER_LIST(KRS_OPTIMIZER_ENUM)
#undef KRS_OPTIMIZER_ENUM
        KRS_OPTIMIZER_COUNT
} krs_optimizer_kind;

typedef struct krs_optimizer {
    size_t struct_size; /* sizeof (krs_optimizer) */
    krs_optimizer_kind kind;
    double learning_rate; /* the peak; times the schedule's factor */
    double beta1, beta2;
    double eps;
    double momentum, dampening; /* sgd */
    bool nesterov;              /* sgd */
    double weight_decay;
    int decay_min_rank;   /* decay only parameters of at least that rank */
    double max_grad_norm; /* 0: gradients are not clipped */
    krs_schedule schedule;
} krs_optimizer;

/* krs_optimizer_name(kind), krs_optimizer_parse(name, &kind) as above.
 * krs_optimizer_default() -- adamw: rate 1e-3, betas 0.9 and 0.95, eps 1e-8,
 * decay 0.1 from rank 2 on, clipped at 1, krs_schedule_default(). */
KRS_API const char *krs_optimizer_name(krs_optimizer_kind kind);
KRS_API bool krs_optimizer_parse(const char *name, krs_optimizer_kind *out);
KRS_API krs_optimizer krs_optimizer_default(void);

/* krs_bias_correction(step, beta) -- 1 - beta^(step+1), f32.
 *
 *   step   i64 scalar; beta in [0, 1)
 *
 * With x = -(step+1) ln(beta) / 2 it is 2 tanh(x) / (1 + tanh(x)): no
 * difference of near numbers, so it is good to about 4e-7 of its value for
 * every step, where 1 - exp(t ln beta) in f32 loses five digits at first. */
KRS_API krs_node krs_bias_correction_at(krs_place at, krs_node step,
                                        double beta);
#define krs_bias_correction(step, beta) \
    krs_bias_correction_at(KRS_HERE, step, beta)

/* krs_optimizer_update(optimizer, parameter, gradient, rate, step, updates) --
 * the new parameter and its moments, as krs_update nodes.
 *
 *   parameter   a state; half types are updated in f32 and rounded once
 *   gradient    as parameter, clipped already
 *   rate        f32 scalar;  step  i64 scalar
 *   updates     room for 1 + KRS_OPTIMIZER_MOMENTS_MAX nodes
 *   ->          how many there are, the parameter's first; 0 after an error
 *
 * Moments are f32 states "optimizer.<m or v>.<parameter>". Call it outside of
 * any scope. */
KRS_API size_t krs_optimizer_update_at(krs_place at,
                                       const krs_optimizer *optimizer,
                                       krs_node parameter, krs_node gradient,
                                       krs_node rate, krs_node step,
                                       krs_node *updates);
#define krs_optimizer_update(optimizer, parameter, gradient, rate, step,    \
                             updates)                                       \
    krs_optimizer_update_at(KRS_HERE, optimizer, parameter, gradient, rate, \
                            step, updates)

/* ---- a whole step ---- */

/* Outputs of krs_train_step before the updates. */
enum {
    KRS_STEP_LOSS,      /* f32, before the update */
    KRS_STEP_GRAD_NORM, /* f32, before clipping */
    KRS_STEP_RATE,      /* f32 */
    KRS_STEP_UPDATES    /* the first krs_update */
};

/* krs_train_step(loss, parameters, count, optimizer, outputs, capacity,
 * &output_count) -- backward, clip, schedule and optimizer as one program.
 *
 *   loss      float scalar
 *   outputs   KRS_STEP_UPDATES + 1 + count * (1 + KRS_OPTIMIZER_MOMENTS_MAX)
 *             nodes are always enough; given to krs_program_new as they are
 *
 * The steps made so far are counted in the i64 state "optimizer.step". After
 * an error the graph holds it, which is also the result.
 * Errors: SHAPE (loss not a scalar), RANGE (settings, capacity). */
KRS_API krs_status krs_train_step_at(krs_place at, krs_node loss,
                                     const krs_node *parameters, size_t count,
                                     const krs_optimizer *optimizer,
                                     krs_node *outputs, size_t capacity,
                                     size_t *out_count);
#define krs_train_step(...) krs_train_step_at(KRS_HERE, __VA_ARGS__)

/* ---- what is trained, and on what ---- */

/* A model as the trainer sees it. Borrowed pointers outlive the trainer. */
typedef struct krs_train_model {
    size_t struct_size; /* sizeof (krs_train_model) */
    void *user;
    /* The mean loss of a batch, f32 scalar, every parameter a state of g.
     *   ids      i64 [B, T]
     *   targets  i64 [B, T]: the token after each; -100 is not counted */
    krs_node (*loss)(void *user, krs_graph *g, krs_node ids, krs_node targets);
    /* What a checkpoint holds besides weights and moments: config.json, the
     * files of a tokenizer; at most 12, into that folder. NULL: nothing. */
    krs_status (*write_files)(void *user, const char *folder, krs_error *err);
} krs_train_model;

/* krs_train_causal_loss -- the next-token loss of a causal model (causal.h), as
 * .loss with .user pointing to its krs_causal_model. */
KRS_API krs_node krs_train_causal_loss(void *user, krs_graph *g, krs_node ids,
                                       krs_node targets);

/* Batches of B x T tokens. One thread at a time. */
typedef struct krs_train_batches {
    size_t struct_size; /* sizeof (krs_train_batches) */
    void *user;
    /* the next training batch, i64 [B, T] each; moves the cursor by one */
    krs_status (*next)(void *user, int64_t *ids, int64_t *targets,
                       krs_error *err);
    /* batch i of the validation split, 0 <= i < validation_count */
    krs_status (*validation)(void *user, int64_t i, int64_t *ids,
                             int64_t *targets, krs_error *err);
    /* continue as if `cursor` batches had been taken since the start */
    krs_status (*seek)(void *user, int64_t cursor, krs_error *err);
    int64_t validation_count;
    double bytes_per_token; /* of the validation split; 0: not known */
    uint64_t seed;          /* of the order of the batches; kept in checkpoints
                               and compared on resume, as is the next one */
    uint64_t fingerprint;   /* of the data */
} krs_train_batches;

/* krs_train_text_new(data, batch, seed, &text, err) -- batches of `batch`
 * windows of a text (data.h; borrowed, outlives text), shuffled by seed.
 * krs_train_text_batches(text, bytes_per_token) -- as the trainer takes them;
 * bytes_per_token is 1 for KRS_TOKENS_BYTES. Errors: RANGE, MEMORY.
 * One thread at a time. */
typedef struct krs_train_text krs_train_text;
KRS_API krs_status krs_train_text_new(const krs_data *data, int64_t batch,
                                      uint64_t seed, krs_train_text **out,
                                      krs_error *err);
KRS_API void krs_train_text_free(krs_train_text *text); /* NULL is fine */
KRS_API krs_train_batches krs_train_text_batches(krs_train_text *text,
                                                 double bytes_per_token);

/* ---- the trainer ---- */

/* One thread at a time, but for krs_trainer_stop. */
typedef struct krs_trainer krs_trainer;

typedef struct krs_trainer_options {
    size_t struct_size; /* sizeof (krs_trainer_options) */
    krs_train_model model;
    krs_train_batches batches;
    krs_optimizer optimizer;
    int64_t batch, time; /* B, T */
} krs_trainer_options;

/* What a step or an evaluation found. */
typedef struct krs_train_report {
    int64_t step;     /* steps made, this one included */
    int64_t tokens;   /* tokens trained on so far */
    double loss;      /* of the batch before the update, nats a token */
    double grad_norm; /* before clipping */
    double learning_rate;
    double seconds;         /* of this step */
    double tokens_s;        /* smoothed over about ten steps */
    double eta_s;           /* to the last step of the run; 0 outside of one */
    bool evaluated;         /* the rest is set */
    double validation_loss; /* nats a token */
    double bits_per_byte;   /* 0 if bytes_per_token is not known */
} krs_train_report;

/* krs_trainer_new(store, options, &trainer, err) -- build the graphs and
 * prepare the programs. The parameters must be in the store already (fresh or
 * loaded); optimizer states are added, zeroed. The store outlives it.
 * Errors     ARGUMENT, RANGE (settings); NAME (a parameter is not in the
 *            store); those of the model's graph and of krs_program_new. */
KRS_API krs_status krs_trainer_new(krs_store *store,
                                   const krs_trainer_options *options,
                                   krs_trainer **out, krs_error *err);
KRS_API void krs_trainer_free(krs_trainer *trainer);

/* krs_trainer_step(trainer, &report, err) -- one batch, one update.
 * Errors     those of the batches and of krs_program_run; RANGE if loss or
 *            gradient is not finite: the weights are spoilt then, go back to
 *            a checkpoint. */
KRS_API krs_status krs_trainer_step(krs_trainer *trainer,
                                    krs_train_report *report, krs_error *err);

/* krs_trainer_evaluate(trainer, most_batches, &report, err) -- the mean loss
 * of the validation split; most_batches 0: all of it, else that many batches
 * spread evenly over it. Fills step, tokens and
 * the evaluated part of report. Changes nothing. */
KRS_API krs_status krs_trainer_evaluate(krs_trainer *trainer,
                                        int64_t most_batches,
                                        krs_train_report *report,
                                        krs_error *err);

/* Steps made; parameters (elements). */
KRS_API int64_t krs_trainer_steps(const krs_trainer *trainer);
KRS_API int64_t krs_trainer_parameters(const krs_trainer *trainer);

/* krs_trainer_stop(trainer) -- let krs_trainer_run finish its step, write a
 * checkpoint and return CANCELLED. Async-signal-safe. */
KRS_API void krs_trainer_stop(krs_trainer *trainer);

/* ---- checkpoints ----
 *
 * A run folder holds metrics.jsonl and checkpoint-<step> folders, each with
 *
 *   model.safetensors      the parameters
 *   optimizer.safetensors  the moments
 *   config.json            of the model, and what else it writes
 *   trainer.json           step, cursor, settings; size and XXH3-128 hash of
 *                          the files above
 *
 * A checkpoint is written under another name, every file and the folder
 * flushed to the disk, renamed, and the run folder flushed; only then are
 * older ones removed. A folder of that name is therefore whole, whenever the
 * process or the machine stopped. */

/* krs_trainer_save(trainer, run, keep, err) -- write run/checkpoint-<step>
 * and remove all but the newest `keep` (at least 1). run is made if absent.
 * A checkpoint of that step is replaced, unless this state is in it already.
 * Errors     IO, with what was there before intact. */
KRS_API krs_status krs_trainer_save(krs_trainer *trainer, const char *run,
                                    int keep, krs_error *err);

/* krs_trainer_load(trainer, folder, err) -- continue from a checkpoint, bit
 * for bit if settings and data are the same.
 * Errors     IO; FORMAT (not a checkpoint, damaged, another version); ARGUMENT
 *            (of another optimizer, batch size, seed or text); those of
 *            krs_nn_load. After an error of the last kind do not step. */
KRS_API krs_status krs_trainer_load(krs_trainer *trainer, const char *folder,
                                    krs_error *err);

/* krs_checkpoint_latest(run, &path, err) -- the checkpoint of the highest step
 * in a run folder; free() the path. NAME if there is none. */
KRS_API krs_status krs_checkpoint_latest(const char *run, char **out_path,
                                         krs_error *err);

/* What trainer.json says of a checkpoint. */
typedef struct krs_checkpoint_info {
    int64_t step, tokens;
    int64_t batch, time;
    uint64_t seed, fingerprint; /* of the batches */
    int64_t metrics_bytes;      /* of metrics.jsonl at that moment */
    krs_optimizer optimizer;
} krs_checkpoint_info;

/* krs_checkpoint_read(folder, &info, err) -- read trainer.json and check the
 * files it lists against their size and hash. Errors: IO, FORMAT. */
KRS_API krs_status krs_checkpoint_read(const char *folder,
                                       krs_checkpoint_info *out,
                                       krs_error *err);

/* ---- a run ---- */

typedef struct krs_train_run {
    size_t struct_size;       /* sizeof (krs_train_run) */
    const char *folder;       /* metrics and checkpoints; NULL: neither */
    int64_t steps;            /* until that many are made */
    int64_t evaluate_every;   /* 0: only after the last step */
    int64_t evaluate_batches; /* 0: all */
    int64_t save_every;       /* 0: only after the last step */
    int keep;                 /* checkpoints, at least 1 */
    void (*report)(void *user, const krs_train_report *report);
    void *user;
} krs_train_run;

/* krs_trainer_run(trainer, run, err) -- step until `steps` are made, reporting
 * each, and write metrics.jsonl: one JSON object a line with step, loss,
 * grad_norm, lr, tokens, tok_s, seconds and, after an evaluation, val_loss and
 * val_bits_per_byte. The file is continued; what a run that was cut off wrote
 * after the checkpoint that was loaded is dropped.
 * Errors     CANCELLED after krs_trainer_stop, with a checkpoint written;
 *            NAME if the folder holds a checkpoint of a later step, or the
 *            metrics of another run; those of stepping, evaluating and
 *            saving. */
KRS_API krs_status krs_trainer_run(krs_trainer *trainer,
                                   const krs_train_run *run, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
