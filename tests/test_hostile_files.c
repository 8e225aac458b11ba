/* test_hostile_files.c -- files made to deceive (hostile_files.def): each is
 * refused with its sentence, in under a second, without taking more than
 * 16 MiB, by the library and by the program; and no prefix of an honest file
 * is taken for one.
 *
 * A recipe is pieces with '|' between them:
 *
 *   t:TEXT      these bytes           n:COUNT:TEXT  so many times
 *   b:N h:N     a byte, a u16         w:N q:N       a u32, a u64
 *   s:TEXT      a u64 length, then the bytes
 *   x:HEX       bytes in hexadecimal  z:COUNT       zeros
 *   j:TEXT      a u64 length, then the JSON: a header of safetensors
 *   a:N         zeros up to a multiple of N
 *   f:NAME      the file ends; another of that name begins
 *   g:NAME      the bytes of a golden file
 *   p:AT:HEX    over what is there; AT from the end if negative
 *   o:OLD~NEW   NEW for the first OLD
 *   c:N         cut to N bytes
 */
#include <krs/gguf.h>
#include <krs/llama.h>
#include <krs/train.h>
#include <krs/weights.h>

#include "suite.h"
#include "temp_folder.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMITS_MEMORY false /* the sanitizer's own memory is many times that */
#else
#define LIMITS_MEMORY true
#endif

enum { MOST_BYTES = 1 << 24, MEMORY_BYTES = 16 << 20 };

static krs_error err;

