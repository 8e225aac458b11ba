/* test_null_arguments.c -- what functions of the public headers say to NULL
 * where an object, a name, data or room for the result is needed: ARGUMENT, and
 * which one is missing. A binding of another language meets these first.
 */
#include "suite.h"

#include <krs/check.h>
#include <krs/dlpack.h>
#include <krs/nn.h>
#include <krs/ops.h>
#include <krs/rope.h>
#include <krs/train.h>
#include <krs/weights.h>

#include <string.h>

typedef struct rig {
    krs_graph *g;
    krs_node x, w, y;
    krs_device *device;
    krs_store *store;
    krs_program *program, *made;
    krs_trainer *trainer;
    krs_checkpoint_info info;
    DLManagedTensorVersioned *tensor;
    krs_array array;
    krs_error err;
    char *text;
    float data[6];
    krs_view view;
    krs_init_rule rule;
    krs_weight_stats stats;
    krs_rope_scaling rope;
    double factor;
    krs_node out[8];
    size_t count;
} rig;

static void
begin(rig *r)
{
    *r = (rig){
        .g = krs_graph_new(),
        .rope = krs_rope_defaults(),
        .rule = {"*", KRS_INIT_ONES, 0}
    };
    r->x = krs_input(r->g, "x", KRS_F32, KRS_SHAPE(2, 3));
    r->w = krs_state(r->g, "w", KRS_F32, KRS_SHAPE(3));
    r->y = krs_sum(krs_mul(r->x, r->w), KRS_ALL_AXES);
    r->view = (krs_view){KRS_F32, KRS_SHAPE(2, 3), r->data, sizeof r->data};
    krs_error *err = &r->err;
    ck_assert_int_eq(krs_device_open("eval", &r->device, err), KRS_OK);
    ck_assert_int_eq(krs_store_new(r->device, &r->store, err), KRS_OK);
    ck_assert_int_eq(krs_program_new(r->store, &r->y, 1, &r->program, err),
                     KRS_OK);
    ck_assert_int_eq(
        krs_program_set_input(r->program, "x", r->data, sizeof r->data, err),
        KRS_OK);
    ck_assert_int_eq(krs_program_run(r->program, err), KRS_OK);
}

static void
end(rig *r)
{
    krs_program_free(r->program);
    krs_store_free(r->store);
    krs_device_close(r->device);
    krs_graph_free(r->g);
}

