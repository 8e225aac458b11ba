/* test_pretrained.c -- generation_config.json, tokenizer_config.json and
 * special_tokens_map.json: what they say, what is absent, what is refused.
 */
#include <krs/pretrained.h>

#include "suite.h"
#include "temp_folder.h"

static krs_error err;

static krs_status
parse(const char *text, krs_generation_config *out)
{
    return krs_generation_config_parse("g.json", text, strlen(text), out, &err);
}

START_TEST(an_absent_setting_has_the_value_of_the_format)
{
    krs_generation_config c;
    ck_assert_int_eq(
        parse("{\"_from_model_config\": true, \"top_p\": null}", &c), 0);
    ck_assert_int_eq(c.max_length, 20);
    ck_assert_int_eq(c.max_new_tokens, 0);
    ck_assert(!c.do_sample && c.temperature == 1 && c.top_k == 50);
    ck_assert(c.top_p == 1 && c.min_p == 0 && c.typical_p == 1);
    ck_assert(c.repetition_penalty == 1 && c.num_beams == 1);
    ck_assert_int_eq(c.bos_token_id, -1);
    ck_assert_int_eq(c.eos_count, 0);
    ck_assert_int_eq(krs_generation_config_read(
                         TESTS_DIR
                         "/golden/models/llama_gqa/generation_config.json",
                         &c, &err),
                     0);
    ck_assert_int_eq(c.bos_token_id, 1);
    ck_assert_int_eq(c.eos_token_id[0], 2);
}
END_TEST

START_TEST(settings_are_read)
{
    krs_generation_config c;
    ck_assert_int_eq(parse("{\"do_sample\": true, \"temperature\": 0.6, "
                           "\"top_p\": 0.9, \"top_k\": 0, \"min_p\": 0.05, "
                           "\"eos_token_id\": [128001, 128009], "
                           "\"max_new_tokens\": 256, \"num_beams\": 4, "
                           "\"length_penalty\": -0.5}",
                           &c),
                     0);
    ck_assert(c.do_sample && c.temperature == 0.6 && c.top_p == 0.9);
    ck_assert(c.top_k == 0 && c.min_p == 0.05 && c.length_penalty == -0.5);
    ck_assert_int_eq(c.eos_count, 2);
    ck_assert_int_eq(c.eos_token_id[1], 128009);
    ck_assert_int_eq(c.max_new_tokens, 256);
    ck_assert_int_eq(c.num_beams, 4);
}
END_TEST

START_TEST(settings_out_of_range_are_refused_with_their_path)
{
    static const char *const rows[][2] = {
        {"[]",                                      "g.json: $: expected an object of settings"},
        {"{\"top_p\": 1.5}",                        "g.json: $.top_p: 1.5 is not in [0, 1]"    },
        {"{\"temperature\": -1}",
         "g.json: $.temperature: -1 is not in [0, 1e+06]"                                      },
        {"{\"top_k\": -1}",                         "g.json: $.top_k: expected a whole number from 0 "
                            "to 2147483647, found -1"               },
        {"{\"do_sample\": 1}",
         "g.json: $.do_sample: expected true or false, found 1"                                },
        {"{\"eos_token_id\": [1, \"x\"]}",
         "g.json: $.eos_token_id[1]: expected a whole number from 0 to "
         "2147483647, found \"x\""                                                             },
        {"{\"eos_token_id\": [1,2,3,4,5,6,7,8,9]}",
         "g.json: $.eos_token_id: 9 ids; at most 8 are possible"                               },
        {"{\"num_beams\": 0}",                      "g.json: $.num_beams: expected a whole number "
                               "from 1 to 2147483647, found 0"   },
    };
    krs_generation_config c = {.num_beams = 77};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_int_eq(parse(rows[i][0], &c), KRS_E_FORMAT);
        ck_assert_str_eq(err.text, rows[i][1]);
        ck_assert_int_eq(c.num_beams, 77);
    }
}
END_TEST

static void
write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

