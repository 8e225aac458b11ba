/* help.c -- the table of commands, and the help texts that follow from it. */
#include "command.h"

#include <string.h>

const struct command command_rows[] = {
#define F(name) [FLAG_ID_##name] = true,
#define NO_MORE [FLAG_ID_COUNT] = false
#define COMMAND(name, operands, least, most, purpose, example, flags) \
    {#name,   operands, least,           most,                        \
     purpose, example,  {flags NO_MORE}, command_##name},
#include "commands.def"
#undef COMMAND
#undef NO_MORE
#undef F
};
const int command_count = sizeof command_rows / sizeof *command_rows;

void
print_help(void)
{
    printf("kersey -- a graph-compiling tensor library\n\n"
           "usage: kersey COMMAND [FLAGS] ...\n\ncommands:\n");
    for (int i = 0; i < command_count; i++)
        printf("  %-10s %s\n", command_rows[i].name, command_rows[i].purpose);
    printf("\nkersey COMMAND --help has the flags and an example; kersey "
           "--version\n"
           "\nexit codes: 0 ok, 1 failed, 2 wrong usage, 3 a check fell "
           "short,\n            77 the backend is absent, 130 interrupted\n"
           "\nenvironment:\n"
           "  KRS_BACKEND      the backend where --backend is not given\n"
           "  KRS_CACHE        folder of compiled kernels, or off; else "
           "~/.cache/kersey\n"
           "  KRS_DEBUG        0 to 7: 1 devices, 2 kernels, their times and "
           "share of what\n"
           "                   the device allows, 3 decisions of fusion, 4 "
           "kernels, 5 graphs,\n"
           "                   6 LLVM IR, 7 machine code; each with those "
           "before\n"
           "  KRS_FUSE         off: one kernel a primitive, what fusion is "
           "compared with\n"
           "  KRS_MODULE_PATH  folders of libkersey-*.so, separated by :\n"
           "  KRS_OPT          off: run graphs as they are defined, without "
           "rewriting\n"
           "  KRS_PLAN         off: no memory is shared; poison: NaN where "
           "nobody may look\n"
           "  NO_COLOR         turns colours off\n");
}

/* "--backend NAME" */
static const char *
flag_text(const struct flag_row *row, char text[2 * FLAG_NAME])
{
    char name[FLAG_NAME];
    spell_flag(row->name, name);
    snprintf(text, 2 * FLAG_NAME, "--%s%s%s", name, row->unit[0] ? " " : "",
             row->unit);
    return text;
}

/* Its own help of the flag for the command, or NULL: what holds for all. */
static const char *
own_help(const struct command *command, int id)
{
    size_t name = strlen(command->name);
    for (const char *at = flag_rows[id].help; (at = strchr(at, '|'));) {
        at++;
        if (strncmp(at, command->name, name) == 0 && at[name] == ':')
            return at + name + strlen(": ");
    }
    return NULL;
}

const char *
flag_help(const struct command *command, int id, char text[HELP_BYTES])
{
    const struct flag_row *row = &flag_rows[id];
    const char *own = own_help(command, id), *help = own ? own : row->help;
    int length = (int)strcspn(help, "|");
    if (row->initial && !own)
        snprintf(text, HELP_BYTES, "%.*s (default %s)", length, help,
                 row->initial);
    else
        snprintf(text, HELP_BYTES, "%.*s", length, help);
    return text;
}

/* Words in lines that end before the 80th column and begin at `indent`; the
 * first line is there already. */
static void
print_words(const char *text, int indent)
{
    enum { COLUMNS = 79 };
    int at = indent;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (at > indent && at + 1 + length > COLUMNS) {
            printf("\n%*s", indent, "");
            at = indent;
        }
        at += printf("%s%.*s", at > indent ? " " : "", length, text);
        text += length;
        text += strspn(text, " ");
    }
    printf("\n");
}

/* "  -b, --backend NAME   where programs run (default eval)" */
static void
print_flag(const struct command *command, int id, int width)
{
    const struct flag_row *row = &flag_rows[id];
    char text[2 * FLAG_NAME], letter = flag_letter(command, id);
    char help[HELP_BYTES];
    if (letter)
        printf("  -%c, ", letter);
    else
        printf("      ");
    printf("%-*s  ", width, flag_text(row, text));
    print_words(flag_help(command, id, help), width + 8);
}

void
print_command_help(const struct command *command)
{
    printf("kersey %s -- %s\n\nusage: kersey %s [FLAGS]%s%s\n\nflags:\n",
           command->name, command->purpose, command->name,
           command->operands[0] ? " " : "", command->operands);
    int width = (int)strlen("--help");
    for (int i = 0; i < FLAG_ID_COUNT; i++) {
        char text[2 * FLAG_NAME];
        int length = (int)strlen(flag_text(&flag_rows[i], text));
        if (command->takes[i] && length > width)
            width = length;
    }
    for (int i = 0; i < FLAG_ID_COUNT; i++) {
        if (command->takes[i])
            print_flag(command, i, width);
    }
    printf("  -h, %-*s  this text\n\nexample:\n  %s\n", width, "--help",
           command->example);
}
