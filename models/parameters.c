/* parameters.c -- the parameters of a model: found in its graph, filled with
 * fresh values (nn.h). models/load/parameter_file.c reads and writes them.
 *
 * A parameter is a float state; which ones a model has is what its forward
 * pass declared, so there is no second list of names anywhere.
 *
 * Fresh values depend on the name, not on the order: the random stream of a
 * parameter is the XXH3 hash of its name, the low half as Philox stream, the
 * high half as step.
 */
#include <krs/nn.h>
#include <krs/random.h>

#include <float.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static bool
is_parameter(krs_node x)
{
    return krs_node_is_valid(x) && strcmp(krs_node_op(x), "state") == 0 &&
           krs_dtype_is_float(krs_node_dtype(x));
}

krs_status
krs_nn_parameters(krs_graph *g, krs_node **out_parameters, size_t *out_count,
                  krs_error *err)
{
    if (out_parameters == NULL || out_count == NULL)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "parameters: out_parameters or out_count is NULL");
    KRS_TRY(krs_graph_check(g, err));
    size_t count = 0;
    uint32_t size = krs_graph_size(g);
    for (uint32_t id = 1; id <= size; id++)
        count += is_parameter(krs_graph_node(g, id));

    krs_node *parameters = NULL;
    if (count > 0) {
        parameters = calloc(count, sizeof *parameters);
        if (parameters == NULL)
            return krs_fail(err, KRS_E_MEMORY,
                            "parameters: no memory for a list of %zu", count);
    }
    size_t next = 0;
    for (uint32_t id = 1; id <= size; id++) {
        krs_node x = krs_graph_node(g, id);
        if (is_parameter(x))
            parameters[next++] = x;
    }
    *out_parameters = parameters;
    *out_count = count;
    return KRS_OK;
}

/* Count in readers[id] the nodes but stop_gradient that read a node, and in
 * stops[id] those. */
static void
count_readers(krs_graph *g, uint32_t size, uint32_t *readers, uint32_t *stops)
{
    for (uint32_t id = 1; id <= size; id++) {
        krs_node x = krs_graph_node(g, id);
        bool stops_here = strcmp(krs_node_op(x), "stop_gradient") == 0;
        for (int i = 0; i < krs_node_operand_count(x); i++)
            (stops_here ? stops : readers)[krs_node_operand(x, i).id]++;
    }
}

krs_status
krs_nn_trainable(krs_graph *g, krs_node **out_parameters, size_t *out_count,
                 krs_error *err)
{
    krs_node *parameters;
    size_t count, kept = 0;
    KRS_TRY(krs_nn_parameters(g, &parameters, &count, err));
    uint32_t size = krs_graph_size(g);
    uint32_t *readers = calloc(2 * ((size_t)size + 1), sizeof *readers);
    if (readers == NULL) {
        free(parameters);
        return krs_fail(err, KRS_E_MEMORY,
                        "parameters: no memory for %u counts", size);
    }
    uint32_t *stops = readers + size + 1;
    count_readers(g, size, readers, stops);
    for (size_t i = 0; i < count; i++) {
        uint32_t id = parameters[i].id;
        if (readers[id] > 0 || stops[id] == 0)
            parameters[kept++] = parameters[i];
    }
    free(readers);
    *out_parameters = parameters;
    *out_count = kept;
    return KRS_OK;
}

/* The rules, before anything is filled by them. */
static krs_status
check_rules(const krs_init_rule *rules, size_t count, krs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const krs_init_rule *rule = &rules[i];
        if (rule->pattern == NULL)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "init: rule %zu has no pattern", i);
        if ((unsigned)rule->init > KRS_INIT_NORMAL)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "init: rule %zu (%s) says %d, which is not one of "
                            "krs_init",
                            i, rule->pattern, (int)rule->init);
        if (rule->init == KRS_INIT_NORMAL &&
            !(rule->value >= 0 && rule->value <= FLT_MAX))
            return krs_fail(err, KRS_E_RANGE,
                            "init: rule %zu (%s): a deviation of %g", i,
                            rule->pattern, rule->value);
    }
    return KRS_OK;
}

static const krs_init_rule *
rule_for(const char *name, const krs_init_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(rules[i].pattern, name, 0) == 0)
            return &rules[i];
    return NULL;
}

static void
fill(float *out, size_t count, const krs_init_rule *rule, const char *name,
     uint64_t seed)
{
    switch (rule->init) {
    case KRS_INIT_ZEROS:
    case KRS_INIT_ONES:
        for (size_t i = 0; i < count; i++)
            out[i] = rule->init == KRS_INIT_ONES ? 1.0F : 0.0F;
        break;
    case KRS_INIT_NORMAL: {
        uint64_t hash = XXH3_64bits(name, strlen(name));
        krs_random_fill_normal(out, count, rule->value, seed, hash >> 32,
                               (uint32_t)hash);
        break;
    }
    }
}

static krs_status
fill_one(krs_store *store, krs_node parameter, const krs_init_rule *rule,
         uint64_t seed, krs_error *err)
{
    const char *name = krs_node_name(parameter);
    krs_dtype dtype = krs_node_dtype(parameter);
    krs_shape shape = krs_node_shape(parameter);
    int64_t count;
    size_t bytes, f32_bytes;
    if (!krs_shape_elements(shape, &count) ||
        !krs_dtype_bytes(dtype, count, &bytes) ||
        !krs_dtype_bytes(KRS_F32, count, &f32_bytes))
        return krs_fail(err, KRS_E_SHAPE, "init: %s is too large", name);
    KRS_TRY(krs_store_add(store, name, dtype, shape, err));

    float *values = malloc(f32_bytes + bytes + 1);
    if (values == NULL)
        return krs_fail(err, KRS_E_MEMORY, "init: no memory for %s (%zu bytes)",
                        name, f32_bytes + bytes);
    void *converted = (char *)values + f32_bytes;
    fill(values, (size_t)count, rule, name, seed);
    krs_status status =
        krs_convert(dtype, converted, KRS_F32, values, (size_t)count, err);
    if (status == KRS_OK)
        status = krs_store_write(store, name, converted, bytes, err);
    free(values);
    return status;
}

krs_status
krs_nn_init(krs_store *store, const krs_node *parameters, size_t count,
            const krs_init_rule *rules, size_t rule_count, uint64_t seed,
            krs_error *err)
{
    if (store == NULL || (count > 0 && parameters == NULL) ||
        (rule_count > 0 && rules == NULL))
        return krs_fail(
            err, KRS_E_ARGUMENT,
            "init: the store, the parameters or the rules are NULL");
    KRS_TRY(check_rules(rules, rule_count, err));
    for (size_t i = 0; i < count; i++) {
        const char *name = krs_node_name(parameters[i]);
        if (!is_parameter(parameters[i]))
            return krs_fail(err, KRS_E_ARGUMENT,
                            "init: parameter %zu%s%s is no float state", i,
                            *name ? ", " : "", name);
        const krs_init_rule *rule = rule_for(name, rules, rule_count);
        if (rule == NULL)
            return krs_fail(err, KRS_E_NAME,
                            "init: no rule of %zu matches the parameter %s; "
                            "end the list with \"*\"",
                            rule_count, name);
        KRS_TRY(fill_one(store, parameters[i], rule, seed, err));
    }
    return KRS_OK;
}