/* REFUSED(call, what is said) */
#define EACH_CALL(REFUSED)                                                    \
    REFUSED(krs_device_open(NULL, &r.device, e),                              \
            "device_open: the name is NULL")                                  \
    REFUSED(krs_device_open("eval", NULL, e), "device_open: out is NULL")     \
    REFUSED(krs_device_describe(NULL, NULL, e),                               \
            "device_describe: the device is NULL")                            \
    REFUSED(krs_device_describe(r.device, NULL, e),                           \
            "device_describe: out is NULL")                                   \
    REFUSED(krs_store_new(r.device, NULL, e), "store_new: out is NULL")       \
    REFUSED(krs_store_add(NULL, "a", KRS_F32, KRS_SCALAR, e),                 \
            "store_add: the store is NULL")                                   \
    REFUSED(krs_store_bind(NULL, "a", KRS_F32, KRS_SCALAR, r.data, 4, e),     \
            "store_bind: the store is NULL")                                  \
    REFUSED(krs_store_entry(NULL, 0, NULL, NULL, NULL, e),                    \
            "store_entry: the store is NULL")                                 \
    REFUSED(krs_store_find(NULL, "w", NULL, NULL, e),                         \
            "store_find: the store is NULL")                                  \
    REFUSED(krs_store_find(r.store, NULL, NULL, NULL, e),                     \
            "store_find: the name is NULL")                                   \
    REFUSED(krs_store_write(r.store, "w", NULL, 12, e),                       \
            "store_write: data is NULL")                                      \
    REFUSED(krs_store_read(r.store, "w", NULL, 12, e),                        \
            "store_read: data is NULL")                                       \
    REFUSED(krs_program_new(NULL, &r.y, 1, &r.made, e),                       \
            "program_new: the store is NULL")                                 \
    REFUSED(krs_program_new(r.store, NULL, 1, &r.made, e),                    \
            "program_new: outputs is NULL")                                   \
    REFUSED(krs_program_new(r.store, &r.y, 1, NULL, e),                       \
            "program_new: out is NULL")                                       \
    REFUSED(krs_program_plan(NULL, &r.y, 1, &r.made, e),                      \
            "program_plan: the device is NULL")                               \
    REFUSED(krs_program_plan(r.device, &r.y, 1, NULL, e),                     \
            "program_plan: out is NULL")                                      \
    REFUSED(krs_program_clone(NULL, r.store, &r.made, e),                     \
            "program_clone: the program is NULL")                             \
    REFUSED(krs_program_clone(r.program, NULL, &r.made, e),                   \
            "program_clone: the store is NULL")                               \
    REFUSED(krs_program_clone(r.program, r.store, NULL, e),                   \
            "program_clone: out is NULL")                                     \
    REFUSED(krs_program_set_input(NULL, "x", r.data, 24, e),                  \
            "program_set_input: the program is NULL")                         \
    REFUSED(krs_program_set_input(r.program, NULL, r.data, 24, e),            \
            "program_set_input: the name is NULL")                            \
    REFUSED(krs_program_set_input(r.program, "x", NULL, 24, e),               \
            "program_set_input: 'x': data is NULL")                           \
    REFUSED(krs_program_bind_input(r.program, "x", NULL, 24, e),              \
            "program_bind_input: 'x': data is NULL")                          \
    REFUSED(krs_program_bind_output(r.program, 0, NULL, 4, e),                \
            "program_bind_output: data is NULL")                              \
    REFUSED(krs_program_set_var(NULL, "i", 0, e),                             \
            "program_set_var: the program is NULL")                           \
    REFUSED(krs_program_run(NULL, e), "program_run: the program is NULL")     \
    REFUSED(krs_program_output(NULL, 0, NULL, NULL, e),                       \
            "program_output: the program is NULL")                            \
    REFUSED(krs_program_read(NULL, 0, r.data, 4, e),                          \
            "program_read: the program is NULL")                              \
    REFUSED(krs_program_read(r.program, 0, NULL, 4, e),                       \
            "program_read: data is NULL")                                     \
    REFUSED(krs_program_print(NULL, "opt", &r.text, e),                       \
            "program_print: the program is NULL")                             \
    REFUSED(krs_program_print(r.program, NULL, &r.text, e),                   \
            "program_print: the stage is NULL")                               \
    REFUSED(krs_program_print(r.program, "opt", NULL, e),                     \
            "program_print: out_text is NULL")                                \
    REFUSED(krs_program_memory(NULL, NULL, e),                                \
            "program_memory: the program is NULL")                            \
    REFUSED(krs_program_memory(r.program, NULL, e),                           \
            "program_memory: out is NULL")                                    \
    REFUSED(krs_program_launch(r.program, 0, NULL, e),                        \
            "program_launch: out is NULL")                                    \
    REFUSED(krs_program_require_in_place(NULL, e),                            \
            "program_require_in_place: the program is NULL")                  \
    REFUSED(krs_check(NULL, r.device, &r.y, 1, NULL, NULL, e),                \
            "check: the device is NULL")                                      \
    REFUSED(krs_check(r.device, NULL, &r.y, 1, NULL, NULL, e),                \
            "check: the device to compare with is NULL")                      \
    REFUSED(krs_check(r.device, r.device, NULL, 1, NULL, NULL, e),            \
            "check: outputs is NULL")                                         \
    REFUSED(krs_check_fill(NULL, r.store, &r.y, 1, NULL, e),                  \
            "check_fill: the program is NULL")                                \
    REFUSED(krs_gradcheck(NULL, r.y, &r.w, 1, NULL, e),                       \
            "gradcheck: the device is NULL")                                  \
    REFUSED(krs_gradcheck(r.device, r.y, NULL, 1, NULL, e),                   \
            "gradcheck: parameters is NULL")                                  \
    REFUSED(krs_compare(NULL, &r.view, NULL, (krs_tolerance){0}, NULL, e),    \
            "compare: got is NULL")                                           \
    REFUSED(krs_compare(&r.view, NULL, NULL, (krs_tolerance){0}, NULL, e),    \
            "compare: want is NULL")                                          \
    REFUSED(krs_convert(KRS_F32, NULL, KRS_F16, r.data, 3, e),                \
            "convert: dst is NULL")                                           \
    REFUSED(krs_nn_parameters(r.g, NULL, &r.count, e),                        \
            "parameters: out_parameters or out_count is NULL")                \
    REFUSED(krs_nn_init(NULL, &r.w, 1, &r.rule, 1, 0, e),                     \
            "init: the store, the parameters or the rules are NULL")          \
    REFUSED(krs_nn_load(NULL, &r.w, 1, "none", e), "load: the store is NULL") \
    REFUSED(krs_trainer_new(NULL, NULL, &r.trainer, e),                       \
            "trainer: the store, options or out is NULL")                     \
    REFUSED(krs_checkpoint_latest(NULL, &r.text, e),                          \
            "checkpoint: the run or out_path is NULL")                        \
    REFUSED(krs_checkpoint_read(NULL, &r.info, e),                            \
            "checkpoint: the folder or out is NULL")                          \
    REFUSED(krs_dlpack_export(NULL, NULL, NULL, &r.tensor, e),                \
            "dlpack: export: the array or out is NULL")                       \
    REFUSED(krs_dlpack_view(NULL, &r.array, e),                               \
            "dlpack: view: the tensor or out is NULL")                        \
    REFUSED(krs_dlpack_copy(NULL, &r.array, NULL, 0, e),                      \
            "dlpack: copy: the tensor or out_array is NULL")                  \
    REFUSED(krs_nn_save(r.store, NULL, 1, "none", e),                         \
            "save: the parameters are NULL")                                  \
    REFUSED(krs_weights_read(NULL, 0, KRS_F32, r.data, 4, e),                 \
            "weights: read: NULL is no model")                                \
    REFUSED(krs_weights_stats(NULL, 0, &r.stats, e),                          \
            ": stats: tensor 0 of 0 does not exist")                          \
    REFUSED(krs_rope_check(NULL, e), "rope_scaling: it is NULL")              \
    REFUSED(krs_rope_frequencies(&r.rope, 4, NULL, &r.factor, e),             \
            "rope_frequencies: the frequencies or out_attention_factor is "   \
            "NULL")

