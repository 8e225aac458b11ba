/* verify.h -- a model folder with golden results, checked number by number.
 *
 * Beside config.json and model.safetensors the folder has golden.json
 * (inputs, names and tolerances of results, greedy continuations) and
 * golden.safetensors (inputs, results, gradients); tests/golden/README.md
 * describes them.
 */
#ifndef KRS_VERIFY_H
#define KRS_VERIFY_H

#include <krs/check.h>
#include <krs/program.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One tensor compared. Borrowed during the call. */
typedef struct krs_verify_check {
    const char *kind; /* "hidden", "logits", "loss", "grad", "greedy",
                         "beam" */
    const char *name; /* of the golden tensor */
    krs_tolerance tolerance;
    krs_comparison comparison;
    const char *reason; /* a sentence if it fell short, else NULL */
} krs_verify_check;

typedef void (*krs_verify_sink)(void *user, const krs_verify_check *check);

/* krs_verify_folder(folder, device, sink, user, &passed, &failed, err) -- run
 * the model of the folder on the device and compare
 *
 *   hidden, logits   where attention_mask is 1; of a decoder that an encoder
 *                    feeds, where labels count
 *   loss             exactly where labels count
 *   grad             of the loss, every parameter; a parameter without a
 *                    golden gradient, or the reverse, counts as failed
 *   greedy           ids continued with the key/value cache, exact
 *   beam             what a beam search finds, ids exact, and its scores
 *
 * sink (NULL is fine) is called for each tensor, kinds in this order. Tensors
 * that disagree are counted, not errors.
 *
 * Errors     UNSUPPORTED for a class of model that is not known; IO, FORMAT,
 *            NAME, SHAPE, MEMORY of the files; those of the device. */
KRS_API krs_status krs_verify_folder(const char *folder, krs_device *device,
                                     krs_verify_sink sink, void *user,
                                     size_t *out_passed, size_t *out_failed,
                                     krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
