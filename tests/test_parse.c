/* test_parse.c -- the text form read back: by example, by hostile texts with
 * the whole of their messages, and by damaging a valid text everywhere.
 */
#include "samples.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>

static const char example[] =
    "# a model of every kind of attribute\n"
    "var pos 0 511\n"
    "var \"odd name\" -3 3\n"
    "\n"
    "%1 = input f32[2,512,3] name=\"x\"   # trailing\r\n"
    "%2 = state f32[2,512,3] name=\"a \\\"b\\\"\\n\\x7f\"\n"
    "%3 = slice f32[2,1,3] %1 starts=[0, pos, 0] lengths=[2,1,3] "
    "steps=[1,1,1]\n"
    "%7 = set_slice f32[2,512,3] %2 %3 starts=[0, pos, 0] steps=[1,1,1]\n"
    "%8 = update f32[2,512,3] %2 %7\n"
    "%9 = live f32[2,pos+1<=512,3] %7 axis=1 length=[pos+1]\n"
    "%10 = softmax f32[2,pos+1<=512,3] %9 axis=1\n"
    "%11 = sum f32[2,3] %10 axes=[1] keep=false\n"
    "%12 = constant f32[3] data=[1, -2.5e-3, nan]\n"
    "%13 = constant q8_0[32] data=hex\""
    "00000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\"\n"
    "%14 = index i64[] value=[-2*pos+\"odd name\"-1]\n"
    "%15 = input i64[2] name=\"t\"\n"
    "%16 = cross_entropy f32[] %11 %15 reduction=mean ignore=-100 "
    "smoothing=0.1\n"
    "return %16 %8 %14\n";

static krs_graph *
parse(const char *text, krs_node *outputs, size_t capacity, size_t *count)
{
    krs_error err;
    krs_graph *g;
    krs_status status =
        krs_graph_parse(text, &g, outputs, capacity, count, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return g;
}

START_TEST(text_becomes_the_graph_that_it_says)
{
    krs_node out[3];
    size_t count;
    krs_error err;
    krs_graph *g = parse(example, out, 3, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(krs_node_op(out[0]), "cross_entropy");
    ck_assert_str_eq(krs_node_op(out[1]), "update");
    krs_node state = krs_node_operand(out[1], 0);
    ck_assert_str_eq(krs_node_name(state), "a \"b\"\n\x7f");
    krs_index index = krsi_index(krsi_get(out[2]), 0, 0);
    ck_assert_int_eq(index.base, -1);
    ck_assert_int_eq(index.terms, 2);
    ck_assert_int_eq(index.coefficient[0], -2);
    ck_assert_int_eq(g->var[1].low, -3);
    ck_assert_int_eq(krsi_verify(g, &err), KRS_OK);
    krs_place place;
    ck_assert(krsi_node_place(g, out[0].id, 0, &place));
    ck_assert_int_eq(place.line, 17);
    krs_graph_free(g);
}
END_TEST

/* The first two code blocks of a page, without comments: an example and what
 * is said when the type of its last node is wrong. */
static void
read_blocks(const char *path, char *block[2])
{
    static char page[65536];
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    page[fread(page, 1, sizeof page - 1, file)] = 0;
    fclose(file);
    char *at = page;
    for (int i = 0; i < 2; i++) {
        block[i] = strstr(at, "```\n") + 4;
        at = strstr(block[i], "```\n");
        ck_assert_ptr_nonnull(at);
        *at = 0;
        at += 4;
        char *comment = strchr(block[i], '#');
        if (comment) {
            char *end = strchr(comment, '\n');
            while (comment[-1] == ' ')
                comment--;
            memmove(comment, end, strlen(end) + 1);
        }
    }
}

START_TEST(the_example_of_the_documentation_is_true)
{
    char *block[2], *text;
    krs_node out[2];
    size_t count;
    krs_error err;
    krs_graph *g;
    read_blocks(TESTS_DIR "/../graph/README.md", block);
    g = parse(block[0], out, 2, &count);
    ck_assert_int_eq(krs_graph_print(g, NULL, 0, NULL, &text, NULL), KRS_OK);
    ck_assert_uint_eq(strlen(text),
                      (size_t)(strstr(block[0], "return") - block[0]));
    ck_assert_int_eq(strncmp(text, block[0], strlen(text)), 0);
    free(text);
    krs_graph_free(g);

    char *type = strstr(block[0], "sum f32[2,64]");
    ck_assert_ptr_nonnull(type);
    type[strlen("sum f32[2,6")] = '5';
    ck_assert_int_eq(krs_graph_parse(block[0], &g, NULL, 0, NULL, &err),
                     KRS_E_FORMAT);
    ck_assert_uint_eq(strlen(err.text) + 1, strlen(block[1]));
    ck_assert_int_eq(strncmp(err.text, block[1], strlen(err.text)), 0);
}
END_TEST

/* Two lines differ from what was read: comments and blank lines go, numbers
 * become dense. */
START_TEST(printing_what_was_read_is_a_fixed_point)
{
    krs_node out[3];
    size_t count;
    char *once, *twice;
    krs_graph *g = parse(example, out, 3, &count);
    ck_assert_int_eq(krs_graph_print(g, out, 3, NULL, &once, NULL), KRS_OK);
    krs_graph_free(g);
    ck_assert_ptr_nonnull(strstr(
        once, "%6 = live f32[2,pos+1<=512,3] %4 axis=1 length=[pos+1]\n"));
    ck_assert_ptr_null(strchr(once, '#'));
    g = parse(once, out, 3, &count);
    ck_assert_int_eq(krs_graph_print(g, out, 3, NULL, &twice, NULL), KRS_OK);
    ck_assert_str_eq(once, twice);
    krs_graph_free(g);
    free(once);
    free(twice);
}
END_TEST

START_TEST(a_part_has_dense_numbers_and_only_its_variables)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2));
    krs_node unused = krs_exp(x);
    krs_node y = krs_neg(x);
    krs_var(g, "unused", 0, 1);
    char *text;
    ck_assert(krs_node_is_valid(unused));
    ck_assert_int_eq(krs_graph_print(g, &y, 1, NULL, &text, NULL), KRS_OK);
    ck_assert_str_eq(text, "%1 = input f32[2] name=\"x\"\n"
                           "%2 = neg f32[2] %1\n"
                           "return %2\n");
    free(text);
    ck_assert_int_eq(krs_graph_print(g, NULL, 0, NULL, &text, NULL), KRS_OK);
    ck_assert_str_eq(text, "var unused 0 1\n"
                           "%1 = input f32[2] name=\"x\"\n"
                           "%2 = exp f32[2] %1\n"
                           "%3 = neg f32[2] %1\n");
    free(text);
    krs_graph_free(g);
}
END_TEST

