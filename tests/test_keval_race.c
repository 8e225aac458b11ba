/* test_keval_race.c -- items of a group that race are found and named by the
 * kernel interpreter; those that take turns are not.
 */
#include "graph/kernel/kb.h"
#include "keval_run.h"

#include <stdio.h>
#include <string.h>

/* Four items, each with its number in %x; the place of the one beside it. */
#define NEIGHBOURS                \
    "kernel race\n"               \
    "buffer @in i64 read\n"       \
    "buffer @out i64 readwrite\n" \
    "shared @tile i64 5\n"        \
    "grid 1\n"                    \
    "group 4 1 1\n"               \
    "%0:i64 = const 0\n"          \
    "%1:i64 = const 1\n"          \
    "%3:i64 = const 3\n"          \
    "%x:i64 = local 0\n"          \
    "%next:i64 = add %x %1\n"     \
    "%near:i64 = min %next %3\n"  \
    "%first:bool = lt %x %1\n"

/* What items do, and the sentence, or NULL where there is no race. */
static const char *const meetings[][2] = {
    {"store @tile %x %x\nbarrier\n%v:i64 = load @tile %next\n", NULL                                             },
    {"store @tile %x %x\n%v:i64 = load @tile %x\n",             NULL                                             },
    {"%v:i64 = load @tile %0\n",                                NULL                                             },
    {"store @tile %x %x mask %first\n",                         NULL                                             },
    {"store @out %0 %1\n",                                      NULL                                             }, /* the same bits, as of a fault */
    {"%v:i64 = load @in %x\nstore @out %x %v\n",                NULL                                             },
    {"%v:i64 = load @in %near\nbarrier\nstore @out %x %v\n",    NULL                                             },
    {"store @tile %x %x\n%v:i64 = load @tile %near\n",
     "items 0 and 1 race for element 1 of buffer tile"                                                           },
    {"%v:i64 = load @tile %near\nstore @tile %x %x\n",
     "kernel race: instruction 9 (store) of group (0, 0, 0): items 0 and 1 "
     "race for element 1 of buffer tile: one writes it, and there is no "
     "barrier between"                                                                                           },
    {"store @tile %0 %1\n",                                     "items 0 and 1 race for element 0 of buffer tile"},
    {"%v:i64 = load @tile %3\nstore @tile %x %x\n",
     "item 3 and several others race for element 3 of buffer tile"                                               },
    {"store @out %0 %x\n",                                      "items 0 and 1 race for element 0 of buffer out" },
    {"%v:i64 = load @out %near\nstore @out %x %v\n",
     "items 0 and 1 race for element 1 of buffer out"                                                            },
    {"%v:i64 = load @in %near\nstore @out %x %v\n",
     "items 0 and 1 race for element 1 of buffer out"                                                            },
};

/* In and out are one memory. */
START_TEST(items_of_a_group_that_race_are_named)
{
    for (size_t i = 0; i < sizeof meetings / sizeof *meetings; i++) {
        char text[1000];
        int64_t memory[4] = {0};
        void *buffers[] = {memory, memory};
        size_t bytes[] = {sizeof memory, sizeof memory};
        krs_error err;
        snprintf(text, sizeof text, "%s%s", NEIGHBOURS, meetings[i][0]);
        krs_status status = run_text(text, 1, buffers, bytes, NULL, &err);
        if (!meetings[i][1]) {
            ck_assert_msg(status == KRS_OK, "%s%s", meetings[i][0], err.text);
            continue;
        }
        ck_assert_msg(status == KRS_E_FORMAT, "%s", meetings[i][0]);
        ck_assert_msg(strstr(err.text, meetings[i][1]) != NULL, "%s%s",
                      meetings[i][0], err.text);
    }
}
END_TEST

/* More elements than the table begins with; the next group begins anew. */
START_TEST(a_race_is_found_among_many_elements)
{
    static const char text[] = "kernel many\n"
                               "arg shift i64\n"
                               "shared @tile i64 9001\n"
                               "grid 1\n"
                               "group 2 1 1\n"
                               "%shift:i64 = arg shift\n"
                               "%0:i64 = const 0\n"
                               "%1:i64 = const 1\n"
                               "%4500:i64 = const 4500\n"
                               "%x:i64 = local 0\n"
                               "%y:i64 = mul %x %4500\n"
                               "%back:i64 = mul %x %shift\n"
                               "%from:i64 = sub %y %back\n"
                               "%i:i64 = for %0 to %4500 step %1 {\n"
                               "  %at:i64 = add %from %i\n"
                               "  store @tile %at %i\n"
                               "}\n";
    krs_error err;
    krs_kargument args[] = {{.i = 0}};
    ck_assert_msg(run_text(text, 3, NULL, NULL, args, &err) == KRS_OK, "%s",
                  err.text);
    args[0].i = 1;
    ck_assert_int_eq(run_text(text, 1, NULL, NULL, args, &err), KRS_E_FORMAT);
    ck_assert_msg(strstr(err.text, "element 4499 of buffer tile") != NULL, "%s",
                  err.text);
}
END_TEST

SUITE(items_of_a_group_that_race_are_named, a_race_is_found_among_many_elements)
