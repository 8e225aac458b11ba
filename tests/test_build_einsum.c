/* test_build_einsum.c -- sums over named axes against loops written here, and
 * what the equation is refused for; the patterns of array.h.
 */
#include "every_device.h"
#include "one_run.h"

#include <krs/krs.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 8, ROOM = 4096 };

static float data[3][ROOM];
static const int64_t sizes[LETTERS] = {2, 3, 4, 5, 3, 2, 6, 1}; /* a, b, .. */

static krs_shape
shape_of(const char *letters, size_t count)
{
    krs_shape shape = {(int)count, {0}};
    for (size_t i = 0; i < count; i++)
        shape.dim[i] = sizes[letters[i] - 'a'];
    return shape;
}

/* element of an operand where the letters have these values */
static int64_t
place(const char *letters, size_t count, const int64_t *value)
{
    int64_t at = 0;
    for (size_t i = 0; i < count; i++)
        at = at * sizes[letters[i] - 'a'] + value[letters[i] - 'a'];
    return at;
}

static void
assert_einsum(krs_device *device, const char *operands, const char *result,
              bool arrow)
{
    char equation[64];
    krs_graph *g = krs_graph_new();
    krs_node in[3];
    one_input input[3];
    const char *start[3], *names[3] = {"x", "y", "z"};
    size_t length[3], count = 0;
    double want[ROOM] = {0};
    float got[ROOM];
    bool used[LETTERS] = {false};
    for (const char *p = operands; p; p = strchr(p, ',')) {
        p += count > 0;
        start[count] = p;
        length[count] = strcspn(p, ",");
        krs_shape shape = shape_of(p, length[count]);
        int64_t elements;
        ck_assert(krs_shape_elements(shape, &elements));
        in[count] = krs_input(g, names[count], KRS_F32, shape);
        input[count] = (one_input){names[count], data[count],
                                   (size_t)elements * sizeof(float)};
        count++;
    }
    for (const char *p = operands; *p; p++)
        if (*p != ',')
            used[*p - 'a'] = true;
    int64_t value[LETTERS] = {0};
    for (bool more = true; more;) { /* every value of every letter */
        double product = 1;
        for (size_t k = 0; k < count; k++)
            product *= (double)data[k][place(start[k], length[k], value)];
        want[place(result, strlen(result), value)] += product;
        more = false;
        for (int c = 0; c < LETTERS && !more; c++) {
            if (!used[c])
                continue;
            more = ++value[c] < sizes[c];
            if (!more)
                value[c] = 0;
        }
    }
    snprintf(equation, sizeof equation, "%s%s%s", operands, arrow ? "->" : "",
             arrow ? result : "");
    krs_node y = krs_einsum(equation, in, (int)count);
    krs_shape shape = shape_of(result, strlen(result));
    int64_t elements;
    ck_assert(krs_shape_elements(shape, &elements));
    size_t bytes = (size_t)elements * sizeof *got;
    one_run(device, &y, 1, input, count, (void *[]){got}, &bytes);
    for (int64_t i = 0; i < elements; i++)
        ck_assert_msg(fabs((double)got[i] - want[i]) < 1e-4,
                      "%s: element %lld is %g, not %g", equation, (long long)i,
                      (double)got[i], want[i]);
    krs_graph_free(g);
}

START_TEST(letters_are_summed_over_as_the_equation_says)
{
    static const struct {
        const char *operands, *result;
        bool arrow;
    } cases[] = {
        {"abc,cd,aed", "abe", true }, /* bilinear */
        {"ab,bc",      "ac",  false},
        {"ab,cb",      "ac",  true },
        {"abc,abd",    "bcd", true },
        {"abc",        "cb",  true },
        {"abc",        "",    true },
        {"cab",        "abc", false}, /* sorted */
        {"beb",        "eb",  true }, /* a diagonal */
        {"bbe",        "b",   true },
        {"be,eb",      "",    true }, /* a trace */
        {"a,b,c",      "cab", true }, /* outer */
        {"abcd,dg,gh", "hab", true },
        {"ab,ab",      "ab",  true }, /* element by element */
        {"ab,c",       "b",   true }, /* letters of one alone */
    };
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < ROOM; i++)
            data[k][i] =
                (float)(krs_random_u32(1, 0, (uint32_t)k, (uint64_t)i) % 2001) /
                    1000 -
                1;
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            assert_einsum(device, cases[i].operands, cases[i].result,
                          cases[i].arrow);
        krs_device_close(device);
    }
}
END_TEST

START_TEST(a_wrong_equation_is_refused_with_its_text)
{
    static const struct {
        const char *equation, *says;
    } cases[] = {
        {"ab,bc",       "not as many operands"                  },
        {"ab,b1,c->a",  "letters and commas are needed"         },
        {"ab,bc,c->ad", "each letter of the result"             },
        {"ab,bc,c->aa", "each letter of the result"             },
        {"ab,bc,cd->a", "ranks differ from the letters of cd->a"},
        {"ab,ac,b->c",  "a letter has two sizes in ac,b->c"     },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        krs_error err = {KRS_OK, ""};
        krs_graph *g = krs_graph_new();
        krs_node in[3] = {krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 3)),
                          krs_input(g, "y", KRS_F32, KRS_SHAPE(3, 4)),
                          krs_input(g, "z", KRS_F32, KRS_SHAPE(4))};
        krs_node y = krs_einsum(cases[i].equation, in, 3);
        ck_assert(!krs_node_is_valid(y));
        ck_assert_int_ne(krs_graph_check(g, &err), KRS_OK);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s", err.text);
        ck_assert_msg(strstr(err.text, cases[i].equation) != NULL, "%s",
                      err.text);
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(patterns_are_what_they_say)
{
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    static const float lower[6] = {1, 2, 0, 4, 5, 6},
                       upper[6] = {1, 2, 3, 0, 5, 6},
                       eye[6] = {1, 0, 0, 0, 1, 0},
                       rolled[6] = {3, 1, 2, 6, 4, 5},
                       steps[4] = {2, 1.5, 1, 0.5}, outer[4] = {1, 2, 2, 4};
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 3));
        krs_node two = krs_reshape(
            krs_slice(krs_slice(in, 0, 0, 1, 1), 1, 0, 2, 1), KRS_SHAPE(2));
        const krs_node out[6] = {krs_tril(in, 1),
                                 krs_triu(in, 0),
                                 krs_eye(g, KRS_F32, 2, 3),
                                 krs_roll(in, -1, -5),
                                 krs_arange(g, KRS_F32, 4, 2, -0.5),
                                 krs_outer(two, two)};
        const float *want[6] = {lower, upper, eye, rolled, steps, outer};
        const size_t bytes[6] = {24, 24, 24, 24, 16, 16};
        float got[6][6];
        void *into[6] = {got[0], got[1], got[2], got[3], got[4], got[5]};
        one_input input = {"x", x, sizeof x};
        one_run(device, out, 6, &input, 1, into, bytes);
        for (int i = 0; i < 6; i++)
            for (size_t k = 0; k < bytes[i] / 4; k++)
                ck_assert_msg(got[i][k] == want[i][k],
                              "pattern %d: element %zu is %g, not %g", i, k,
                              (double)got[i][k], (double)want[i][k]);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

SUITE(letters_are_summed_over_as_the_equation_says,
      a_wrong_equation_is_refused_with_its_text, patterns_are_what_they_say)