START_TEST(places_and_cut_constants_are_printed_on_demand)
{
    const float data[] = {1, 2, 3};
    const krs_print_options options = {sizeof options, 2, true};
    krs_graph *g = krs_graph_new();
    krs_error err;
    char *text, expected[200];
    krs_scope_push(g, "layer.%d", 3);
    int line = __LINE__ + 1;
    krs_constant(g, KRS_F32, KRS_SHAPE(3), data);
    krs_scope_pop(g);
    ck_assert_int_eq(krs_graph_print(g, NULL, 0, &options, &text, &err),
                     KRS_OK);
    snprintf(expected, sizeof expected,
             "%%1 = constant f32[3] data=[1, 2, ...] # layer.3 "
             "test_parse.c:%d\n",
             line);
    ck_assert_str_eq(text, expected);
    krs_graph *back;
    ck_assert_int_eq(krs_graph_parse(text, &back, NULL, 0, NULL, &err),
                     KRS_E_FORMAT);
    ck_assert_ptr_null(back);
    free(text);
    krs_graph_free(g);
}
END_TEST

START_TEST(places_are_read_back)
{
    static const char text[] = "%1 = input f32[2] name=\"x\" # model.c:3\n"
                               "%2 = exp f32[2] %1 # net.layers.3 model.c:14\n"
                               "return %2\n";
    static const char plain[] =
        "%1 = input f32[2] name=\"x\" # see model.c, line 3: an input\n"
        "%2 = exp f32[2] %1 # 10:\n"
        "%3 = neg f32[2] %2 # model.c:99999999999\n"
        "%4 = abs f32[2] %3 # :\n"
        "return %4\n";
    const krs_print_options options = {sizeof options, -1, true};
    krs_error err;
    char *printed;
    size_t count;
    krs_node out;
    krs_graph *g = parse(text, &out, 1, &count);
    ck_assert_int_eq(krs_graph_print(g, &out, 1, &options, &printed, &err),
                     KRS_OK);
    ck_assert_str_eq(printed, text);
    ck_assert_str_eq(krs_node_name(krs_graph_node(g, 1)), "x");
    free(printed);
    krs_graph_free(g);
    /* other comments are comments */
    g = parse(plain, &out, 1, &count);
    ck_assert_int_eq(krs_graph_print(g, &out, 1, &options, &printed, &err),
                     KRS_OK);
    for (int line = 1; line <= 4; line++) {
        char place[32];
        snprintf(place, sizeof place, " # text:%d\n", line);
        ck_assert_msg(strstr(printed, place) != NULL, "%s", printed);
    }
    free(printed);
    krs_graph_free(g);
}
END_TEST

