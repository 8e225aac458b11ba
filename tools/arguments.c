/* arguments.c -- from argv to checked flags and operands.
 *
 * Accepts --name VALUE, --name=VALUE, -n VALUE, -nVALUE, and switches without
 * a value; flags and operands may be mixed, "--" ends the flags, "-" is an
 * operand. The last of several wins. A value that begins with "--" must be
 * joined with '=', so that a forgotten value is noticed.
 *
 * What is not known is refused with the nearest name, by the edit distance of
 * Damerau and Levenshtein (adjacent exchanges count as one).
 */
#include "command.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct flag_row flag_rows[FLAG_ID_COUNT] = {
#define FLAG(name, letter, KIND, unit, initial, help) \
    {#name,                                           \
     letter,                                          \
     FLAG_##KIND,                                     \
     unit,                                            \
     initial,                                         \
     help,                                            \
     offsetof(struct flags, name)},
#include "flags.def"
#undef FLAG
};

const char *
spell_flag(const char *name, char buffer[FLAG_NAME])
{
    size_t i = 0;
    for (; name[i] && i + 1 < FLAG_NAME; i++)
        buffer[i] = name[i] == '_' ? '-' : name[i];
    buffer[i] = 0;
    return buffer;
}

enum { LONGEST_WORD = 31 };

static int
least(int a, int b)
{
    return a < b ? a : b;
}

/* Edit distance with exchanges of neighbours; large for long words. */
static int
distance(const char *a, const char *b)
{
    int n = (int)strlen(a), m = (int)strlen(b);
    if (n > LONGEST_WORD || m > LONGEST_WORD)
        return LONGEST_WORD;
    int d[LONGEST_WORD + 1][LONGEST_WORD + 1];
    for (int i = 0; i <= n; i++)
        d[i][0] = i;
    for (int j = 0; j <= m; j++)
        d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        for (int j = 1; j <= m; j++) {
            int change = a[i - 1] != b[j - 1];
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
                            d[i - 1][j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

int
nearest(const char *word, int count,
        const char *(*name_of)(int i, const void *context), const void *context)
{
    int best = -1, best_distance = 0;
    int most = strlen(word) < 4 ? 1 : 2;
    for (int i = 0; i < count; i++) {
        const char *name = name_of(i, context);
        if (!name)
            continue;
        int steps = distance(word, name);
        if (steps <= most && (best < 0 || steps < best_distance)) {
            best = i;
            best_distance = steps;
        }
    }
    return best;
}

char
flag_letter(const struct command *command, int id)
{
    for (int i = 0; i < id; i++)
        if (command->takes[i] && flag_rows[i].letter == flag_rows[id].letter)
            return 0;
    return flag_rows[id].letter;
}

static const char *
name_of_flag(int i, const void *context)
{
    static const char *const help = "help";
    const struct command *command = context;
    if (i == FLAG_ID_COUNT)
        return help;
    return command->takes[i] ? flag_rows[i].name : NULL;
}

/* "batch-size" or "batch_size": the flag of all commands, or -1 */
static int
find_flag(const char *word)
{
    char name[FLAG_NAME];
    for (int i = 0; i < FLAG_ID_COUNT; i++) {
        if (!strcmp(spell_flag(flag_rows[i].name, name), word))
            return i;
    }
    return -1;
}

static krs_status
refuse_flag(const struct command *command, const char *word, krs_error *err)
{
    char name[FLAG_NAME];
    int known = find_flag(word);
    for (int i = 0; known >= 0 && i < command_count; i++) {
        if (command_rows[i].takes[known])
            return krs_fail(err, KRS_E_ARGUMENT,
                            "--%s is not a flag of %s (%s has it); see "
                            "kersey %s --help",
                            word, command->name, command_rows[i].name,
                            command->name);
    }
    for (size_t i = 0; i <= strlen(word) && i + 1 < FLAG_NAME; i++) {
        name[i] = word[i] == '-' ? '_' : word[i];
        name[i + 1] = 0;
    }
    int near = nearest(name, FLAG_ID_COUNT + 1, name_of_flag, command);
    if (near >= 0)
        return krs_fail(
            err, KRS_E_ARGUMENT, "unknown flag --%s; did you mean --%s?", word,
            near == FLAG_ID_COUNT ? "help"
                                  : spell_flag(flag_rows[near].name, name));
    return krs_fail(err, KRS_E_ARGUMENT,
                    "unknown flag --%s; see kersey %s --help", word,
                    command->name);
}

static krs_status
parse_count(const char *flag, const char *text, int64_t least, int64_t *out,
            krs_error *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < least)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "--%s wants a whole number from %d, not \"%s\"", flag,
                        (int)least, text);
    *out = value;
    return KRS_OK;
}

static krs_status
parse_number(const char *flag, const char *text, bool is_amount, double *out,
             krs_error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || (is_amount && value < 0))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "--%s wants a number%s, not \"%s\"", flag,
                        is_amount ? " from 0" : "", text);
    *out = value;
    return KRS_OK;
}

