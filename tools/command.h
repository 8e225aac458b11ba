/* command.h -- the frame of the kersey program.
 *
 * In: the arguments of main. Out: a call of command_<name> with flags that
 * have been checked, and its exit code. Two lists, commands.def and
 * flags.def, are expanded into everything that must know them.
 *
 * Rules for every command: stdout is data, stderr is talk; a failure is one
 * sentence on stderr; the exit code is one of enum exit_code.
 */
#ifndef KERSEY_COMMAND_H
#define KERSEY_COMMAND_H

#include <krs/krs.h>

#include <stdio.h>

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_SHORT = 3,   /* a check fell short */
    EXIT_ABSENT = 77, /* the backend is not there */
    EXIT_INTERRUPTED = 130
};

enum flag_kind {
    FLAG_SWITCH,
    FLAG_TEXT,
    FLAG_COUNT,
    FLAG_SIZE,
    FLAG_NUMBER,
    FLAG_AMOUNT
};

typedef bool flag_type_SWITCH;
typedef const char *flag_type_TEXT;
typedef int64_t flag_type_COUNT;
typedef int64_t flag_type_SIZE;
typedef double flag_type_NUMBER;
typedef double flag_type_AMOUNT;

enum flag_id {
#define FLAG(name, letter, KIND, unit, initial, help) FLAG_ID_##name,
#include "flags.def"
#undef FLAG
    FLAG_ID_COUNT
};

/* One member a flag: what was given, else its initial value. */
struct flags {
#define FLAG(name, letter, KIND, unit, initial, help) flag_type_##KIND name;
#include "flags.def"
#undef FLAG
    bool given[FLAG_ID_COUNT]; /* by the user */
};

struct command_line {
    const struct command *command;
    struct flags flags;
    const char **operands; /* borrowed from argv */
    int operand_count;
    bool help; /* --help was given; nothing else was checked */
};

struct flag_row {
    const char *name; /* "batch-size" spelt with '_' */
    char letter;      /* 0: none */
    enum flag_kind kind;
    const char *unit, *initial, *help;
    size_t offset; /* in struct flags */
};

struct command {
    const char *name, *operands;
    int least, most; /* operands */
    const char *purpose, *example;
    bool takes[FLAG_ID_COUNT + 1]; /* the last one: false */
    int (*run)(const struct command_line *line);
};

#define COMMAND(name, operands, least, most, purpose, example, flags) \
    int command_##name(const struct command_line *line);
#include "commands.def"
#undef COMMAND

/* arguments.c */

extern const struct flag_row flag_rows[FLAG_ID_COUNT];

/* parse_arguments(command, argc, argv, &line, err) -- what follows the name
 * of the command; argv is reordered: operands to the front. Errors: ARGUMENT,
 * with a suggestion where something was mistyped. */
krs_status parse_arguments(const struct command *command, int argc, char **argv,
                           struct command_line *line, krs_error *err);

/* nearest(word, count, name_of, context) -- the i whose name is the word
 * mistyped, by edit distance; -1 if none is near. name_of may give NULL for
 * what is no candidate. */
int nearest(const char *word, int count,
            const char *(*name_of)(int i, const void *context),
            const void *context);

/* flag_letter(command, id) -- the short form of a flag; 0: none. Of two flags
 * with one letter that a command takes, the first has it. */
char flag_letter(const struct command *command, int id);

/* spell_flag(name, buffer) -- with '-' for '_' */
#define FLAG_NAME 40
const char *spell_flag(const char *name, char buffer[FLAG_NAME]);

/* help.c */

extern const struct command command_rows[];
extern const int command_count;

void print_help(void);
void print_command_help(const struct command *command);
/* flag_help(command, id, text) -- what the flag means for that command, and
 * what it is if it is not given; text. */
enum { HELP_BYTES = 512 };
const char *flag_help(const struct command *command, int id,
                      char text[HELP_BYTES]);

/* talk.c */

/* complain(&err) -- "kersey conform: error: ..." on stderr; gives EXIT_FAILED,
 * EXIT_SHORT for E_CHECK, EXIT_INTERRUPTED for E_CANCELLED. */
int complain(const krs_error *err);
/* the same with a sentence of the command's own */
int complain_usage(const char *format, ...) KRS_PRINTF(1, 2);
/* talk(format, ...) -- a line on stderr */
void talk(const char *format, ...) KRS_PRINTF(1, 2);
/* name_talker(name) -- the subcommand that complain names; main calls it */
void name_talker(const char *name);
/* stderr is a terminal and NO_COLOR is not set */
bool talk_has_color(void);
/* stderr is a terminal where a line can be written over */
bool talk_is_live(void);
/* talk_live(format, ...) -- a line that the next one, or talk_over(), replaces;
 * only where talk_is_live() */
void talk_live(const char *format, ...) KRS_PRINTF(1, 2);
void talk_over(void);

/* device.c */

#define PATH_BYTES 4096

/* open_device(&line, &device) -- that of --backend, with --threads and --cpu
 * and what the environment says; EXIT_OK, EXIT_ABSENT after a complaint if the
 * backend is not there, EXIT_USAGE for flags that contradict each other.
 * open_device_cached -- with another folder of compiled code; NULL: none. */
int open_device(const struct command_line *line, krs_device **out);
int open_device_cached(const struct command_line *line, const char *cache,
                       krs_device **out);
/* the folder of compiled code that the environment asks for; NULL: none */
const char *find_cache_folder(void);

/* driver_cache.c -- before a device of OpenCL is opened: what its driver caches
 * goes into a folder that ends with the process. Without one it stays where
 * the driver puts it. */
void own_driver_cache(void);

/* temporary.c -- a new folder of mode 0700, removed with what lies in it when
 * the process ends; *path lives as long */
krs_status make_temporary(const char **path, krs_error *err);

#endif
