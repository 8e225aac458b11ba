/* base.h -- what everything else stands on: arena, growing arrays, strings,
 * element conversion. Knows nothing of tensors or graphs.
 */
#ifndef KRSI_BASE_H
#define KRSI_BASE_H

#include <krs/dtype.h>
#include <krs/status.h>

#include <stdarg.h>

/* arena.c -- memory that is freed all at once. One thread at a time.
 * A zeroed krsi_arena is an empty one. */
typedef struct krsi_arena {
    struct krsi_arena_block *blocks;
    size_t used_bytes; /* handed out, for statistics */
} krsi_arena;

/* 16-byte aligned, zeroed; NULL when memory is out. bytes == 0 is fine. */
void *krsi_arena_alloc(krsi_arena *arena, size_t bytes);
/* count * size, checked for overflow */
void *krsi_arena_array(krsi_arena *arena, size_t count, size_t size);
char *krsi_arena_copy_string(krsi_arena *arena, const char *text);
void krsi_arena_free(krsi_arena *arena);

/* status.c -- ARGUMENT, "program_run: the program is NULL", if a pointer is that
 * a function of the public headers cannot do without; else KRS_OK. */
krs_status krsi_need(const void *pointer, const char *function,
                     const char *what, krs_error *err);

/* array.c -- make room for `need` elements of `size` bytes in *data, at
 * least doubling; false, with nothing changed, when memory is out. */
bool krsi_reserve(void *data_pointer, size_t *capacity, size_t need,
                  size_t size);

/* string.c -- a string that grows. Errors stick: after a failed allocation
 * every append is a no-op and `failed` is set. Zeroed = empty; text may be
 * NULL while empty. */
typedef struct krsi_string {
    char *text; /* zero-terminated once anything was appended */
    size_t length;
    size_t capacity;
    bool failed;
} krsi_string;

void krsi_string_add(krsi_string *s, const char *text);
void krsi_string_add_bytes(krsi_string *s, const char *bytes, size_t count);
void krsi_string_format(krsi_string *s, const char *format, ...)
    KRS_PRINTF(2, 3);
void krsi_string_vformat(krsi_string *s, const char *format, va_list args);
void krsi_string_free(krsi_string *s);

/* convert.c -- one element at a time; krs_convert is a loop over these. */
uint16_t krsi_bf16_from_double(double value);
uint16_t krsi_f16_from_double(double value);
float krsi_bf16_to_float(uint16_t bits);
float krsi_f16_to_float(uint16_t bits);
/* value of element i; any type but block types */
double krsi_load_double(krs_dtype dtype, const void *data, size_t i);
int64_t krsi_load_int(krs_dtype dtype, const void *data, size_t i);
/* float to integer: towards zero, saturating to the target, NaN gives 0 */
void krsi_store_double(krs_dtype dtype, void *data, size_t i, double value);
void krsi_store_int(krs_dtype dtype, void *data, size_t i, int64_t value);

/* philox.c -- Philox4x32-10; and words 4 block .. 4 block + 3 of a stream
 * (random.h says which counter that is) */
void krsi_philox(const uint32_t counter[4], const uint32_t key[2],
                 uint32_t out[4]);
void krsi_random_words(uint64_t seed, uint64_t step, uint32_t stream,
                       uint64_t block, uint32_t out[4]);

/* Number text that does not depend on the locale. Shortest form that reads
 * back to the same double; nan, inf, -inf by those names. */
#define KRSI_NUMBER_TEXT 40
const char *krsi_print_double(char text[KRSI_NUMBER_TEXT], double value);
/* the same for an f32: shortest form that reads back as that f32 */
const char *krsi_print_float(char text[KRSI_NUMBER_TEXT], float value);
/* true and *end past the number, or false */
bool krsi_parse_double(const char *text, const char **end, double *out);

#endif
