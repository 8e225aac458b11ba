/* fuzz_shrink.c -- a failing random graph made smaller while it still fails:
 * outputs are dropped, nodes become inputs that hold what the f64 interpreter
 * gives for them. Works on the text form, a line at a time.
 */
#include "fuzz_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The lines of a text with line `at` replaced, then what its outputs need;
 * false if that is no graph. */
static bool
replaced(const char *text, size_t at, const char *line, fuzz_case *out)
{
    krsi_string s = {0};
    krs_error err;
    size_t number = 0;
    for (const char *from = text; *from; number++) {
        size_t length = strcspn(from, "\n");
        if (number == at)
            krsi_string_format(&s, "%s\n", line);
        else
            krsi_string_format(&s, "%.*s\n", (int)length, from);
        from += length + (from[length] == '\n');
    }
    krs_graph *g = NULL;
    char *needed = NULL;
    bool good = krs_graph_parse(s.text, &g, out->output, FUZZ_OUTPUTS,
                                &out->outputs, &err) == KRS_OK &&
                krs_graph_print(g, out->output, out->outputs, NULL, &needed,
                                &err) == KRS_OK;
    krs_graph_free(g);
    good = good && krs_graph_parse(needed, &out->graph, out->output,
                                   FUZZ_OUTPUTS, &out->outputs, &err) == KRS_OK;
    free(needed);
    krsi_string_free(&s);
    return good;
}

/* Try a smaller text: if it still fails it becomes the case. */
static bool
accept(fuzz_case *c, const char *text, size_t at, const char *line,
       const fuzz_devices *d, char **bad)
{
    fuzz_case less = *c;
    fuzz_counts ignored = {0};
    if (!replaced(text, at, line, &less))
        return false;
    char *why = less.outputs ? fuzz_judge(&less, d, &ignored) : NULL;
    if (!why) {
        krs_graph_free(less.graph);
        return false;
    }
    krs_graph_free(c->graph);
    *c = less;
    free(*bad);
    *bad = why;
    return true;
}

/* A fixed input that holds what eval gives for the node (its number is its
 * place in the text); false if it has no value. */
static bool
fix(fuzz_case *c, uint32_t id, krs_device *eval, char *name, size_t size)
{
    void *data;
    size_t bytes;
    if (!fuzz_value(c, eval, krs_graph_node(c->graph, id), &data, &bytes))
        return false;
    c->fixed = realloc(c->fixed, (c->fixed_count + 1) * sizeof *c->fixed);
    if (!c->fixed)
        abort();
    fuzz_fixed *f = &c->fixed[c->fixed_count];
    snprintf(f->name, sizeof f->name, "n%zu", c->fixed_count++);
    snprintf(name, size, "%s", f->name);
    f->data = data;
    f->bytes = bytes;
    return true;
}

char *
fuzz_shrink(fuzz_case *c, const fuzz_devices *d, char *bad)
{
    krs_error err;
    char *whole = NULL;
    bool again = true;
    /* what outputs need alone, so that ids are the numbers of the text */
    if (krs_graph_print(c->graph, c->output, c->outputs, NULL, &whole, &err) ==
        KRS_OK)
        again = accept(c, whole, SIZE_MAX, "", d, &bad);
    free(whole);
    while (again) {
        char *text = NULL;
        again = false;
        if (krs_graph_print(c->graph, c->output, c->outputs, NULL, &text,
                            &err) != KRS_OK)
            break;
        size_t lines = 0, return_line = 0, vars = 0;
        char *start[4096];
        for (char *at = text; *at && lines < 4096; lines++) {
            start[lines] = at;
            vars += strncmp(at, "var ", 4) == 0;
            if (strncmp(at, "return", 6) == 0)
                return_line = lines;
            at += strcspn(at, "\n");
            at += *at == '\n';
        }
        char only[256];
        for (size_t i = 0; c->outputs > 1 && i < c->outputs && !again; i++) {
            size_t length = 0;
            for (size_t k = 0; k < c->outputs; k++)
                if (k != i) /* without output i */
                    length += (size_t)snprintf(
                        only + length, sizeof only - length, "%s%%%u",
                        k == 0 || (k == 1 && i == 0) ? "return " : " ",
                        c->output[k].id);
            again = accept(c, text, return_line, only, d, &bad);
        }
        for (size_t at = return_line; at-- > vars && !again;) {
            char type[200], op[32], name[16], line[300];
            unsigned id;
            if (*start[at] != '%' || /* of a body */
                sscanf(start[at], "%%%u = %31s %199s", &id, op, type) != 3 ||
                strcmp(op, "input") == 0 || strcmp(op, "state") == 0 ||
                strcmp(op, "full") == 0 || strchr(type, '<') ||
                !fix(c, id, d->eval, name, sizeof name))
                continue;
            snprintf(line, sizeof line, "%%%u = input %s name=\"%s\"", id, type,
                     name);
            again = accept(c, text, at, line, d, &bad);
        }
        free(text);
    }
    return bad;
}