START_TEST(each_pointer_that_is_needed_is_asked_for_by_name)
{
    rig r;
    krs_error *e = &r.err;
    begin(&r);
    krs_device *device = r.device;
#define REFUSED(call, said)                                               \
    memset(e, 0, sizeof *e);                                              \
    ck_assert_msg((call) == KRS_E_ARGUMENT, "%s: %s", #call, r.err.text); \
    ck_assert_str_eq(r.err.text, said);                                   \
    ck_assert_ptr_null(r.made);                                           \
    r.device = device;
    EACH_CALL(REFUSED)
#undef REFUSED
    /* what was there works as before */
    ck_assert_int_eq(krs_program_run(r.program, e), KRS_OK);
    end(&r);
}
END_TEST

START_TEST(a_store_needs_a_device_and_a_tensor_a_name)
{
    rig r;
    krs_store *store = NULL;
    begin(&r);
    ck_assert_int_eq(krs_store_new(NULL, &store, &r.err), KRS_E_ARGUMENT);
    ck_assert_ptr_null(store);
    ck_assert_int_eq(krs_store_add(r.store, "", KRS_F32, KRS_SCALAR, &r.err),
                     KRS_E_NAME);
    ck_assert_str_eq(r.err.text, "store_add: the name is empty");
    ck_assert_int_eq(
        krs_store_bind(r.store, NULL, KRS_F32, KRS_SCALAR, r.data, 4, &r.err),
        KRS_E_NAME);
    ck_assert_str_eq(r.err.text, "store_bind: the name is empty");
    end(&r);
}
END_TEST

START_TEST(what_has_no_status_does_nothing)
{
    krs_program_cancel(NULL);
    krs_program_profile(NULL, true);
    krs_program_free(NULL);
    krs_store_free(NULL);
    krs_device_close(NULL);
    krs_graph_free(NULL);
    ck_assert_uint_eq(krs_store_count(NULL), 0);
    ck_assert_str_eq(krs_device_name(NULL), "");
    ck_assert_uint_eq(krs_weights_count(NULL), 0);
    ck_assert_ptr_null(krs_weights_at(NULL, 0));
    ck_assert_int_eq(krs_weights_find(NULL, "w"), -1);
    ck_assert_str_eq(krs_weights_path(NULL), "");
    ck_assert_ptr_null(krs_weights_note_at(NULL, 0));
    ck_assert_ptr_null(krs_weights_note_find(NULL, "key"));
}
END_TEST

START_TEST(a_step_says_what_it_lacks)
{
    rig r;
    krs_optimizer adamw = krs_optimizer_default();
    adamw.schedule.total_steps = 5;
    begin(&r);
    ck_assert_int_eq(krs_train_step(r.y, &r.w, 1, NULL, r.out, 8, &r.count),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_train_step(r.y, NULL, 1, &adamw, r.out, 8, &r.count),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_train_step(r.y, &r.w, 1, &adamw, NULL, 8, &r.count),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_train_step(r.y, &r.w, 1, &adamw, r.out, 8, NULL),
                     KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(krs_graph_error(r.g)->text, "is NULL"));
    end(&r);
}
END_TEST

START_TEST(an_allocator_without_its_functions_is_refused)
{
    const krs_allocator none = {0};
    const krs_device_options options = {.struct_size = sizeof options,
                                        .allocator = &none};
    krs_device *device;
    krs_error err;
    ck_assert_int_eq(krs_device_open_with("eval", &options, &device, &err),
                     KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "lacks a function"));
    ck_assert_ptr_null(device);
}
END_TEST

SUITE(each_pointer_that_is_needed_is_asked_for_by_name,
      a_store_needs_a_device_and_a_tensor_a_name,
      what_has_no_status_does_nothing, a_step_says_what_it_lacks,
      an_allocator_without_its_functions_is_refused)
