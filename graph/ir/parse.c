/* parse.c -- the text form of print.c back into a graph.
 *
 *     body       := "{" {statement} "return" {"%" number} "}"   value of `body`
 *     statement  := "var" name integer integer
 *                 | "%" number "=" op type {"%" number} {name "=" value}
 *                 | "return" {"%" number}
 *     type       := dtype "[" [size {"," size}] "]"
 *     size       := [index "<="] integer             live length and maximum
 *     index      := ["-"] term {("+"|"-") term}
 *     term       := integer ["*" name] | name
 *
 * One statement a line, `#` starts a comment, `return` is the last one. A
 * comment "# scope file:line" behind a node, as print.c writes it on demand, is
 * where the node is from, so that messages name the user's source.
 * Attributes come in the order of ops.def; one that the result type implies
 * may be missing, so may an empty list. Numbers of nodes rise, gaps are fine.
 *
 * The text is not trusted. Lists are bounded, data is kept as it is read and
 * never by the size that a type claims, attributes pass krsi_words_valid,
 * nodes pass their row's rule, and the type written must be the one that the
 * rule gives. parse_attr.c reads the attributes. One pass, no recursion but
 * for bodies of scans, which nest as deep as a graph allows;
 * looking up a node is a binary search. Every error names line and column.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

enum { VARS_MAX = 1000 }; /* krs_var searches them one by one */

typedef struct numbered {
    uint32_t number, id;
} numbered;

typedef struct parser {
    krsi_scan *s;
    numbered *node;
    size_t nodes, node_capacity;
    uint32_t *operand;
    size_t operands, operand_capacity;
    uint32_t *output; /* what `return` names */
    size_t outputs, output_capacity;
} parser;

static krs_status
parse_type(parser *p, krsi_written_type *type)
{
    *type = (krsi_written_type){0};
    KRS_TRY(krsi_scan_dtype(p->s, &type->dtype));
    KRS_TRY(
        krsi_scan_expect(p->s, "[", "a type is as f32[2,3], a scalar f32[]"));
    while (!krsi_scan_accept(p->s, "]")) {
        krs_index index;
        int axis = type->shape.rank;
        krsi_scan_blanks(p->s);
        const char *start = p->s->at;
        if (axis == KRS_MAX_RANK)
            return krsi_scan_fail(p->s, start, "reshape it",
                                  "a tensor has at most %d axes", KRS_MAX_RANK);
        if (axis > 0)
            KRS_TRY(krsi_scan_expect(p->s, ",",
                                     "sizes stand between commas, then ']'"));
        krsi_scan_blanks(p->s);
        start = p->s->at;
        KRS_TRY(krsi_scan_index(p->s, &index));
        if (krsi_scan_accept(p->s, "<=")) {
            type->live[axis] = index;
            type->live_axes |= (uint8_t)(1u << axis);
            index = KRS_INDEX(0);
            KRS_TRY(krsi_scan_int(p->s, "the size", &index.base));
        }
        if (index.terms || index.base < 0)
            return krsi_scan_fail(p->s, start,
                                  "a live length is written pos+1<=512",
                                  "a size is a number from 0");
        type->shape.dim[axis] = index.base;
        type->shape.rank++;
    }
    return KRS_OK;
}

static krs_status
parse_node_ref(parser *p, uint32_t *out_id)
{
    const char *start = p->s->at;
    int64_t number;
    KRS_TRY(krsi_scan_expect(p->s, "%", "a node is written %1"));
    KRS_TRY(krsi_scan_int(p->s, "the number of a node", &number));
    size_t low = 0, high = p->nodes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->node[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == p->nodes || p->node[low].number != number)
        return krsi_scan_fail(p->s, start, "a node stands before its users",
                              "%%%lld is not defined above", (long long)number);
    *out_id = p->node[low].id;
    return KRS_OK;
}

