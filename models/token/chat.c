/* chat.c -- conversations as texts, by name or by the template of a file.
 *
 * In: messages. Out: the text that the Jinja templates of these models make of
 * them. Templates are not interpreted: the ones that are known stand here
 * whole, and a file's own must agree to the letter, but for the words of its
 * system message (a hole) and for "\n" written as two characters or as one. So
 * nothing is guessed: a template that is not known is refused.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define HOLE "\x01" /* where a template has words of its own */

#define CHATML_BODY                                                     \
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + " \
    "'<|im_end|>' + '\n'}}{% endfor %}"
#define CHATML_ANSWER \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
#define LLAMA3_BODY                                                        \
    "{% set loop_messages = messages %}{% for message in loop_messages %}" \
    "{% set content = '<|start_header_id|>' + message['role'] + "          \
    "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}" \
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}"     \
    "{% endif %}{{ content }}{% endfor %}"
#define LLAMA3_HEAD "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"

static const struct {
    krs_chat_kind kind;
    bool always_answers;
    const char *text;
} known[] = {
    {KRS_CHAT_CHATML, false,
     "{% for message in messages %}" CHATML_BODY CHATML_ANSWER             },
    {KRS_CHAT_CHATML, false,
     "{% for message in messages %}{% if loop.first and "
     "messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n" HOLE
     "<|im_end|>\n' }}{% endif %}" CHATML_BODY CHATML_ANSWER               },
    {KRS_CHAT_CHATML, false,
     "{% if not add_generation_prompt is defined %}{% set "
     "add_generation_prompt = false %}{% endif %}"
     "{% for message in messages %}" CHATML_BODY CHATML_ANSWER             },
    {KRS_CHAT_LLAMA3, false,
     LLAMA3_BODY "{% if add_generation_prompt %}" LLAMA3_HEAD "{% endif %}"},
    {KRS_CHAT_LLAMA3, true,  LLAMA3_BODY LLAMA3_HEAD                       },
    {KRS_CHAT_LLAMA2, false,
     "{% if messages[0]['role'] == 'system' %}{% set loop_messages = "
     "messages[1:] %}{% set system_message = messages[0]['content'] %}"
     "{% else %}{% set loop_messages = messages %}{% set system_message = "
     "false %}{% endif %}{% for message in loop_messages %}"
     "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
     "{{ raise_exception('Conversation roles must alternate "
     "user/assistant/user/assistant/...') }}{% endif %}"
     "{% if loop.index0 == 0 and system_message != false %}"
     "{% set content = '<<SYS>>\n' + system_message + "
     "'\n<</SYS>>\n\n' + message['content'] %}{% else %}"
     "{% set content = message['content'] %}{% endif %}"
     "{% if message['role'] == 'user' %}"
     "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
     "{% elif message['role'] == 'assistant' %}"
     "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}"
     "{% endfor %}"                                                        },
};

const char *
krs_chat_name(krs_chat_kind kind)
{
    switch (kind) {
#define NAME_CASE(NAME, name) \
    case KRS_CHAT_##NAME: return #name;
        KRS_CHAT_LIST(NAME_CASE)
#undef NAME_CASE
    case KRS_CHAT_KINDS: break;
    }
    return "?";
}

bool
krs_chat_parse(const char *name, krs_chat *out)
{
    for (int kind = 0; kind < KRS_CHAT_KINDS; kind++)
        if (!strcmp(name, krs_chat_name((krs_chat_kind)kind))) {
            *out = (krs_chat){.kind = (krs_chat_kind)kind};
            return true;
        }
    return false;
}

/* ---- the file's own ---- */

/* The next character of a template, a newline for the two of "\n". */
static char
next_char(const char **at)
{
    char c = **at;
    if (c == '\\' && (*at)[1] == 'n') {
        *at += 2;
        return '\n';
    }
    *at += c != 0;
    return c;
}

/* The template is the known one; *hole: what it has in its place. A hole ends
 * where a letter of Jinja would, so it cannot hide another template. */