START_TEST(a_scalar_is_rounded_to_its_type_as_by_the_builder)
{
    size_t count;
    krs_node out;
    krs_graph *g =
        parse("%1 = full f32[] value=0.1\nreturn %1", &out, 1, &count);
    ck_assert_uint_eq(krs_scalar(g, KRS_F32, 0.1).id, out.id);
    krs_graph_free(g);
}
END_TEST

START_TEST(more_outputs_than_room_are_counted)
{
    krs_node out[1];
    size_t count;
    krs_graph *g = parse(example, out, 1, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(krs_node_op(out[0]), "cross_entropy");
    krs_graph_free(g);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    krs_graph *g = krs_graph_new(), *other = krs_graph_new();
    krs_node foreign = krs_scalar(other, KRS_F32, 1);
    krs_print_options options = {0, -1, false};
    krs_error err;
    char *text;
    ck_assert_int_eq(krs_graph_parse(NULL, &g, NULL, 0, NULL, &err),
                     KRS_E_ARGUMENT);
    ck_assert_str_eq(err.text,
                     "graph text: the text is NULL; pass the text of a graph");
    ck_assert_int_eq(krs_graph_print(g, &foreign, 1, NULL, &text, &err),
                     KRS_E_GRAPH);
    ck_assert_str_eq(err.text, "graph print: output 0 is not a node of this "
                               "graph; check krs_graph_error after building");
    ck_assert_int_eq(krs_graph_print_dot(g, NULL, 0, &options, &text, &err),
                     KRS_E_ARGUMENT);
    ck_assert_str_eq(err.text, "graph drawing: struct_size 0 is too small; set "
                               "it to sizeof (krs_print_options)");
    ck_assert_int_eq(krs_graph_print_json(NULL, NULL, 0, NULL, &text, &err),
                     KRS_E_ARGUMENT);
    ck_assert_str_eq(err.text, "graph as JSON: the graph is NULL; pass the "
                               "graph and its outputs");
    krs_node bad = krs_neg(krs_input(g, "b", KRS_BOOL, KRS_SCALAR));
    ck_assert_int_eq(krs_graph_print(g, &bad, 1, NULL, &text, &err),
                     KRS_E_DTYPE);
    krs_graph_free(g);
    krs_graph_free(other);
}
END_TEST

static const struct hostile {
    krs_status status;
    const char *text, *message;
} hostile[] = {
#define HOSTILE(status, text, message) {KRS_##status, text, message},
#include "hostile_texts.def"
#undef HOSTILE
};

START_TEST(hostile_text_is_refused_with_place_reason_and_hint)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        krs_graph *g;
        krs_error err = {KRS_OK, ""};
        size_t count;
        krs_status status =
            krs_graph_parse(hostile[i].text, &g, NULL, 0, &count, &err);
        ck_assert_str_eq(err.text, hostile[i].message);
        ck_assert_int_eq(status, hostile[i].status);
        ck_assert_ptr_null(g);
    }
}
END_TEST

START_TEST(a_rank_of_a_million_is_refused_at_the_ninth_size)
{
    enum { RANK = 1000000 };
    static const char begin[] = "%1 = input f32[1", end[] = "] name=\"x\"\n";
    char *text = malloc(sizeof begin + 2 * RANK + sizeof end);
    krs_graph *g;
    krs_error err = {KRS_OK, ""};
    size_t count;
    ck_assert_ptr_nonnull(text);
    char *at = stpcpy(text, begin);
    for (int a = 1; a < RANK; a++)
        at = stpcpy(at, ",1");
    stpcpy(at, end);
    ck_assert_int_eq(krs_graph_parse(text, &g, NULL, 0, &count, &err),
                     KRS_E_FORMAT);
    ck_assert_str_eq(err.text, "graph text, line 1, column 31: a tensor has at "
                               "most 8 axes; reshape it");
    ck_assert_ptr_null(g);
    free(text);
}
END_TEST

