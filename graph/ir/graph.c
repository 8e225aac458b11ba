/* graph.c -- a graph's life, its strings, scopes, variables and first error. */
#include "ir.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

krs_graph *
krs_graph_new(void)
{
    krs_graph *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    if (krsi_intern(g, "") != 0 || /* string 0 */
        !krsi_reserve(&g->node, &g->node_capacity, 64, sizeof *g->node) ||
        !krsi_reserve(&g->place, &g->place_capacity, 1, sizeof *g->place)) {
        krs_graph_free(g);
        return NULL;
    }
    g->places = 1;
    return g;
}

void
krs_graph_free(krs_graph *g)
{
    if (!g)
        return;
    krsi_arena_free(&g->arena);
    free(g->node);
    free(g->table);
    free(g->string);
    free(g->string_table);
    free(g->blob);
    free(g->blob_table);
    free(g->var);
    free(g->place);
    free(g->scope);
    free(g->leaf);
    free(g->leaf_by_name);
    free(g->stream_count);
    for (size_t i = 0; i < g->bodies; i++)
        krsi_body_drop(g->body[i]);
    free(g->body);
    krsi_open_scans_free(g);
    free(g);
}

/* what is wrong with the graph that krs_graph_new could not make */
static const krs_error no_graph = {
    KRS_E_MEMORY, "graph: it is NULL: krs_graph_new had no memory for it"};

const krs_error *
krs_graph_error(const krs_graph *g)
{
    if (!g)
        return &no_graph;
    return g->error.status == KRS_OK ? NULL : &g->error;
}

krs_status
krs_graph_check(const krs_graph *g, krs_error *err)
{
    const krs_error *error = krs_graph_error(g);
    if (error && err)
        *err = *error;
    return error ? error->status : KRS_OK;
}

uint32_t
krs_graph_size(const krs_graph *g)
{
    return g ? (uint32_t)g->nodes : 0;
}

/* ---- strings ---- */

static bool
grow_string_table(krs_graph *g)
{
    size_t capacity =
        g->string_table_capacity ? g->string_table_capacity * 2 : 64;
    uint32_t *table = calloc(capacity, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < g->strings; i++) {
        size_t at = XXH3_64bits(g->string[i], strlen(g->string[i]));
        while (table[at &= capacity - 1])
            at++;
        table[at] = (uint32_t)i + 1;
    }
    free(g->string_table);
    g->string_table = table;
    g->string_table_capacity = capacity;
    return true;
}

uint32_t
krsi_intern(krs_graph *g, const char *text)
{
    if (g->strings * 2 >= g->string_table_capacity && !grow_string_table(g))
        return UINT32_MAX;
    size_t mask = g->string_table_capacity - 1;
    size_t at = XXH3_64bits(text, strlen(text));
    for (; g->string_table[at &= mask]; at++) {
        uint32_t id = g->string_table[at] - 1;
        if (strcmp(g->string[id], text) == 0)
            return id;
    }
    char *copy = krsi_arena_copy_string(&g->arena, text);
    if (!copy || g->strings >= UINT32_MAX - 1 ||
        !krsi_reserve(&g->string, &g->string_capacity, g->strings + 1,
                      sizeof *g->string))
        return UINT32_MAX;
    g->string[g->strings] = copy;
    g->string_table[at] = (uint32_t)g->strings + 1;
    return (uint32_t)g->strings++;
}

static bool
grow_blob_table(krs_graph *g)
{
    size_t capacity = g->blob_table_capacity ? g->blob_table_capacity * 2 : 16;
    uint32_t *table = calloc(capacity, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < g->blobs; i++) {
        size_t at = g->blob[i].hash;
        while (table[at &= capacity - 1])
            at++;
        table[at] = (uint32_t)i + 1;
    }
    free(g->blob_table);
    g->blob_table = table;
    g->blob_table_capacity = capacity;
    return true;
}

uint32_t
krsi_blob_add(krs_graph *g, const void *data, size_t bytes)
{
    if (g->blobs * 2 >= g->blob_table_capacity && !grow_blob_table(g))
        return UINT32_MAX;
    uint64_t hash = XXH3_64bits(data, bytes);
    size_t at = hash;
    for (; g->blob_table[at &= g->blob_table_capacity - 1]; at++) {
        uint32_t id = g->blob_table[at] - 1;
        const krsi_blob *blob = &g->blob[id];
        if (blob->hash == hash && blob->bytes == bytes &&
            (bytes == 0 || memcmp(blob->data, data, bytes) == 0))
            return id;
    }
    void *copy = krsi_arena_alloc(&g->arena, bytes);
    if (!copy || g->blobs >= UINT32_MAX - 1 ||
        !krsi_reserve(&g->blob, &g->blob_capacity, g->blobs + 1,
                      sizeof *g->blob))
        return UINT32_MAX;
    if (bytes)
        memcpy(copy, data, bytes);
    g->blob[g->blobs] = (krsi_blob){copy, bytes, hash};
    g->blob_table[at] = (uint32_t)g->blobs + 1;
    return (uint32_t)g->blobs++;
}

