/* test_opinfo.c -- the walk over the op table agrees with the table. */
#include "graph/ir/ir.h"
#include "suite.h"

#include <krs/opinfo.h>

#include <string.h>

START_TEST(every_row_is_named_once_and_described)
{
    krs_op_info op, other;
    ck_assert_int_eq(krs_op_count(), KRSI_OP_COUNT - 1);
    for (int i = 0; i < krs_op_count(); i++) {
        ck_assert(krs_op_info_at(i, &op));
        ck_assert_int_eq(krsi_op_by_name(op.name), i + 1);
        ck_assert_uint_gt(strlen(op.definition), 0);
        ck_assert_ptr_nonnull(op.attributes);
        ck_assert_str_ne(op.types, "?");
        ck_assert(op.most_operands < 0 ||
                  op.most_operands >= op.least_operands);
        for (int j = 0; j < i; j++) {
            ck_assert(krs_op_info_at(j, &other));
            ck_assert_str_ne(op.name, other.name);
        }
    }
}
END_TEST

START_TEST(rows_say_what_ops_def_says)
{
    krs_op_info op;
    ck_assert(krs_op_info_at(KRSI_MATMUL - 1, &op));
    ck_assert_str_eq(op.name, "matmul");
    ck_assert_int_eq(op.least_operands, 2);
    ck_assert_int_eq(op.most_operands, 2);
    ck_assert(op.differentiable);
    ck_assert(!op.composite);
    ck_assert(krs_op_info_at(KRSI_CONCAT - 1, &op));
    ck_assert_int_eq(op.most_operands, -1);
    ck_assert(krs_op_info_at(KRSI_ARGMAX - 1, &op));
    ck_assert(!op.differentiable);
    ck_assert(krs_op_info_at(KRSI_SOFTMAX - 1, &op));
    ck_assert(op.composite);
    ck_assert_str_eq(op.types, "float");
}
END_TEST

START_TEST(there_is_nothing_outside_the_table)
{
    krs_op_info op = {.name = "untouched"};
    ck_assert(!krs_op_info_at(-1, &op));
    ck_assert(!krs_op_info_at(krs_op_count(), &op));
    ck_assert_str_eq(op.name, "untouched");
}
END_TEST

SUITE(every_row_is_named_once_and_described, rows_say_what_ops_def_says,
      there_is_nothing_outside_the_table)
