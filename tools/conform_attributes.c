/* conform_attributes.c -- attributes and inputs of a golden case.
 *
 * In: the JSON object `attrs`. Out: typed values; the first wrong kind is
 * kept as the error of the case's graph, and what was read is marked.
 */
#include "conform.h"

#include <stdlib.h>
#include <string.h>

krs_node
refuse_attr(struct conform_case *c, const char *key, const char *expected)
{
    char *found = json_dumps(json_object_get(c->attrs, key),
                             JSON_COMPACT | JSON_ENCODE_ANY);
    krs_node none = krs_graph_fail(c->graph, KRS_HERE, KRS_E_FORMAT,
                                   "attrs.%s: expected %s, found %.60s", key,
                                   expected, found ? found : "nothing");
    free(found);
    return none;
}

/* The value, marked as read; NULL for null or nothing. */
static json_t *
read_attr(struct conform_case *c, const char *key)
{
    int i = 0;
    const char *name;
    json_t *value;
    json_object_foreach(c->attrs, name, value)
    {
        if (!strcmp(name, key)) {
            if (i < 64)
                c->attrs_read |= (uint64_t)1 << i;
            return json_is_null(value) ? NULL : value;
        }
        i++;
    }
    return NULL;
}

const char *
unread_attr(const struct conform_case *c)
{
    int i = 0;
    const char *name;
    json_t *value;
    json_object_foreach(c->attrs, name, value)
    {
        if (i >= 64 || !(c->attrs_read >> i & 1))
            return name;
        i++;
    }
    return NULL;
}

bool
has_attr(struct conform_case *c, const char *key)
{
    return read_attr(c, key) != NULL;
}

int64_t
int_attr(struct conform_case *c, const char *key)
{
    json_t *value = read_attr(c, key);
    if (!json_is_integer(value))
        refuse_attr(c, key, "an integer");
    return json_integer_value(value);
}

int64_t
int_attr_or(struct conform_case *c, const char *key, int64_t absent)
{
    return read_attr(c, key) ? int_attr(c, key) : absent;
}

double
number_attr_or(struct conform_case *c, const char *key, double absent)
{
    json_t *value = read_attr(c, key);
    if (!value)
        return absent;
    if (!json_is_number(value))
        refuse_attr(c, key, "a number");
    return json_number_value(value);
}

bool
bool_attr_or(struct conform_case *c, const char *key, bool absent)
{
    json_t *value = read_attr(c, key);
    if (!value)
        return absent;
    if (!json_is_boolean(value))
        refuse_attr(c, key, "true or false");
    return json_is_true(value);
}

const char *
text_attr_or(struct conform_case *c, const char *key, const char *absent)
{
    json_t *value = read_attr(c, key);
    if (!value)
        return absent;
    if (!json_is_string(value)) {
        refuse_attr(c, key, "a string");
        return absent;
    }
    return json_string_value(value);
}

int
ints_attr(struct conform_case *c, const char *key, int64_t out[KRS_MAX_RANK])
{
    json_t *value = read_attr(c, key), *item;
    size_t i;
    if (!value)
        return -1;
    if (!json_is_array(value) || json_array_size(value) > KRS_MAX_RANK) {
        refuse_attr(c, key, "a list of at most 8 integers");
        return 0;
    }
    json_array_foreach(value, i, item)
    {
        if (!json_is_integer(item) && !json_is_null(item)) {
            refuse_attr(c, key, "a list of integers");
            return 0;
        }
        out[i] = json_is_null(item) ? KRS_END : json_integer_value(item);
    }
    return (int)json_array_size(value);
}

krs_node
input_at(const struct conform_case *c, int i)
{
    return i < c->input_count ? c->inputs[i] : KRS_NONE;
}

krs_node
input_named(struct conform_case *c, const char *name)
{
    for (int i = 0; i < c->input_count; i++) {
        if (!strcmp(c->input_names[i], name))
            return c->inputs[i];
    }
    return krs_graph_fail(c->graph, KRS_HERE, KRS_E_FORMAT,
                          "the case has no input \"%s\"", name);
}

krs_axes
axes_attr(struct conform_case *c, const char *key)
{
    int64_t numbers[KRS_MAX_RANK];
    krs_axes axes = KRS_ALL_AXES;
    axes.count = ints_attr(c, key, numbers);
    for (int i = 0; i < axes.count; i++)
        axes.axis[i] = (int32_t)numbers[i];
    return axes;
}

int
axis_attr(struct conform_case *c)
{
    return (int)int_attr(c, "axis");
}
