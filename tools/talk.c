/* talk.c -- what the program says on stderr, and the exit codes that go with
 * it. The name of the subcommand is the one piece of state: set once by main.
 */
#include "command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *talker = "";

void
name_talker(const char *name)
{
    talker = name;
}

bool
talk_has_color(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(no && no[0]) && !(terminal && !strcmp(terminal, "dumb")) &&
           isatty(STDERR_FILENO);
}

static void
print_error(const char *text)
{
    bool color = talk_has_color();
    fflush(stdout); /* data before the talk about it */
    fprintf(stderr, "kersey%s%s: %serror:%s %s\n", talker[0] ? " " : "", talker,
            color ? "\033[31m" : "", color ? "\033[0m" : "", text);
}

int
complain(const krs_error *err)
{
    print_error(err->text);
    if (err->status == KRS_E_CHECK)
        return EXIT_SHORT;
    return err->status == KRS_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

int
complain_usage(const char *format, ...)
{
    char text[KRS_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error(text);
    return EXIT_USAGE;
}

void
talk(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}
