/* test_chat.c -- conversations in each format, and what is no conversation.
 */
#include "tokenized.h"

#include <krs/token.h>

#include <string.h>

static const krs_chat_message talk[] = {
    {"system",    "Be brief."},
    {"user",      " Hi "     },
    {"assistant", "Hello."   },
    {"user",      "Bye"      }
};

START_TEST(conversations_are_written_in_each_format)
{
    static const char json[] =
        "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":"
        "{\"u\":0}}}";
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"chatml",
         "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi "
         "<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>"
         "user\nBye<|im_end|>\n<|im_start|>assistant\n"},
        {"alpaca",
         "Be brief.\n\n### Instruction:\n Hi \n\n### Response:\nHello.\n\n### "
         "Instruction:\nBye\n\n### Response:\n"        },
    };
    krs_tokenizer *t;
    krs_chat chat;
    char *text;
    ck_assert_int_eq(krs_tokenizer_read("t", json, sizeof json - 1, &t, &err),
                     0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert(krs_chat_parse(rows[i].name, &chat));
        ck_assert_int_eq(
            krs_chat_write(&chat, NULL, talk, 4, true, &text, NULL, &err), 0);
        ck_assert_str_eq(text, rows[i].text);
        free(text);
    }
    ck_assert(krs_chat_parse("llama2", &chat));
    ck_assert_int_eq(krs_chat_write(&chat, t, talk, 4, true, &text, NULL, &err),
                     KRS_E_NAME);
    ck_assert_int_eq(krs_tokenizer_chat(t, &chat, &err), KRS_E_NAME);
    ck_assert(!krs_chat_parse("morse", &chat));
    krs_tokenizer_free(t);
}
END_TEST

/* A llama vocabulary of four tokens with a template. */
static krs_tokenizer *
with_template(const char *template)
{
    static const krs_text tokens[] = {TEXT("<unk>"), TEXT("<s>"), TEXT("</s>"),
                                      TEXT("a")};
    static const float scores[] = {0, 0, 0, -1};
    static const int32_t types[] = {2, 3, 3, 1};
    krs_vocabulary v = vocabulary(KRS_VOCABULARY_LLAMA, tokens, 4);
    v.scores = scores;
    v.types = types;
    v.bos = 1;
    v.eos = 2;
    v.unk = 0;
    v.chat_template = template;
    krs_tokenizer *t;
    ck_assert_int_eq(krs_tokenizer_new(&v, &t, &err), 0);
    return t;
}

#define CHATML                                                               \
    "{% for message in messages %}{% if loop.first and messages[0]['role'] " \
    "!= 'system' %}{{ '<|im_start|>system\nYou are SmolLM.<|im_end|>\n' }}"  \
    "{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "               \
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if "           \
    "add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

START_TEST(the_template_of_a_file_is_known_to_the_letter)
{
    krs_chat chat;
    char *text;
    krs_tokenizer *t = with_template(CHATML);
    ck_assert_int_eq(krs_tokenizer_chat(t, &chat, &err), 0);
    ck_assert_int_eq(chat.kind, KRS_CHAT_CHATML);
    ck_assert_int_eq(
        krs_chat_write(&chat, t, talk + 1, 1, true, &text, NULL, &err), 0);
    ck_assert_str_eq(text, "<|im_start|>system\nYou are SmolLM.<|im_end|>\n"
                           "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>"
                           "assistant\n");
    free(text);
    ck_assert_int_eq(
        krs_chat_write(&chat, t, talk, 2, false, &text, NULL, &err), 0);
    ck_assert_str_eq(text, "<|im_start|>system\nBe brief.<|im_end|>\n"
                           "<|im_start|>user\n Hi <|im_end|>\n");
    free(text);
    krs_tokenizer_free(t);
    t = with_template(CHATML " ");
    ck_assert_int_eq(krs_tokenizer_chat(t, &chat, &err), KRS_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "known to the letter"));
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(llama2_and_llama3_put_bos_and_eos_in)
{
    krs_chat chat;
    char *text;
    krs_tokenizer *t = with_template(NULL);
    krs_chat_parse("llama2", &chat);
    ck_assert_int_eq(krs_chat_write(&chat, t, talk, 4, true, &text, NULL, &err),
                     0);
    ck_assert_str_eq(text, "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Hi "
                           "[/INST] Hello. </s><s>[INST] Bye [/INST]");
    free(text);
    krs_chat_parse("llama3", &chat);
    ck_assert_int_eq(krs_chat_write(&chat, t, talk, 2, true, &text, NULL, &err),
                     0);
    ck_assert_str_eq(
        text, "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief."
              "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi"
              "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
    free(text);
    krs_tokenizer_free(t);
}
END_TEST

START_TEST(conversations_out_of_order_are_refused)
{
    static const krs_chat_message two[] =
        {
            {"user", "a"},
            {"user", "b"}
    },
                                  late[] = {{"user", "a"}, {"system", "b"}},
                                  odd[] = {{"wizard", "a"}};
    krs_chat chat;
    char *text;
    krs_tokenizer *t = with_template(NULL);
    krs_chat_parse("llama2", &chat);
    ck_assert_int_eq(krs_chat_write(&chat, t, two, 2, true, &text, NULL, &err),
                     KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "user and assistant alternate"));
    ck_assert_int_eq(krs_chat_write(&chat, t, late, 2, true, &text, NULL, &err),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_chat_write(&chat, t, odd, 1, true, &text, NULL, &err),
                     KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "\"wizard\""));
    krs_tokenizer_free(t);
}
END_TEST

SUITE(conversations_are_written_in_each_format,
      the_template_of_a_file_is_known_to_the_letter,
      llama2_and_llama3_put_bos_and_eos_in,
      conversations_out_of_order_are_refused)