static krs_status
set_flag(struct flags *flags, const struct flag_row *row, const char *value,
         krs_error *err)
{
    char name[FLAG_NAME];
    spell_flag(row->name, name);
    void *member = (char *)flags + row->offset;
    switch (row->kind) {
    case FLAG_SWITCH: *(bool *)member = true; return KRS_OK;
    case FLAG_TEXT: *(const char **)member = value; return KRS_OK;
    case FLAG_COUNT: return parse_count(name, value, 0, member, err);
    case FLAG_SIZE: return parse_count(name, value, 1, member, err);
    case FLAG_NUMBER: return parse_number(name, value, false, member, err);
    case FLAG_AMOUNT: return parse_number(name, value, true, member, err);
    }
    return KRS_E_INTERNAL;
}

/* The value of a flag that needs one: joined, or the next argument. */
static krs_status
take_value(const struct flag_row *row, const char *joined, int argc,
           char **argv, int *i, const char **out, krs_error *err)
{
    char name[FLAG_NAME];
    spell_flag(row->name, name);
    *out = joined;
    if (row->kind == FLAG_SWITCH) {
        if (joined)
            return krs_fail(err, KRS_E_ARGUMENT,
                            "--%s takes no value, but got \"%s\"", name,
                            joined);
        return KRS_OK;
    }
    if (joined)
        return KRS_OK;
    if (*i + 1 >= argc || !strncmp(argv[*i + 1], "--", 2))
        return krs_fail(err, KRS_E_ARGUMENT, "--%s wants a value: --%s %s",
                        name, name, row->unit);
    *out = argv[++*i];
    return KRS_OK;
}

static krs_status
parse_long(int argc, char **argv, int *i, struct command_line *line,
           krs_error *err)
{
    const char *word = argv[*i] + 2, *equals = strchr(word, '=');
    char name[64];
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    if (length >= sizeof name)
        return krs_fail(err, KRS_E_ARGUMENT, "unknown flag --%.60s...", word);
    memcpy(name, word, length);
    name[length] = 0;
    int id = find_flag(name);
    if (id < 0 || !line->command->takes[id])
        return refuse_flag(line->command, name, err);
    const char *value;
    KRS_TRY(take_value(&flag_rows[id], equals ? equals + 1 : NULL, argc, argv,
                       i, &value, err));
    line->flags.given[id] = true;
    return set_flag(&line->flags, &flag_rows[id], value, err);
}

static krs_status
parse_short(int argc, char **argv, int *i, struct command_line *line,
            krs_error *err)
{
    const char *word = argv[*i] + 1;
    for (int id = 0; id < FLAG_ID_COUNT; id++) {
        const struct flag_row *row = &flag_rows[id];
        if (!line->command->takes[id] ||
            flag_letter(line->command, id) != word[0])
            continue;
        const char *value, *joined = word[1] ? word + 1 : NULL;
        KRS_TRY(take_value(row, joined, argc, argv, i, &value, err));
        line->flags.given[id] = true;
        return set_flag(&line->flags, row, value, err);
    }
    return krs_fail(err, KRS_E_ARGUMENT,
                    "unknown flag -%c; see kersey %s --help", word[0],
                    line->command->name);
}

krs_status
parse_arguments(const struct command *command, int argc, char **argv,
                struct command_line *line, krs_error *err)
{
    *line = (struct command_line){.command = command,
                                  .operands = (const char **)argv};
    for (int id = 0; id < FLAG_ID_COUNT; id++) {
        if (flag_rows[id].initial)
            KRS_TRY(set_flag(&line->flags, &flag_rows[id],
                             flag_rows[id].initial, err));
    }
    bool flags_ended = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (flags_ended || word[0] != '-' || !word[1]) {
            line->operands[line->operand_count++] = word;
        } else if (!strcmp(word, "--")) {
            flags_ended = true;
        } else if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            line->help = true;
            return KRS_OK;
        } else if (word[1] == '-') {
            KRS_TRY(parse_long(argc, argv, &i, line, err));
        } else {
            KRS_TRY(parse_short(argc, argv, &i, line, err));
        }
    }
    if (line->operand_count < command->least)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s is missing; see kersey %s --help",
                        command->operands, command->name);
    if (line->operand_count > command->most)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "\"%s\" is one argument too many; see kersey %s --help",
                        line->operands[command->most], command->name);
    return KRS_OK;
}
