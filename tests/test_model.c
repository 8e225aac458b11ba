/* test_model.c -- models of every architecture by their folders: settings read
 * and written back, what is refused, parameters saved and opened, fresh ones.
 */
#include "suite.h"
#include "temp_folder.h"

#include <krs/model.h>
#include <krs/weights.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS TESTS_DIR "/golden/models/"

static krs_device *device;
static krs_store *store;
static krs_error err;

static void
ok(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

static void
open_store(void)
{
    ok(krs_device_open("eval", &device, &err));
    ok(krs_store_new(device, &store, &err));
}

static void
close_store(void)
{
    krs_store_free(store);
    krs_device_close(device);
}

/* A folder of each family and of each setting that forks. */
static const char *const folders[] = {"llama_mqa_headdim",
                                      "mistral",
                                      "qwen2",
                                      "gpt2",
                                      "bert_relu_eps",
                                      "ernie",
                                      "bart",
                                      "marian",
                                      "t5",
                                      "t5_v1_1"};
enum { FOLDERS = sizeof folders / sizeof *folders };

static const char *
in_folder(const char *folder, const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, MODELS "%s/%s", folder, file);
    return path;
}

/* ---- settings ---- */

START_TEST(settings_that_are_written_read_back_the_same)
{
    for (size_t i = 0; i < FOLDERS; i++) {
        krs_model_config first, second;
        ok(krs_model_config_read(in_folder(folders[i], "config.json"), &first,
                                 &err));
        ok(krs_model_config_write(temp_path("config.json"), &first, &err));
        size_t bytes;
        char *text = read_file("config.json", &bytes), *again;
        ok(krs_model_config_read(temp_path("config.json"), &second, &err));
        ck_assert_int_eq(first.architecture, second.architecture);
        ck_assert_ptr_nonnull(
            strstr(text, krs_architecture_class(first.architecture)));
        ok(krs_model_config_write(temp_path("config.json"), &second, &err));
        again = read_file("config.json", &bytes);
        ck_assert_str_eq(text, again);
        free(again);
        free(text);
    }
}
END_TEST

START_TEST(the_vocabulary_and_the_special_ids_are_those_of_the_file)
{
    krs_model_config c;
    ok(krs_model_config_read(in_folder("gpt2", "config.json"), &c, &err));
    krs_special_ids ids = krs_model_ids(&c);
    ck_assert_int_eq(krs_model_vocabulary(&c), 199);
    ck_assert_int_eq(ids.bos_token_id, 1);
    ck_assert_int_eq(ids.pad_token_id, 0);
    ck_assert_int_eq(ids.eos_count, 1);
    ck_assert_int_eq(ids.eos_token_id[0], 2);
    ok(krs_model_config_read(in_folder("mistral", "config.json"), &c, &err));
    ck_assert_int_eq(krs_model_vocabulary(&c), 181);
    ck_assert_int_eq(krs_model_ids(&c).eos_token_id[0], 2);
}
END_TEST

static void
write_text(const char *text)
{
    write_file("config.json", text, strlen(text));
}