static bool
is_known(const char *text, const char *model, const char **hole, size_t *bytes)
{
    *hole = NULL;
    for (;;) {
        if (*model == HOLE[0]) {
            model++;
            *hole = text;
            *bytes = strcspn(text, "'\"{}<\\");
            text += *bytes;
            continue;
        }
        char c = next_char(&text);
        if (c != *model)
            return false;
        if (c == 0)
            return true;
        model++;
    }
}

krs_status
krs_tokenizer_chat(const krs_tokenizer *t, krs_chat *out, krs_error *err)
{
    if (!t->chat)
        return krs_fail(err, KRS_E_NAME,
                        "chat: the tokenizer's file has no chat template; name "
                        "one of chatml, llama2, llama3, alpaca");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        krs_chat chat = {.kind = known[i].kind,
                         .always_answers = known[i].always_answers};
        if (is_known(t->chat, known[i].text, &chat.system,
                     &chat.system_bytes)) {
            *out = chat;
            return KRS_OK;
        }
    }
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "chat: the template of the file is none of those that are "
                    "known to the letter (chatml, llama2, llama3); it begins "
                    "with \"%.80s\"; name a format to use it regardless",
                    t->chat);
}

/* ---- writing ---- */

struct talk {
    krsi_buffer out;
    const char *bos, *eos;
    const char *system; /* still to be written, by llama2 and alpaca */
    size_t system_bytes;
};

static void
say(struct talk *w, const char *text)
{
    krsi_buffer_add(&w->out, text, strlen(text));
}

/* without spaces at the ends, as Python's strip() */
static void
say_stripped(struct talk *w, const char *text, size_t bytes)
{
    uint32_t code;
    size_t used;
    while (bytes > 0 &&
           (used = krsi_utf8_next(text, bytes, &code), krsi_is_space(code))) {
        text += used;
        bytes -= used;
    }
    while (bytes > 0 &&
           (used = krsi_utf8_last(text, bytes, &code), krsi_is_space(code)))
        bytes -= used;
    krsi_buffer_add(&w->out, text, bytes);
}

static void
chatml(struct talk *w, const char *role, const char *text, size_t bytes)
{
    say(w, "<|im_start|>");
    say(w, role);
    say(w, "\n");
    krsi_buffer_add(&w->out, text, bytes);
    say(w, "<|im_end|>\n");
}

static void
llama3(struct talk *w, const char *role, const char *text, size_t bytes)
{
    if (w->out.count == 0)
        say(w, w->bos);
    say(w, "<|start_header_id|>");
    say(w, role);
    say(w, "<|end_header_id|>\n\n");
    say_stripped(w, text, bytes);
    say(w, "<|eot_id|>");
}

static void
llama2(struct talk *w, const char *role, const char *text, size_t bytes)
{
    if (!strcmp(role, "system")) {
        w->system = text;
        w->system_bytes = bytes;
        return;
    }
    if (!strcmp(role, "assistant")) {
        say(w, " ");
        say_stripped(w, text, bytes);
        say(w, " ");
        say(w, w->eos);
        return;
    }
    krsi_buffer content = {0};
    if (w->system) {
        krsi_buffer_add(&content, "<<SYS>>\n", 8);
        krsi_buffer_add(&content, w->system, w->system_bytes);
        krsi_buffer_add(&content, "\n<</SYS>>\n\n", 11);
        w->system = NULL;
    }
    krsi_buffer_add(&content, text, bytes);
    say(w, w->bos);
    say(w, "[INST] ");
    say_stripped(w, content.bytes, content.count);
    say(w, " [/INST]");
    w->out.failed |= content.failed;
    krsi_buffer_free(&content);
}

static void
alpaca(struct talk *w, const char *role, const char *text, size_t bytes)
{
    if (!strcmp(role, "system")) {
        krsi_buffer_add(&w->out, text, bytes);
        say(w, "\n\n");
        return;
    }
    if (w->out.count == 0)
        say(w, "Below is an instruction that describes a task. Write a "
               "response that appropriately completes the request.\n\n");
    say(w, !strcmp(role, "user") ? "### Instruction:\n" : "### Response:\n");
    krsi_buffer_add(&w->out, text, bytes);
    say(w, "\n\n");
}