/* ---- scopes ---- */

uint32_t
krsi_scope_now(const krs_graph *g)
{
    return g->scopes ? g->scope[g->scopes - 1] : 0;
}

uint32_t
krsi_scoped_name(krs_graph *g, const char *name)
{
    const char *scope = g->string[krsi_scope_now(g)];
    if (!*scope)
        return krsi_intern(g, name);
    krsi_string path = {0};
    krsi_string_format(&path, "%s.%s", scope, name);
    uint32_t id = path.failed ? UINT32_MAX : krsi_intern(g, path.text);
    krsi_string_free(&path);
    return id;
}

void
krs_scope_push(krs_graph *g, const char *format, ...)
{
    krsi_string name = {0};
    va_list args;
    if (!g)
        return;
    va_start(args, format);
    krsi_string_vformat(&name, format ? format : "", args);
    va_end(args);
    if (!format)
        krsi_refuse(g, KRS_HERE, "scope_push", KRS_E_NAME, NULL,
                    "the name is NULL");
    uint32_t path = name.failed ? UINT32_MAX : krsi_scoped_name(g, name.text);
    krsi_string_free(&name);
    if (!krsi_reserve(&g->scope, &g->scope_capacity, g->scopes + 1,
                      sizeof *g->scope)) {
        krsi_refuse_memory(g); /* the matching pop finds one scope too few */
        return;
    }
    if (path == UINT32_MAX) {
        krsi_refuse_memory(g);
        path = krsi_scope_now(g);
    }
    g->scope[g->scopes++] = path;
}

void
krs_scope_pop(krs_graph *g)
{
    if (!g)
        return;
    if (g->scopes > 0)
        g->scopes--;
    else if (g->error.status == KRS_OK)
        krsi_refuse(g, KRS_HERE, "scope_pop", KRS_E_ARGUMENT, NULL,
                    "no scope is open");
}

/* ---- errors ---- */

static const char *
base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path ? path : "?";
}

/* Does the text say this type, as a word of its own: f16[2] is not in bf16[2]? */
static bool
says_type(const char *text, const char *type)
{
    for (const char *at = text; (at = strstr(at, type)); at++)
        if (at == text || !isalnum((unsigned char)at[-1]))
            return true;
    return false;
}

/* Many operands, and many axes, leave room for the place and the hint. */
enum { OPERANDS_SAID = 8, REASON_BYTES = KRS_ERROR_TEXT - 256 };

/* ": f32[2,3], i64[4]", unless the reason says them all */
static void
append_operands(char reason[REASON_BYTES], const krsi_node *const *in,
                int count)
{
    char type[KRSI_TYPE_TEXT];
    bool said = true;
    size_t used = strlen(reason);
    for (int i = 0; i < count && i < OPERANDS_SAID; i++)
        said &= !in[i] || says_type(reason, krsi_type_text(type, in[i]));
    const char *separator = ": ";
    for (int i = 0; !said && i < count; i++) {
        if (!in[i])
            continue;
        krsi_type_text(type, in[i]);
        if (i == OPERANDS_SAID ||
            used + strlen(type) + sizeof ", .." > REASON_BYTES) {
            snprintf(reason + used, REASON_BYTES - used, "%s..", separator);
            return;
        }
        used += (size_t)snprintf(reason + used, REASON_BYTES - used, "%s%s",
                                 separator, type);
        separator = ", ";
    }
}

static void
record(krs_graph *g, krs_place at, const char *op, const krsi_node *const *in,
       int count, krs_status status, const char *hint, const char *format,
       va_list args)
{
    if (!g || g->error.status != KRS_OK)
        return;
    char reason[REASON_BYTES];
    vsnprintf(reason, sizeof reason, format, args);
    append_operands(reason, in, count);
    const char *scope = g->string[krsi_scope_now(g)];
    krs_fail(&g->error, status, "%s%s%s%s%s (%s:%d)%s%s", scope,
             *scope ? ": " : "", op, *op ? ": " : "", reason,
             base_name(at.file), at.line, hint ? "; " : "", hint ? hint : "");
}

bool
krsi_refuse(krs_graph *g, krs_place at, const char *op, krs_status status,
            const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(g, at, op, NULL, 0, status, hint, format, args);
    va_end(args);
    return false;
}

bool
krsi_refuse_use(krs_graph *g, krs_place at, const char *op, const krs_node *in,
                int count, krs_status status, const char *hint,
                const char *format, ...)
{
    const krsi_node *operand[OPERANDS_SAID + 1] = {NULL};
    va_list args;
    if (count > OPERANDS_SAID)
        count = OPERANDS_SAID + 1;
    for (int i = 0; i < count; i++)
        operand[i] = krsi_get(in[i]);
    va_start(args, format);
    record(g, at, op, operand, count, status, hint, format, args);
    va_end(args);
    return false;
}