/* The damaged text must be refused or give a sound graph. */
static void
survive(const char *text)
{
    krs_node out[4];
    krs_error err;
    krs_graph *g;
    size_t count;
    if (krs_graph_parse(text, &g, out, 4, &count, &err) != KRS_OK) {
        ck_assert_ptr_null(g);
        ck_assert_uint_gt(strlen(err.text), 0);
        return;
    }
    krs_status status = krsi_verify(g, &err);
    ck_assert_msg(status == KRS_OK, "%s\n%s", err.text, text);
    char *print;
    ck_assert_int_eq(krs_graph_print(g, NULL, 0, NULL, &print, NULL), KRS_OK);
    free(print);
    krs_graph_free(g);
}

/* Copies of the exact length, so that a sanitizer sees a read past the end. */
START_TEST(every_prefix_is_survived)
{
    for (size_t length = 0; length < sizeof example; length++) {
        char *copy = malloc(length + 1);
        memcpy(copy, example, length);
        copy[length] = 0;
        survive(copy);
        free(copy);
    }
}
END_TEST

START_TEST(every_changed_byte_is_survived)
{
    static const char bytes[] = "0 9-%\"]\n\x7f\xff,=x";
    char *copy = malloc(sizeof example);
    for (size_t i = 0; i + 1 < sizeof example; i++) {
        memcpy(copy, example, sizeof example);
        for (size_t b = 0; b + 1 < sizeof bytes; b++) {
            copy[i] = bytes[b];
            survive(copy);
        }
        memmove(copy + i, example + i + 1, sizeof example - i - 1);
        survive(copy); /* a byte dropped */
    }
    free(copy);
}
END_TEST

/* Words of the language in any order go deeper than bytes do. */
START_TEST(every_shuffle_of_words_is_survived)
{
    static const char *const words[] = {
        "%1",         "%2",
        "%3",         " = ",
        "\n",         "input ",
        "neg ",       "f32",
        "[2,3]",      "[]",
        "i64",        "reshape ",
        "concat ",    "axis=0",
        " ",          "matmul ",
        "data=",      "[1, 2]",
        "constant ",  "return ",
        "name=\"x\"", "4611686018427387904",
        "-1",         "[",
        ",",          "]",
        "axes=",      "keep=true",
        "starts=",    "lengths=",
        "steps=",     "slice ",
        "expand ",    "pad ",
        "before=",    "after=",
        "value=0",    "sum ",
        "take ",      "var n 0 5\n",
        "n",          "<=",
        "live ",      "length=[n]",
    };
    const size_t count = sizeof words / sizeof *words;
    for (uint64_t round = 0; round < 20000; round++) {
        char text[1024] = "%1 = input f32[2,3] name=\"x\"\n%2 = ";
        for (uint64_t i = 0; i < 24; i++)
            strcat(text,
                   words[(size_t)(sample_number(round, i) * (double)count)]);
        survive(text);
    }
}
END_TEST

/* Sizes, starts and axes of valid lines replaced by unkind numbers. */
START_TEST(unkind_numbers_are_survived)
{
    static const char *const numbers[] = {"0",
                                          "-1",
                                          "1",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "4611686018427387904",
                                          "2147483648",
                                          "7"};
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        sample s;
        for (int which = 0; sample_build((enum krsi_op)op, which, &s);
             which++) {
            char *text;
            ck_assert_int_eq(
                krs_graph_print(s.graph, &s.use, 1, NULL, &text, NULL), KRS_OK);
            size_t length = strlen(text);
            char *copy = malloc(length + 40);
            for (size_t i = 0; i < length; i++) {
                size_t digits = strspn(text + i, "0123456789");
                if (!digits)
                    continue;
                for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
                    memcpy(copy, text, i);
                    strcpy(copy + i, numbers[k]);
                    strcat(copy, text + i + digits);
                    survive(copy);
                }
                i += digits - 1;
            }
            free(copy);
            free(text);
            sample_free(&s);
        }
    }
}
END_TEST

SUITE(text_becomes_the_graph_that_it_says,
      the_example_of_the_documentation_is_true,
      printing_what_was_read_is_a_fixed_point,
      a_part_has_dense_numbers_and_only_its_variables,
      places_and_cut_constants_are_printed_on_demand, places_are_read_back,
      a_scalar_is_rounded_to_its_type_as_by_the_builder,
      more_outputs_than_room_are_counted, wrong_arguments_are_refused,
      hostile_text_is_refused_with_place_reason_and_hint,
      a_rank_of_a_million_is_refused_at_the_ninth_size,
      every_prefix_is_survived, every_changed_byte_is_survived,
      every_shuffle_of_words_is_survived, unkind_numbers_are_survived)