START_TEST(both_files_of_a_folder_are_read)
{
    krs_tokenizer_config c;
    write_text("tokenizer_config.json",
               "{\"bos_token\": {\"content\": \"<s>\", \"lstrip\": false}, "
               "\"pad_token\": null, \"add_bos_token\": true, "
               "\"do_lower_case\": false, \"model_max_length\": 1e30, "
               "\"tokenizer_class\": \"LlamaTokenizer\", \"chat_template\": "
               "[{\"name\": \"rag\", \"template\": \"r\"}, {\"name\": "
               "\"default\", \"template\": \"d\"}]}");
    write_text("special_tokens_map.json",
               "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", "
               "\"additional_special_tokens\": [\"<a>\", {\"content\": "
               "\"<b>\"}]}");
    ck_assert_msg(krs_tokenizer_config_open(temp_folder(), &c, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_str_eq(c.special[KRS_SPECIAL_BOS], "<s>");
    ck_assert_str_eq(c.special[KRS_SPECIAL_EOS], "</s>");
    ck_assert_ptr_null(c.special[KRS_SPECIAL_PADDING]);
    ck_assert_uint_eq(c.additional_count, 2);
    ck_assert_str_eq(c.additional[1], "<b>");
    ck_assert_int_eq(c.add_bos_token, KRS_YES);
    ck_assert_int_eq(c.do_lower_case, KRS_NO);
    ck_assert_int_eq(c.add_eos_token, KRS_UNSAID);
    ck_assert_str_eq(c.tokenizer_class, "LlamaTokenizer");
    ck_assert_str_eq(c.chat_template, "d");
    ck_assert(c.model_max_length == 1e30);
    krs_tokenizer_config_close(&c);
    krs_tokenizer_config_close(&c);
}
END_TEST

START_TEST(tokens_that_contradict_or_are_none_are_refused)
{
    static const char *const rows[][3] = {
        {"{\"bos_token\": \"<s>\"}",                       "{\"bos_token\": \"<t>\"}",
         "special_tokens_map.json: $.bos_token: contradicts "
         "tokenizer_config.json, which has \"<s>\""                                                                                                },
        {"{\"bos_token\": 7}",                             "{}",
         "tokenizer_config.json: $.bos_token: expected a string, found 7"                                                                          },
        {"{\"bos_token\": {\"text\": \"x\"}}",             "{}",
         "tokenizer_config.json: $.bos_token.content: is missing"                                                                                  },
        {"{\"chat_template\": [{\"name\": \"default\"}]}", "{}",
         "tokenizer_config.json: $.chat_template[0].template: is missing"                                                                          },
        {"{\"add_bos_token\": \"yes\"}",                   "{}",
         "tokenizer_config.json: $.add_bos_token: expected true or false, "
         "found \"yes\""                                                                                                                           },
        {"{}",                                             "[]",                                   "special_tokens_map.json: $: expected an object"},
        {"{}",                                             "{\"additional_special_tokens\": [1]}",
         "special_tokens_map.json: $.additional_special_tokens[0]: expected a "
         "string, found 1"                                                                                                                         },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        krs_tokenizer_config c;
        write_text("tokenizer_config.json", rows[i][0]);
        write_text("special_tokens_map.json", rows[i][1]);
        ck_assert_int_eq(krs_tokenizer_config_open(temp_folder(), &c, &err),
                         KRS_E_FORMAT);
        ck_assert_str_eq(err.text + strlen(temp_folder()) + 1, rows[i][2]);
    }
}
END_TEST

START_TEST(a_config_with_its_added_tokens_comes_before_the_map)
{
    krs_tokenizer_config c;
    write_text("tokenizer_config.json",
               "{\"bos_token\": \"<s>\", \"added_tokens_decoder\": {}}");
    write_text("special_tokens_map.json",
               "{\"bos_token\": \"<t>\", \"eos_token\": \"</s>\"}");
    ck_assert_msg(krs_tokenizer_config_open(temp_folder(), &c, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_str_eq(c.special[KRS_SPECIAL_BOS], "<s>");
    ck_assert_str_eq(c.special[KRS_SPECIAL_EOS], "</s>");
    krs_tokenizer_config_close(&c);
}
END_TEST

START_TEST(a_template_in_its_own_file_comes_first)
{
    krs_tokenizer_config c;
    write_text("tokenizer_config.json", "{\"chat_template\": \"old\"}");
    write_text("chat_template.jinja", "{{ new }}\n");
    ck_assert_msg(krs_tokenizer_config_open(temp_folder(), &c, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_str_eq(c.chat_template, "{{ new }}\n");
    krs_tokenizer_config_close(&c);
    write_text("chat_template.jinja", "\xFF");
    ck_assert_int_eq(krs_tokenizer_config_open(temp_folder(), &c, &err),
                     KRS_E_FORMAT);
    ck_assert_str_eq(err.text + strlen(temp_folder()) + 1,
                     "chat_template.jinja: is not a text in UTF-8 without NUL");
    write_file("chat_template.jinja", "a\0b", 3);
    ck_assert_int_eq(krs_tokenizer_config_open(temp_folder(), &c, &err),
                     KRS_E_FORMAT);
}
END_TEST

START_TEST(a_folder_without_them_says_nothing)
{
    krs_tokenizer_config c;
    ck_assert_int_eq(krs_tokenizer_config_open(temp_folder(), &c, &err), 0);
    for (int i = 0; i < KRS_SPECIALS; i++)
        ck_assert_ptr_null(c.special[i]);
    krs_tokenizer_config_close(&c);
}
END_TEST

SUITE(an_absent_setting_has_the_value_of_the_format, settings_are_read,
      settings_out_of_range_are_refused_with_their_path,
      both_files_of_a_folder_are_read,
      tokens_that_contradict_or_are_none_are_refused,
      a_config_with_its_added_tokens_comes_before_the_map,
      a_template_in_its_own_file_comes_first,
      a_folder_without_them_says_nothing)
