/* kernel_scan.h -- words of the text form of kernels, for kernel_parse.c.
 *
 * The current word is the one that is looked at and not yet taken; its length
 * is 0 at the end of a line. Functions that read one take it when they
 * succeed; when they fail they have said why, the first fault is kept, and
 * the word stands where it stood.
 */
#ifndef KRSI_KERNEL_SCAN_H
#define KRSI_KERNEL_SCAN_H

#include "../base/base.h"
#include "kernel.h"

typedef struct krsi_kword {
    const char *start; /* in the text, length bytes */
    size_t length;
} krsi_kword;

typedef struct krsi_kscan {
    const char *at, *line_start;
    int line; /* of at */
    krsi_kword word;
    krs_error *err;
    krs_status status; /* of the first fault */
} krsi_kscan;

/* Record "kernel text: line 1, column 2: reason" for the current word, or that
 * memory is out; both give false. */
bool krsi_kscan_fail(krsi_kscan *s, const char *format, ...) KRS_PRINTF(2, 3);
bool krsi_kscan_memory(krsi_kscan *s);
/* The current word for a message, cut to a readable length. */
#define KRSI_KWORD_TEXT 48
const char *krsi_kscan_shown(const krsi_kscan *s, char text[KRSI_KWORD_TEXT]);

/* to the next word of the line */
void krsi_kscan_advance(krsi_kscan *s);
bool krsi_kscan_is(const krsi_kscan *s, const char *text);
/* take the word if it is `text`; expect says so if it is not */
bool krsi_kscan_accept(krsi_kscan *s, const char *text);
bool krsi_kscan_expect(krsi_kscan *s, const char *text);
bool krsi_kscan_int(krsi_kscan *s, int64_t low, int64_t high, int64_t *out);
/* the bits of an f32, NaN as 0x7fc00000 */
bool krsi_kscan_float(krsi_kscan *s, uint64_t *out);
bool krsi_kscan_dtype(krsi_kscan *s, uint8_t *out);
/* %name:f32x16 */
bool krsi_kscan_typed_name(krsi_kscan *s, krsi_kword *name, krs_ktype *type);

#endif