static const struct {
    void (*say)(struct talk *w, const char *role, const char *text,
                size_t bytes);
    const char *answer, *end;
    bool alternates, needs_bos, needs_eos;
} formats[] = {
    [KRS_CHAT_CHATML] = {chatml, "<|im_start|>assistant\n",                   "<|im_end|>", false,
                         false,                                                                           false},
    [KRS_CHAT_LLAMA2] = {llama2, "",                                          NULL,         true,  true,  true },
    [KRS_CHAT_LLAMA3] = {llama3,
                         "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", false, true,  false},
    [KRS_CHAT_ALPACA] = {alpaca, "### Response:\n",                           NULL,         true,  false, false},
};

const char *
krs_chat_end(krs_chat_kind kind)
{
    return (unsigned)kind < KRS_CHAT_KINDS ? formats[kind].end : NULL;
}

static krs_status
check_messages(const krs_chat *chat, const krs_chat_message *messages,
               size_t count, krs_error *err)
{
    size_t turn = 0;
    for (size_t i = 0; i < count; i++) {
        const char *role = messages[i].role;
        if (!role || !messages[i].content)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "chat: message %zu has no role or no content", i);
        bool system = !strcmp(role, "system"), user = !strcmp(role, "user");
        if (!system && !user && strcmp(role, "assistant") != 0)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "chat: message %zu has the role \"%.40s\"; system, "
                            "user and assistant are possible",
                            i, role);
        if (system && i > 0)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "chat: message %zu is of the system, which only "
                            "the first can be",
                            i);
        if (!system && formats[chat->kind].alternates &&
            user != (turn++ % 2 == 0))
            return krs_fail(err, KRS_E_ARGUMENT,
                            "chat: message %zu is of the %s: in %s user and "
                            "assistant alternate, the user begins",
                            i, role, krs_chat_name(chat->kind));
    }
    return KRS_OK;
}

static krs_status
token_text(const krs_chat *chat, const krs_tokenizer *t, int64_t id,
           const char *name, const char **out, krs_error *err)
{
    *out = id >= 0 ? krs_tokenizer_token(t, (uint32_t)id) : NULL;
    return *out ? KRS_OK
                : krs_fail(err, KRS_E_NAME,
                           "chat: %s needs the %s token, and the tokenizer "
                           "does not say which it is",
                           krs_chat_name(chat->kind), name);
}

krs_status
krs_chat_write(const krs_chat *chat, const krs_tokenizer *t,
               const krs_chat_message *messages, size_t count, bool answer,
               char **out, size_t *out_bytes, krs_error *err)
{
    struct talk w = {.bos = "", .eos = ""};
    if (!chat || (unsigned)chat->kind >= KRS_CHAT_KINDS ||
        (!messages && count > 0) || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "chat: a format, messages and out must be given");
    KRS_TRY(check_messages(chat, messages, count, err));
    if (formats[chat->kind].needs_bos)
        KRS_TRY(token_text(chat, t, t ? t->bos : -1, "bos", &w.bos, err));
    if (formats[chat->kind].needs_eos)
        KRS_TRY(token_text(chat, t, t ? t->eos : -1, "eos", &w.eos, err));
    if (chat->system && count > 0 && strcmp(messages[0].role, "system") != 0)
        formats[chat->kind].say(&w, "system", chat->system, chat->system_bytes);
    for (size_t i = 0; i < count; i++)
        formats[chat->kind].say(&w, messages[i].role, messages[i].content,
                                strlen(messages[i].content));
    if (answer || chat->always_answers)
        say(&w, formats[chat->kind].answer);
    krsi_buffer_add(&w.out, "", 1);
    if (w.out.failed) {
        krsi_buffer_free(&w.out);
        return krsi_no_memory(err, "a conversation");
    }
    *out = w.out.bytes;
    if (out_bytes)
        *out_bytes = w.out.count - 1;
    return KRS_OK;
}
