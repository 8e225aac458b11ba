/* tokenizer_files.c -- the files of a tokenizer, to be put beside a model (token.h).
 *
 * In: a path that krs_tokenizer_open takes. Out: its files in memory, under the
 * names that a folder has them by. Invariant: what was read is what is
 * written, whatever has become of the files since: a training of weeks must not
 * fail at a checkpoint because a tokenizer was moved.
 */
#include "../load/file_write.h"
#include "../load/json_file.h"
#include "../load/path.h"
#include "pieces.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 5 }; /* a tokenizer of two, and what lies beside it */

struct krs_tokenizer_files {
    size_t count;
    struct one_file {
        const char *name;
        char *data;
        size_t bytes;
    } files[MOST_FILES];
};

/* The file of that path as `name`. */
static krs_status
add_file(krs_tokenizer_files *f, const char *path, const char *name,
         krs_error *err)
{
    struct one_file *file = &f->files[f->count];
    KRS_TRY(
        krsi_file_whole(path, KRSI_JSON_BYTES, &file->data, &file->bytes, err));
    file->name = name;
    f->count++;
    return KRS_OK;
}

static krs_status
add_beside(krs_tokenizer_files *f, const char *folder, const char *name,
           krs_error *err)
{
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/%s", folder, name));
    krs_status status =
        krsi_is_file(path) ? add_file(f, path, name, err) : KRS_OK;
    free(path);
    return status;
}

/* What a file of that name is called in a folder; NULL if it is part of
 * another. */
static const char *
name_in_folder(const char *path)
{
    static const char *const rows[][2] = {
        {".json",          "tokenizer.json" },
        {".model",         "tokenizer.model"},
        {".txt",           "vocab.txt"      },
        {"tokenizer.gguf", "tokenizer.gguf" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (krsi_path_ends(path, rows[i][0]))
            return rows[i][1];
    return NULL;
}

static krs_status
add_all(krs_tokenizer_files *f, const char *path, const char *folder,
        krs_error *err)
{
    static const char *const beside[] = {"tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "chat_template.jinja"};
    const char *name = name_in_folder(path);
    if (krsi_path_ends(path, "vocab.json") ||
        krsi_path_ends(path, "merges.txt")) {
        KRS_TRY(add_beside(f, folder, "vocab.json", err));
        KRS_TRY(add_beside(f, folder, "merges.txt", err));
    } else if (name) {
        KRS_TRY(add_file(f, path, name, err));
    } else {
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "%s: this tokenizer cannot be put beside a model; use "
                        "a tokenizer.json, .model or vocab.txt, or kersey "
                        "convert a .gguf into a folder",
                        path);
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        KRS_TRY(add_beside(f, folder, beside[i], err));
    return KRS_OK;
}

static krs_status
read_all(krs_tokenizer_files *f, const char *path, krs_error *err)
{
    char *file, *folder;
    if (!strcmp(path, "bytes"))
        return KRS_OK;
    KRS_TRY(krsi_tokenizer_find(path, &file, err));
    krs_status status = krsi_path_folder(file, &folder, err);
    if (status == KRS_OK) {
        status = add_all(f, file, folder, err);
        free(folder);
    }
    free(file);
    return status;
}

krs_status
krs_tokenizer_files_open(const char *path, krs_tokenizer_files **out,
                         krs_error *err)
{
    if (!path || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer files: path and out must not be NULL");
    krs_tokenizer_files *f = calloc(1, sizeof *f);
    if (!f)
        return krsi_no_memory(err, "the files of a tokenizer");
    krs_status status = read_all(f, path, err);
    if (status == KRS_OK)
        *out = f;
    else
        krs_tokenizer_files_close(f);
    return status;
}

krs_status
krs_tokenizer_files_write(const krs_tokenizer_files *f, const char *folder,
                          krs_error *err)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct one_file *file = &f->files[i];
        char *path;
        KRS_TRY(krsi_path(&path, err, "%s/%s", folder, file->name));
        krs_status status = krsi_file_write(path, file->data, file->bytes, err);
        free(path);
        KRS_TRY(status);
    }
    return KRS_OK;
}

void
krs_tokenizer_files_close(krs_tokenizer_files *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++)
        free(f->files[i].data);
    free(f);
}
