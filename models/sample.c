/* sample.c -- rules on logits, and the choice of a token (generate.h).
 *
 * In: logits in f64, the ids so far, rules in the order in which they act.
 * Out: the logits changed in place, -inf where a token is removed.
 *
 * Each rule sees what the rules before it left and takes the softmax anew.
 * Where two tokens tie and only one can stay, the one with the lower id does.
 * Nothing is kept between calls.
 */
#include <krs/generate.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a rule works on. `p` and `order` are scratch. */
struct row {
    double *logits; /* [vocab] */
    int64_t vocab;
    const int64_t *history; /* [length] */
    size_t length;
    double *p;            /* [vocab] */
    struct ranked *order; /* [vocab] */
};

struct ranked {
    double key;
    int64_t id;
};

/* ---- names and bounds ---- */

const char *
krs_logits_name(krs_logits_kind kind)
{
    switch (kind) {
#define NAME_CASE(NAME, name, least, most, end) \
    case KRS_LOGITS_##NAME: return #name;
        KRS_LOGITS_RULE_LIST(NAME_CASE)
#undef NAME_CASE
    case KRS_LOGITS_KINDS: break;
    }
    return "?";
}

bool
krs_logits_parse(const char *name, krs_logits_kind *out)
{
    for (int kind = 0; kind < KRS_LOGITS_KINDS; kind++)
        if (strcmp(name, krs_logits_name((krs_logits_kind)kind)) == 0) {
            *out = (krs_logits_kind)kind;
            return true;
        }
    return false;
}

enum { EXCLUDED, INCLUDED };

static const struct {
    double least, most;
    int end;
} bounds[] = {
#define BOUNDS(NAME, name, least, most, end) {least, most, end},
    KRS_LOGITS_RULE_LIST(BOUNDS)
#undef BOUNDS
};

static krs_status
check_rule(const krs_logits_rule *rule, krs_error *err)
{
    if ((unsigned)rule->kind >= KRS_LOGITS_KINDS)
        return krs_fail(err, KRS_E_RANGE, "logits: %d is not a kind of rule",
                        (int)rule->kind);
    double least = bounds[rule->kind].least, most = bounds[rule->kind].most;
    bool included = bounds[rule->kind].end == INCLUDED;
    double value = rule->value;
    bool is_count = rule->kind == KRS_LOGITS_TOP_K ||
                    rule->kind == KRS_LOGITS_NO_REPEAT_NGRAM;
    if (!(included ? value >= least : value > least) || value > most ||
        (is_count && value != floor(value)))
        return krs_fail(
            err, KRS_E_RANGE, "logits: %s %g is not a%s number in %c%g, %g]",
            krs_logits_name(rule->kind), value, is_count ? " whole" : "",
            included ? '[' : '(', least, most);
    return KRS_OK;
}

/* ---- softmax ---- */