START_TEST(an_empty_config_json_of_each_type_is_the_model_of_its_paper)
{
    krs_model_config c;
    write_text("{\"model_type\": \"gpt2\"}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.of.gpt2.n_embd, 768);
    ck_assert_int_eq(c.of.gpt2.n_layer, 12);
    ck_assert_int_eq(c.of.gpt2.activation_function, KRS_ACTIVATION_GELU_NEW);
    ck_assert_int_eq(c.of.gpt2.ids.eos_token_id[0], 50256);
    write_text("{\"model_type\": \"bert\", \"architectures\": "
               "[\"BertModel\"]}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.architecture, KRS_ARCHITECTURE_BERT_ENCODER);
    ck_assert(!krs_bert_has_heads(&c.of.bert));
    ck_assert_int_eq(c.of.bert.hidden_size, 768);
    ck_assert_int_eq(c.of.bert.ids.pad_token_id, 0);
    write_text("{\"model_type\": \"ernie\"}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.architecture, KRS_ARCHITECTURE_ERNIE);
    ck_assert(krs_bert_has_heads(&c.of.bert) && !c.of.bert.use_task_id);
    write_text("{\"model_type\": \"t5\"}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.of.encdec.d_kv, 64);
    ck_assert_int_eq(c.of.encdec.decoder_ffn_dim, 2048);
    ck_assert(c.of.encdec.scale_decoder_outputs);
    write_text("{\"model_type\": \"t5\", \"num_layers\": 3, "
               "\"tie_word_embeddings\": false}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.of.encdec.decoder_layers, 3);
    ck_assert(!c.of.encdec.scale_decoder_outputs);
    write_text("{\"model_type\": \"bart\"}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.of.encdec.encoder_layers, 12);
    ck_assert_int_eq(krs_model_ids(&c).decoder_start_token_id, 2);
    write_text("{\"model_type\": \"transformer\", \"normalize_before\": true}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.of.encdec.d_model, 512);
    ck_assert(c.of.encdec.normalize_before);
    write_text("{}");
    ok(krs_model_config_read(temp_path("config.json"), &c, &err));
    ck_assert_int_eq(c.architecture, KRS_ARCHITECTURE_LLAMA);
}
END_TEST

static const struct {
    const char *json, *path, *reason;
} refusals[] = {
    {"[]",                                                                   "config.json: $",            "object"                   },
    {"{\"model_type\": \"mamba\"}",                                          "$.model_type",              "\"gpt2\""                 },
    {"{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2Model\"]}",
     "$.architectures",                                                                                   "GPT2LMHeadModel"          },
    {"{\"model_type\": \"gpt2\", \"n_layer\": 0}",                           "$.n_layer",                 "1 to 4096"                },
    {"{\"model_type\": \"gpt2\", \"n_layer\": 4097}",                        "$.n_layer",                 "4097"                     },
    {"{\"model_type\": \"gpt2\", \"n_embd\": 770}",                          "$.n_embd",                  "n_head 12"                },
    {"{\"model_type\": \"gpt2\", \"n_embd\": 2000000004}",                   "$.n_embd",
     "2000000004"                                                                                                                    },
    {"{\"model_type\": \"gpt2\", \"n_inner\": -1}",                          "$.n_inner",                 "-1"                       },
    {"{\"model_type\": \"gpt2\", \"activation_function\": \"mish\"}",
     "$.activation_function",                                                                             "\"gelu_new\""             },
    {"{\"model_type\": \"gpt2\", \"layer_norm_epsilon\": 0}",
     "$.layer_norm_epsilon",                                                                              "number > 0"               },
    {"{\"model_type\": \"gpt2\", \"layer_norm_epsilon\": 1e9}",
     "$.layer_norm_epsilon",                                                                              "1e+09"                    },
    {"{\"model_type\": \"gpt2\", \"tie_word_embeddings\": 1}",
     "$.tie_word_embeddings",                                                                             "true or false"            },
    {"{\"model_type\": \"gpt2\", \"add_cross_attention\": true}",
     "$.add_cross_attention",                                                                             "no encoder"               },
    {"{\"model_type\": \"gpt2\", \"eos_token_id\": 50257}",                  "$.eos_token_id",
     "vocabulary"                                                                                                                    },
    {"{\"model_type\": \"bert\", \"is_decoder\": true}",                     "$.is_decoder",
     "causal"                                                                                                                        },
    {"{\"model_type\": \"bert\", \"position_embedding_type\": "
     "\"relative_key\"}",                                               "$.position_embedding_type", "absolute"                 },
    {"{\"model_type\": \"bert\", \"hidden_size\": 100}",                     "$.hidden_size",
     "num_attention_heads 12"                                                                                                        },
    {"{\"model_type\": \"bert\", \"architectures\": "
     "[\"BertForTokenClassification\"]}",                               "$.architectures",           "BertForPreTraining"       },
    {"{\"model_type\": \"bert\", \"pad_token_id\": 30522}",                  "$.pad_token_id",
     "vocabulary"                                                                                                                    },
    {"{\"model_type\": \"ernie\", \"task_type_vocab_size\": 0}",
     "$.task_type_vocab_size",                                                                            "0"                        },
    {"{\"model_type\": \"bart\", \"normalize_before\": true}",
     "$.normalize_before",                                                                                "behind the layers"        },
    {"{\"model_type\": \"bart\", \"tie_word_embeddings\": false}",
     "$.tie_word_embeddings",                                                                             "nothing that \"bart\" has"},
    {"{\"model_type\": \"marian\", \"decoder_vocab_size\": 7}",
     "$.share_encoder_decoder_embeddings",                                                                "found 7 of the decoder"   },
    {"{\"model_type\": \"marian\", \"d_model\": 1000}",                      "$.d_model",
     "encoder_attention_heads 16"                                                                                                    },
    {"{\"model_type\": \"transformer\", \"d_model\": 9, "
     "\"encoder_attention_heads\": 3, \"decoder_attention_heads\": 3}", "$.d_model",                 "9 is odd"                 },
    {"{\"model_type\": \"t5\", \"relative_attention_num_buckets\": 9}",
     "$.relative_attention_num_buckets",                                                                  "even"                     },
    {"{\"model_type\": \"t5\", \"relative_attention_max_distance\": 16}",
     "$.relative_attention_num_buckets",                                                                  "distance 16"              },
    {"{\"model_type\": \"t5\", \"feed_forward_proj\": \"gated-mish\"}",
     "$.feed_forward_proj",                                                                               "\"gated-gelu\""           },
    {"{\"model_type\": \"t5\", \"is_decoder\": true}",                       "$.is_decoder",
     "encoder is part"                                                                                                               },
    {"{\"model_type\": \"t5\", \"decoder_start_token_id\": 32128}",
     "$.decoder_start_token_id",                                                                          "vocabulary"               },
    {"{\"model_type\": \"gpt2\", \"quantization_config\": {}}",
     "$.quantization_config",                                                                             "quantised"                },
};

START_TEST(settings_that_no_forward_pass_follows_are_refused_with_path)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        krs_model_config c;
        write_text(refusals[i].json);
        krs_status status =
            krs_model_config_read(temp_path("config.json"), &c, &err);
        ck_assert_msg(status != KRS_OK, "%s", refusals[i].json);
        ck_assert_msg(strstr(err.text, refusals[i].path) != NULL &&
                          strstr(err.text, refusals[i].reason) != NULL,
                      "%s: %s", refusals[i].json, err.text);
    }
}
END_TEST

/* ---- parameters ---- */

/* The same names, shapes and values in both. */
static void
expect_equal_stores(const krs_store *a, const krs_store *b)
{
    ck_assert_uint_eq(krs_store_count(a), krs_store_count(b));
    for (size_t i = 0; i < krs_store_count(a); i++) {
        const char *name;
        krs_shape shape;
        int64_t count;
        ok(krs_store_entry(a, i, &name, NULL, &shape, &err));
        ck_assert(krs_shape_elements(shape, &count));
        size_t bytes = (size_t)count * sizeof(float);
        void *x = malloc(bytes), *y = malloc(bytes);
        ok(krs_store_read(a, name, x, bytes, &err));
        ok(krs_store_read(b, name, y, bytes, &err));
        ck_assert_msg(memcmp(x, y, bytes) == 0, "%s", name);
        free(x);
        free(y);
    }
}

START_TEST(a_saved_model_opens_to_the_same_parameters)
{
    for (size_t i = 0; i < FOLDERS; i++) {
        krs_model_config first, second;
        krs_store *other;
        open_store();
        ok(krs_model_open(in_folder(folders[i], ""), store, &first, &err));
        ok(krs_model_save(temp_folder(), store, &first, &err));
        ok(krs_store_new(device, &other, &err));
        ok(krs_model_open(temp_folder(), other, &second, &err));
        expect_equal_stores(store, other);
        krs_store_free(other);
        close_store();
    }
}
END_TEST

START_TEST(fresh_parameters_depend_on_the_seed_and_norms_begin_at_one)
{
    for (size_t i = 0; i < FOLDERS; i++) {
        krs_model_config c;
        krs_graph *g;
        krs_node *parameters;
        size_t count;
        ok(krs_model_config_read(in_folder(folders[i], "config.json"), &c,
                                 &err));
        open_store();
        ok(krs_model_init(store, &c, 1, &err));
        ok(krs_model_parameters(&c, &g, &parameters, &count, &err));
        ck_assert_uint_eq(krs_store_count(store), count);
        for (size_t k = 0; k < count; k++) {
            const char *name = krs_node_name(parameters[k]);
            krs_shape shape = krs_node_shape(parameters[k]);
            float v[4096] = {0};
            if (shape.rank != 1)
                continue;
            ok(krs_store_read(store, name, v, (size_t)shape.dim[0] * 4, &err));
            /* of rank 1 there are norms and biases */
            float want = strstr(name, "bias") != NULL ? 0.0F : 1.0F;
            for (int64_t n = 0; n < shape.dim[0]; n++)
                ck_assert_msg(v[n] == want, "%s is %g", name, (double)v[n]);
        }
        free(parameters);
        krs_graph_free(g);
        close_store();
    }
}
END_TEST

/* A file of a parameter "w" and a tensor of that name beside it. */
static krs_status
load_beside(const char *name, krs_dtype dtype)
{
    const float w = 1.5F;
    const int64_t places = 0, one = 1;
    const krs_weight_source sources[] = {
        {.name = "w",  .dtype = KRS_F32, .rank = 1, .shape = &one, .data = &w},
        {.name = name,
         .dtype = dtype,
         .rank = 1,
         .shape = &one,
         .data = &places                                                     },
    };
    krs_graph *g = krs_graph_new();
    krs_node parameter = krs_state(g, "w", KRS_F32, KRS_SHAPE(1));
    ok(krs_weights_write(temp_path("w.safetensors"), sources, 2, NULL, 0,
                         &err));
    krs_status status =
        krs_nn_load(store, &parameter, 1, temp_path("w.safetensors"), &err);
    krs_graph_free(g);
    return status;
}

START_TEST(places_beside_the_weights_of_old_checkpoints_are_passed_over)
{
    open_store();
    ok(load_beside("embeddings.position_ids", KRS_I64));
    ck_assert_int_eq(load_beside("embeddings.position_ids", KRS_F32),
                     KRS_E_NAME);
    ck_assert_int_eq(load_beside("embeddings.ids", KRS_I64), KRS_E_NAME);
    ck_assert_ptr_nonnull(strstr(err.text, "no use for the tensor"));
    close_store();
}
END_TEST

/* ---- calls ---- */

/* A call of a small BERT, and what its refusal says. */
static void
expect_refused(krs_bert_call call, krs_graph *g, const krs_bert_config *c,
               const char *reason)
{
    krs_bert_result r = {.struct_size = sizeof r};
    krs_node h = krs_bert_forward(g, c, &call, &r);
    ck_assert(!krs_node_is_valid(h));
    ck_assert_int_ne(krs_graph_check(g, &err), KRS_OK);
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
    krs_graph_free(g);
}

START_TEST(a_call_of_bert_that_does_not_fit_is_refused)
{
    krs_model_config m;
    ok(krs_model_config_read(in_folder("bert", "config.json"), &m, &err));
    krs_bert_config *c = &m.of.bert;
    for (int i = 0; i < 7; i++) {
        krs_graph *g = krs_graph_new();
        krs_bert_call call = {.struct_size = sizeof call};
        krs_shape shape = KRS_SHAPE(2, i == 5 ? 33 : 4);
        call.input_ids = krs_input(g, "ids", i == 1 ? KRS_F32 : KRS_I64, shape);
        krs_node flat = krs_input(g, "flat", KRS_I64, KRS_SHAPE(8));
        switch (i) {
        case 0:
            call.struct_size = 1;
            expect_refused(call, g, c, "struct_size");
            break;
        case 1: expect_refused(call, g, c, "input_ids must be i64"); break;
        case 2:
            call.attention_mask = flat;
            expect_refused(call, g, c, "attention_mask must be bool");
            break;
        case 3:
            call.labels = flat;
            expect_refused(call, g, c, "labels must be i64 [B, T]");
            break;
        case 4:
            call.task_type_ids = call.input_ids;
            expect_refused(call, g, c, "no embeddings of tasks");
            break;
        case 5:
            expect_refused(call, g, c, "33 ids a row, there are from 1 to 32");
            break;
        default:
            c->architecture = KRS_ARCHITECTURE_BERT_ENCODER;
            call.labels = call.input_ids;
            expect_refused(call, g, c, "labels need the heads");
            break;
        }
    }
}
END_TEST

START_TEST(more_ids_than_gpt2_has_positions_are_refused)
{
    krs_model_config c;
    const krs_model_sizes sizes = {1, 49, 49};
    krs_model_output *outputs;
    size_t count;
    krs_graph *g = krs_graph_new();
    ok(krs_model_config_read(in_folder("gpt2", "config.json"), &c, &err));
    ck_assert_int_eq(krs_model_outputs(g, &c, &sizes, &outputs, &count, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "49 ids, there are 48 positions"));
    krs_graph_free(g);
}
END_TEST

START_TEST(only_decoders_are_decoder_only_models)
{
    krs_model_config c;
    krs_causal_model model;
    ok(krs_model_config_read(in_folder("gpt2", "config.json"), &c, &err));
    ok(krs_model_causal(&c, &model, &err));
    ck_assert_int_eq(model.layers, 2);
    ck_assert_int_eq(model.max_position_embeddings, 48);
    ck_assert_int_eq(model.vocab_size, 199);
    ok(krs_model_config_read(in_folder("bert", "config.json"), &c, &err));
    ck_assert_int_eq(krs_model_causal(&c, &model, &err), KRS_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "\"bert\" is no decoder-only"));
}
END_TEST

SUITE(settings_that_are_written_read_back_the_same,
      the_vocabulary_and_the_special_ids_are_those_of_the_file,
      an_empty_config_json_of_each_type_is_the_model_of_its_paper,
      settings_that_no_forward_pass_follows_are_refused_with_path,
      a_saved_model_opens_to_the_same_parameters,
      fresh_parameters_depend_on_the_seed_and_norms_begin_at_one,
      places_beside_the_weights_of_old_checkpoints_are_passed_over,
      a_call_of_bert_that_does_not_fit_is_refused,
      more_ids_than_gpt2_has_positions_are_refused,
      only_decoders_are_decoder_only_models)