static krs_status
check_type(parser *p, const char *where, const krsi_node *n,
           const krsi_written_type *type)
{
    bool same = n->dtype == type->dtype && n->rank == type->shape.rank &&
                n->live_axes == type->live_axes;
    for (int axis = 0; same && axis < n->rank; axis++)
        same = n->dim[axis] == type->shape.dim[axis] &&
               (!(n->live_axes >> axis & 1) ||
                krs_index_equal(n->live[axis], type->live[axis]));
    if (same)
        return KRS_OK;
    krsi_string text = {0};
    krsi_print_type(&text, p->s->graph, n);
    krs_status status =
        text.failed
            ? krsi_scan_memory(p->s)
            : krsi_scan_fail(p->s, where, "correct the type, or the operands",
                             "%s gives %s, which is not the type written here",
                             krsi_ops[n->op].name, text.text);
    krsi_string_free(&text);
    return status;
}

/* Named leaves and scalars go through their builders, which look after
 * unique names and round the value to its type. */
static krs_node
add_node(parser *p, enum krsi_op op, const krsi_words *words)
{
    krs_place at = {"text", p->s->line};
    krs_graph *g = p->s->graph;
    const int64_t *word = words->word;
    if (op == KRSI_INPUT || op == KRSI_STATE) {
        const char *name = g->string[krsi_attr_int(op, word, 0)];
        const int64_t *dim;
        krs_shape shape = {.rank = krsi_attr_ints(op, word, 2, &dim)};
        for (int axis = 0; axis < shape.rank; axis++)
            shape.dim[axis] = dim[axis];
        return (op == KRSI_INPUT ? krs_input_at : krs_state_at)(
            at, g, name, (krs_dtype)krsi_attr_int(op, word, 1), shape);
    }
    if (op == KRSI_FULL)
        return krs_scalar_at(at, g, (krs_dtype)krsi_attr_int(op, word, 0),
                             krsi_attr_float(op, word, 1));
    return krsi_add(g, at, op, p->operand, (int)p->operands, words->word,
                    words->count);
}