int64_t
krs_logits_argmax(const double *logits, int64_t vocab)
{
    int64_t best = 0;
    for (int64_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

void
krs_logits_softmax(const double *logits, int64_t vocab, double *p)
{
    if (vocab <= 0)
        return;
    double top = logits[krs_logits_argmax(logits, vocab)], sum = 0.0;
    for (int64_t i = 0; i < vocab; i++) {
        p[i] = exp(logits[i] - top);
        sum += p[i];
    }
    for (int64_t i = 0; i < vocab; i++)
        p[i] /= sum;
}

int64_t
krs_logits_draw(const double *logits, int64_t vocab, double u)
{
    int64_t best = krs_logits_argmax(logits, vocab);
    double sum = 0.0, left;
    for (int64_t i = 0; i < vocab; i++)
        sum += exp(logits[i] - logits[best]);
    left = u * sum;
    for (int64_t i = 0; i < vocab; i++) {
        double p = exp(logits[i] - logits[best]);
        if (p > 0.0 && left < p)
            return i;
        left -= p;
    }
    return best; /* u fell into the rounding of the sum */
}

/* ---- the rules ---- */

static void
scale_by_temperature(struct row *r, double temperature)
{
    for (int64_t i = 0; i < r->vocab; i++)
        r->logits[i] /= temperature;
}

/* Ascending keys; of equal ones the higher id first. */
static int
by_key(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->id > b->id ? -1 : a->id < b->id;
}

static void
rank(struct row *r, const double *keys)
{
    for (int64_t i = 0; i < r->vocab; i++)
        r->order[i] = (struct ranked){keys[i], i};
    qsort(r->order, (size_t)r->vocab, sizeof *r->order, by_key);
}

static void
keep_top_k(struct row *r, double k)
{
    if (k >= (double)r->vocab)
        return;
    rank(r, r->logits);
    double least = r->order[r->vocab - (int64_t)k].key;
    for (int64_t i = 0; i < r->vocab; i++)
        if (r->logits[i] < least)
            r->logits[i] = -INFINITY;
}

static void
keep_top_p(struct row *r, double mass)
{
    krs_logits_softmax(r->logits, r->vocab, r->p);
    rank(r, r->logits);
    double below = 0.0;
    for (int64_t i = 0; i < r->vocab - 1; i++) {
        int64_t id = r->order[i].id;
        below += r->p[id];
        if (below > 1.0 - mass)
            break;
        r->logits[id] = -INFINITY;
    }
}

/* Remove what is less likely than `least`, but not the likeliest. */
static void
cut_below(struct row *r, double least)
{
    double top = r->p[krs_logits_argmax(r->p, r->vocab)];
    for (int64_t i = 0; i < r->vocab; i++)
        if (r->p[i] < least && r->p[i] < top)
            r->logits[i] = -INFINITY;
}

static void
keep_min_p(struct row *r, double share)
{
    krs_logits_softmax(r->logits, r->vocab, r->p);
    cut_below(r, share * r->p[krs_logits_argmax(r->p, r->vocab)]);
}

static void
cut_epsilon(struct row *r, double least)
{
    krs_logits_softmax(r->logits, r->vocab, r->p);
    cut_below(r, least);
}

/* Meister et al. 2022, eq. 6: by | -ln p - H |, H = -sum p ln p. Ids as far
 * from the entropy as the last one needed stay with it. */
static void
keep_typical(struct row *r, double mass)
{
    krs_logits_softmax(r->logits, r->vocab, r->p);
    double entropy = 0.0;
    for (int64_t i = 0; i < r->vocab; i++)
        if (r->p[i] > 0.0)
            entropy -= r->p[i] * log(r->p[i]);
    for (int64_t i = 0; i < r->vocab; i++)
        r->order[i] = (struct ranked){fabs(-log(r->p[i]) - entropy), i};
    qsort(r->order, (size_t)r->vocab, sizeof *r->order, by_key);

    int64_t last = 0;
    double sum = r->p[r->order[0].id];
    while (sum < mass && last < r->vocab - 1)
        sum += r->p[r->order[++last].id];
    double farthest = r->order[last].key;
    for (int64_t i = last + 1; i < r->vocab; i++)
        if (r->order[i].key > farthest)
            r->logits[r->order[i].id] = -INFINITY;
}

/* p serves as the set of ids seen, so that each is penalised once. */
static void
penalise_repetition(struct row *r, double penalty)
{
    for (int64_t i = 0; i < r->vocab; i++)
        r->p[i] = 0.0;
    for (size_t i = 0; i < r->length; i++) {
        int64_t id = r->history[i];
        if (r->p[id] > 0.0)
            continue;
        r->p[id] = 1.0;
        if (r->logits[id] < 0.0)
            r->logits[id] *= penalty;
        else
            r->logits[id] /= penalty;
    }
}

static void
ban_repeated_ngrams(struct row *r, double size)
{
    if (size > (double)r->length)
        return;
    size_t context = (size_t)size - 1;
    const int64_t *now = r->history + r->length - context;
    for (size_t i = 0; i + context < r->length; i++)
        if (context == 0 ||
            memcmp(r->history + i, now, context * sizeof *now) == 0)
            r->logits[r->history[i + context]] = -INFINITY;
}

static void
apply(struct row *r, const krs_logits_rule *rule)
{
    switch (rule->kind) {
    case KRS_LOGITS_REPETITION_PENALTY:
        penalise_repetition(r, rule->value);
        break;
    case KRS_LOGITS_NO_REPEAT_NGRAM: ban_repeated_ngrams(r, rule->value); break;
    case KRS_LOGITS_TEMPERATURE: scale_by_temperature(r, rule->value); break;
    case KRS_LOGITS_TOP_K: keep_top_k(r, rule->value); break;
    case KRS_LOGITS_TOP_P: keep_top_p(r, rule->value); break;
    case KRS_LOGITS_MIN_P: keep_min_p(r, rule->value); break;
    case KRS_LOGITS_TYPICAL_P: keep_typical(r, rule->value); break;
    case KRS_LOGITS_EPSILON_CUTOFF: cut_epsilon(r, rule->value); break;
    case KRS_LOGITS_KINDS: break;
    }
}

/* ---- all together ---- */

static krs_status
check_row(const struct row *r, krs_error *err)
{
    for (int64_t i = 0; i < r->vocab; i++)
        if (isnan(r->logits[i]) || r->logits[i] == INFINITY)
            return krs_fail(err, KRS_E_RANGE,
                            "logits: %g for id %lld; the model's output is "
                            "not usable",
                            r->logits[i], (long long)i);
    for (size_t i = 0; i < r->length; i++)
        if (r->history[i] < 0 || r->history[i] >= r->vocab)
            return krs_fail(err, KRS_E_RANGE,
                            "logits: id %lld at place %zu of the history is "
                            "outside the vocabulary of %lld",
                            (long long)r->history[i], i, (long long)r->vocab);
    return KRS_OK;
}

krs_status
krs_logits_apply(const krs_logits_rule *rules, size_t count, double *logits,
                 int64_t vocab, const int64_t *history, size_t length,
                 krs_error *err)
{
    struct row r = {
        .logits = logits, .vocab = vocab, .history = history, .length = length};
    if (vocab < 1)
        return krs_fail(err, KRS_E_RANGE, "logits: a vocabulary of %lld",
                        (long long)vocab);
    KRS_TRY(check_row(&r, err));
    for (size_t i = 0; i < count; i++)
        KRS_TRY(check_rule(&rules[i], err));
    if (count == 0)
        return KRS_OK;

    r.p = calloc((size_t)vocab, sizeof *r.p);
    r.order = calloc((size_t)vocab, sizeof *r.order);
    krs_status status = KRS_OK;
    if (r.p == NULL || r.order == NULL)
        status = krs_fail(err, KRS_E_MEMORY,
                          "logits: no memory to sort a vocabulary of %lld",
                          (long long)vocab);
    for (size_t i = 0; i < count && status == KRS_OK; i++)
        apply(&r, &rules[i]);
    free(r.order);
    free(r.p);
    return status;
}
