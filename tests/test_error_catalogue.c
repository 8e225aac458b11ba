/* test_error_catalogue.c -- every status has an example, whose whole text is as
 * in the catalogue; include/krs/ERRORS.md is the catalogue.
 *
 * After a change of the table: test_error_catalogue --print >ERRORS.md
 */
#include <krs/krs.h>

#include "graph/ir/ir.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>

#undef KRS_HERE
#define KRS_HERE ((krs_place){"src/bert.c", 88})

static const struct row {
    krs_status status;
    const char *when, *remedy, *example, *message;
} rows[] = {
#define CASE(STATUS, when, remedy, example, says) \
    {KRS_##STATUS, when, remedy, #example, says},
#include "error_catalogue.def"
#undef CASE
};
enum { ROWS = sizeof rows / sizeof *rows };

START_TEST(every_status_but_ok_has_one_row_in_the_order_of_the_list)
{
    static const char *const names[] = {
#define NAME(name, text) #name,
        KRS_STATUS_LIST(NAME)
#undef NAME
    };
    ck_assert_int_eq(ROWS, sizeof names / sizeof *names - 1);
    for (int i = 0; i < ROWS; i++)
        ck_assert_str_eq(krs_status_name(rows[i].status), names[i + 1]);
}
END_TEST

/* ---- the examples ---- */

static krs_error err;

/* an example ended with this status, or is a node, which the graph refused */
static krs_status
status_of_call(krs_status status, krs_graph *g)
{
    (void)g;
    return status;
}

static krs_status
status_of_node(krs_node x, krs_graph *g)
{
    ck_assert(!krs_node_is_valid(x));
    return krs_graph_check(g, &err);
}

#define STATUS_OF(example)             \
    _Generic((example), krs_node       \
             : status_of_node, default \
             : status_of_call)(example, g)

static void *
none_left(void *context, size_t bytes, size_t align)
{
    (void)context;
    (void)bytes;
    (void)align;
    return NULL;
}

static void
give_back(void *context, void *data, size_t bytes)
{
    (void)context;
    (void)data;
    (void)bytes;
}

static krs_device *
open_device(const char *name, const krs_allocator *allocator)
{
    krs_device_options o = {.struct_size = sizeof o, .allocator = allocator};
    krs_device *device;
    ck_assert_int_eq(krs_device_open_with(name, &o, &device, &err), KRS_OK);
    return device;
}

static krs_store *
open_store(krs_device *device)
{
    krs_store *store;
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    return store;
}

/* 2 x for x f32[4], and a state of the store */
static krs_program *
doubling(krs_store *store)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4));
    krs_node w = krs_state(g, "weight", KRS_F32, KRS_SHAPE(4));
    krs_node y = krs_mul(krs_scale(x, 2), w);
    const float data[4] = {0};
    krs_program *p;
    ck_assert_int_eq(krs_program_new(store, &y, 1, &p, &err), KRS_OK);
    ck_assert_int_eq(krs_program_set_input(p, "x", data, sizeof data, &err),
                     KRS_OK);
    krs_graph_free(g);
    return p;
}