/* What "# scope file:line" says, if that is the comment that ends here. */
static krs_status
parse_place(parser *p, uint32_t id)
{
    const char *comment = p->s->comment, *end = p->s->at;
    if (!comment || comment + strcspn(comment, "\n") != end)
        return KRS_OK;
    char *text = strndup(comment + 1, (size_t)(end - comment - 1));
    if (!text)
        return krsi_scan_memory(p->s);
    char *last = NULL, *file, *scope = strtok_r(text, " \r", &last);
    file = scope ? strtok_r(NULL, " \r", &last) : NULL;
    bool is_place = scope && !strtok_r(NULL, " \r", &last);
    char *colon = strrchr(file ? file : is_place ? scope : "", ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    krs_status status = KRS_OK;
    if (is_place && digits > 0 && digits < 10 && !colon[1 + digits]) {
        krs_place at = {file ? file : scope, (int)strtol(colon + 1, NULL, 10)};
        *colon = 0;
        if (!krsi_node_is_from(p->s->graph, id, file ? scope : "", at))
            status = krsi_scan_memory(p->s);
    }
    free(text);
    return status;
}

static krs_status
parse_node(parser *p)
{
    char found[KRSI_HERE_TEXT];
    const char *start = p->s->at;
    int64_t number;
    krsi_written_type type;
    krsi_words words;

    KRS_TRY(krsi_scan_expect(p->s, "%", "a node is written %1"));
    KRS_TRY(krsi_scan_int(p->s, "the number of a node", &number));
    if (number < 1 || number > UINT32_MAX ||
        (p->nodes && number <= p->node[p->nodes - 1].number))
        return krsi_scan_fail(p->s, start, "number the nodes 1, 2, 3, ...",
                              "%%%lld does not follow the node before",
                              (long long)number);
    KRS_TRY(krsi_scan_expect(p->s, "=", "a node is `%1 = op type ...`"));
    krsi_scan_blanks(p->s);
    const char *op_at = p->s->at;
    KRS_TRY(krsi_scan_word(p->s));
    enum krsi_op op = krsi_op_by_name(p->s->word.text);
    if (op == KRSI_POISON) {
        p->s->at = op_at;
        return krsi_scan_fail(
            p->s, op_at, "the operations are the rows of ops.def",
            "no operation is called %s", krsi_scan_here(p->s, found));
    }
    krsi_scan_blanks(p->s);
    const char *type_at = p->s->at;
    KRS_TRY(parse_type(p, &type));

    p->operands = 0;
    for (krsi_scan_blanks(p->s); *p->s->at == '%'; krsi_scan_blanks(p->s)) {
        if (krsi_ops[op].max_count != 255 &&
            p->operands == krsi_ops[op].max_count)
            return krsi_scan_fail(p->s, p->s->at, "drop the others",
                                  "%s takes %d operands at most",
                                  krsi_ops[op].name, krsi_ops[op].max_count);
        if (p->operands == INT32_MAX ||
            !krsi_reserve(&p->operand, &p->operand_capacity, p->operands + 1,
                          sizeof *p->operand))
            return krsi_scan_memory(p->s);
        KRS_TRY(parse_node_ref(p, &p->operand[p->operands]));
        p->operands++;
    }
    if (p->operands < krsi_ops[op].min_count)
        return krsi_scan_fail(
            p->s, p->s->at,
            "operands stand between the type and the attributes",
            "%s takes %d operands or more, not %zu", krsi_ops[op].name,
            krsi_ops[op].min_count, p->operands);
    KRS_TRY(krsi_parse_attributes(p->s, op, &type, &words));

    if (!krsi_reserve(&p->node, &p->node_capacity, p->nodes + 1,
                      sizeof *p->node))
        return krsi_scan_memory(p->s);
    size_t before = p->s->graph->nodes;
    krs_node node = add_node(p, op, &words);
    const krsi_node *n = krsi_get(node);
    if (!n)
        return krsi_scan_refused(p->s, op_at);
    KRS_TRY(check_type(p, type_at, n, &type));
    p->node[p->nodes++] = (numbered){(uint32_t)number, node.id};
    return node.id > before ? parse_place(p, node.id) : KRS_OK;
}

static krs_status
parse_var(parser *p)
{
    int64_t low, high;
    krsi_scan_blanks(p->s);
    const char *start = p->s->at;
    KRS_TRY(krsi_scan_name(p->s, "the name of a runtime integer"));
    KRS_TRY(krsi_scan_int(p->s, "the lower bound", &low));
    KRS_TRY(krsi_scan_int(p->s, "the upper bound", &high));
    if (p->s->graph->vars == VARS_MAX)
        return krsi_scan_fail(p->s, start, "take a node for each instead",
                              "more than %d runtime integers", VARS_MAX);
    if (krsi_var_by_name(p->s->graph, p->s->word.text) >= 0)
        return krsi_scan_fail(
            p->s, start, "declare each name once",
            "a runtime integer of that name is declared above");
    if (low > high)
        return krsi_scan_fail(
            p->s, start, "write `var name low high`",
            "the lower bound %lld is above the upper bound %lld",
            (long long)low, (long long)high);
    krs_place at = {"text", p->s->line};
    krs_var_at(at, p->s->graph, p->s->word.text, low, high);
    return p->s->graph->error.status == KRS_OK ? KRS_OK
                                               : krsi_scan_refused(p->s, start);
}

static krs_status
parse_return(parser *p)
{
    for (krsi_scan_blanks(p->s); *p->s->at == '%'; krsi_scan_blanks(p->s)) {
        uint32_t id;
        KRS_TRY(parse_node_ref(p, &id));
        if (p->outputs == UINT32_MAX ||
            !krsi_reserve(&p->output, &p->output_capacity, p->outputs + 1,
                          sizeof *p->output))
            return krsi_scan_memory(p->s);
        p->output[p->outputs++] = id;
    }
    return KRS_OK;
}

/* Lines up to the end of the text, or to the brace that ends a body. */
static krs_status
parse_lines(parser *p)
{
    char found[KRSI_HERE_TEXT];
    bool returned = false;
    for (; *p->s->at; p->s->at += *p->s->at == '\n', p->s->line++) {
        if (krsi_scan_line_end(p->s))
            continue;
        const char *start = p->s->at;
        if (p->s->depth > 0 && *start == '}')
            return KRS_OK;
        if (returned)
            return krsi_scan_fail(p->s, start, "`return` is the last line",
                                  "the end of the %s is expected, not %s",
                                  p->s->depth ? "body" : "text",
                                  krsi_scan_here(p->s, found));
        if (*p->s->at == '%') {
            KRS_TRY(parse_node(p));
            continue;
        }
        KRS_TRY(krsi_scan_word(p->s));
        if (strcmp(p->s->word.text, "var") == 0 && p->s->depth == 0) {
            KRS_TRY(parse_var(p));
        } else if (strcmp(p->s->word.text, "return") == 0) {
            KRS_TRY(parse_return(p));
            returned = true;
        } else {
            p->s->at = start;
            return krsi_scan_fail(
                p->s, start, "a line is `var ...`, `%1 = ...` or `return ...`",
                "a statement is expected, not %s", krsi_scan_here(p->s, found));
        }
        if (!krsi_scan_line_end(p->s))
            return krsi_scan_fail(p->s, p->s->at, "one statement a line",
                                  "the end of the line is expected, not %s",
                                  krsi_scan_here(p->s, found));
    }
    return KRS_OK;
}

static void
parser_free(parser *p)
{
    free(p->node);
    free(p->operand);
    free(p->output);
}

/* The lines of a body into `made`, which the scanner's graph is meanwhile. */
static krs_status
parse_inner(parser *p, krs_graph *made)
{
    krs_graph *outer = p->s->graph;
    for (size_t i = 0; i < outer->vars; i++)
        krs_var(made, outer->string[outer->var[i].name], outer->var[i].low,
                outer->var[i].high);
    if (made->error.status != KRS_OK)
        return krsi_scan_memory(p->s);
    p->s->graph = made;
    p->s->depth++;
    krs_status status = parse_lines(p);
    if (status == KRS_OK)
        status = krsi_scan_expect(p->s, "}", "a body ends with '}'");
    p->s->depth--;
    p->s->graph = outer;
    return status;
}

krs_status
krsi_parse_body(krsi_scan *s, krsi_words *words)
{
    krsi_scan_blanks(s);
    const char *start = s->at;
    KRS_TRY(krsi_scan_expect(s, "{", "a body is written {, lines, }"));
    if (s->depth == KRSI_BODY_DEPTH)
        return krsi_scan_fail(s, start, "compute the inner ones outside",
                              "scans stand more than %d deep in each other",
                              KRSI_BODY_DEPTH);
    krs_graph *made = krs_graph_new();
    parser p = {.s = s};
    krs_status status = made ? parse_inner(&p, made) : krsi_scan_memory(s);
    if (status == KRS_OK) {
        uint32_t number = krsi_body_add(
            s->graph, krsi_body_new(made, p.output, (uint32_t)p.outputs));
        made = NULL;
        if (number == UINT32_MAX)
            status = krsi_scan_memory(s);
        krsi_put_int(words, number);
    }
    krs_graph_free(made);
    parser_free(&p);
    return status;
}

krs_status
krs_graph_parse(const char *text, krs_graph **out, krs_node *outputs,
                size_t capacity, size_t *out_count, krs_error *err)
{
    if (!text || !out || (capacity && !outputs))
        return krs_fail(err, KRS_E_ARGUMENT, "graph text: %s is NULL; pass %s",
                        !text  ? "the text"
                        : !out ? "out"
                               : "outputs",
                        !text  ? "the text of a graph"
                        : !out ? "the address of a krs_graph *"
                               : "an array of `capacity` nodes");
    *out = NULL;
    krsi_scan scan = {.text = text,
                      .at = text,
                      .line = 1,
                      .graph = krs_graph_new(),
                      .err = err};
    parser p = {.s = &scan};
    krs_status status = scan.graph ? parse_lines(&p) : krsi_scan_memory(&scan);
    size_t count = p.outputs;
    for (size_t i = 0; i < count && i < capacity; i++)
        outputs[i] = krsi_handle(scan.graph, p.output[i]);
    parser_free(&p);
    free(scan.data);
    krsi_string_free(&scan.word);
    if (status != KRS_OK) {
        krs_graph_free(scan.graph);
        return status;
    }
    *out = scan.graph;
    if (out_count)
        *out_count = count;
    return KRS_OK;
}