bool
krsi_refuse_make(const krsi_make *m, krs_status status, const char *hint,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(m->graph, m->at, krsi_ops[m->op].name, m->in, m->count, status, hint,
           format, args);
    va_end(args);
    return false;
}

bool
krsi_refuse_memory(krs_graph *g)
{
    if (g->error.status == KRS_OK)
        krs_fail(&g->error, KRS_E_MEMORY,
                 "out of memory while building the graph (%zu nodes so far)",
                 g->nodes);
    return false;
}

krs_node
krs_graph_fail(krs_graph *g, krs_place at, krs_status status,
               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    record(g, at, "", NULL, 0, status, NULL, format, args);
    va_end(args);
    return krsi_poison(g);
}

/* ---- handles ---- */

const krsi_node *
krsi_get(krs_node x)
{
    return x.graph && x.id > 0 && x.id <= x.graph->nodes ? x.graph->node[x.id]
                                                         : NULL;
}

bool
krs_node_is_valid(krs_node x)
{
    return krsi_get(x) != NULL;
}

krs_dtype
krs_node_dtype(krs_node x)
{
    const krsi_node *n = krsi_get(x);
    return n ? (krs_dtype)n->dtype : KRS_F32;
}

krs_shape
krs_node_shape(krs_node x)
{
    const krsi_node *n = krsi_get(x);
    krs_shape shape = KRS_SCALAR;
    if (n) {
        shape.rank = n->rank;
        for (int a = 0; a < n->rank; a++)
            shape.dim[a] = n->dim[a];
    }
    return shape;
}

const char *
krs_node_op(krs_node x)
{
    const krsi_node *n = krsi_get(x);
    return n ? krsi_ops[n->op].name : "";
}

const char *
krs_node_name(krs_node x)
{
    const krsi_node *n = krsi_get(x);
    bool named = n && (n->op == KRSI_INPUT || n->op == KRSI_STATE);
    return named ? x.graph->string[krsi_int(n, 0)] : "";
}

int
krs_node_operand_count(krs_node x)
{
    const krsi_node *n = krsi_get(x);
    return n ? (int)n->count : 0;
}

krs_node
krs_node_operand(krs_node x, int i)
{
    const krsi_node *n = krsi_get(x);
    if (!n || i < 0 || i >= (int)n->count)
        return KRS_NONE;
    return krsi_handle(x.graph, n->in[i]);
}

krs_node
krs_graph_node(krs_graph *g, uint32_t id)
{
    return krsi_handle(g, g && id <= g->nodes ? id : 0);
}

bool
krs_shape_elements(krs_shape shape, int64_t *out)
{
    *out = 1;
    bool empty = false;
    for (int a = 0; a < shape.rank; a++) /* 0 x huge is 0, not an overflow */
        empty |= shape.dim[a] == 0;
    for (int a = 0; a < shape.rank; a++)
        if (shape.dim[a] < 0 ||
            (!empty && __builtin_mul_overflow(*out, shape.dim[a], out)))
            return false;
    if (empty)
        *out = 0;
    return true;
}

/* ---- variables ---- */

int32_t
krsi_var_by_name(const krs_graph *g, const char *name)
{
    for (size_t i = 0; i < g->vars; i++)
        if (strcmp(g->string[g->var[i].name], name) == 0)
            return (int32_t)i;
    return -1;
}

krs_index
krs_var_at(krs_place at, krs_graph *g, const char *name, int64_t low,
           int64_t high)
{
    static const krs_index none = {0, -1, {0}, {0}};
    krs_index index = {0, 1, {0}, {1}};
    if (!g)
        return none;
    if (!name || !*name) {
        krsi_refuse(g, at, "var", KRS_E_NAME, NULL, "the name is empty");
        return none;
    }
    int32_t number = krsi_var_by_name(g, name);
    if (low > high) {
        krsi_refuse(g, at, "var", KRS_E_RANGE, NULL,
                    "%s: the lower bound %lld is above the upper bound %lld",
                    name, (long long)low, (long long)high);
        return none;
    }
    if (number >= 0) {
        const krsi_var *v = &g->var[number];
        if (v->low != low || v->high != high) {
            krsi_refuse(g, at, "var", KRS_E_NAME, NULL,
                        "%s: declared with bounds [%lld, %lld] before, now "
                        "with [%lld, %lld]",
                        name, (long long)v->low, (long long)v->high,
                        (long long)low, (long long)high);
            return none;
        }
        index.var[0] = number;
        return index;
    }
    uint32_t text = krsi_intern(g, name);
    if (text == UINT32_MAX ||
        !krsi_reserve(&g->var, &g->var_capacity, g->vars + 1, sizeof *g->var)) {
        krsi_refuse_memory(g);
        return none;
    }
    g->var[g->vars] = (krsi_var){text, low, high};
    index.var[0] = (int32_t)g->vars++;
    return index;
}