static const struct {
    const char *name, *recipe, *says;
} rows[] = {
#define HOSTILE(name, recipe, says) {name, recipe, says},
#include "hostile_files.def"
#undef HOSTILE
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- recipes ---- */

typedef struct kitchen {
    unsigned char *bytes; /* [MOST_BYTES] */
    size_t used;
} kitchen;

static void
put(kitchen *k, const void *bytes, size_t count)
{
    ck_assert_uint_le(count, MOST_BYTES - k->used);
    memcpy(k->bytes + k->used, bytes, count);
    k->used += count;
}

static void
put_number(kitchen *k, const char *text, size_t bytes)
{
    uint64_t number = strtoull(text, NULL, 10);
    put(k, &number, bytes);
}

static void
put_hex(kitchen *k, size_t at, const char *text, size_t length)
{
    for (size_t i = 0; i + 1 < length; i += 2) {
        unsigned byte;
        ck_assert_int_eq(sscanf(text + i, "%2x", &byte), 1);
        if (at == k->used)
            k->used++;
        k->bytes[at++] = (unsigned char)byte;
    }
}

static void
put_golden(kitchen *k, const char *name)
{
    char path[8192];
    snprintf(path, sizeof path, TESTS_DIR "/golden/%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    k->used += fread(k->bytes + k->used, 1, MOST_BYTES - k->used, file);
    fclose(file);
}

static void
put_instead(kitchen *k, const char *text)
{
    const char *tilde = strchr(text, '~');
    ck_assert_ptr_nonnull(tilde);
    size_t length = (size_t)(tilde - text);
    char *old = strndup(text, length);
    put(k, "", 1); /* the text that it is so far ends here */
    char *at = strstr((char *)k->bytes, old);
    ck_assert_msg(at != NULL, "nothing to replace: %s", text);
    char *after = strdup(at + length);
    k->used = (size_t)((unsigned char *)at - k->bytes);
    put(k, tilde + 1, strlen(tilde + 1));
    put(k, after, strlen(after));
    free(after);
    free(old);
}

static void
put_piece(kitchen *k, char kind, const char *text, size_t length)
{
    uint64_t count = strtoull(text, NULL, 10), size = length;
    const char *colon = memchr(text, ':', length);
    switch (kind) {
    case 't': put(k, text, length); break;
    case 's':
    case 'j':
        put(k, &size, 8);
        put(k, text, length);
        break;
    case 'b': put_number(k, text, 1); break;
    case 'h': put_number(k, text, 2); break;
    case 'w': put_number(k, text, 4); break;
    case 'q': put_number(k, text, 8); break;
    case 'x': put_hex(k, k->used, text, length); break;
    case 'z':
        while (count-- > 0)
            put(k, "", 1);
        break;
    case 'a':
        while (k->used % count != 0)
            put(k, "", 1);
        break;
    case 'n':
        while (count-- > 0)
            put(k, colon + 1, length - (size_t)(colon + 1 - text));
        break;
    case 'g': put_golden(k, text); break;
    case 'p': {
        long at = strtol(text, NULL, 10);
        put_hex(k, at < 0 ? k->used - (size_t)-at : (size_t)at, colon + 1,
                length - (size_t)(colon + 1 - text));
        break;
    }
    case 'c': k->used = count; break;
    case 'o': put_instead(k, text); break;
    default: ck_abort_msg("no piece %c", kind);
    }
}

/* Under a new inode: to truncate a file and write it again may wait for the
 * disk. */
static void
serve(const char *file, const kitchen *k)
{
    unlink(temp_path(file));
    write_file(file, k->bytes, k->used);
}

/* The files of a row; the first, which is opened, has the row's name. */
static void
cook(const char *name, const char *recipe)
{
    kitchen k = {malloc(MOST_BYTES), 0};
    char file[128], piece[4096];
    snprintf(file, sizeof file, "%s", name);
    for (const char *at = recipe; *at;) {
        const char *end = strchr(at, '|');
        size_t length = end ? (size_t)(end - at) : strlen(at);
        ck_assert_uint_lt(length, sizeof piece);
        memcpy(piece, at, length);
        piece[length] = 0;
        if (piece[0] == 'f') {
            serve(file, &k);
            k.used = 0;
            snprintf(file, sizeof file, "%.120s", piece + 2);
        } else {
            put_piece(&k, piece[0], piece + 2, length - 2);
        }
        at += length + (end != NULL);
    }
    serve(file, &k);
    free(k.bytes);
}

/* ---- the library ---- */

static krs_status
open_it(const char *path)
{
    krs_weights *w = NULL;
    krs_llama_config config;
    if (strstr(path, "config.json"))
        return krs_llama_config_read(path, &config, &err);
    if (strstr(path, "trainer.json")) {
        krs_checkpoint_info info;
        return krs_checkpoint_read(temp_folder(), &info, &err);
    }
    if (strstr(path, ".llama.gguf")) {
        krs_status status = krs_llama_weights(path, &config, &w, &err);
        if (status == KRS_OK)
            krs_weights_close(w);
        return status;
    }
    krs_status status = krs_weights_open(path, &w, &err);
    krs_gguf_tokenizer t;
    if (status == KRS_OK && strstr(path, ".tokenizer.gguf"))
        status = krs_gguf_read_tokenizer(krs_weights_gguf(w), &t, &err);
    krs_weights_close(w);
    return status;
}

/* A message, with the names of files as if they lay here. */
static const char *
without_folder(const char *text)
{
    static char without[KRS_ERROR_TEXT];
    const char *folder = temp_path("");
    size_t length = strlen(folder), used = 0;
    while (*text) {
        if (strncmp(text, folder, length) == 0)
            text += length;
        else
            without[used++] = *text++;
    }
    without[used] = 0;
    return without;
}

/* Does the message say where: file, and offset, JSON path or key? */
static bool
says_where(const char *text)
{
    return strstr(text, "offset ") || strstr(text, "$") ||
           strstr(text, "byte ") || strstr(text, "tensor ") ||
           strstr(text, "setting") || strstr(text, "bytes long") ||
           strstr(text, "member") || strstr(text, "cannot open") ||
           strstr(text, "general.") || strstr(text, "llama.") ||
           strstr(text, "where trainer.json says");
}

/* of the processor, which others may use too */
static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Address space that this process has now. */
static size_t
space_used(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(every_hostile_file_is_refused_with_its_sentence)
{
    struct rlimit before, limit;
    getrlimit(RLIMIT_AS, &before);
    for (size_t i = 0; i < ROWS; i++) {
        cook(rows[i].name, rows[i].recipe);
        limit = before;
        limit.rlim_cur = space_used() + MEMORY_BYTES;
        if (LIMITS_MEMORY)
            setrlimit(RLIMIT_AS, &limit);
        double began = seconds();
        memset(&err, 0, sizeof err);
        krs_status status = open_it(temp_path(rows[i].name));
        double took = seconds() - began;
        setrlimit(RLIMIT_AS, &before);
        if (getenv("KRS_TEST_VERBOSE"))
            printf("%zu %s: %s\n", i, rows[i].name, err.text);
        ck_assert_msg(status == KRS_E_FORMAT || status == KRS_E_UNSUPPORTED ||
                          status == KRS_E_IO || status == KRS_E_RANGE,
                      "row %zu, %s: %s %s", i, rows[i].recipe,
                      krs_status_name(status), err.text);
        ck_assert_msg(strcmp(without_folder(err.text), rows[i].says) == 0,
                      "row %zu:\n%s\n, not\n%s\n", i, err.text, rows[i].says);
        ck_assert_msg(says_where(err.text), "row %zu: %s", i, err.text);
        ck_assert_msg(took < 1, "row %zu took %g s", i, took);
    }
    ck_assert_int_ge(ROWS, 120);
}
END_TEST

START_TEST(no_two_rows_are_the_same)
{
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(strcmp(rows[i].recipe, rows[k].recipe) != 0 ||
                              strcmp(rows[i].name, rows[k].name) != 0,
                          "rows %zu and %zu", k, i);
}
END_TEST

/* ---- the program ---- */

/* Under a sanitizer, whose process takes long to start, every fifth row: what
 * it looks for is in the library, which reads them all above. */
START_TEST(the_program_ends_with_1_and_one_line)
{
    char command[1024], line[2048];
    for (size_t i = 0; i < ROWS; i += LIMITS_MEMORY ? 1 : 5) {
        /* inspect reads no settings alone, leaves LLaMAs be, and has no need
         * of a tokenizer */
        if (strstr(rows[i].name, "config.json") ||
            strstr(rows[i].name, "trainer.json") ||
            strstr(rows[i].name, ".llama.gguf") ||
            strstr(rows[i].name, ".tokenizer.gguf"))
            continue;
        cook(rows[i].name, rows[i].recipe);
        snprintf(command, sizeof command,
                 KERSEY_PROGRAM " inspect %s 2>&1 >/dev/null",
                 temp_path(rows[i].name));
        FILE *pipe = popen(command, "r");
        size_t length = fread(line, 1, sizeof line - 1, pipe);
        int status = pclose(pipe);
        line[length] = 0;
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1,
                      "row %zu: %d: %s", i, status, line);
        ck_assert_msg(strchr(line, '\n') == line + length - 1, "row %zu: %s", i,
                      line);
        line[length - 1] = 0;
        ck_assert_msg(strncmp(line, "kersey inspect: error: ", 23) == 0 &&
                          !strcmp(without_folder(line + 23), rows[i].says),
                      "row %zu: %s", i, line);
    }
}
END_TEST

/* ---- prefixes and single bytes ---- */

/* An honest file in memory, small. */
static const struct {
    const char *name, *recipe;
} honest[] = {
    {"a.safetensors",
     "j:{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2],"
     "\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U8\",\"shape\":[],"
     "\"data_offsets\":[8,9]}}|z:9"    },
    {"a.gguf",
     "t:GGUF|w:3|q:2|q:3|s:general.architecture|w:8|s:llama|s:n|w:9|w:5|q:2|"
     "w:1|w:2|s:t|w:9|w:8|q:2|s:ab|s:c|s:x|w:1|q:3|w:0|q:0|s:y|w:2|q:32|q:1|"
     "w:2|q:32|a:32|z:50"              },
    {"a.npy",         "g:npz/eye.npy"  },
    {"a.npz",         "g:npz/small.npz"},
};
enum { HONEST = sizeof honest / sizeof *honest };

START_TEST(no_prefix_of_an_honest_file_is_taken_for_one)
{
    for (size_t f = 0; f < HONEST; f++) {
        size_t bytes;
        cook(honest[f].name, honest[f].recipe);
        ck_assert_msg(open_it(temp_path(honest[f].name)) == KRS_OK, "%s",
                      err.text);
        char *whole = read_file(honest[f].name, &bytes);
        ck_assert_uint_lt(bytes, 2000);
        free(whole);
        while (bytes-- > 0) {
            ck_assert_int_eq(truncate(temp_path(honest[f].name), (off_t)bytes),
                             0);
            krs_status status = open_it(temp_path(honest[f].name));
            ck_assert_msg(status != KRS_OK, "%s, %zu bytes", honest[f].name,
                          bytes);
            ck_assert_msg(says_where(err.text), "%s", err.text);
        }
    }
}
END_TEST

START_TEST(any_byte_may_be_any_other)
{
    static const unsigned char others[] = {0x00, 0x01, 0x20, 0x7F, 0x80, 0xFF};
    for (size_t f = 0; f < HONEST; f++) {
        size_t bytes;
        cook(honest[f].name, honest[f].recipe);
        char *whole = read_file(honest[f].name, &bytes);
        int fd = open(temp_path(honest[f].name), O_WRONLY);
        for (size_t at = 0; at < bytes; at++)
            for (size_t o = 0; o < sizeof others + 2; o++) {
                /* the last turn puts back what was there */
                unsigned char byte = o < sizeof others ? others[o]
                                     : o == sizeof others
                                         ? (unsigned char)(whole[at] ^ 1)
                                         : (unsigned char)whole[at];
                ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
                if (open_it(temp_path(honest[f].name)) != KRS_OK)
                    ck_assert_uint_gt(strlen(err.text), 20);
            }
        close(fd);
        ck_assert_int_eq(open_it(temp_path(honest[f].name)), KRS_OK);
        free(whole);
    }
}
END_TEST

/* The file becomes shorter after it was opened. */
START_TEST(a_file_cut_short_while_open_is_an_error_and_no_signal)
{
    for (size_t f = 0; f < HONEST; f++) {
        krs_weights *w;
        size_t bytes;
        char values[64];
        cook(honest[f].name, honest[f].recipe);
        free(read_file(honest[f].name, &bytes));
        ck_assert_int_eq(krs_weights_open(temp_path(honest[f].name), &w, &err),
                         0);
        ck_assert_int_eq(truncate(temp_path(honest[f].name), 20), 0);
        for (size_t i = 0; i < krs_weights_count(w); i++) {
            const krs_weight *t = krs_weights_at(w, i);
            krs_status status = krs_weights_read_part(
                w, i, 0, 1, KRS_F32, values, sizeof(float), &err);
            ck_assert_msg(status == KRS_E_IO, "%s: %s", t->name, err.text);
            ck_assert_ptr_nonnull(strstr(err.text, "truncated while being "
                                                   "read"));
        }
        krs_weights_close(w);
    }
}
END_TEST

SUITE(every_hostile_file_is_refused_with_its_sentence, no_two_rows_are_the_same,
      the_program_ends_with_1_and_one_line,
      no_prefix_of_an_honest_file_is_taken_for_one, any_byte_may_be_any_other,
      a_file_cut_short_while_open_is_an_error_and_no_signal)