START_TEST(every_example_says_what_the_catalogue_says)
{
    const krs_allocator nothing = {none_left, give_back, NULL};
    krs_device *interp = open_device("interp", NULL);
    krs_device *eval = open_device("eval", NULL);
    krs_device *without = open_device("eval", &nothing);
    krs_store *store = open_store(interp), *poor = open_store(without);
    krs_store *other = open_store(eval);
    krs_program *program = doubling(store), *evaluated = doubling(other);
    const float data[4] = {1, 2, 3, 4}, wanted[4] = {1, 2, 3.5F, 4};
    const void *odd = (const void *)(uintptr_t)1;
    krs_graph *g = krs_graph_new(), *elsewhere = krs_graph_new();
    krs_graph *broken = krs_graph_new(), *parsed = NULL;
    krs_scope_push(g, "encoder");
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 16, 512));
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(500, 512));
    krs_scope_push(g, "layer%d", 3);
    krs_node foreign =
        krs_input(elsewhere, "x", KRS_F32, KRS_SHAPE(2, 16, 512));
    krs_node sine = krs_sin(krs_input(broken, "x", KRS_F32, KRS_SHAPE(2)));
    ((krsi_node *)(uintptr_t)broken->node[sine.id])->dtype = KRS_I32;
    krs_weights *weights = NULL;
    krs_memory_info memory = {.struct_size = sizeof memory};
    krs_device *device = NULL;
    const krs_device_options options = {.struct_size = sizeof options,
                                        .modules = "/opt/kersey"};
    const krs_view got = {KRS_F32, KRS_SHAPE(4), data, sizeof data};
    const krs_view want = {KRS_F32, KRS_SHAPE(4), wanted, sizeof wanted};
    const krs_tolerance tolerance = {.rtol = 1e-3};
    /* the graph keeps its first error: each example has it without one */
    int i = 0;
#define CASE(STATUS, when, remedy, example, says)       \
    err = (krs_error){KRS_OK, ""};                      \
    ck_assert_int_eq(STATUS_OF(example), KRS_##STATUS); \
    ck_assert_int_eq(err.status, KRS_##STATUS);         \
    ck_assert_str_eq(err.text, rows[i++].message);      \
    g->error.status = KRS_OK;
#include "error_catalogue.def"
#undef CASE
    ck_assert_ptr_null(weights);
    ck_assert_ptr_null(parsed);
    ck_assert_ptr_null(device);
    krs_program_free(program), krs_program_free(evaluated);
    krs_store_free(store), krs_store_free(poor), krs_store_free(other);
    krs_device_close(interp), krs_device_close(eval), krs_device_close(without);
    krs_graph_free(g), krs_graph_free(elsewhere), krs_graph_free(broken);
}
END_TEST

/* ---- the page ---- */

static void
print_page(krsi_string *page)
{
    krsi_string_add(
        page,
        "# What can go wrong\n\n"
        "Every status of `krs/status.h`, with an example and the whole of what "
        "is said.\nMade by `test_error_catalogue --print` from "
        "`tests/error_catalogue.def`, whose examples\na test runs.\n\n"
        "A message of a builder names the scope, the operation, the shapes and "
        "types, the\nline of C that asked, and where there is one the way out; "
        "one of anything else the\nfunction, the object and the values.\n");
    for (int i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        krsi_string_format(
            page, "\n## KRS_%s: %s\n\n%s %s\n\n```c\n%s\n```\n\n> %s\n",
            krs_status_name(r->status), krs_status_text(r->status), r->when,
            r->remedy, r->example, r->message);
    }
}

START_TEST(the_page_is_the_catalogue)
{
    krsi_string page = {0};
    static char text[1 << 16];
    FILE *in = fopen(TESTS_DIR "/../include/krs/ERRORS.md", "r");
    ck_assert_ptr_nonnull(in);
    size_t bytes = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[bytes] = 0;
    print_page(&page);
    ck_assert(!page.failed);
    /* not ck_assert_str_eq, whose message would be too long */
    ck_assert_msg(strcmp(text, page.text) == 0,
                  "include/krs/ERRORS.md is not the catalogue: "
                  "test_error_catalogue --print >include/krs/ERRORS.md");
    krsi_string_free(&page);
}
END_TEST

RUN_SUITE(run_all, every_status_but_ok_has_one_row_in_the_order_of_the_list,
          every_example_says_what_the_catalogue_says, the_page_is_the_catalogue)

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        krsi_string page = {0};
        print_page(&page);
        if (page.failed)
            return EXIT_FAILURE;
        fputs(page.text, stdout);
        krsi_string_free(&page);
        return EXIT_SUCCESS;
    }
    return run_all();
}
