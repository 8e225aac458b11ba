/* splitter.c -- the regular expressions of well-known byte-level tokenizers,
 * as code.
 *
 * In: a text that is not empty. Out: the length of the match of the expression
 * at its start; each of these expressions matches everywhere. The text of the
 * expression is what a tokenizer.json holds: one that differs in a letter goes
 * to PCRE2 instead (pattern.c), and a test compares the two on every character.
 *
 *   gpt2     Radford et al. 2019; also SmolLM2, after its digits
 *   llama3   OpenAI tiktoken's cl100k (GPT-4), and LLaMA-3 after it
 *   qwen2    Alibaba, Qwen2: llama3 with single digits
 */
#include "tokenizer.h"

#include <string.h>

const char krsi_regex_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
    "|\\s+(?!\\S)|\\s+";
const char krsi_regex_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char krsi_regex_qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* What the expressions tell apart; LINE is a space too. */
enum class { LETTER, NUMBER, SPACE, LINE, REST };

static const uint8_t ascii[128] = {
#define S SPACE
#define E LINE
#define L LETTER
#define N NUMBER
#define R REST
    R, R, R, R, R, R, R, R, R, S, E, S, S, E, R, R, /* \t \n \v \f \r */
    R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, /* 0x10 */
    S, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, /* space */
    N, N, N, N, N, N, N, N, N, N, R, R, R, R, R, R, /* 0-9 */
    R, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* A-O */
    L, L, L, L, L, L, L, L, L, L, L, R, R, R, R, R, /* P-Z */
    R, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* a-o */
    L, L, L, L, L, L, L, L, L, L, L, R, R, R, R, R, /* p-z */
#undef S
#undef E
#undef L
#undef N
#undef R
};

/* The class of the character at text, *used its bytes. */
static inline enum class class_at(const char *text, size_t bytes,
                                  size_t *used) {
    unsigned char first = (unsigned char)*text; uint32_t code;
    if (first < 0x80){ *used = 1; return (enum class)ascii[first];}
*used = krsi_utf8_next(text, bytes, &code);
if (krsi_is_letter(code))
    return LETTER;
if (krsi_is_number(code))
    return NUMBER;
return krsi_is_space(code) ? SPACE : REST;
}

/* The end of the run of one class that begins at i. */
static inline size_t
run(const char *text, size_t bytes, size_t i, enum class wanted)
{
    size_t used;
    while (i < bytes && class_at(text + i, bytes - i, &used) == wanted)
        i += used;
    return i;
}

/* \s+(?!\S)|\s+ at the start, where a space stands: the whole run at the end
 * of the text or before a single space, else all but its last. */
static size_t
spaces(const char *text, size_t bytes)
{
    size_t i = 0, last = 0, used;
    while (i < bytes) {
        enum class c = class_at(text + i, bytes - i, &used);
        if (c != SPACE && c != LINE)
            break;
        last = i;
        i += used;
    }
    return i == bytes || last == 0 ? i : last;
}

/* Bytes of 's, 't, 're, 've, 'm, 'll or 'd after the apostrophe; 0: none.
 * Regardless of case, the long s is an s too. */
static size_t
contraction(const char *text, size_t bytes, bool any_case)
{
    uint8_t mask = any_case ? 0x20 : 0;
    if (bytes < 2)
        return 0;
    char a = (char)(text[1] | mask), b = bytes > 2 ? (char)(text[2] | mask) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') ||
        (a == 'l' && b == 'l'))
        return 3;
    if (any_case && bytes > 2 && !memcmp(text + 1, "\xC5\xBF", 2))
        return 3;
    return 0;
}

size_t
krsi_split_gpt2(const char *text, size_t bytes)
{
    size_t used, next;
    enum class c = class_at(text, bytes, &used);
    if (*text == '\'') {
        size_t length = contraction(text, bytes, false);
        if (length)
            return length;
    }
    if (c == LETTER || c == NUMBER || c == REST)
        return run(text, bytes, used, c);
    if (*text == ' ' && bytes > 1) {
        c = class_at(text + 1, bytes - 1, &next);
        if (c == LETTER || c == NUMBER || c == REST)
            return run(text, bytes, 1 + next, c);
    }
    return spaces(text, bytes);
}

/* \s*[\r\n]+ at the start: up to the last line end of the run of spaces; 0 if
 * it has none. */
static size_t
lines(const char *text, size_t bytes)
{
    size_t end = 0, used;
    for (size_t i = 0; i < bytes; i += used) {
        enum class c = class_at(text + i, bytes - i, &used);
        if (c == LINE)
            end = i + 1;
        else if (c != SPACE)
            break;
    }
    return end;
}

/*  ?[^\s\p{L}\p{N}]+[\r\n]* from i, where the second part begins */
static size_t
symbols(const char *text, size_t bytes, size_t i)
{
    i = run(text, bytes, i, REST);
    while (i < bytes && (text[i] == '\r' || text[i] == '\n'))
        i++;
    return i;
}

static size_t
split_modern(const char *text, size_t bytes, int digits)
{
    size_t used, next = 0, length;
    enum class c = class_at(text, bytes, &used), second = LINE;
    if (*text == '\'' && (length = contraction(text, bytes, true)) > 0)
        return length;
    if (c == LETTER)
        return run(text, bytes, used, LETTER);
    if (used < bytes)
        second = class_at(text + used, bytes - used, &next);
    if ((c == SPACE || c == REST) && second == LETTER)
        return run(text, bytes, used + next, LETTER);
    if (c == NUMBER) {
        size_t end = used;
        for (int n = 1; n < digits && end < bytes; n++) {
            if (class_at(text + end, bytes - end, &next) != NUMBER)
                break;
            end += next;
        }
        return end;
    }
    if (c == REST)
        return symbols(text, bytes, used);
    if (*text == ' ' && second == REST)
        return symbols(text, bytes, used);
    length = lines(text, bytes);
    return length ? length : spaces(text, bytes);
}

static size_t
split_llama3(const char *text, size_t bytes)
{
    return split_modern(text, bytes, 3);
}

static size_t
split_qwen2(const char *text, size_t bytes)
{
    return split_modern(text, bytes, 1);
}

krsi_splitter *
krsi_splitter_find(const char *regex)
{
    static const struct {
        const char *regex;
        krsi_splitter *split;
    } known[] = {
        {krsi_regex_gpt2,   krsi_split_gpt2},
        {krsi_regex_llama3, split_llama3   },
        {krsi_regex_qwen2,  split_qwen2    },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].regex, regex))
            return known[i].split;
    return NULL;
}
