/* llama_store.h -- a store for a LLaMA on the device eval, and the settings of a
 * small one.
 */
#ifndef TESTS_LLAMA_STORE_H
#define TESTS_LLAMA_STORE_H

#include "suite.h"

#include <krs/llama.h>
#include <krs/ops.h>

static krs_device *device;
static krs_store *store;

static inline void
ok(krs_status status, const krs_error *err)
{
    ck_assert_msg(status == KRS_OK, "%s", err->text);
}

static inline void
open_store(void)
{
    krs_error err = {0};
    ok(krs_device_open("eval", &device, &err), &err);
    ok(krs_store_new(device, &store, &err), &err);
}

static inline void
close_store(void)
{
    krs_store_free(store);
    krs_device_close(device);
}

static inline krs_llama_config
small_config(void)
{
    krs_llama_config c = krs_llama_defaults();
    c.vocab_size = 29;
    c.hidden_size = 12;
    c.intermediate_size = 20;
    c.num_hidden_layers = 2;
    c.num_attention_heads = 4;
    c.num_key_value_heads = 2;
    c.head_dim = 4;
    c.max_position_embeddings = 24;
    c.initializer_range = 0.4;
    return c;
}

#endif
